"""A synthetic neuron: a unit whose truth is an expression of concepts, behind the same face as any other unit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from pydantic import Field

from maia_core.plugin import (
    Dataset,
    Detector,
    Image,
    Mask,
    PluginConfig,
    PluginRef,
    RunContext,
    ToolError,
    UnitInfo,
    UsageError,
    content_id,
)
from maia_labels.expression import concepts, text_of
from maia_runs import local_secret
from maia_synthetic.dilation import dilate, proportional
from maia_synthetic.exemplars import KnownExemplars, Score, score_of
from maia_synthetic.lists import resolve
from maia_synthetic.response import region, values

MIN_SEARCHES = 4
"""Searches of the detector per image: a neuron of fewer concepts repeats them."""

BATCH = 32
"""How many images a detector is handed at once."""

LABORATORY = "collage"
"""The detector that knows the truth of collages, and no other concepts than theirs."""

WEIGHTS = (
    " Concepts that the laboratory does not hold, such as those of the paper's list, need a detector with weights: set "
    "system.detector.name=transformers and system.detector.model=MODEL"
)

NOTE = "a number from 0 to 1; exactly 0 if the image shows nothing that the unit responds to"


class SyntheticNeuron:
    """A unit that responds to what its expression says: `dog`, `tiger OR car`, `dog | leash`, or one of a named list.

    Attributes:
        info: Names that give nothing of the truth away.
        expression: The truth. It is in the record's configuration, but no backbone or engine receives it.
        detector: What finds the concepts.
        fingerprint: Of the expression, the detector and how masks are widened.
    """

    class Config(PluginConfig):
        """Options of a synthetic neuron."""

        ref: str = ""
        """What follows `synthetic:`: an expression (`dog | leash`), or a place in a list (`paper/12`, `collage/7`)."""
        detector: PluginRef = PluginRef(name=LABORATORY)
        """What finds the concepts in images: a detector by name, with its options."""
        score: Score = "mean"
        """Activation of a concept: the `mean` score of its boxes, as in the authors' code, or the `max`."""
        dilation: int = Field(9, ge=0, le=100)
        """How often a mask of 224 pixels is widened by 2 pixels, in proportion for other sizes; 9 is the paper's, 0
        leaves masks as the detector found them."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Reads the expression and asks the detector whether it knows the concepts.

        Raises:
            UsageError: the expression is malformed, or the detector does not know a concept of it.
        """
        if not config.ref.strip():
            raise UsageError(
                "name what the neuron responds to: --system synthetic:'dog | leash' or synthetic:collage/7"
            )
        self.expression = resolve(config.ref, context)
        self.detector: Detector = context.build("detector", config.detector.name, **config.detector.options)
        self.concepts = concepts(self.expression)
        try:
            for concept in self.concepts:
                self.detector.detect([], concept)
        except UsageError as error:
            raise UsageError(f"{error}{WEIGHTS if config.detector.name == LABORATORY else ''}") from error
        truth = text_of(self.expression)
        self.fingerprint = content_id(
            truth.encode(), self.detector.fingerprint.encode(), bytes([config.dilation]), config.score.encode()
        )
        self._dilation, self._score = config.dilation, config.score
        self._context = context
        self.info = UnitInfo(model="synthetic", unit=alias(truth, context.cache), note=NOTE)

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures the unit on a batch of images.

        Args:
            images: The images. Of a masked image the unmasked original is measured.

        Returns:
            The activation of each image, from 0 to 1, and each image masked to where the unit is active: that region is
            bright, the rest is darkened.

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = system.neuron(tools.text2image(["a dog on grass", "a red car"]))
            ...     return activations, images
        """
        activations: list[float] = []
        masked: list[Image] = []
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            clean = [image.clean or image for image in batch]
            try:
                # Whatever the truth, as many searches: their time must not tell a program how many concepts there are.
                searched = [(text, self.detector.detect(clean, text)) for text in _padded(self.concepts)]
            except UsageError as error:  # A program can mend that it passed an image that the detector cannot know.
                raise ToolError(str(error)) from error
            found = dict(searched)
            scores = {text: np.array([score_of(each, self._score) for each in found[text]]) for text in self.concepts}
            activations += values(self.expression, scores).tolist()
            masked += [
                image.masked(
                    self._region(
                        image,
                        {text: float(scores[text][n]) for text in self.concepts},
                        {text: [detection.mask for detection in found[text][n]] for text in self.concepts},
                    )
                )
                for n, image in enumerate(batch)
            ]
        return activations, masked

    def exemplar_source(self, dataset: Dataset) -> KnownExemplars:
        """See `maia_core.protocols.HasExemplars`."""
        return KnownExemplars(self.expression, self.detector, dataset, self._context, self._score)

    def _region(self, image: Image, scores: Mapping[str, float], masks: Mapping[str, Sequence[Mask]]) -> Mask:
        """Returns where the unit is active: nowhere, where its concepts are, or (`NOT A`) everywhere."""
        shape = (image.height, image.width)
        if values(self.expression, {text: np.array([score]) for text, score in scores.items()})[0] == 0:
            return np.zeros(shape, np.bool_)
        together = {text: np.logical_or.reduce(found) for text, found in masks.items() if found}
        active = region(self.expression, scores, together)
        return np.ones(shape, np.bool_) if active is None else dilate(active, proportional(self._dilation, max(shape)))


def _padded(concepts: Sequence[str]) -> list[str]:
    """Returns concepts, repeated in turn to a number that most neurons share: 4 (no listed one has more), 8, 16, ..."""
    count = MIN_SEARCHES
    while count < len(concepts):
        count *= 2
    return list(islice(cycle(concepts), count))


def alias(truth: str, cache: Path) -> str:
    """Returns four hexadecimal digits by which people tell neurons apart.

    They are keyed by a secret of this user's, so that nobody finds the truth by hashing every likely one.
    """
    secret = local_secret(cache / f"secrets-{os.geteuid()}" / "synthetic")
    return content_id(secret, truth.encode())[:4]
