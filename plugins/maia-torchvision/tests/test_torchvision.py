"""torchvision's models by name: layers, classes, preprocessing, weights."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision import models
from torchvision.transforms._presets import SemanticSegmentation

from maia_core.context import Context
from maia_core.errors import MaiaError, RunError, UsageError
from maia_core.image import Image
from maia_torch.weights import Weights
from maia_torchvision import TorchvisionModel, zoo

PAPER = json.loads(Path(__file__).with_name("data").joinpath("paper_units.json").read_text())["resnet152"]


def named(model: str = "", **options: object) -> TorchvisionModel:
    return TorchvisionModel(TorchvisionModel.Config(model=model, **options), None)


@pytest.mark.slow
def test_every_unit_of_the_paper_is_found(random_model):
    model = random_model("resnet152")
    units = [f"{layer}:{unit}" for layer, numbers in PAPER.items() for unit in numbers]
    assert len(units) == 100
    assert [model.unit(ref).info.ref for ref in units] == [f"torchvision/resnet152:{ref}" for ref in units]
    shapes = {layer: model.layer(layer).info.shape for layer in PAPER}
    assert shapes["conv1"] == (64, 112, 112)
    assert shapes["layer4"] == (2048, 7, 7)


def test_the_context_finds_a_model_by_its_reference(tmp_path):
    context = Context(cache=tmp_path)
    model = context.model("torchvision/resnet18", weights="random", size=32)
    assert model.name == "torchvision/resnet18"
    assert context.model("torchvision/resnet18", weights="random", size=32) is model


def test_random_weights_are_the_same_every_time(random_model, resnet18):
    torch.rand(3)
    assert random_model("resnet18", size=64).fingerprint == resnet18.fingerprint


def test_classes_and_preprocessing_are_those_of_the_weights(random_model):
    model = random_model("resnet18")
    assert model.unit("logit:tabby").index == 281
    shown = models.ResNet18_Weights.DEFAULT.transforms()
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    expected = shown(Image.from_pixels(noise).pil())
    seen = model.engine.input(model.preprocess.crop(Image.from_pixels(noise))[None].copy())[0]
    assert abs(seen - expected).max() < 1 / 255 / 0.22


def test_other_sizes_keep_the_proportions_of_the_evaluation(resnet18, random_model):
    assert (resnet18.preprocess.size, resnet18.preprocess.resize) == (64, 73)
    model = random_model("squeezenet1_1", size=[48, 80])
    assert model.preprocess.input == (48, 80)
    assert model.layer("features.0").info.shape[1:] == (23, 39)


@pytest.mark.parametrize("shape", [(48, 48), (70, 100), (150, 50)])
def test_a_segmentation_network_sees_the_whole_image_as_torchvision_shows_it(random_model, shape):
    model = random_model("lraspp_mobilenet_v3_large", size=64)
    image = Image.from_pixels(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))
    other = Image.from_pixels(np.full((64, 80, 3), 99, np.uint8))
    transform = SemanticSegmentation(resize_size=64)
    with torch.inference_mode():
        out = model.engine.module(transform(image.pil())[None])["out"][0]
    found = model.activations([other, image, image], "logit")
    np.testing.assert_allclose(found[1:], out.amax((1, 2)).expand(2, -1), atol=0.02)
    unit = model.unit("logit:3")
    activations, [_, masked] = unit.neuron([other, image])
    assert activations[1] == pytest.approx(found[1, 3], abs=1e-5)
    row, column = np.unravel_index(out[3].argmax().item(), out[3].shape)
    place = int((row + 0.5) * shape[0] / out.shape[1]), int((column + 0.5) * shape[1] / out.shape[2])
    assert masked.mask()[place], "the mask lies on the image as it is seen, to its edges"


def test_segmentation_has_classes_at_each_place(random_model):
    model = random_model("lraspp_mobilenet_v3_large", size=64)
    assert model.layer("prob").info.shape == (21, 64, 64)
    unit = model.unit("prob:cat")
    [activation], [masked] = unit.neuron([Image.from_pixels(np.full((90, 60, 3), 99, np.uint8))])
    assert 0 <= activation <= 1
    assert masked.mask().shape == (90, 60)


@pytest.mark.parametrize(
    ("name", "layer", "channels"),
    [("fasterrcnn_mobilenet_v3_large_320_fpn", "fpn#1", 256), ("ssdlite320_mobilenet_v3_large", "output#0", 672)],
)
def test_of_a_detector_the_backbone_is_run(random_model, name, layer, channels):
    model = random_model(name)
    assert model.preprocess.input == (320, 320)
    assert model.layer(layer).info.shape[0] == channels
    assert not any(found.kind == "classes" for found in model.layers())


@pytest.mark.slow
def test_transformer_tokens_are_maps(random_model):
    model = random_model("vit_b_32")
    assert model.layer("encoder.layers.encoder_layer_5.mlp.0").info.shape == (3072, 7, 7)
    main = [layer.name for layer in model.layers() if layer.kind == "main"]
    assert "encoder.layers.encoder_layer_5" in main


@pytest.mark.parametrize("file", ["own.pth", "own.safetensors"])
def test_weights_of_ones_own_are_read_from_a_file(tmp_path, file):
    own = models.resnet18(num_classes=3)
    path = str(tmp_path / file)
    (save_file if file.endswith("safetensors") else torch.save)(own.state_dict(), path)
    (tmp_path / "names.txt").write_text("cat\ndog\nfox\n")
    model = named("resnet18", weights=path, size=64, classes=str(tmp_path / "names.txt"))
    assert model.unit("prob:fox").index == 2
    assert named("resnet18", weights=path, size=64).layer("logit").info.units == 3
    image = Image.from_pixels(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    with torch.no_grad():
        pixels = model.engine.input(model.preprocess.crop(image)[None].copy())
        expected = own.eval()(pixels)[0].numpy()
    np.testing.assert_allclose(model.activations([image], "logit")[0], expected, atol=1e-4)
    with pytest.raises(UsageError, match="they lack"):
        named("resnet34", weights=path)
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    with pytest.raises(UsageError, match="3 outputs, but 2 names"):
        named("resnet18", weights=path, classes=str(tmp_path / "two.txt"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "torchvision stands for many models: write torchvision/NAME"),
        ({"model": "resnet15"}, "Did you mean 'resnet152'"),
        ({"model": "raft_large"}, "no model 'raft_large' for single images"),
        ({"model": "resnet152", "weights": "IMAGENET1K_V3"}, "no weights 'IMAGENET1K_V3'. Did you mean"),
        ({"model": "resnet18", "weights": "none.pth"}, "no file of weights none.pth"),
        ({"model": "vit_b_32", "weights": "random", "size": 100}, r"cannot take images of shape \(3, 100, 100\)"),
        ({"model": "resnet18", "weights": "random", "device": "warp"}, "device 'warp' cannot be used"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_nearest(options, says):
    with pytest.raises(UsageError, match=says):
        named(**options)


def test_without_a_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(RunError, match=r"weights IMAGENET1K_V1 of torchvision/resnet18 .*HF_HUB_OFFLINE.*weights=FILE"):
        named("resnet18", weights="IMAGENET1K_V1")
    assert time.monotonic() - began < 60, "it must not try for minutes"


def test_a_cached_file_that_holds_code_is_not_run(tmp_path, monkeypatch):
    """Published weights are read by torchvision itself, which would unpickle whatever the cache holds."""

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(Bomb(), folder / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    with pytest.raises(MaiaError, match="cannot be had"):
        named("resnet18")
    assert not (tmp_path / "exploded").exists()


def test_published_weights_are_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(models.resnet18().state_dict(), folder / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2])
    assert named("resnet18").unit("prob:tabby").info.ref == "torchvision/resnet18:prob:tabby"


@pytest.mark.parametrize(
    "name",
    [
        "googlenet",
        pytest.param("inception_v3", marks=pytest.mark.slow),
        "regnet_x_400mf",
        "deeplabv3_mobilenet_v3_large",
        "fasterrcnn_mobilenet_v3_large_320_fpn",
    ],
)
def test_published_weights_from_a_file_are_the_model_that_their_name_is(name, tmp_path, monkeypatch):
    """With auxiliary heads, scaled inputs, frozen statistics without counts, as torchvision publishes them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    kind = zoo._package(name)
    options = {"aux_loss": True} if kind == zoo.SEGMENTATION else {}
    options |= {"weights_backbone": None} if kind != zoo.CLASSIFICATION else {}
    options |= {"init_weights": False} if name in zoo.INCEPTIONS else {}
    torch.manual_seed(1)
    weights = models.get_model(name, weights=None, **options).state_dict()
    if kind == zoo.DETECTION:
        weights = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    file = folder / models.get_model_weights(name).DEFAULT.url.rpartition("/")[2]
    torch.save(weights, file)
    size = 320 if kind == zoo.DETECTION else 96
    by_name, by_file = named(name, size=size), named(name, size=size, weights=str(file))
    assert [layer.name for layer in by_file.layers()] == [layer.name for layer in by_name.layers()]
    image = Image.from_pixels(np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8))
    for layer in (by_name.layers()[0].name, by_name.layers()[-1].name):
        np.testing.assert_allclose(
            by_file.activations([image], layer), by_name.activations([image], layer), rtol=1e-4, atol=1e-5
        )


