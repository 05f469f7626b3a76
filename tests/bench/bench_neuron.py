"""Times `system.neuron` on 32 images against a bare forward pass of the same batch by the same network.

Both run in the same memory format and in batches of the same size; the bare pass gets ready-made tensors, `neuron`
starts at images and ends at masked images. Goal: a ratio of at most 1.10.

    python tests/bench/bench_neuron.py [--side 224] [--repeat 9]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

from maia_cli import process_started
from maia_core.image import Image
from maia_efficientnet import EfficientNetLite0, load
from maia_exemplars.prefetch import BATCH

IMAGES = 32


def main() -> None:
    process_started()  # as `maia run` does
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    noise = np.random.default_rng(0)
    shape = (options.side, options.side, 3)
    images = [Image.from_pixels(noise.integers(0, 256, shape, dtype=np.uint8)) for _ in range(IMAGES)]
    model = EfficientNetLite0(EfficientNetLite0.Config(), None)
    network = load("lite0").to(memory_format=torch.channels_last)
    batch = torch.rand(IMAGES, 3, 224, 224).contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        with torch.inference_mode():
            for part in batch.split(BATCH):
                network(part)

    print(
        f"{IMAGES} images of {options.side} x {options.side}, {torch.get_num_threads()} threads, median of paired runs"
    )
    for ref in ("blocks.15:5", "head:5", "logit:tiger"):
        unit = model.unit(ref)
        unit.neuron(images)
        bare()
        pairs = []
        for _ in range(options.repeat):  # taken in turns, so that other load on the machine meets both
            pairs.append((_seconds(bare), _seconds(lambda unit=unit: unit.neuron(images))))
        base, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{ref:12} bare {base * 1000:6.0f} ms   neuron {ours * 1000:6.0f} ms   ratio {ratio:.2f}")


def _seconds(function: object) -> float:
    start = time.perf_counter()
    function()  # type: ignore[operator]
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
