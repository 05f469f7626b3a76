"""Options of the detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from maia_core.plugin import PluginConfig


class DetectorOptions(PluginConfig):
    """Options of the detector `transformers`."""

    model: str = Field(min_length=1)
    """Model that finds boxes: a folder with a Grounding DINO, OWLv2 or OWL-ViT, or its name on the Hugging Face Hub."""
    segmenter: str = ""
    """Model that makes masks: a folder with a SAM or SAM 2, or its name on the Hub; empty: a box is its mask."""
    box_threshold: float = Field(0.3, ge=0, le=1)
    """Minimum score of a box (the default is the paper's; for OWLv2, 0.1 to 0.2 is usual)."""
    text_threshold: float = Field(0.25, ge=0, le=1)
    """Minimum score of a word of a box's phrase, as in the paper. MAIA asks for one text, so it filters no boxes."""
    most: int = Field(32, gt=0, le=1000)
    """Maximum number of boxes per image; those with the highest scores stay."""
    batch: int = Field(8, gt=0)
    """Images per pass; MAIA halves it when memory runs out."""
    device: str = "auto"
    """Device in torch's words (`cpu`, `cuda:1`, `mps`); `auto`: an accelerator if the machine has one."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Dtype of the weights. Half precision takes half the memory and changes scores a little."""
    revision: str | None = None
    """Branch, tag or commit of `model` on the Hub."""
    segmenter_revision: str | None = None
    """Branch, tag or commit of `segmenter` on the Hub."""
