"""How many images generators make in a second: collages, and a diffusion model one by one, batched and from the cache.

    python tests/bench/bench_generators.py [--images 32]

The diffusion model is a tiny one with random weights: only the ratios tell something of real ones, and on a GPU a batch
gains more. Both parts take as many threads as torch and numpy take by themselves.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maia_core.context import Context

os.environ["HF_HUB_OFFLINE"] = "1"
TINY = Path(__file__).resolve().parents[2] / "plugins" / "maia-diffusers" / "tests"
SCENES = [
    "two red apples on rocks",
    "a tiger on grass",
    "a small blue car to the left of a large dog in the snow",
    "bee",
]


def speed(generate: Callable[[list[str], list[int]], Any], prompts: list[str]) -> float:
    """Returns images per second."""
    began = time.perf_counter()
    generate(prompts, list(range(len(prompts))))
    return len(prompts) / (time.perf_counter() - began)


def collages(count: int) -> None:
    """Prints how fast collages are."""
    with tempfile.TemporaryDirectory() as folder:
        _collages(count, Path(folder))


def _collages(count: int, cache: Path) -> None:
    (cache / "collage").symlink_to(Context().cache / "collage")
    generator = Context(cache=cache).build("generator", "collage")
    prompts = [SCENES[n % len(SCENES)] for n in range(count)]
    generator.generate(prompts[:8], range(1000, 1008))
    print(f"collages of 224 pixels: {speed(generator.generate, prompts):.0f} images/s drawn, ", end="")
    print(f"{speed(generator.generate, prompts):.0f} images/s from the cache")


def diffusion(count: int) -> None:
    """Prints how fast a tiny Stable Diffusion is in batches of several sizes, and from the cache."""
    sys.path.insert(0, str(TINY))
    from tiny_pipelines import BUILDERS

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        BUILDERS["sd"]().save_pretrained(Path(folder) / "sd")
        prompts = [f"a dog and {n} cats" for n in range(count)]
        alone = 0.0
        for batch in (1, 4, 16):
            context = Context(parts={}, cache=Path(folder) / str(batch))
            options = {"model": f"{folder}/sd", "steps": 4, "size": 64, "device": "cpu", "batch": batch}
            generator: Any = context.build("generator", "diffusers", **options)
            generator.generate(["warm"] * batch, range(1000, 1000 + batch))
            found = speed(generator.generate, prompts)
            alone = alone or found
            print(f"tiny diffusion, batch {batch:2}: {found:.1f} images/s ({found / alone:.1f} times one by one)")
        print(f"the same again: {speed(generator.generate, prompts):.0f} images/s, from the cache")


def main() -> None:
    """Prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32)
    count = parser.parse_args().images
    collages(4 * count)
    diffusion(count)


if __name__ == "__main__":
    main()
