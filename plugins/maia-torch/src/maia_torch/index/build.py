"""Builds an index: one pass over a data set for all units of all asked layers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maia_core.plugin import Dataset, UsageError
from maia_torch.engine import Engine
from maia_torch.index import passes
from maia_torch.index.fast import FAST, fast_copy, seconds
from maia_torch.index.finish import Finished, contents
from maia_torch.index.layer import folder_name
from maia_torch.index.measures import Arrays, Best, Statistics
from maia_torch.index.options import Options, Progress, quiet
from maia_torch.index.ranking import EXPECTED, Ranking
from maia_torch.index.reading import Batch, batches
from maia_torch.index.sampling import SAMPLE, looks, sample_places
from maia_torch.index.scratch import Rows
from maia_torch.index.state import Checkpoint, locked, parts, told_of_full_disks
from maia_torch.index.write import put_in_place, write
from maia_torch.layers import Layer

if TYPE_CHECKING:
    from maia_torch.model import TorchModel

PAYS = 120.0
"""Seconds that an exact build must be expected to take before a faster precision is tried at all."""

MANY = 3.0
"""Finalists for each image, counting one for each unit, with which nearly every image will be one."""

WORTH = 1.5
"""How many times faster the faster precision must be to be of use."""


def build(
    model: TorchModel,
    layers: Sequence[Layer],
    dataset: Dataset,
    folder: Path,
    options: Options | None = None,
    *,
    work: Path | None = None,
    needless: Callable[[], bool] = lambda: False,
    progress: Progress = quiet,
    warn: Callable[[str], None] = quiet,
) -> None:
    """Builds the index of some layers into a folder, in which each layer gets its own.

    Memory beyond the network's: a few batches, and for each unit its histograms (10 KB, twice that for more images
    than the sample holds), its exemplars and their maps; it does not grow with the images.

    Args:
        model: The model.
        layers: Its layers.
        dataset: The images.
        folder: Where the index is or will be; other layers in it are left alone.
        options: How; None: the defaults.
        work: Where the unfinished build is kept; None: in `folder`.
        needless: Asked once no other process builds there any more: true if nothing is left to do.
        progress: Told how far it is.
        warn: Told what else the user must know.

    Raises:
        UsageError: the data set has no image that can be read, or the folder holds an unfinished build of something
            else. A part of the data set without one is measured: nothing, but for what was skipped.
        RunError: the disk is full, or the network failed.
    """
    options = options or Options()
    work = work or folder / ".building"
    first, last = options.span or (0, len(dataset))
    if first >= last:
        raise _nothing_to_read(dataset)
    with told_of_full_disks(folder), locked(work, options.unattended):
        if needless():
            shutil.rmtree(work)
            return
        job = _Build(model, layers, dataset, work, options, progress, warn)
        try:
            job.run()
            for layer in job.layers:
                made = work / "done" / folder_name(layer.name)
                shutil.rmtree(made, ignore_errors=True)
                write(made, *contents(job.finished(layer), job.rows[layer].columns))
            for layer in job.layers:
                put_in_place(work / "done" / folder_name(layer.name), folder)
        finally:
            job.close()
        shutil.rmtree(work)


class _Build:
    """One build, from its beginning or from where it stopped.

    A scan runs all images: exactly, or, to rank them, in a faster precision; then finalists run exactly.

    Attributes:
        layers: The layers, in the order of computation.
        rows: The sample's activations of each layer.
        done: Images of the scan, unreadable ones among them, that are done with.
        skipped: Places of the unreadable ones.
        todo: Places of the finalists that are left of this round; None before the scan is over.
    """

    def __init__(
        self,
        model: TorchModel,
        layers: Sequence[Layer],
        dataset: Dataset,
        work: Path,
        options: Options,
        progress: Progress,
        warn: Callable[[str], None],
    ) -> None:
        order = {layer.name: number for number, layer in enumerate(model.engine.layers)}
        self.layers = sorted(layers, key=lambda layer: order.get(layer.name, len(order)))
        self._model, self._dataset, self._options = model, dataset, options
        self._progress, self._warn = progress, warn
        self._first, self._last = options.span or (0, len(dataset))
        sampled = sample_places(dataset.fingerprint, len(dataset))
        self._sampled = sampled[(sampled >= self._first) & (sampled < self._last)]
        self._work = work
        self._checkpoint = Checkpoint(work)
        self.rows = {
            layer: Rows(work / f"sample-{number}.f32", len(self._sampled), layer.info.units)
            for number, layer in enumerate(self.layers)
        }
        self._fast: Engine | None = None
        self._begin()
        if self._checkpoint.exists:
            self._resume()

    def close(self) -> None:
        """Lets go of files, and of the faster copy of the network."""
        for rows in self.rows.values():
            rows.close()
        if self._fast is not None:
            self._fast.close()

    def run(self) -> None:
        """Measures all that is left.

        Raises:
            UsageError: the data set has no image that can be read.
        """
        self._prepare_ranking()
        if not self._scan():
            self._begin()
            self._scan()
        if len(self.skipped) == len(self._dataset):
            raise _nothing_to_read(self._dataset)
        if self._ranking is not None:
            self._measure_finalists(self._ranking)

    def finished(self, layer: Layer) -> Finished:
        """Returns what was found of a layer."""
        ranking = self._ranking
        return Finished(
            self._model,
            layer,
            self._dataset,
            (self._first, self._last),
            self.skipped,
            self._sampled,
            self._statistics[layer],
            self._best[layer],
            None if ranking is None else ranking.candidates[layer].error,
        )

    # --- what was done so far ---

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be the same for a build to go on, by what it is called."""
        return {
            "model, weights or preprocessing": self._model.fingerprint,
            "data set": self._dataset.fingerprint,
            "choice of layers": [layer.key for layer in self.layers],
            "number of exemplars": self._options.k,
            "part of the data set": [self._first, self._last],
            "precision": self._options.precision,
        }

    def _begin(self, saved: Arrays | None = None) -> None:
        """Sets everything to what was saved, or to nothing."""
        whole = len(self._dataset) <= SAMPLE
        self.done, self.skipped = 0, list[int]()
        self.todo: NDArray[np.int64] | None = None
        self._all_exact = False
        self._times = (0.0, 0.0)
        self._ranking: Ranking | None = None
        self._statistics: dict[Layer, Statistics] = {}
        self._best: dict[Layer, Best] = {}
        for number, layer in enumerate(self.layers):
            looked = looks(len(self._dataset), layer.positions, layer.info.units)
            kept = parts(saved, f"statistics/{number}")
            self._statistics[layer] = Statistics(layer, looked, self._sampled, self.rows[layer], whole, kept)
            self._best[layer] = Best(layer, self._options.k, parts(saved, f"best/{number}"))

    def _save(self) -> None:
        arrays: Arrays = {} if self.todo is None else {"todo": self.todo}
        for number, layer in enumerate(self.layers):
            self.rows[layer].sync()
            arrays |= {f"statistics/{number}/{name}": a for name, a in self._statistics[layer].arrays().items()}
            arrays |= {f"best/{number}/{name}": array for name, array in self._best[layer].arrays().items()}
        if self._ranking is not None:
            arrays |= {f"ranking/{name}": array for name, array in self._ranking.arrays().items()}
        facts = {"identity": self._identity, "done": self.done, "skipped": self.skipped}
        facts |= {"times": self._times, "all_exact": self._all_exact}
        self._checkpoint.save(facts, arrays)

    def _resume(self) -> None:
        holds = f"{self._work.parent} holds an unfinished build"
        mend = f"or delete {self._work}"
        if not (self._options.resume or self._options.unattended):
            raise UsageError(f"{holds}; go on with it (--resume), {mend}")
        try:
            facts, arrays = self._checkpoint.load()
        except UsageError:
            if self._options.unattended:
                return
            raise
        differs = [name for name, value in self._identity.items() if facts["identity"].get(name) != value]
        if differs:
            raise UsageError(f"{holds} with another {', '.join(differs)}; go on with that one, {mend}")
        self._begin(arrays)
        self.done, self.skipped, self._times = facts["done"], facts["skipped"], tuple(facts["times"])
        self.todo, self._all_exact = arrays.get("todo"), facts["all_exact"]
        if (kept := parts(arrays, "ranking")) is not None:
            self._ranking = self._new_ranking(kept)

    # --- passes ---

    def _scan(self) -> bool:
        """Runs all images that are left; returns false if it turns out that ranking them would not save time."""
        if self.todo is not None:
            return True
        ranking, started = self._ranking, self.done
        for batch in self._batches(range(self._first + started, self._last)):
            before, self.done = self.done, started + batch.upto
            if ranking is not None and self._fast is not None and len(batch.places):
                done = before, self.done
                ranking.rank(self._fast, self._model.engine, batch, done, self._statistics, self._best)
            elif len(batch.places):
                passes.run(self._model.engine, batch, self.layers, self._measure)
            self.skipped += batch.skipped
            if ranking is not None and before < ranking.pilot() <= self.done and not self._pays(ranking):
                return False
            self._after("ranking" if ranking else "measuring", self.done, self._last - self._first)
        return True

    def _measure(self, layer: Layer, places: NDArray[np.int64], highest: NDArray[np.float32], values: Tensor) -> None:
        self._statistics[layer].add(places, highest, values)
        self._best[layer].add(places, highest, values)

    def _measure_finalists(self, ranking: Ranking) -> None:
        """Measures finalists exactly until no image is left that could be an exemplar."""

        def use(layer: Layer, places: NDArray[np.int64], highest: NDArray[np.float32], values: Tensor) -> None:
            self._best[layer].add(places, highest, values)
            ranking.candidates[layer].measured(places, highest)

        while len(todo := self._finalists(ranking)):
            for batch in self._batches(todo):
                passes.run(self._model.engine, batch, self.layers, use)
                if batch.skipped:
                    raise UsageError(f"image {self._dataset.ids[batch.skipped[0]]} could be read a while ago, not now")
                self.todo = todo[batch.upto :]
                self._after("measuring finalists", batch.upto, len(todo))

    def _finalists(self, ranking: Ranking) -> NDArray[np.int64]:
        """Returns places of images to be measured: what is left of this round, else a new one."""
        if self.todo is None or not len(self.todo):
            self.todo, undecided = ranking.open({layer: best.top for layer, best in self._best.items()})
            if undecided and not self._all_exact:
                self._all_exact = True
                known = np.concatenate([ranking.measured(), np.array(self.skipped, np.int64)])
                self.todo = np.setdiff1d(np.arange(self._first, self._last), known)
                if len(self.todo):
                    which = ", ".join(f"{units} of {layer.name}" for layer, units in undecided.items())
                    self._warn(f"{FAST} cannot tell the exemplars of some units ({which}): all images run exactly")
        return self.todo

    def _after(self, what: str, done: int, of: int) -> None:
        self._progress(what, done, of)
        if self._checkpoint.due:
            self._save()

    # --- whether to rank in a faster precision ---

    def _prepare_ranking(self) -> None:
        """Makes the faster copy of the network where images are to be ranked."""
        resumed = self._ranking is not None
        if self.todo is not None or (self.done and not resumed) or self._options.precision == "exact":
            return
        if not resumed and self._options.precision == "auto" and not self._takes_long():
            return
        self._fast = fast_copy(self._model.engine, self._model.preprocess)
        if self._fast is None:
            if resumed:
                raise UsageError(f"{self._model.name} ran in {FAST} a while ago, but cannot now; delete {self._work}")
            if self._options.precision == FAST:
                self._warn(f"{self._model.name} cannot run in {FAST}, or does so already: all images run as it is")
        elif resumed or self._options.precision == FAST or self._is_faster(self._fast):
            self._ranking = self._ranking or self._new_ranking(None)

    def _new_ranking(self, saved: Arrays | None) -> Ranking:
        return Ranking(self.layers, self._options.k, self._last - self._first, self._options.batch, saved)

    def _takes_long(self) -> bool:
        """Says whether the build will take long enough, and leave enough images alone, that ranking them may pay."""
        finalists = EXPECTED * self._options.k * sum(layer.info.units for layer in self.layers)
        if finalists > MANY * (self._last - self._first):
            return False
        pixels = self._trial()
        if not len(pixels):
            return False
        exact = seconds(self._model.engine, pixels, self.layers) / len(pixels)
        self._times = (exact, exact)
        return exact * (self._last - self._first) > PAYS

    def _is_faster(self, fast: Engine) -> bool:
        pixels = self._trial()
        self._times = (seconds(fast, pixels, self.layers) / len(pixels), self._times[1])
        return self._times[0] * WORTH < self._times[1]

    def _trial(self) -> NDArray[np.uint8]:
        """Returns a batch to measure times on."""
        first = range(self._first, min(self._first + self._options.batch, self._last))
        pixels: NDArray[np.uint8] = next(iter(self._batches(first))).pixels
        return pixels

    def _pays(self, ranking: Ranking) -> bool:
        """Says whether ranking and finalists are expected to take less time than to run all images exactly."""
        if self._options.precision == FAST:
            return True
        fast, exact = self._times
        return fast + ranking.share(self.done - len(self.skipped)) * exact < exact

    def _batches(self, places: Sequence[int] | NDArray[np.int64]) -> Iterator[Batch]:
        return batches(self._dataset, self._model.preprocess, places, self._options.batch, self._options.workers)


def _nothing_to_read(dataset: Dataset) -> UsageError:
    return UsageError(
        f"the data set {dataset.name} holds no readable image; check its files, or choose another: --dataset NAME"
    )
