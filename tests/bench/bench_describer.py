"""How often the `nearest` describer is right, and how fast it is.

    python tests/bench/bench_describer.py [--seeds 101 102 103] [--images 100]

One-object collages of the held-out split are resized to an unseen size, re-encoded as JPEG and described. Printed per
seed: how often the true name is first, and among the first three; the same for images that are masked to a part of
the object; with the shown cut-out taken out of the library, how often its nearest broader concept, and its broadest,
are among the kinds that a description gives; how often stated confidences were right; images per second.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as PILImage

from maia_core.context import Context
from maia_core.image import Image


@dataclass(frozen=True)
class Case:
    """One collage, whole and masked; its concepts, the most specific first; its cut-out's place in the library."""

    image: Image
    masked: Image
    concepts: tuple[str, ...]
    cutout: int


@dataclass(frozen=True)
class Figures:
    """What was measured on one seed; every figure is a share of the cases but `speed` (images per second)."""

    first: float
    first_three: float
    masked_first: float
    masked_first_three: float
    near_kind: float
    broad_kind: float
    speed: float
    stated: tuple[tuple[float, bool], ...]


def cases(context: Context, seed: int, count: int) -> list[Case]:
    """Draws one-object collages; each seed gives others."""
    dataset: Any = context.build("dataset", "collage", seed=seed, count=3 * count, split="held-out")
    library: Any = context.build("dataset", "collage-cutouts")
    place = {cutout.id: index for index, cutout in enumerate(library.cutouts)}
    rng = np.random.default_rng(seed)
    drawn: list[Case] = []
    for index in rng.permutation(len(dataset)).tolist():
        scene = dataset.scene(index)
        if len(scene.objects) != 1:
            continue
        picture = dataset[index].pil()
        side = round(picture.width * rng.uniform(0.7, 1.4))
        encoded = io.BytesIO()
        picture.resize((side, side), PILImage.Resampling.BICUBIC).save(
            encoded, "JPEG", quality=int(rng.integers(60, 90))
        )
        image = Image.from_pil(PILImage.open(encoded))
        number = place[scene.objects[0].cutout]
        mask = part(object_mask(dataset, scene, side), rng)
        drawn.append(Case(image, image.masked(mask), tuple(library.concepts(number)), number))
        if len(drawn) == count:
            return drawn
    raise SystemExit(f"seed {seed} gives only {len(drawn)} one-object collages")


def object_mask(dataset: Any, scene: Any, side: int) -> np.ndarray:
    """Returns where the scene's object is, at the size of the re-encoded image."""
    from maia_collage.scene import object_masks

    mask = object_masks(scene, dataset.pack, side)[0]
    return mask if mask.any() else np.ones_like(mask)


def part(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns a mask as a unit's map gives it: two overlapping soft patches on the object, 5 to 25 % of the image."""
    points = np.argwhere(shape)[rng.integers(int(shape.sum()), size=2)]
    rows, columns = np.ogrid[: shape.shape[0], : shape.shape[1]]
    width = 2 * (0.1 * len(shape)) ** 2
    field = sum(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / width) for y, x in points)
    return np.asarray(field > np.quantile(field, 1 - rng.uniform(0.05, 0.25)))


def measure(context: Context, seed: int, count: int) -> Figures:
    """Describes the cases of one seed."""
    from maia_nearest import confidence, library, memory
    from maia_nearest.describer import Nearest
    from maia_nearest.findings import find
    from maia_nearest.image_parts import image_parts
    from maia_nearest.text import main_kinds

    describer = Nearest(Nearest.Config(), context)  # Without the cache before it.
    learned, model, layer = describer.memory(), describer.model, describer.layer
    drawn = cases(context, seed, count)
    begun = time.perf_counter()
    clean = find([case.image for case in drawn], learned, model, layer)
    speed = len(drawn) / (time.perf_counter() - begun)
    masked = find([case.masked for case in drawn], learned, model, layer)

    def rank(found: Any, case: Case) -> int:
        names = [name for name, _ in found.names]
        return names.index(case.concepts[0]) if case.concepts[0] in names else library.NEIGHBOURS

    ranks = np.array([rank(found, case) for found, case in zip(clean, drawn, strict=True)])
    masked_ranks = np.array([rank(found, case) for found, case in zip(masked, drawn, strict=True)])
    stated = [
        (chance, name == case.concepts[0])
        for found, case in zip(clean, drawn, strict=True)
        for name, chance in found.names
    ]

    near, broad = [], []
    seen = memory.features(model, layer, [image_parts(case.image) for case in drawn])
    for similarity, case in zip(learned.library.similarities(seen), drawn, strict=True):
        similarity[case.cutout] = -1
        names, values = learned.library.names(similarity)
        chances = dict(zip(names, confidence.probabilities(learned.coefficients, values).tolist(), strict=False))
        kinds = dict(main_kinds(learned.library.kinds(similarity, chances), learned.frequency))
        if len(case.concepts) > 1:
            near.append(case.concepts[1] in kinds)
            broad.append(case.concepts[-1] in kinds)
    return Figures(
        float((ranks < 1).mean()), float((ranks < 3).mean()), float((masked_ranks < 1).mean()),
        float((masked_ranks < 3).mean()), float(np.mean(near)), float(np.mean(broad)), speed, tuple(stated),
    )  # fmt: skip


def reliability(stated: Sequence[tuple[float, bool]]) -> str:
    """Says, by stated confidence, how many names were right."""
    chances, right = np.array([s[0] for s in stated]), np.array([s[1] for s in stated])
    rows = []
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = (chances >= low) & (chances < high)
        if inside.any():
            rows.append(f"{low:.1f}-{min(high, 1):.1f}: {right[inside].mean():.2f} of {inside.sum()}")
    return ", ".join(rows)


def main() -> None:
    """Prints the figures of each seed, their means, and the reliability of confidences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()
    context = Context()
    columns = ["first", "first_three", "masked_first", "masked_first_three", "near_kind", "broad_kind", "speed"]
    results = []
    for seed in arguments.seeds:
        results.append(measure(context, seed, arguments.images))
        print(
            f"seed {seed}: " + ", ".join(f"{column} {getattr(results[-1], column):.3f}" for column in columns),
            flush=True,
        )
    print("mean: " + ", ".join(f"{c} {np.mean([getattr(r, c) for r in results]):.3f}" for c in columns))
    print("stated confidence, share right: " + reliability([pair for result in results for pair in result.stated]))


if __name__ == "__main__":
    main()
