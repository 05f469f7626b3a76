"""Autoencoders that are attached to layers: the layer that a file names, the check of the fit, tokens, idle latents."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_torch import Preprocessing, TorchModel

SIZE, PATCH, UNITS = 32, 8, 12
TOKENS = (SIZE // PATCH) ** 2


class Vit(nn.Module):
    """A class token, then 16 patches; the blocks mix all tokens."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, UNITS, PATCH, stride=PATCH)
        self.cls = nn.Parameter(torch.randn(1, 1, UNITS))
        self.embedded = nn.Dropout()
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(UNITS, 2, 24, 0, batch_first=True) for _ in range(3))
        self.head = nn.Linear(UNITS, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = self.embedded(torch.cat([self.cls.expand(len(x), -1, -1), x], 1))
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0])


@pytest.fixture
def vit(context):
    return TorchModel(Vit(), Preprocessing(SIZE, mean=(0, 0, 0), std=(1, 1, 1)), "vit", context=context)


def tokens(model, images, block=1):
    """The output of a block, float32 of shape (images, 1 + patches, units)."""
    seen = []
    handle = model.engine.module.blocks[block].register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.inference_mode():
        for _, pixels in model.batches(images):
            model.engine.module(model.engine.input(pixels))
    handle.remove()
    return torch.cat(seen).numpy()


def written(name, inputs=UNITS, latents=None, centred=True, **settings):
    """Saves an autoencoder that restores everything: each unit has a latent for both of its signs."""
    rows = np.eye(inputs, dtype=np.float32)
    encoder = np.concatenate([rows, -rows])[:latents]
    centre = np.full(inputs, 0.25, np.float32) if centred else np.zeros(inputs, np.float32)
    tensors = {"W_enc": encoder.T, "W_dec": encoder, "b_enc": np.zeros(len(encoder), np.float32), "b_dec": centre}
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, name)
    if settings:
        with open("cfg.json", "w") as file:
            json.dump({"architecture": "standard", **settings}, file)
    return name


@pytest.fixture(autouse=True)
def folder_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_unit_of_the_class_token_has_no_map_and_says_so(vit, images):
    values = tokens(vit, images)
    unit = vit.unit("blocks.1:token=class:3")
    activations, masked = unit.neuron(images)
    np.testing.assert_allclose(activations, values[:, 0, 3], atol=1e-5)
    assert not unit.info.has_map
    assert "read at the class token; it has no map" in unit.info.note
    assert masked == list(images)
    assert unit.info.ref == "vit:blocks.1:token=class:3"
    assert vit.unit("blocks.1:token=class:3").info == unit.info
    everything = vit.unit("blocks.1:token=all:3")
    np.testing.assert_allclose(everything.neuron(images)[0], values[:, :, 3].max(1), atol=1e-5)
    assert not everything.info.has_map
    patches = vit.unit("blocks.1:token=patches:3")
    np.testing.assert_allclose(patches.neuron(images)[0], values[:, 1:, 3].max(1), atol=1e-5)
    assert patches.info.has_map
    assert len({vit.layer(f"blocks.1:token={token}").key for token in ("class", "all", "patches")}) == 3


def test_an_option_reads_all_layers_at_the_class_token(context, images):
    model = TorchModel(Vit(), Preprocessing(SIZE, mean=(0, 0, 0), std=(1, 1, 1)), "vit", context=context, token="class")
    np.testing.assert_allclose(model.activations(images, "blocks.1"), tokens(model, images)[:, 0], atol=1e-5)
    assert len(model.layer("patches").info.shape) == 3, "a layer without tokens stays as it is"


def test_tokens_that_a_layer_lacks_are_refused(vit, net, preprocess):
    with pytest.raises(UsageError, match="patches has no tokens"):
        vit.unit("patches:token=class:0")
    with pytest.raises(UsageError, match="a token is one of patches, class, all"):
        vit.unit("blocks.1:token=cls:0")
    with pytest.raises(UsageError, match="has no tokens"):
        TorchModel(net, preprocess, "net", token="class")


