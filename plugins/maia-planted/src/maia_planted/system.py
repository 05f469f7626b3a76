"""The system `planted:LIST/NUMBER`: the score of a class, which may depend on a planted attribute."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from maia_collage.pack import Pack, find
from maia_collage.scene import VERSION, scene_of
from maia_core.plugin import (
    Dataset,
    Exemplar,
    ExemplarSource,
    Image,
    LabelledDataset,
    PluginConfig,
    RunContext,
    System,
    ToolError,
    UnitInfo,
    UnitStatistics,
    content_id,
)
from maia_exemplars import BruteForce
from maia_planted.attributes import of_class
from maia_planted.subjects import Subject, subject_of
from maia_runs import local_secret

WITHOUT = 0.1
"""Factor of the score of an object that lacks the planted attribute (SAIA's `bias_discount` of 0.9)."""

LOWEST = 0.8
"""Least score of an object before that factor; where a score lies between it and 1 depends on the scene's hash."""

NOTE = "the probability, from 0 to 1, that the image shows the class"

Scores = Callable[[Sequence[Image]], list[float]]


class PlantedModel:
    """The score of one class by a detector or a trained head, which may depend on a planted attribute.

    Attributes:
        info: Names the class and nothing of the dependence.
        subject: The truth. It is in the record's configuration, but no backbone or engine receives it.
        fingerprint: Of the truth and of all that the score is computed from.
    """

    class Config(PluginConfig):
        """Options of a planted model."""

        ref: str = ""
        """What follows `planted:`: a list (`development`, `reported`, or a seed) and a number: `development/1`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.subject = subject_of(config.ref, context)
        pack = find("", context.cache)
        self._scores: Scores
        if self.subject.form == "head":
            from maia_planted.head import Head

            head = Head(self.subject, pack, context)
            self._scores, basis = head.scores, head.fingerprint
        else:
            detector = _Detector(self.subject, pack)
            self._scores, basis = detector.scores, pack.fingerprint
        self.fingerprint = content_id(f"planted/{VERSION}/{basis}/{self.subject.model_dump_json()}".encode())
        self._context = context
        # The alias is keyed by a secret of this user's: nobody finds the truth by hashing every likely one.
        secret = local_secret(context.cache / f"secrets-{os.geteuid()}" / "planted")
        alias = content_id(secret, config.ref.encode())[:8]
        self.info = UnitInfo(
            model=f"planted-{alias}", layer="prob", unit=self.subject.concept, has_map=False, note=NOTE
        )

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures the probability of the class on a batch of images.

        Args:
            images: The images. Of a masked image the unmasked original is measured.

        Returns:
            The probability for each image, and the images as they are.

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = system.neuron(tools.text2image(["a dog on grass", "a red car"]))
            ...     return activations, images
        """
        return self._scores([image.clean or image for image in images]), list(images)

    def exemplar_source(self, dataset: Dataset) -> ExemplarSource:
        """Returns the source that measures the images of the class; see `maia_core.protocols.HasExemplars`."""
        return _OfClass(self.subject.concept, dataset, self._context)


class _Detector:
    """Scores the best object of a class in collages, which it reads from their scenes."""

    def __init__(self, subject: Subject, pack: Pack) -> None:
        self._subject, self._pack = subject, pack

    def scores(self, images: Sequence[Image]) -> list[float]:
        return list(map(self._score, images))

    def _score(self, image: Image) -> float:
        scene = scene_of(image, self._pack)
        if scene is None:
            raise ToolError(f"the detector cannot read image {image.id}: it is not a collage of this pack")
        subject = self._subject
        objects = of_class(scene, subject.concept, self._pack)
        if not objects:
            return 0.0
        # The hash varies the score from scene to scene, but with nothing that could be an attribute.
        digest = content_id(f"{subject.concept}/{scene.model_dump_json()}".encode())
        base = LOWEST + (1 - LOWEST) * int(digest[:8], 16) / 0xFFFFFFFF
        return base * (1.0 if any(subject.shown(placed, scene, self._pack) for placed in objects) else WITHOUT)


class _OfClass:
    """Finds exemplars among the images of a class, where a data set names what its images show; else among all."""

    def __init__(self, concept: str, dataset: Dataset, context: RunContext) -> None:
        self._concept, self._dataset, self._context = concept, dataset, context

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """See `maia_core.protocols.ExemplarSource`."""
        dataset: Dataset = self._dataset
        if isinstance(self._dataset, LabelledDataset):
            labels = map(self._dataset.concepts, range(len(dataset)))
            own = [index for index, names in enumerate(labels) if self._concept in names]
            dataset = _Some(dataset, own) if own else dataset
        return BruteForce(dataset, warn=self._context.warn).exemplars(system, k)


class _Some:
    """Some images of a data set."""

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        self.name, self.fingerprint = dataset.name, dataset.fingerprint
        self.ids: Sequence[str] = [dataset.ids[index] for index in indices]
        self._dataset, self._indices = dataset, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Image:
        return self._dataset[self._indices[index]]
