"""Prints which formats of sparse autoencoders are read, their distance to the libraries, and the price of 24k latents.

The first table reads the files in plugins/maia-sae/tests/fixtures, which the libraries wrote. Goal: at most 1e-5. The
second measures images per second of 24,576 latents on the last block of EfficientNet-Lite0 against the layer itself.

    python tests/bench/bench_sae.py [--images 64] [--repeat 3]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from maia_core.image import Image
from maia_efficientnet import EfficientNetLite0
from maia_sae import Encoder, read_autoencoder

FIXTURES = Path(__file__).parents[2] / "plugins" / "maia-sae" / "tests" / "fixtures"
LAYER, LATENTS, K = "blocks.15", 24576, 32


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    formats()
    speed(options.images, options.repeat)


def formats() -> None:
    """Prints, for each library, how many of its files are read and the largest difference to its `encode`."""
    x = torch.from_numpy(np.load(FIXTURES / "x.npy"))
    read: dict[str, list[float]] = defaultdict(list)
    for expected in sorted(FIXTURES.glob("*/latents.npy")):
        (file,) = [f for f in expected.parent.rglob("*") if f.suffix in (".pt", ".safetensors", ".gz", ".pkl")]
        autoencoder = read_autoencoder(str(file))
        difference = np.abs(autoencoder.readout().all(x).numpy() - np.load(expected)).max()
        read[autoencoder.format].append(float(difference))
    for library, differences in read.items():
        print(f"{library:20} {len(differences):3} files read   largest difference to encode {max(differences):.1e}")
    total = sum(map(len, read.values()))
    print(f"{total} of {len(list(FIXTURES.glob('*/latents.npy')))} files of {len(read)} libraries")


def speed(count: int, repeat: int) -> None:
    """Prints images per second of the bare layer, of all latents, and of one latent."""
    noise = np.random.default_rng(0)
    images = [Image.from_pixels(noise.integers(0, 256, (224, 224, 3), dtype=np.uint8)) for _ in range(count)]
    model = EfficientNetLite0(EfficientNetLite0.Config(), None)
    units = model.layer(LAYER).info.units
    weights = noise.normal(size=(LATENTS, units)).astype(np.float32) / units**0.5
    zeros = np.zeros(LATENTS, np.float32), np.zeros(units, np.float32)
    model.latents(LAYER, Encoder(weights, *zeros), "relu")
    model.latents(LAYER, Encoder(weights, *zeros, activation="topk", k=K), "topk")
    print(f"{count} images, {LAYER} ({units} units), {LATENTS:,} latents, {torch.get_num_threads()} threads")
    bare = 0.0
    for name, measure in {
        "bare layer": lambda: model.activations(images, LAYER),
        "all latents, relu": lambda: model.activations(images, f"{LAYER}:sae=relu"),
        "all latents, topk": lambda: model.activations(images, f"{LAYER}:sae=topk"),
        "one latent, relu": lambda: model.unit(f"{LAYER}:sae=relu:5").neuron(images),
        "one latent, topk": lambda: model.unit(f"{LAYER}:sae=topk:5").neuron(images),
    }.items():
        measure()
        times = []
        for _ in range(repeat):
            start = time.perf_counter()
            measure()
            times.append(time.perf_counter() - start)
        rate = count / statistics.median(times)
        bare = bare or rate
        print(f"{name:20} {rate:7.1f} images/s   {bare / rate:5.2f} x the time of the bare layer")


if __name__ == "__main__":
    main()
