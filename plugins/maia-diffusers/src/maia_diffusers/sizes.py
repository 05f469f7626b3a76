"""Which sizes a pipeline draws."""

from __future__ import annotations

from typing import Any

MIN_MULTIPLE = 8
"""Smallest side of a picture that is edited, as a multiple of what sides must be multiples of."""


def side_multiple(pipe: Any) -> int:
    """Returns what the sides of a pipeline's images are multiples of, in pixels."""
    processor = getattr(getattr(pipe, "image_processor", None), "config", {})
    multiple = int(processor.get("vae_scale_factor") or getattr(pipe, "vae_scale_factor", None) or 8)
    patch = getattr(pipe, "patch_size", None)
    return multiple * patch if isinstance(patch, int) else multiple


def working_size(size: tuple[int, int], longer: int | None, multiple: int) -> tuple[int, int]:
    """Returns the size at which a picture is edited: its own shape, as nearly as the multiple allows.

    Args:
        size: The picture's width and height.
        longer: Wanted longer side; None: the picture's own.
        multiple: What both sides must be multiples of.
    """
    scale = (longer or max(size)) / max(size)
    width, height = (max(MIN_MULTIPLE, round(side * scale / multiple)) * multiple for side in size)
    return width, height
