"""Builds an index: one pass over a data set for all units of all requested layers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, UsageError, plain_folder
from maia_exemplars import passes, recheck
from maia_exemplars.checkpoint import Checkpoint, disk_errors_explained, locked, parts
from maia_exemplars.finish import Finished, contents
from maia_exemplars.layer import folder_name
from maia_exemplars.measured import Measurer, NotFiniteError, Values
from maia_exemplars.measures import Arrays, LayerMeasures
from maia_exemplars.options import FAST, Options, Progress, quiet
from maia_exemplars.precision import PrecisionChoice
from maia_exemplars.preprocess import Pixels
from maia_exemplars.ranking import Ranking
from maia_exemplars.reading import Batch, batches
from maia_exemplars.sample_file import SampleFile
from maia_exemplars.sampling import sample_images
from maia_exemplars.scale import find_scales, usual
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
        self._first, self._last = options.span or (0, len(dataset))
        sampled = sample_images(dataset.fingerprint, len(dataset))
        self._sampled = sampled[(sampled >= self._first) & (sampled < self._last)]
        self._work = work
        self._checkpoint = Checkpoint(work)
        self._samples = [
            SampleFile(work / f"sample-{number}.f32", len(self._sampled), layer.units)
            for number, layer in enumerate(measurer.layers)
        ]
        self._precision = PrecisionChoice(measurer, options, self._last - self._first, self._trial)
        self._fast: Measurer | None = None
        self._scales = [usual(layer.units) for layer in measurer.layers]
        self._start()
        if self._checkpoint.exists:
            self._resume()
        if not self._done:
            self._scales = find_scales(measurer, dataset)
            self._start()

    def close(self) -> None:
        """Closes files, and frees the faster copy of the network."""
        for sample in self._samples:
            sample.close()
        if self._fast is not None:
            self._fast.close()

    def run(self) -> None:
        """Measures all that is left.

        Raises:
            UsageError: the data set has no readable image, or none on which a layer gives finite values.
        """
        self._prepare_ranking()
        if not self._scan() or not self._measure_finalists():
            self._start()
            self._scan()
        if len(self._skipped) == len(self._dataset):
            raise _no_readable_image(self._dataset)
        for layer, bad in zip(self._measurer.layers, self._not_finite, strict=True):
            if bad and len(bad) + len(self._skipped) == self._last - self._first:
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
        for number, measures in enumerate(self._measures):
            error = None if self._ranking is None else self._ranking.candidates[number].error
            span = (self._first, self._last)
            skipped = sorted([*self._skipped, *self._not_finite[number]])
            yield Finished(measures, self._dataset, span, skipped, self._sampled, error)

    # --- the state on disk ---

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be the same to resume a build, by what it is called."""
        return {
            "model, weights or preprocessing": self._measurer.layers[0].model_fingerprint,
            "data set": self._dataset.fingerprint,
            "choice of layers": [layer.key for layer in self._measurer.layers],
            "number of exemplars": self._options.k,
            "part of the data set": [self._first, self._last],
            "precision": self._options.precision,
        }

    def _start(self, saved: Arrays | None = None) -> None:
        """Sets everything to the saved state, or to nothing."""
        self._done, self._skipped = 0, list[int]()
        self._not_finite: list[list[int]] = [[] for _ in self._measurer.layers]
        self._todo: NDArray[np.int64] | None = None  # Finalists that are left of this round; None during the scan.
        self._all_exact = False
        self._ranking: Ranking | None = None
        self._measures = [
            LayerMeasures(layer, number, len(self._dataset), self._sampled, sample, self._options.k, scales, saved)
            for number, (layer, sample, scales) in enumerate(
                zip(self._measurer.layers, self._samples, self._scales, strict=True)
            )
        ]

    def _save(self) -> None:
        arrays: Arrays = {} if self._todo is None else {"todo": self._todo}
        for measures in self._measures:
            arrays |= measures.arrays()
        if self._ranking is not None:
            arrays |= {f"ranking/{name}": array for name, array in self._ranking.arrays().items()}
        facts = {"identity": self._identity, "done": self._done, "skipped": self._skipped}
        facts |= {"times": self._precision.times, "all_exact": self._all_exact, "not_finite": self._not_finite}
        self._checkpoint.save(facts, arrays)

    def _resume(self) -> None:
        unfinished = f"{self._work.parent} holds an unfinished build"
        or_delete = f"or delete {self._work}"
        if not (self._options.resume or self._options.unattended):
            raise UsageError(f"{unfinished}; resume it (--resume), {or_delete}")
        try:
            facts, arrays = self._checkpoint.load()
        except UsageError:
            if self._options.unattended:
                return
            raise
        differs = [name for name, value in self._identity.items() if facts["identity"].get(name) != value]
        if differs:
            raise UsageError(f"{unfinished} with another {', '.join(differs)}; resume that one, {or_delete}")
        self._start(arrays)
        if not self._is_of_this_network():
            if not self._options.unattended:
                raise UsageError(f"{unfinished} of another network with the fingerprint of this one; {or_delete[3:]}")
            self._start()
            return
        self._done, self._skipped = facts["done"], facts["skipped"]
        self._not_finite = facts.get("not_finite", self._not_finite)
        self._precision.times = tuple(facts["times"])
        self._todo, self._all_exact = arrays.get("todo"), facts["all_exact"]
        if (saved := parts(arrays, "ranking")) is not None:
            self._ranking = self._new_ranking(saved)

    def _is_of_this_network(self) -> bool:
        """Returns whether the best image so far of a unit still has its value in most units that have the same best."""
        top = self._measures[0].best.top
        images = np.take_along_axis(top.places, top.order()[:, :1], 1)[:, 0]
        values = top.values.max(axis=1)
        image = int(images.min())
        if image >= len(self._dataset):
            return True
        units, now = images == image, recheck.activations(self._measurer, self._dataset, [image])
        slack = recheck.SPREAD * self._measures[0].statistics.moments.std + recheck.RELATIVE * np.abs(values)
        return image in now and float(np.mean(np.abs(now[image] - values)[units] <= slack[units])) > 0.5

    # --- passes ---

    def _scan(self) -> bool:
        """Runs all images that are left; returns false if ranking them does not save time, or meets infinite values."""
        if self._todo is not None:
            return True
        ranking, start = self._ranking, self._done
        for batch in self._batches(range(self._first + start, self._last)):
            before, self._done = self._done, start + batch.upto
            if ranking is not None and self._fast is not None and len(batch.images):
                try:
                    ranking.rank(self._fast, self._measurer, batch, (before, self._done), self._measures)
                except NotFiniteError:
                    return False
            elif len(batch.images):
                for layer, image in passes.run(self._measurer, batch, self._measure):
                    self._not_finite[layer].append(image)
            self._skipped += batch.skipped
            if ranking is not None and before < ranking.pilot() <= self._done:
                share = ranking.share(self._done - len(self._skipped))
                if not self._precision.pays(share):
                    return False
            self._after("ranking" if ranking else "measuring", self._done, self._last - self._first)
        return True

    def _measure(self, layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
        self._measures[layer].statistics.add(self._measurer, images, highest, values)
        self._measures[layer].best.add(self._measurer, images, highest, values)

    def _measure_finalists(self) -> bool:
        """Measures finalists exactly until no image is left that could be an exemplar; false if one is not finite."""
        if (ranking := self._ranking) is None:
            return True

        def use(layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
            self._measures[layer].best.add(self._measurer, images, highest, values)
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
                self._todo = todo[batch.upto :]
                self._after("measuring finalists", batch.upto, len(todo))
        return True

    def _finalists(self, ranking: Ranking) -> NDArray[np.int64]:
        """Returns the images to measure: the rest of this round, else a new one."""
        if self._todo is None or not len(self._todo):
            self._todo, undecided = ranking.open(self._measures)
            if undecided and not self._all_exact:
                self._all_exact = True
                done = np.concatenate([ranking.measured(), np.array(self._skipped, np.int64)])
                self._todo = np.setdiff1d(np.arange(self._first, self._last), done)
                if len(self._todo):
                    which = ", ".join(f"{units} of {layer}" for layer, units in undecided.items())
                    self._warn(f"{FAST} cannot tell the exemplars of some units ({which}): all images run exactly")
        return self._todo

    def _after(self, what: str, done: int, of: int) -> None:
        self._progress(what, done, of)
        if self._checkpoint.due:
            self._save()

    def _prepare_ranking(self) -> None:
        """Makes the faster copy of the network where images are to be ranked."""
        resumed = self._ranking is not None
        if self._todo is not None or (self._done and not resumed):
            return
        if not resumed and not self._precision.is_tried():
            return
        model = self._measurer.layers[0].model
        if not resumed and any(scales["map"]["centre"].any() for scales in self._scales):
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
            self._ranking = self._ranking or self._new_ranking(None)

    def _new_ranking(self, saved: Arrays | None) -> Ranking:
        images = self._last - self._first
        return Ranking(self._measurer.layers, self._options.k, images, self._options.batch, saved)

    def _trial(self) -> Pixels:
        """Returns a batch to measure times on."""
        first = range(self._first, min(self._first + self._options.batch, self._last))
        return next(iter(self._batches(first))).pixels

    def _batches(self, images: Sequence[int] | NDArray[np.int64]) -> Iterator[Batch]:
        preprocess = self._measurer.preprocess
        return batches(self._dataset, preprocess, images, self._options.batch, self._options.workers)


def _no_readable_image(dataset: Dataset) -> UsageError:
    return UsageError(
        f"the data set {dataset.name} holds no readable image; check its files, or choose another: --dataset NAME"
    )
