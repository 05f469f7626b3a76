from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maia_core.context import Context
from maia_core.errors import MaiaError, RunError, UsageError
from maia_core.registry import installed
from maia_core.testing import disc
from maia_detectors.detector import TransformersDetector

Make = Callable[..., TransformersDetector]


@pytest.fixture
def copy(folder: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a model that a test may break."""
    return Path(shutil.copytree(folder("grounding-dino"), tmp_path / "broken"))


def refused(path: object, kind: type[MaiaError] = UsageError, **options: Any) -> str:
    """Returns the one line with which a model is refused, at the latest when it is used."""
    config = TransformersDetector.Config(**{"model": str(path), "device": "cpu", **options})
    with pytest.raises(kind) as caught:
        TransformersDetector(config, Context()).detect([disc("red")], "dog")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_model_must_be_named() -> None:
    with pytest.raises(UsageError, match="options of detector 'transformers': 'model': is missing"):
        installed().build("detector", "transformers", {}, Context())


@pytest.mark.parametrize("name", ["./nope", "/nope/at/all", "~/nope", "a/b/c"])
def test_folder_that_is_not_there(name: str) -> None:
    assert f"there is no folder '{name}'" in refused(name)


def test_hub_that_cannot_be_asked_is_one_line() -> None:
    message = refused("nobody/no-such-model", RunError)
    assert "cannot fetch nobody/no-such-model" in message
    assert "HF_HUB_OFFLINE" in message


def test_file_for_a_folder(copy: Path) -> None:
    assert "is a file" in refused(copy / "config.json")


def test_revision_of_a_folder(copy: Path) -> None:
    assert "has no revisions" in refused(copy, revision="main")


def test_pickles_are_not_loaded(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert "pickle files only" in refused(copy)


def test_folder_without_configuration(copy: Path) -> None:
    (copy / "config.json").unlink()
    assert "holds no config.json" in refused(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}"])
def test_damaged_configuration(text: str, copy: Path) -> None:
    (copy / "config.json").write_text(text)
    assert "cannot be read" in (message := refused(copy)) or "of no known type" in message


def test_model_of_another_kind(folder: Callable[[str], Path]) -> None:
    assert "is of type 'sam'; it must be one of grounding-dino" in refused(folder("sam"))
    swapped = refused(folder("owlv2"), segmenter=str(folder("grounding-dino")))
    assert "segmenter" in swapped
    assert "is of type 'grounding-dino'; it must be one of sam, sam2" in swapped


def test_torn_weights(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "cannot be loaded" in refused(copy)


def test_weights_of_another_model(copy: Path) -> None:
    """Otherwise random numbers would stand in for what is lacking, with a warning at most."""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "decoder_layers": 3}))
    assert "its files lack" in refused(copy)


def test_processor_that_is_not_there(copy: Path) -> None:
    for file in [*copy.glob("*processor*"), *copy.glob("*token*")]:
        file.unlink()
    assert "cannot be loaded" in refused(copy)


def test_device_that_is_not_there(copy: Path) -> None:
    assert "device 'warp' cannot be used" in refused(copy, device="warp")
