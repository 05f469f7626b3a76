"""A label of a unit on a folder of images can be verified where maia-collage is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from maia_core.testing import COLOURS, disc

PROGRAM = '''
import importlib.metadata, json, sys

LABORATORY = ("maia_collage", "maia_nearest", "maia_synthetic")


class Absent:
    """Imports as in an environment without the laboratory."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LABORATORY:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


sys.meta_path.insert(0, Absent())
installed = importlib.metadata.distributions
importlib.metadata.distributions = lambda **search: (
    found for found in installed(**search) if (found.name or "").replace("-", "_") not in LABORATORY
)

from pathlib import Path

import numpy as np

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.registry import Registry
from maia_core.testing import COLOURS, FakeDescriber, FakeEditor, FakeGenerator, FakeSystem, photograph
from maia_core.image import Image
from maia_core.types import Explanation, GeneratedImages


class Generator(FakeGenerator):
    """Draws a disc of the named colour, and else a photograph."""

    def generate(self, prompts, seeds):
        made = super().generate(prompts, seeds)
        images = [photograph(s) if w else i for i, w, s in zip(made.images, made.warnings, seeds, strict=True)]
        return GeneratedImages(images, [""] * len(images))


class Editor(FakeEditor):
    """Replaces every picture with plain grey."""

    def edit(self, images, instructions, seeds):
        return GeneratedImages([Image.from_pixels(np.full_like(i.pixels(), 128)) for i in images], [""] * len(images))


class Similarity:
    """Fits a text whose colour the describer sees best; other texts fit by chance, as with real embeddings."""

    fingerprint = "colours-1"

    def similarity(self, images, texts):
        return np.array([[self.fit(image, text) for text in texts] for image in images])

    def fit(self, image, text):
        (seen,) = FakeDescriber().describe([image])
        chance = len(text) * int(image.pixels().sum()) % 97 / 970
        return 0.3 if set(seen.split()) & set(text.split()) & {*COLOURS} else chance


folder, cache, *labels = sys.argv[1:]
registry = Registry()
assert not registry.find("generator", "collage") and not registry.find("similarity", "nearest")
config = RunConfig(
    dataset=PluginRef(name="folder", path=folder),
    judge=PluginRef(name="embedding"),
    verifier=PluginRef(name="held-out"),
)
parts = {
    "system": FakeSystem(FakeSystem.Config(ref="red")),
    "generator": Generator(),
    "editor": Editor(),
    "describer": FakeDescriber(),
    "similarity": Similarity(),
}
context = Context(config, registry, parts=parts, cache=Path(cache))
verifier = context.part("verifier")
verdicts = [verifier.verify(Explanation(description="", labels=(label,)), context, 1) for label in labels]
assert not any(name.partition(".")[0] in LABORATORY for name in sys.modules)
print(json.dumps([[v.measured, v.passed, [c.claim for c in v.checks if not c.passed], v.summary] for v in verdicts]))
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images of coloured discs."""
    images = tmp_path / "images"
    images.mkdir()
    for colour in COLOURS:
        for seed in range(12):
            disc(colour, seed).pil().save(images / f"{colour}-{seed}.png")
    return images


@pytest.mark.slow
def test_a_label_is_verified_on_a_folder_without_the_collage_packages(folder: Path, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / "cache"), "red things", "blue things"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    (measured, passed, _, summary), (wrong_measured, wrong_passed, failed, _) = json.loads(run.stdout)
    assert measured, summary
    assert passed, summary
    assert wrong_measured
    assert not wrong_passed
    assert any("more than other things" in claim for claim in failed)
