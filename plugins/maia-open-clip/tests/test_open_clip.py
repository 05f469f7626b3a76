"""CLIP's image encoders by name: layers, preprocessing, weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_open_clip import OpenClipModel

PAPER = json.loads(Path(__file__).with_name("data").joinpath("paper_units.json").read_text())["clip-rn50"]


def named(model: str = "", **options: object) -> OpenClipModel:
    return OpenClipModel(OpenClipModel.Config(model=model, **options), None)


@pytest.mark.slow
def test_every_unit_of_the_paper_is_found(random_model):
    model = random_model("RN50")
    units = [f"{layer}:{unit}" for layer, numbers in PAPER.items() for unit in numbers]
    assert len(units) == 99
    assert [model.unit(ref).info.ref for ref in units] == [f"open-clip/RN50:{ref}" for ref in units]
    shapes = [model.layer(layer).info.shape for layer in PAPER]
    assert shapes == [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]


def test_units_of_a_transformer_are_maps_and_the_output_is_an_embedding(random_model):
    model = random_model("ViT-B-32")
    assert model.layer("transformer.resblocks.5.mlp.c_fc").info.shape == (3072, 7, 7)
    assert model.layer("transformer.resblocks.5").info.kind == "main"
    assert model.layer("output").info.shape == (512,)
    assert not any(layer.kind == "classes" for layer in model.layers()), "an embedding has no classes"


def test_the_encoder_sees_what_open_clip_shows_it(rn50):
    image = Image.from_pixels(np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    cfg = open_clip.get_pretrained_cfg("RN50", "openai")
    transform = open_clip.image_transform(64, is_train=False, mean=cfg["mean"], std=cfg["std"])
    seen = rn50.engine.input(rn50.preprocess.crop(image)[None].copy())[0]
    assert abs(seen - transform(image.pil())).max() < 1 / 255 / min(cfg["std"])


@pytest.mark.slow
@pytest.mark.parametrize("file", ["whole.pt", "visual.safetensors"])
def test_weights_come_from_a_file_of_the_whole_model_or_of_the_encoder(tmp_path, file):
    torch.manual_seed(1)
    whole = open_clip.create_model("RN50", pretrained=None, force_image_size=64)
    path = str(tmp_path / file)
    if file.startswith("whole"):
        torch.save({"state_dict": {f"module.{k}": v for k, v in whole.state_dict().items()}}, path)
    else:
        save_file(whole.visual.state_dict(), path)
    model = named("RN50", weights=path, size=64)
    state = model.engine._module.state_dict()
    assert all((value == state[name]).all() for name, value in whole.visual.state_dict().items())
    with pytest.raises(UsageError, match="are not this network's"):
        named("RN101", weights=path, size=64)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "open-clip stands for many models: write open-clip/NAME"),
        ({"model": "RN5"}, "Did you mean 'RN50'"),
        ({"model": "RN50", "weights": "opanai"}, "no weights 'opanai'. Did you mean 'openai'"),
        ({"model": "RN50", "weights": "none.pt"}, "no file of weights none.pt"),
        ({"model": "RN50", "weights": "random", "size": 8}, "cannot build RN50|cannot take images"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest(options, says):
    with pytest.raises(UsageError, match=says):
        named(**options)


@pytest.mark.slow
def test_without_a_network_one_line_says_what_to_do(tmp_path):
    """In another process, whose cache is empty: the hub's library reads its settings when it is imported."""
    code = "from maia_open_clip import OpenClipModel as M; M(M.Config(model='RN50'), None)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "PATH": ""},
    )
    line = done.stderr.splitlines()[-1]
    assert "RunError: the weights openai of open-clip/RN50 cannot be had" in line
    assert "-o weights=FILE" in line


def test_names_are_listed_without_building_a_model():
    assert {"RN50", "ViT-B-32", "ViT-L-14"} <= set(OpenClipModel.models())


def test_importing_the_package_imports_no_torch():
    code = "import sys, maia_open_clip; sys.exit('torch' in sys.modules or 'open_clip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("{good}:1", ""),
        ("logit:tench", ""),
        ("{good}", ""),
        ("sae=x.pt:3", ""),
        ("layer9:1", "no layer 'layer9' in {name}"),
        ("{counted}:{units}", "unit {units} of layer {counted} does not exist"),
    ],
)
def test_a_wrong_layer_is_refused_before_any_weights_are_read(monkeypatch, ref, says):
    """The published weights are neither in the cache nor fetched: only the names of the modules are needed."""
    words = {"good": "layer1", "name": "open-clip/RN50", "counted": "layer1.0.conv1", "units": 64}
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("fetched"))
    config = OpenClipModel.Config(model="RN50")
    if not says:
        OpenClipModel.check_unit(config, ref.format(**words))
        return
    with pytest.raises(UsageError, match=says.format(**words)):
        OpenClipModel.check_unit(config, ref.format(**words))