def test_an_autoencoder_of_class_tokens_reads_them(vit, images):
    settings = {"cls_token_only": True, "normalize_activations": "none", "layer_subtype": "hook_resid_post"}
    written("sae.safetensors", hook_point_layer=1, **settings)
    values = tokens(vit, images)[:, 0] - 0.25
    for ref in ("blocks.1:sae=sae.safetensors", "sae=sae.safetensors"):
        expected = np.concatenate([values, -values], 1).clip(min=0)
        np.testing.assert_allclose(vit.activations(images, ref), expected, atol=1e-5)
    assert not vit.unit("sae=sae.safetensors:3").info.has_map
    patches = vit.activations(images, "blocks.1:token=all:sae=sae.safetensors")
    assert abs(patches - expected).max() > 0.1, "a reference that names tokens has the last word"


def test_latents_over_all_tokens_are_those_of_each_token(vit, images):
    """The maximum over the tokens comes after the autoencoder, not before."""
    written("sae.safetensors", apply_b_dec_to_input=True)
    values = tokens(vit, images) - 0.25
    expected = np.concatenate([values, -values], 2).clip(min=0).max(1)
    found = vit.activations(images, "blocks.1:token=all:sae=sae.safetensors")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert vit.unit("blocks.1:token=all:sae=sae.safetensors:15").neuron(images)[0] == pytest.approx(expected[:, 15])


@pytest.mark.parametrize(
    ("settings", "layer"),
    [
        ({"hook_name": "blocks.2.hook_resid_post"}, "blocks.2"),
        ({"hook_name": "blocks.2.hook_resid_pre"}, "blocks.1"),
        ({"metadata": {"hook_name": "blocks.0.linear2"}}, "none"),
        ({"hook_name": "blocks.0.linear2"}, "blocks.0.linear2"),
        ({"trainer": {"layer": 1, "submodule_name": "resid_post_layer_1"}}, "blocks.1"),
        ({"hook_name": "blocks.7.hook_resid_post"}, "none"),
        ({"hook_name": "blocks.1.attn.hook_z"}, "none"),
        ({"apply_b_dec_to_input": True}, "none"),
    ],
)
def test_the_layer_is_found_in_the_file(vit, settings, layer):
    written("sae.safetensors", **settings)
    if settings.get("metadata"):
        layer = "blocks.0.linear2"
    if layer == "none":
        with pytest.raises(UsageError, match=r"layers with 12 units: .*blocks.1") as refused:
            vit.unit("sae=sae.safetensors:3")
        assert "\n" not in str(refused.value)
        return
    unit = vit.unit("sae=sae.safetensors:3")
    assert unit.info.ref == f"vit:{layer}:sae=sae.safetensors:3"
    assert vit.unit(f"{layer}:sae=sae.safetensors:3").info == unit.info


def test_another_layer_than_the_files_is_said_and_another_width_names_those_that_fit(vit):
    written("sae.safetensors", hook_name="blocks.2.hook_resid_post")
    vit.unit("blocks.1:sae=sae.safetensors:3")
    assert "the file says that it reads blocks.2.hook_resid_post, here blocks.2" in vit.context.warnings[0]
    written("wide.safetensors", inputs=24)
    with pytest.raises(UsageError, match=r"the layer has 12 units; layers with 24 units: blocks.0.linear1, blocks"):
        vit.unit("blocks.1:sae=wide.safetensors:3")
    with pytest.raises(UsageError, match=r"no layer 'blockz.1' in vit; nearest: blocks.1"):
        vit.unit("blockz.1:sae=sae.safetensors:3")