def test_detector_of_ones_own_gives_its_backbone(tmp_path):
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    own = models.get_model(name, weights=None, weights_backbone=None, num_classes=3)
    torch.save(own.state_dict(), tmp_path / "own.pth")
    module = zoo.build(name, str(tmp_path / "own.pth"), None, None).module
    for key, value in own.backbone.state_dict().items():
        assert torch.equal(module.state_dict()[key], value), key
    torch.save(models.resnet18().state_dict(), tmp_path / "other.pth")
    with pytest.raises(UsageError, match="not this network's: they lack"):
        zoo.build(name, str(tmp_path / "other.pth"), None, None)


@pytest.mark.slow
def test_every_model_can_be_read_from_a_file(monkeypatch):
    """Nothing is loaded: what is tested is that names and shapes are known, and how many outputs they have."""
    monkeypatch.setattr(zoo, "load_weights", lambda module, path, inside="": "")
    monkeypatch.setattr(zoo, "_random", lambda name, outputs, **options: outputs)
    largest = [name for name in zoo.names() if name.startswith("regnet_y") and name.endswith(("16gf", "32gf", "128gf"))]
    for name in sorted({*zoo.names()} - {*largest}):
        if (kind := zoo._package(name)) != zoo.DETECTION:
            weights = zoo._without_values(name).state_dict()
            monkeypatch.setattr(zoo, "read_weights", lambda path, names, found=weights: Weights(found, ""))
            assert zoo._from_file(name, "any.pth", None)[0] == (1000 if kind == zoo.CLASSIFICATION else 21), name


def test_models_lists_those_of_single_images_without_building_one():
    offered = TorchvisionModel.models()
    assert {"resnet152", "convnext_tiny", "fcn_resnet50", "ssd300_vgg16"} <= set(offered)
    assert not {name for name in offered if name.startswith(("raft", "quantized", "r3d"))}


def test_importing_the_package_imports_no_torch():
    import subprocess

    code = "import sys, maia_torchvision; sys.exit('torch' in sys.modules)"
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
    words = {"good": "layer1", "name": "torchvision/resnet18", "counted": "layer1.0.conv1", "units": 64}
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("fetched"))
    config = TorchvisionModel.Config(model="resnet18")
    if not says:
        TorchvisionModel.check_unit(config, ref.format(**words))
        return
    with pytest.raises(UsageError, match=says.format(**words)):
        TorchvisionModel.check_unit(config, ref.format(**words))
