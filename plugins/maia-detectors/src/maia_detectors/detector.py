"""The detector `transformers`: boxes by Grounding DINO or OWLv2, masks by SAM or SAM 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from maia_core.plugin import Detection, Image, Mask, PluginConfig, RunContext, UsageError, content_id
from maia_detectors.folder import fingerprint, model_type
from maia_detectors.locate import locate

if TYPE_CHECKING:
    from maia_detectors.boxes import Boxes
    from maia_detectors.engine import Engine

FINDERS = ("grounding-dino", "mm-grounding-dino", "owlv2", "owlvit")
SEGMENTERS = ("sam", "sam2", "sam2_video")


class TransformersDetector:
    """Finds what a text names with a network: boxes and scores by Grounding DINO or OWLv2, masks by SAM or SAM 2.

    Attributes:
        fingerprint: Of the weights, the thresholds and the type of numbers.
    """

    class Config(PluginConfig):
        """Options of the detector `transformers`."""

        model: str = Field(min_length=1)
        """What finds boxes: a folder with a Grounding DINO, OWLv2 or OWL-ViT, or its name on the Hugging Face hub."""
        segmenter: str = ""
        """What makes masks of boxes: a folder with a SAM or SAM 2, or its name on the hub; empty: a box is its mask."""
        box_threshold: float = Field(0.3, ge=0, le=1)
        """Least score of a box (the paper's; OWLv2 is usually used with 0.1 to 0.2)."""
        text_threshold: float = Field(0.25, ge=0, le=1)
        """Least score of the text's best word in a box (Grounding DINO only; the paper's)."""
        most: int = Field(32, gt=0, le=1000)
        """Most boxes of one image: those with the highest scores."""
        batch: int = Field(8, gt=0)
        """Images in one pass; fewer after a pass for which memory did not suffice."""
        device: str = "auto"
        """Where it runs, in torch's words (`cpu`, `cuda:1`, `mps`); `auto`: an accelerator where there is one."""
        dtype: Literal["float32", "bfloat16", "float16"] = "float32"
        """Type of the weights. Half precision takes half the memory; scores move a little, so it is a choice."""
        revision: str | None = None
        """Branch, tag or commit of `model` on the hub."""
        segmenter_revision: str | None = None
        """The same for `segmenter`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Finds the models' files (and fetches those that are on the hub); weights are loaded when they are used.

        Raises:
            UsageError: there is no such model, or it is of a kind that cannot be used here.
            RunError: the hub cannot be reached.
        """
        self._config = config
        self._folder = locate(config.model, config.revision, context.warn)
        _check(config.model, model_type(self._folder), FINDERS, "model")
        self._segmenter = None
        if config.segmenter:
            self._segmenter = locate(config.segmenter, config.segmenter_revision, context.warn)
            _check(config.segmenter, model_type(self._segmenter), SEGMENTERS, "segmenter")
        self._engine: Engine | None = None
        chosen = (config.box_threshold, config.text_threshold, config.most, config.dtype)
        parts = [fingerprint(self._folder), fingerprint(self._segmenter) if self._segmenter else "", repr(chosen)]
        self.fingerprint = content_id(*(part.encode() for part in parts))

    def detect(self, images: Sequence[Image], text: str) -> list[list[Detection]]:
        """Finds what a text names, such as "dog" or "car window".

        Raises:
            UsageError: the text is empty or longer than the model reads, or the weights cannot be loaded.
            RunError: memory does not suffice even for one image.
        """
        asked = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not any(c.isalnum() for c in asked):
            raise UsageError(f"name what to find: '{asked}' names nothing")
        if not images:
            return []
        pixels = [(image.clean or image).pixels() for image in images]
        engine = self._loaded()
        found = engine.boxes(pixels, asked)
        masks = engine.masks(pixels, [boxes.corners for boxes in found])
        return [_detections(*pair) for pair in zip(found, masks, strict=True)]

    def close(self) -> None:
        """Frees the weights, unless another detector uses them; they are loaded again when they are needed."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _loaded(self) -> Engine:
        if self._engine is None:
            from maia_detectors.engine import Engine

            self._engine = Engine(self._config, self._folder, self._segmenter)
        return self._engine


def _check(name: str, kind: str, allowed: Sequence[str], option: str) -> None:
    if kind not in allowed:
        given = f"of type '{kind}'" if kind else "of no known type"
        raise UsageError(f"{option} '{name}' is {given}; it must be one of {', '.join(allowed)}")


def _detections(boxes: Boxes, masks: Sequence[Mask]) -> list[Detection]:
    """Joins boxes, the best first, with their masks."""
    found = zip(boxes.corners.tolist(), boxes.scores.tolist(), masks, strict=True)
    return [Detection((left, top, right, bottom), score, mask) for (left, top, right, bottom), score, mask in found]
