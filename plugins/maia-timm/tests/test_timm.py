"""timm's models by name: layers, classes, preprocessing, weights."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_timm import TimmModel

PAPER = json.loads(Path(__file__).with_name("data").joinpath("paper_units.json").read_text())["dino-vits8"]


def named(model: str = "", **options: object) -> TimmModel:
    return TimmModel(TimmModel.Config(model=model, **options), None)


@pytest.mark.slow
def test_every_unit_of_the_paper_is_found(random_model):
    model = random_model("vit_small_patch8_224.dino")
    units = [f"{layer}:{unit}" for layer, numbers in PAPER.items() for unit in numbers]
    assert len(units) == 99
    assert [model.unit(ref).info.ref for ref in units] == [f"timm/vit_small_patch8_224.dino:{ref}" for ref in units]
    assert {model.layer(layer).info.shape for layer in PAPER} == {(1536, 28, 28)}
    assert not any(layer.kind == "classes" for layer in model.layers()), "DINO has no classes"


def test_first_feed_forward_layer_is_read_before_its_non_linearity(random_model):
    """And without the class token, as the paper does."""
    model = random_model("vit_tiny_patch16_224", size=32)
    module = model.engine._module
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    tokens = []
    handle = module.blocks[3].mlp.fc1.register_forward_hook(lambda m, a, output: tokens.append(output))
    with torch.no_grad():
        module(model.engine.input(pixels))
    handle.remove()
    expected = tokens[0][0, 1:].T.reshape(768, 2, 2)
    found = model.engine.unit(pixels, model.layer("blocks.3.mlp.fc1"), 5)
    np.testing.assert_allclose(found[0], expected[5], atol=1e-4)
    assert found.min() < 0, "a GELU would leave nothing below -0.2"


def test_registers_are_no_patches(random_model):
    model = random_model("vit_small_patch14_reg4_dinov2", size=56)
    assert model.layer("blocks.11.mlp.fc1").info.shape == (1536, 4, 4)
    assert model.layer("blocks.11.mlp.fc1").layout.prefix == 5


def test_input_that_is_not_square(random_model):
    model = random_model("vit_tiny_patch16_224", size=[32, 64])
    assert model.layer("blocks.0").info.shape == (192, 2, 4)
    [_], [masked] = model.unit("blocks.0:3").neuron([Image.from_pixels(np.full((50, 70, 3), 9, np.uint8))])
    assert masked.mask().shape == (50, 70)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("swin_tiny_patch4_window7_224", "layers.2.blocks.1.mlp.fc1", (1536, 14, 14)),
        ("swin_tiny_patch4_window7_224", "layers.1", (192, 28, 28)),
        ("convnext_atto", "stages.2.blocks.0.mlp.fc1", (640, 4, 4)),
        ("mixer_s32_224", "blocks.3.mlp_channels.fc1", (2048, 7, 7)),
        ("deit_tiny_distilled_patch16_224", "blocks.3", (192, 14, 14)),
    ],
)
def test_layouts_of_other_families(random_model, name, layer, shape):
    options = {"size": 64} if name.startswith("convnext") else {}
    assert random_model(name, **options).layer(layer).info.shape == shape


@pytest.mark.slow
def test_tokens_in_another_order_than_rows_have_no_map(random_model):
    model = random_model("hiera_tiny_224")
    assert model.layer("blocks.2.mlp.fc1").info.shape == (768,)
    assert model.layer("blocks.11").info.shape == (768, 7, 7)


def test_classes_and_preprocessing_are_those_of_the_weights(random_model):
    model = random_model("test_resnet.r160_in1k")
    assert model.unit("logit:tabby").index == 281
    assert model.unit("prob:tiger").index == 292
    data = timm.data.resolve_model_data_config(timm.create_model("test_resnet.r160_in1k"))
    image = Image.from_pixels(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    expected = timm.data.create_transform(**data, is_training=False)(image.pil())
    seen = model.engine.input(model.preprocess.crop(image)[None].copy())[0]
    assert abs(seen - expected).max() < 1 / 255 / min(data["std"])


@pytest.mark.parametrize("file", ["own.pth", "own.safetensors"])
def test_weights_of_ones_own_are_read_from_a_file(tmp_path, file):
    own = timm.create_model("test_resnet", num_classes=3)
    path = str(tmp_path / file)
    (save_file if file.endswith("safetensors") else torch.save)(own.state_dict(), path)
    (tmp_path / "names.txt").write_text("cat\ndog\nfox\n")
    model = named("test_resnet", weights=path, classes=str(tmp_path / "names.txt"))
    assert model.unit("prob:fox").index == 2
    state = model.engine._module.state_dict()
    assert all((value == state[name]).all() for name, value in own.state_dict().items())
    with pytest.raises(UsageError, match="are not th"):
        named("test_vit", weights=path)
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    with pytest.raises(UsageError, match="3 outputs, but 2 names"):
        named("test_resnet", weights=path, classes=str(tmp_path / "two.txt"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "timm stands for many models: write timm/NAME"),
        ({"model": "vit_small_patch8_224.dina"}, r"Did you mean 'vit_small_patch8_224\.dino'"),
        ({"model": "resnet5"}, "Did you mean 'resnet50'"),
        ({"model": "resnet50", "weights": "a1_in1"}, "no weights 'a1_in1'. Did you mean 'a1_in1k'"),
        ({"model": "resnet18", "weights": "none.pth"}, "no file of weights none.pth"),
        ({"model": "resnet18", "weights": "random", "device": "warp"}, "device 'warp' cannot be used"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest(options, says):
    with pytest.raises(UsageError, match=says):
        named(**options)


@pytest.mark.slow
def test_without_a_network_one_line_says_what_to_do(tmp_path):
    """In another process, whose cache is empty: the hub's library reads its settings when it is imported."""
    code = "from maia_timm import TimmModel as T; T(T.Config(model='resnet18.a1_in1k'), None)"
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "PATH": ""},
    )
    assert time.monotonic() - began < 100, "it must not try for minutes"
    line = done.stderr.splitlines()[-1]
    assert "RunError: the weights of timm/resnet18.a1_in1k cannot be had" in line
    assert "-o weights=FILE" in line


def test_published_names_are_listed_without_building_a_model():
    offered = TimmModel.models()
    assert {"resnet50", "vit_small_patch8_224.dino", "convnext_atto.d2_in1k"} <= set(offered)


def test_the_context_finds_a_model_by_its_reference(tmp_path):
    model = Context(cache=tmp_path).model("timm/test_resnet.r160_in1k", weights="random")
    assert model.unit(f"{model.layers()[0].name}:0").info.ref.startswith("timm/test_resnet.r160_in1k:")


def test_importing_the_package_imports_no_torch():
    code = "import sys, maia_timm; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
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
    words = {"good": "layer1", "name": "timm/resnet18", "counted": "layer1.0.conv1", "units": 64}
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("fetched"))
    config = TimmModel.Config(model="resnet18")
    if not says:
        TimmModel.check_unit(config, ref.format(**words))
        return
    with pytest.raises(UsageError, match=says.format(**words)):
        TimmModel.check_unit(config, ref.format(**words))