def test_a_fit_is_checked_before_a_run_and_only_a_bad_one_is_said(vit):
    written("good.safetensors", apply_b_dec_to_input=True)
    layer = vit.layer("blocks.1:sae=good.safetensors")
    fit = vit.autoencoders.fit(layer)
    assert fit.explained_variance == pytest.approx(1, abs=1e-6)
    assert fit.l0 == pytest.approx(UNITS, abs=0.01)
    assert fit.images == 38, "two of the 40 files cannot be read"
    assert fit.positions == 38 * TOKENS
    assert vit.context.warnings == []
    written("half.safetensors", latents=UNITS // 3)
    vit.layer("blocks.1:sae=half.safetensors")
    assert "of the layer's variance on 38 images, less than 50%" in vit.context.warnings[-1]


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        ({"explained_variance": 0.7, "l0": 12}, "restores 100% .* the file records 70%"),
        ({"explained_variance": 0.95, "l0": 3}, "12 latents are on at a position, but the file records 3"),
        ({"explained_variance": 0.95, "l0": 14}, None),
    ],
)
def test_figures_far_from_the_recorded_ones_are_said(vit, recorded, says):
    import re

    vit.layer("blocks.1:sae=" + written("sae.safetensors", apply_b_dec_to_input=True, **recorded))
    assert bool(vit.context.warnings) == bool(says)
    assert not says or re.search(says, vit.context.warnings[-1])


@pytest.mark.parametrize("centred", [True, False])
def test_the_fit_decides_the_centring_that_a_file_of_saev_does_not_state(vit, images, centred):
    rows = torch.eye(UNITS)
    encoder = torch.cat([rows, -rows])
    state = {"W_enc": encoder.T.contiguous(), "b_enc": torch.zeros(2 * UNITS)}
    # Decoding adds 3, so that only the right centring restores the layer.
    state |= {"W_dec": encoder, "b_dec": torch.full((UNITS,), 3.0)}
    if not centred:
        state["W_dec"], state["b_enc"] = encoder.clone(), -3 * encoder.sum(1)
    with open("sae.pt", "wb") as file:
        file.write(json.dumps({"d_vit": UNITS, "exp_factor": 2, "seed": 0}).encode() + b"\n")
        torch.save(state, file)
    found = vit.activations(images, "blocks.1:sae=sae.pt")
    patches = tokens(vit, images)[:, 1:] - 3
    np.testing.assert_allclose(found, np.concatenate([patches, -patches], 2).clip(min=0).max(1), atol=1e-4)
    does = "MAIA subtracts it" if centred else "MAIA does not subtract it"
    assert does in vit.context.warnings[-1]
    assert "and restores 100%" in vit.context.warnings[-1]


def test_dead_and_dense_latents_are_named(vit, images):
    rows = np.eye(UNITS, dtype=np.float32)
    bias = np.zeros(UNITS, np.float32)
    bias[2], bias[5] = -100, 100
    save_file({"W_enc": rows, "W_dec": rows, "b_enc": bias}, "sae.safetensors")
    idle = vit.idle_units("blocks.1:sae=sae.safetensors")
    assert idle[2] == "dead: off on all of 38 images"
    assert idle[5] == "dense: on at 100% of the positions of 38 images"
    on = (tokens(vit, images)[:, 1:] > 0).mean((0, 1))
    sparse = [unit for unit in range(UNITS) if 0 < on[unit] <= 0.5 and unit not in (2, 5)]
    assert sparse
    assert not set(sparse) & set(idle)
    vit.unit("blocks.1:sae=sae.safetensors:2")
    assert "sae.safetensors:2 is dead" in vit.context.warnings[-1]
    assert vit.unit("blocks.1:sae=sae.safetensors:0").idle == idle
    assert vit.idle_units("blocks.1") == vit.unit("blocks.1:0").idle == {}, "only latents are idle"


def test_the_fit_is_measured_once_for_a_data_set(vit, monkeypatch):
    written("sae.safetensors", apply_b_dec_to_input=True)
    first = vit.autoencoders.fit(vit.layer("blocks.1:sae=sae.safetensors"))
    again = TorchModel(
        Vit(), vit.preprocess, "vit", context=Context(parts={"dataset": vit.context.dataset}, cache=vit.context.cache)
    )
    monkeypatch.setattr(again, "batches", lambda images: pytest.fail("measured again"))
    second = again.autoencoders.fit(again.layer("blocks.1:sae=sae.safetensors"))
    assert second.explained_variance == first.explained_variance
    np.testing.assert_array_equal(second.frequency, first.frequency)
