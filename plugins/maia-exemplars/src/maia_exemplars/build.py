"""Builds an index: one pass over a data set for all units of all requested layers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, UsageError, plain_folder
from maia_exemplars import passes
from maia_exemplars.checkpoint import disk_errors_explained, locked
from maia_exemplars.finish import Finished, contents
from maia_exemplars.layer import folder_name
from maia_exemplars.measured import Measurer, NotFiniteError, Values
from maia_exemplars.options import FAST, Options, Progress, quiet
from maia_exemplars.precision import PrecisionChoice
from maia_exemplars.preprocess import Pixels
from maia_exemplars.ranking import Ranking
from maia_exemplars.reading import Batch, batches
from maia_exemplars.state import BuildState
from maia_exemplars.write import put_in_place, write


def build(
    measurer: Measurer,
    dataset: Dataset,
    folder: Path,
    options: Options | None = None,
    *,
    work: Path | None = None,
    is_done: Callable[[], bool] = lambda: False,
    progress: Progress = quiet,
    warn: Callable[[str], None] = quiet,
) -> None:
    """Builds the index of the measurer's layers into a folder, in which each layer gets its own.

    Memory beyond the network's: a few batches, and for each unit its histograms (10 KB, twice that for more images
    than the sample holds), its exemplars and their maps; it does not grow with the images.

    Args:
        measurer: Measures the layers.
        dataset: The images.
        folder: The folder of the index; the build leaves other layers in it alone.
        options: How; None: the defaults.
        work: Folder of the unfinished build; None: in `folder`.
        is_done: Called once no other process builds there any more: true if nothing is left to do.
        progress: Called with the progress.
        warn: Called with anything else that the user must know.

    Raises:
        UsageError: the data set has no readable image, or the folder holds an unfinished build of something else. A
            part of the data set without a readable image is measured: the index lists its skipped images.
        RunError: the disk is full, or the network failed.
    """
    options = options or Options()
    work = work or folder / ".building"
    first, last = options.span or (0, len(dataset))
    if first >= last:
        raise _no_readable_image(dataset)
    with disk_errors_explained(folder), locked(work, options.unattended):
        if is_done():
            shutil.rmtree(work)
            return
        job = _Build(measurer, dataset, work, options, progress, warn)
        try:
            job.run()
            for finished in job.finished():
                target = plain_folder(work / "done") / folder_name(finished.measures.layer.layer)
                shutil.rmtree(target, ignore_errors=True)
                write(target, *contents(finished))
            for layer in measurer.layers:
                put_in_place(work / "done" / folder_name(layer.layer), folder)
        finally:
            job.close()
        shutil.rmtree(work)


class _Build:
    """One build, from its start or from where it stopped.

    A scan runs all images: exactly, or, to rank them, in a faster precision; then finalists run exactly.
    """

    def __init__(
        self,
        measurer: Measurer,
        dataset: Dataset,
        work: Path,
        options: Options,
        progress: Progress,
        warn: Callable[[str], None],
    ) -> None:
        self._measurer, self._dataset, self._options = measurer, dataset, options
        self._progress, self._warn = progress, warn
        self._work = work
        self._fast: Measurer | None = None
        self._state = state = BuildState(measurer, dataset, work, options)
        self._precision = PrecisionChoice(measurer, options, state.last - state.first, self._trial)
        self._precision.times = state.times

    def close(self) -> None:
        """Closes files, and frees the faster copy of the network."""
        self._state.close()
        if self._fast is not None:
            self._fast.close()

    def run(self) -> None:
        """Measures all that is left.

        Raises:
            UsageError: the data set has no readable image, or none on which a layer gives finite values.
        """
        self._prepare_ranking()
        if not self._scan() or not self._measure_finalists():
            self._state.restart()
            self._scan()
        if len(self._state.skipped) == len(self._dataset):
            raise _no_readable_image(self._dataset)
        state = self._state
        for layer, bad in zip(self._measurer.layers, state.not_finite, strict=True):
            if bad and len(bad) + len(state.skipped) == state.last - state.first:
                raise UsageError(
                    f"layer {layer.layer} of {layer.model} gave values that are not finite on every image: check the "
                    "weights and the preprocessing"
                )
            if bad:
                names = ", ".join(self._dataset.ids[image] for image in bad[:5])
                self._warn(
                    f"layer {layer.layer} gave values that are not finite on {len(bad):,} images: {names}; skipped"
                )

    def finished(self) -> Iterator[Finished]:
        """Yields the measurements of each layer."""
        state = self._state
        for number, measures in enumerate(state.measures):
            error = None if state.ranking is None else state.ranking.candidates[number].error
            skipped = sorted([*state.skipped, *state.not_finite[number]])
            yield Finished(measures, self._dataset, (state.first, state.last), skipped, state.sampled, error)

    def _scan(self) -> bool:
        """Runs all images that are left; returns false if ranking them does not save time, or meets infinite values."""
        state = self._state
        if state.todo is not None:
            return True
        ranking, start = state.ranking, state.done
        for batch in self._batches(range(state.first + start, state.last)):
            before, state.done = state.done, start + batch.upto
            if ranking is not None and self._fast is not None and len(batch.images):
                try:
                    ranking.rank(self._fast, self._measurer, batch, (before, state.done), state.measures)
                except NotFiniteError:
                    return False
            elif len(batch.images):
                for layer, image in passes.run(self._measurer, batch, self._measure):
                    state.not_finite[layer].append(image)
            state.skipped += batch.skipped
            if ranking is not None and before < ranking.pilot() <= state.done:
                share = ranking.share(state.done - len(state.skipped))
                if not self._precision.pays(share):
                    return False
            self._after("ranking" if ranking else "measuring", state.done, state.last - state.first)
        return True

    def _measure(self, layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
        self._state.measures[layer].statistics.add(self._measurer, images, highest, values)
        self._state.measures[layer].best.add(self._measurer, images, highest, values)

    def _measure_finalists(self) -> bool:
        """Measures finalists exactly until no image is left that could be an exemplar; false if one is not finite."""
        if (ranking := self._state.ranking) is None:
            return True

        def use(layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
            self._state.measures[layer].best.add(self._measurer, images, highest, values)
            ranking.candidates[layer].measured(images, highest)

        while len(todo := self._finalists(ranking)):
            for batch in self._batches(todo):
                if passes.run(self._measurer, batch, use):
                    return False
                if batch.skipped:
                    raise UsageError(
                        f"image {self._dataset.ids[batch.skipped[0]]} cannot be read any more: the data set changed "
                        "during the build; build again"
                    )
                self._state.todo = todo[batch.upto :]
                self._after("measuring finalists", batch.upto, len(todo))
        return True

    def _finalists(self, ranking: Ranking) -> NDArray[np.int64]:
        """Returns the images to measure: the rest of this round, else a new one."""
        state = self._state
        if state.todo is None or not len(state.todo):
            state.todo, undecided = ranking.open(state.measures)
            if undecided and not state.all_exact:
                state.all_exact = True
                done = np.concatenate([ranking.measured(), np.array(state.skipped, np.int64)])
                state.todo = np.setdiff1d(np.arange(state.first, state.last), done)
                if len(state.todo):
                    which = ", ".join(f"{units} of {layer}" for layer, units in undecided.items())
                    self._warn(f"{FAST} cannot tell the exemplars of some units ({which}): all images run exactly")
        return state.todo

    def _after(self, what: str, done: int, of: int) -> None:
        self._progress(what, done, of)
        self._state.save_if_due(self._precision.times)

    def _prepare_ranking(self) -> None:
        """Makes the faster copy of the network where images are to be ranked."""
        resumed = self._state.ranking is not None
        if self._state.todo is not None or (self._state.done and not resumed):
            return
        if not resumed and not self._precision.is_tried():
            return
        model = self._measurer.layers[0].model
        if not resumed and any(scales["map"]["centre"].any() for scales in self._state.scales):
            if self._options.precision == FAST:
                self._warn(f"units of {model} vary too little around a large value for {FAST}: all images run as it is")
            return
        self._fast = self._measurer.faster()
        if self._fast is None:
            if resumed:
                raise UsageError(f"{model} ran in {FAST} earlier, but cannot now; delete {self._work}")
            if self._options.precision == FAST:
                self._warn(f"{model} cannot run in {FAST}, or does so already: all images run as it is")
        elif resumed or self._precision.is_worth(self._fast):
            self._state.ranking = self._state.ranking or self._state.new_ranking()

    def _trial(self) -> Pixels:
        """Returns a batch to measure times on."""
        first = range(self._state.first, min(self._state.first + self._options.batch, self._state.last))
        return next(iter(self._batches(first))).pixels

    def _batches(self, images: Sequence[int] | NDArray[np.int64]) -> Iterator[Batch]:
        preprocess = self._measurer.preprocess
        return batches(self._dataset, preprocess, images, self._options.batch, self._options.workers)


def _no_readable_image(dataset: Dataset) -> UsageError:
    return UsageError(
        f"the data set {dataset.name} holds no readable image; check its files, or choose another: --dataset NAME"
    )
