"""Measuring images: from pixels and masks to what a description says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, Mask, Model
from maia_nearest import background, colours, confidence, text
from maia_nearest.image_parts import ImageParts, image_parts
from maia_nearest.memory import Memory, features
from maia_nearest.text import Finding

CHUNK = 16
"""Images that are looked at before the model sees them: bounds the memory."""

FAINT = 2.0
"""Contrast below which an unmasked image shows an object only if its name is likely."""

LIKELY = 0.3
"""Confidence from which on a name is likely."""

SURE = 0.5
"""Confidence from which on another object of the image is named."""

ALSO = 3
"""Most other objects that are looked at in one image."""


def find(images: Sequence[Image], memory: Memory, model: Model, layer: str) -> list[Finding]:
    """Measures each image; the result for one does not depend on the others."""
    findings: list[Finding] = []
    for start in range(0, len(images), CHUNK):
        findings += find_chunk([image_parts(image) for image in images[start : start + CHUNK]], memory, model, layer)
    return findings


def find_chunk(parts: Sequence[ImageParts], memory: Memory, model: Model, layer: str) -> list[Finding]:
    """Measures a bounded number of images, with one pass of the model over all their crops."""
    measured: list[ImageParts] = []
    for each in parts:
        measured += [] if each.empty else [each, *(each.at(other.mask, other.contrast) for other in each.others[:ALSO])]
    if not measured:
        return [Finding(nothing=text.NOTHING) for _ in parts]
    similarity = iter(memory.library.similarities(features(model, layer, measured)))
    findings = []
    for each in parts:
        if each.empty:
            findings.append(Finding(nothing=text.NOTHING))
            continue
        own = next(similarity)
        others = [(other.mask, next(similarity)) for other in each.others[:ALSO]]
        findings.append(finding(each, own, others, memory))
    return findings


def finding(
    seen: ImageParts,
    similarity: NDArray[np.float32],
    others: Sequence[tuple[Mask, NDArray[np.float32]]],
    memory: Memory,
) -> Finding:
    """Puts together what was measured in one image."""
    names, values = memory.library.names(similarity)
    chances = confidence.probabilities(memory.coefficients, values)
    shares = text.main_colours(colours.shares(seen.pixels, seen.region))
    texture = colours.texture(seen.pixels, seen.region)
    if not seen.masked and seen.contrast < FAINT and chances[0] < LIKELY:
        return Finding(text.PLAIN, on=surroundings(seen, np.ones_like(seen.region), memory))
    also = []
    for mask, other in others:
        other_names, other_values = memory.library.names(other)
        chance = float(confidence.probabilities(memory.coefficients, other_values)[0])
        if chance >= SURE:
            also.append((other_names[0], chance, text.place(mask)))
    first = dict(zip(names, chances.tolist(), strict=False))
    return Finding(
        names=tuple(first.items()),
        kinds=text.main_kinds(memory.library.kinds(similarity, first), memory.frequency),
        colours=shares,
        texture=texture,
        on=surroundings(seen, seen.outside(), memory),
        share=seen.share,
        place=text.place(seen.region),
        also=tuple(also),
    )


def surroundings(seen: ImageParts, outside: Mask, memory: Memory) -> tuple[str, ...]:
    """Names the surroundings and their main colour; nothing where there are hardly any."""
    if outside.mean() < background.MIN_SHARE:
        return ()
    colour = next(iter(colours.shares(seen.pixels, outside)))
    if background.plain(seen.pixels, outside):
        return ("plain", colour)
    name = memory.backgrounds.name(seen.pixels, outside)
    return (name, colour) if name else (colour,)
