"""The detector `transformers`: boxes by Grounding DINO or OWLv2, masks by SAM or SAM 2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maia_core.plugin import Detection, Image, Mask, RunContext, UsageError, content_id
from maia_detectors.options import DetectorOptions
from maia_hub.fingerprints import sampled_fingerprint
from maia_hub.weights import MODEL_FILES, locate

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

    class Config(DetectorOptions):
        """Options of the detector `transformers`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Finds the files of the models, and fetches those on the Hub; the first call of `detect` loads the weights.

        Raises:
            UsageError: there is no such model, or it is of a kind that cannot be used here.
            RunError: the hub cannot be reached.
        """
        self._config = config
        self._folder = locate(config.model, config.revision, context.warn)
        _check(config.model, _model_type(self._folder), FINDERS, "model")
        self._segmenter = None
        if config.segmenter:
            self._segmenter = locate(config.segmenter, config.segmenter_revision, context.warn, option="segmenter")
            _check(config.segmenter, _model_type(self._segmenter), SEGMENTERS, "segmenter")
        self._engine: Engine | None = None
        values = (config.box_threshold, config.text_threshold, config.most, config.dtype)
        folders = (self._folder, self._segmenter)
        parts = [sampled_fingerprint(folder, MODEL_FILES) if folder else "" for folder in folders]
        parts.append(repr(values))
        self.fingerprint = content_id(*(part.encode() for part in parts))

    def detect(self, images: Sequence[Image], text: str) -> list[list[Detection]]:
        """Returns the detections of a text, such as "dog" or "car window", in each image.

        Raises:
            UsageError: the text is empty or longer than the model reads, or the weights cannot be loaded.
            RunError: memory does not suffice even for one image.
        """
        query = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        if not any(c.isalnum() for c in query):
            raise UsageError(f"'{query}' names nothing to find; name a thing")
        if not images:
            return []
        pixels = [(image.clean or image).pixels() for image in images]
        engine = self._loaded()
        found = engine.boxes(pixels, query)
        masks = engine.masks(pixels, [boxes.corners for boxes in found])
        return [_detections(*pair) for pair in zip(found, masks, strict=True)]

    def close(self) -> None:
        """Frees the weights, unless another detector uses them; the next call of `detect` loads them again."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _loaded(self) -> Engine:
        if self._engine is None:
            from maia_detectors.engine import Engine

            self._engine = Engine(self._config, self._folder, self._segmenter)
        return self._engine


def _model_type(folder: Path) -> str:
    """Returns the type that the configuration of a model names; empty if it names none.

    Raises:
        UsageError: the configuration cannot be read.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / 'config.json'} cannot be read; fetch the model again") from error
    return str(config.get("model_type", "")) if isinstance(config, dict) else ""


def _check(name: str, kind: str, allowed: Sequence[str], option: str) -> None:
    if kind not in allowed:
        actual = f"of type '{kind}'" if kind else "of no known type"
        raise UsageError(f"{option} '{name}' is {actual}; it must be one of {', '.join(allowed)}")


def _detections(boxes: Boxes, masks: Sequence[Mask]) -> list[Detection]:
    """Joins boxes, the best first, with their masks."""
    found = zip(boxes.corners.tolist(), boxes.scores.tolist(), masks, strict=True)
    return [Detection((left, top, right, bottom), score, mask) for (left, top, right, bottom), score, mask in found]
