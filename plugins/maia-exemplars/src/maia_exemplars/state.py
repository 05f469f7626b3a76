"""What a build has measured so far, in memory and in its checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, UsageError
from maia_exemplars import recheck
from maia_exemplars.checkpoint import Checkpoint, parts
from maia_exemplars.measured import Measurer
from maia_exemplars.measures import Arrays, LayerMeasures
from maia_exemplars.options import Options
from maia_exemplars.ranking import Ranking
from maia_exemplars.sample_file import SampleFile
from maia_exemplars.sampling import sample_images
from maia_exemplars.scale import find_scales, usual


class BuildState:
    """What a build has measured so far; a checkpoint keeps it, so that another process can resume the build.

    Attributes:
        first: Number of the first image to measure.
        last: Number of the image after the last one.
        done: How many images the scan has passed.
        skipped: Numbers of the unreadable images.
        not_finite: By layer, numbers of the images on which it gave values that are not finite.
        todo: Finalists that are left of this round; None during the scan.
        all_exact: Whether the ranking could not decide, so that all images run exactly.
        ranking: The candidates that a faster precision found; None where it is not used.
        measures: By layer, statistics, exemplars and sample.
        sampled: Numbers of the images of the sample, unreadable ones among them.
        scales: By layer, the scales of the histograms.
        times: Seconds per image in the faster precision and exactly, as far as they were measured.
    """

    def __init__(self, measurer: Measurer, dataset: Dataset, work: Path, options: Options) -> None:
        """Starts a build, or resumes the unfinished one in the folder.

        Raises:
            UsageError: the folder holds an unfinished build of something else, or one that nobody asked to resume.
        """
        self._measurer, self._dataset, self._options, self._work = measurer, dataset, options, work
        self.first, self.last = options.span or (0, len(dataset))
        sampled = sample_images(dataset.fingerprint, len(dataset))
        self.sampled = sampled[(sampled >= self.first) & (sampled < self.last)]
        self._samples = [
            SampleFile(work / f"sample-{number}.f32", len(self.sampled), layer.units)
            for number, layer in enumerate(measurer.layers)
        ]
        self._checkpoint = Checkpoint(work)
        self.scales = [usual(layer.units) for layer in measurer.layers]
        self.times = (0.0, 0.0)
        self.restart()
        if self._checkpoint.exists:
            self._resume()
        if not self.done:
            self.scales = find_scales(measurer, dataset)
            self.restart()

    def close(self) -> None:
        """Closes files."""
        for sample in self._samples:
            sample.close()

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be the same to resume a build, by what it is called."""
        return {
            "model, weights or preprocessing": self._measurer.layers[0].model_fingerprint,
            "data set": self._dataset.fingerprint,
            "choice of layers": [layer.key for layer in self._measurer.layers],
            "number of exemplars": self._options.k,
            "part of the data set": [self.first, self.last],
            "precision": self._options.precision,
        }

    def restart(self, saved: Arrays | None = None) -> None:
        """Sets everything to the saved state, or to nothing."""
        self.done, self.skipped = 0, list[int]()
        self.not_finite: list[list[int]] = [[] for _ in self._measurer.layers]
        self.todo: NDArray[np.int64] | None = None
        self.all_exact = False
        self.ranking: Ranking | None = None
        self.measures = [
            LayerMeasures(layer, number, len(self._dataset), self.sampled, sample, self._options.k, scales, saved)
            for number, (layer, sample, scales) in enumerate(
                zip(self._measurer.layers, self._samples, self.scales, strict=True)
            )
        ]

    def save_if_due(self, times: tuple[float, float]) -> None:
        """Writes the checkpoint if the last one is old enough; `times` are those of `PrecisionChoice`."""
        if not self._checkpoint.due:
            return
        arrays: Arrays = {} if self.todo is None else {"todo": self.todo}
        for measures in self.measures:
            arrays |= measures.arrays()
        if self.ranking is not None:
            arrays |= {f"ranking/{name}": array for name, array in self.ranking.arrays().items()}
        facts = {"identity": self._identity, "done": self.done, "skipped": self.skipped}
        facts |= {"times": times, "all_exact": self.all_exact, "not_finite": self.not_finite}
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
        self.restart(arrays)
        if not self._is_of_this_network():
            if not self._options.unattended:
                raise UsageError(f"{unfinished} of another network with the fingerprint of this one; {or_delete[3:]}")
            self.restart()
            return
        self.done, self.skipped = facts["done"], facts["skipped"]
        self.not_finite = facts.get("not_finite", self.not_finite)
        self.times = tuple(facts["times"])
        self.todo, self.all_exact = arrays.get("todo"), facts["all_exact"]
        if (saved := parts(arrays, "ranking")) is not None:
            self.ranking = self.new_ranking(saved)

    def _is_of_this_network(self) -> bool:
        """Returns whether the best image so far of a unit still has its value in most units that have the same best."""
        top = self.measures[0].best.top
        images = np.take_along_axis(top.places, top.order()[:, :1], 1)[:, 0]
        values = top.values.max(axis=1)
        image = int(images.min())
        if image >= len(self._dataset):
            return True
        units, now = images == image, recheck.activations(self._measurer, self._dataset, [image])
        slack = recheck.SPREAD * self.measures[0].statistics.moments.std + recheck.RELATIVE * np.abs(values)
        return image in now and float(np.mean(np.abs(now[image] - values)[units] <= slack[units])) > 0.5

    def new_ranking(self, saved: Arrays | None = None) -> Ranking:
        """Returns a ranking of all images, or the saved one."""
        return Ranking(self._measurer.layers, self._options.k, self.last - self.first, self._options.batch, saved)
