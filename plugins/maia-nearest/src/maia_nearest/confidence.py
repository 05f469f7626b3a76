"""How often a name is right: similarities turned into probabilities, fitted on scenes made from the library itself."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Image, Mask, Pixels
from maia_nearest.library import Cutout, Library
from maia_nearest.noise import surface

FIRST = 3
"""Names that a description gives."""

SCENES = 64
"""Scenes that the fit is made on."""

UNKNOWN = 0.25
"""Weight of each scene with its object taken out of the library: one scene in five shows something unknown."""

SIDE = 256

Coefficients = NDArray[np.float64]
"""Intercept, and weight (not negative) of a name's log share among all names: shape (2,)."""


def evidence(similarity: NDArray[np.float32], count: int = FIRST) -> NDArray[np.float64]:
    """Returns what a probability rests on, for the first names: rows of (1, log share among all names).

    Args:
        similarity: Similarity of each name, the nearest first.
        count: For how many names.
    """
    logits = 10.0 * similarity.astype(np.float64)
    shares = logits - logits.max()
    shares -= np.log(np.exp(shares).sum())
    shares = shares[:count]
    return np.stack([np.ones(len(shares)), shares], axis=1)


def probabilities(
    coefficients: Coefficients, similarity: NDArray[np.float32], count: int = FIRST
) -> NDArray[np.float64]:
    """Returns the probability of each of the first `count` names; the first three together have at most 1."""
    chances = 1 / (1 + np.exp(-evidence(similarity, count) @ coefficients))
    return chances / max(1.0, float(chances[:FIRST].sum()))


def fit(rows: NDArray[np.float64], right: NDArray[np.bool_], weight: NDArray[np.float64]) -> Coefficients:
    """Fits a logistic regression by Newton's method, with a small penalty so that separable data stay finite."""
    coefficients = np.zeros(rows.shape[1])
    penalty = np.diag([0.01, 0.1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-(rows @ coefficients).clip(-30, 30)))
        gradient = rows.T @ (weight * (right - chance)) - penalty @ coefficients
        hessian = (rows * (weight * chance * (1 - chance))[:, None]).T @ rows + penalty
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-8:
            break
    # Where similarity says nothing, no name may look less likely than one that is less similar.
    return np.array([coefficients[0], max(float(coefficients[1]), 0.0)])


def scenes(objects: Sequence[Cutout], backgrounds: Sequence[Pixels]) -> tuple[list[Image], list[int]]:
    """Makes scenes of one library object each, re-encoded as JPEG.

    Returns:
        The scenes, every second one masked to a part of its object, and each scene's object.
    """
    rng = np.random.default_rng(1)
    images: list[Image] = []
    shown = [int(i) for i in np.resize(rng.permutation(len(objects)), SCENES)]
    for index in shown:
        background = surface(rng, SIDE)
        if backgrounds and rng.uniform() < 0.5:
            background = square_cut(backgrounds[int(rng.integers(len(backgrounds)))], rng)
        picture, alpha = objects[index].on(rng, background, 0.35)
        encoded = io.BytesIO()
        PILImage.fromarray(picture).save(encoded, "JPEG", quality=75)
        image = Image.from_pil(PILImage.open(encoded))
        images.append(image.masked(part_of(alpha > 127, rng)) if len(images) % 2 else image)
    return images, shown


def square_cut(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Cuts a random square out of a background, at least half its shorter side."""
    height, width = pixels.shape[:2]
    side = max(1, round(min(height, width) * rng.uniform(0.5, 1)))
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    picture = PILImage.fromarray(pixels[y : y + side, x : x + side])
    return np.asarray(picture.resize((SIDE, SIDE), PILImage.Resampling.BICUBIC))


def part_of(shape: Mask, rng: np.random.Generator) -> Mask:
    """Makes a mask as a unit's map gives: a round patch around a point of the object, 5 to 25 % of the image."""
    inside = np.argwhere(shape)
    y, x = inside[rng.integers(len(inside))] if len(inside) else (SIDE // 2, SIDE // 2)
    rows, columns = np.ogrid[:SIDE, :SIDE]
    return np.asarray(np.hypot(rows - y, columns - x) < SIDE * np.sqrt(rng.uniform(0.05, 0.25) / np.pi))


def calibrate(
    library: Library,
    see: Callable[[Sequence[Image]], NDArray[np.float32]],
    images: Sequence[Image],
    shown: Sequence[int],
) -> Coefficients:
    """Fits what a name's probability is, with each scene's object known and (at less weight) taken out.

    Args:
        library: The named objects.
        see: Returns the features of images, shape (images, crops, units).
        images: The scenes.
        shown: Each scene's object.
    """
    rows, right, weight = [], [], []
    for similarity, index in zip(library.similarities(see(images)), shown, strict=True):
        truth = library.concepts[index][0]
        names, values = library.names(similarity)
        kept = [i for i, name in enumerate(names) if name != truth]
        for order, share in ((range(len(names)), 1.0), (kept, UNKNOWN)):
            if not len(order):
                continue
            found = evidence(values[list(order)])
            rows.append(found)
            right += [names[i] == truth for i in list(order)[: len(found)]]
            weight += [share] * len(found)
    return fit(np.concatenate(rows), np.asarray(right), np.asarray(weight))
