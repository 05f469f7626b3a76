"""Concept scores of a data set, against looking at one crop at a time.

    python tests/bench/bench_scores.py [--images 256]

Scores the concept set `collage` on the first images of the data set `collage` with the similarity `nearest`, as
explainers that choose among concepts do, and without their cache. The baseline looks at every
fourth image and shows the network itself its crops, one by one. Printed: seconds (of the wall and of the processors)
per 1,200 images, and their ratios. On a busy machine, run it with OMP_NUM_THREADS=1 and read the processors' ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maia_baselines.arrays import BATCH, over_images
from maia_baselines.concepts import COLLAGE_SET, concept_set
from maia_core.context import Context
from maia_core.image import Image

WHOLE = 1200
"""Images that the printed seconds are for: the data set's."""


def seconds(work: Callable[[], object], images: int) -> tuple[float, float]:
    """Returns seconds of the wall and of the processors per `WHOLE` images."""
    wall, processors = time.perf_counter(), time.process_time()
    work()
    scale = WHOLE / images
    return (time.perf_counter() - wall) * scale, (time.process_time() - processors) * scale


def main() -> None:
    """Prints seconds and ratios."""
    from maia_nearest.image_parts import image_parts
    from maia_nearest.similarity import NearestSimilarity

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    count = parser.parse_args().images
    context = Context()
    similarity = NearestSimilarity(NearestSimilarity.Config(), context)
    concepts = concept_set(COLLAGE_SET, context).concepts
    dataset = context.build("dataset", "collage", count=WHOLE)
    dataset.ids = dataset.ids[:count]
    similarity.similarity([dataset[0]], concepts)  # Reads the library and makes the folded copy.
    model, layer = similarity._describer.model, similarity._describer.layer

    def batched() -> NDArray[np.float32]:
        return over_images(dataset, lambda images: similarity.similarity(images, concepts), context)

    fast = seconds(batched, count)
    few = range(0, count, 4)

    def one_by_one() -> None:
        for index in few:
            seen = image_parts(dataset[index])
            for region in [seen, *(seen.at(other.mask, other.contrast) for other in seen.others[:3])]:
                for crop in region.crops():
                    model.activations([Image.from_pixels(crop)], layer)

    slow = seconds(one_by_one, len(few))
    print(f"{len(concepts)} concepts x {WHOLE:,} images, from {count} images in batches of {BATCH}:")
    print(f"one crop at a time  {slow[0]:5.0f} s, processors {slow[1]:5.0f} s")
    print(f"batched             {fast[0]:5.0f} s, processors {fast[1]:5.0f} s (goal: under 60 s on two quiet cores)")
    print(f"ratio               {slow[0] / fast[0]:5.1f}    processors {slow[1] / fast[1]:5.1f}")


if __name__ == "__main__":
    main()
