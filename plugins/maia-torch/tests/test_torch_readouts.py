"""Directions and latents of sparse autoencoders are units like any other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_exemplars import BruteForce
from maia_torch import Encoder, TorchModel

UNITS, LATENTS = 5, 7


@pytest.fixture
def weights():
    noise = np.random.default_rng(0)
    return {
        "W_enc": noise.normal(size=(UNITS, LATENTS)).astype(np.float32),
        "b_enc": noise.normal(size=LATENTS).astype(np.float32),
        "b_dec": noise.normal(size=UNITS).astype(np.float32),
    }


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Saves tensors as sae.safetensors in the working directory, with metadata."""
    monkeypatch.chdir(tmp_path)

    def save(tensors, **metadata):
        save_file({k: torch.as_tensor(v).contiguous() for k, v in tensors.items()}, "sae.safetensors", metadata)
        return "sae.safetensors"

    return save


def maps(model, images):
    """All of layer mix, float64 of shape (images, units, rows, columns)."""
    layer = model.layer("mix")
    parts = [
        model.engine.read(pixels, {layer: lambda values: [values]})[layer][0] for _, pixels in model.batches(images)
    ]
    return np.concatenate(parts).astype(np.float64)


def test_a_direction_is_an_inner_product_at_each_place(model, images):
    vector = np.arange(UNITS, dtype=np.float32) - 2
    unit = model.direction("mix", vector, "sweet")
    activations, masked = unit.neuron(images)
    expected = np.einsum("u,nuhw->nhw", vector, maps(model, images))
    assert activations == pytest.approx(expected.max((1, 2)), abs=1e-4)
    assert unit.info.ref == "net:mix:direction=sweet"
    assert model.unit("mix:direction=sweet").neuron(images)[0] == activations
    assert "inner product" in unit.info.note
    assert masked[0].mask() is not None


def test_a_direction_is_read_from_a_file_by_row_and_the_reference_leads_back(model, images, saved):
    vectors = np.random.default_rng(1).normal(size=(3, UNITS)).astype(np.float32)
    np.save("three.npy", vectors)
    np.save("one.npy", vectors[1])
    saved({"a": vectors, "b": vectors[:1]})
    expected = model.direction("mix", vectors[1], "x").neuron(images)[0]
    for ref in ("three.npy:1", "one.npy", "one.npy:0", "sae.safetensors#a:1"):
        unit = model.unit(f"mix:direction={ref}")
        assert unit.neuron(images)[0] == pytest.approx(expected)
        assert unit.info.layer == "mix"
        assert model.unit(unit.info.ref.removeprefix("net:")).info == unit.info
    assert model.activations(images, "mix:direction=three.npy")[:, 1] == pytest.approx(expected)


@pytest.mark.parametrize("activation", ["relu", "topk", "jumprelu"])
def test_latents_follow_the_published_formulas(model, images, saved, weights, activation):
    metadata = {"architecture": activation, "k": "2", "apply_b_dec_to_input": "true"}
    threshold = np.linspace(0, 2, LATENTS, dtype=np.float32)
    file = saved(weights | ({"threshold": threshold} if activation == "jumprelu" else {}), **metadata)
    x = np.moveaxis(maps(model, images), 1, -1)
    z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    if activation == "relu":
        expected = z.clip(min=0)
    elif activation == "topk":
        expected = np.where(z >= np.sort(z, -1)[..., -2:-1], z.clip(min=0), 0)
    else:
        expected = np.where(z > threshold, z, 0)
    found = model.activations(images, f"mix:sae={file}")
    np.testing.assert_allclose(found, expected.max((1, 2)), atol=1e-4)
    for latent in range(LATENTS):
        unit = model.unit(f"mix:sae={file}:{latent}")
        assert unit.neuron(images)[0] == pytest.approx(found[:, latent], abs=1e-5)
    assert unit.info.ref == f"net:mix:sae={file}:{LATENTS - 1}"


def test_weights_are_read_however_they_were_saved(model, images, saved, weights, tmp_path):
    expected = model.activations(images, f"mix:sae={saved(weights)}")
    other = {
        "encoder.weight": weights["W_enc"].T,
        "encoder.bias": weights["b_enc"],
        "decoder.bias": weights["b_dec"],
    }
    again = TorchModel(model.engine._module, model.preprocess, "again")
    np.testing.assert_allclose(
        again.activations(images, f"mix:sae={saved(other, apply_b_dec_to_input='1')}"), expected, atol=1e-5
    )
    (tmp_path / "cfg.json").write_text(
        json.dumps({"architecture": "standard", "apply_b_dec_to_input": False}), "utf-8-sig"
    )
    not_centred = TorchModel(model.engine._module, model.preprocess, "again")
    assert abs(not_centred.activations(images, f"mix:sae={saved(weights)}") - expected).max() > 0.1


def sae_reference(weights, x, **settings):
    """The latents that SAELens and dictionary_learning compute, float64, at each vector of x."""
    if settings.get("normalize_activations") == "layer_norm":
        x = x - x.mean(-1, keepdims=True)
        x = x / (x.std(-1, ddof=1, keepdims=True) + 1e-5)
    if settings.get("normalize_activations") == "constant_norm_rescale":
        x = x * np.sqrt(x.shape[-1]) / np.linalg.norm(x, axis=-1, keepdims=True)
    z = (x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
    if settings.get("rescale_acts_by_decoder_norm"):
        z = z * np.linalg.norm(weights["W_dec"], axis=1)
    if k := settings.get("k") or settings.get("activation_fn_kwargs", {}).get("k"):
        return np.where(z >= np.sort(z, -1)[..., -k][..., None], z.clip(min=0), 0)
    return z.clip(min=0)


@pytest.mark.parametrize("byte_order_mark", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["cfg.json", "config.json"])
def test_settings_beside_are_read_in_any_encoding(model, images, saved, weights, tmp_path, name, byte_order_mark):
    file = saved(weights)
    (tmp_path / name).write_text(json.dumps({"architecture": "topk", "k": 2}), encoding=byte_order_mark)
    expected = sae_reference(weights, np.moveaxis(maps(model, images), 1, -1), k=2).max((1, 2))
    np.testing.assert_allclose(model.activations(images, f"mix:sae={file}"), expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "standard", "normalize_activations": "layer_norm"},
        {"architecture": "standard", "normalize_activations": "constant_norm_rescale", "reshape_activations": "none"},
        {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}},
        {"activation_fn": "relu", "activation_fn_kwargs": {}, "normalize_activations": False, "l1_coefficient": 5},
        {"architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True, "metadata": {"hook_name": "x"}},
        {"trainer": {"dict_class": "AutoEncoderTopK", "k": 3, "lr": 0.1, "layer": 2}, "buffer": {"d_submodule": 5}},
    ],
)
def test_settings_that_change_the_latents_are_honoured(model, images, saved, weights, tmp_path, settings):
    weights["W_dec"] = np.random.default_rng(3).normal(size=(LATENTS, UNITS)).astype(np.float32)
    file = saved(weights)
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    x = np.moveaxis(maps(model, images), 1, -1)
    expected = sae_reference(weights, x, **settings.get("trainer", settings)).max((1, 2))
    np.testing.assert_allclose(model.activations(images, f"mix:sae={file}"), expected, atol=1e-4)
    assert model.unit(f"mix:sae={file}:2").neuron(images)[0] == pytest.approx(expected[:, 2], abs=1e-4)


def test_files_of_dictionary_learning_are_read_as_it_computes_them(model, images, saved, weights):
    x = np.moveaxis(maps(model, images), 1, -1)

    def found(tensors, **metadata):
        fresh = TorchModel(model.engine._module, model.preprocess, "net")  # a model reads a file once
        return fresh.activations(images, f"mix:sae={saved(tensors, **metadata)}")  # a warning would be an error

    linear = {"encoder.weight": weights["W_enc"].T, "encoder.bias": weights["b_enc"]}
    linear["decoder.weight"] = np.ones((UNITS, LATENTS), np.float32)
    tensors = linear | {"bias": weights["b_dec"]}  # AutoEncoder
    expected = sae_reference(weights, x).max((1, 2))
    np.testing.assert_allclose(found(tensors, dict_class="AutoEncoder"), expected, atol=1e-4)
    off = {"k": np.array(3), "threshold": np.array(-1, np.float32)}
    tensors = linear | {"b_dec": weights["b_dec"]} | off  # AutoEncoderTopK
    expected = sae_reference(weights, x, k=3).max((1, 2))
    np.testing.assert_allclose(found(tensors, apply_b_dec_to_input="True"), expected, atol=1e-4)
    np.testing.assert_allclose(found(tensors, dict_class="AutoEncoderTopK"), expected, atol=1e-4)
    tensors["threshold"] = np.array(0.7, np.float32)  # trained; `encode` does not use it
    np.testing.assert_allclose(found(tensors, dict_class="AutoEncoderTopK"), expected, atol=1e-4)
    # BatchTopKSAE, if its configuration says so
    with pytest.raises(UsageError, match="one threshold for all latents: state its architecture"):
        found(tensors)
    z = ((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]).clip(min=0)
    expected = np.where(z > np.float32(0.7), z, 0).max((1, 2))
    np.testing.assert_allclose(found(tensors, dict_class="BatchTopKSAE"), expected, atol=1e-4)


def test_a_file_that_does_not_say_how_its_bias_is_used_warns(model, saved, weights):
    model.layer(f"mix:sae={saved(weights)}")
    assert model.context.warnings[-1].startswith("net:mix:sae=sae.safetensors: the file has no settings; ")
    assert "; the file does not say whether" in model.context.warnings[-1]
    count = len(model.context.warnings)
    model.layer(f"mix:sae={saved(weights, architecture='standard')}")
    assert len(model.context.warnings) == count


@pytest.mark.parametrize(
    ("settings", "tensors", "says"),
    [
        ({"normalize_activations": "expected_average_only_in"}, {}, "normalize_activations to 'expected_average_only"),
        ({"normalize_activations": True}, {}, "normalize_activations to True"),
        ({"reshape_activations": "hook_z"}, {}, "reshape_activations to 'hook_z'"),
        ({"activation_fn_str": "leaky_relu"}, {}, "activation_fn_str to 'leaky_relu'; MAIA supports relu, topk, tanh"),
        ({"architecture": "jumprelu", "activation_fn": "topk", "k": 2}, {}, "contradicts itself"),
        ({"apply_b_dec_to_input": "perhaps"}, {}, "'perhaps', which is neither true nor false"),
        ({"architecture": "topk", "k": 2.5}, {}, "k is not one whole number, but 2.5"),
        ({"architecture": "topk", "k": 2, "activation_fn_kwargs": {"k": 3}}, {}, "k is not one whole number, but 2, 3"),
        ({"architecture": "topk", "k": 2, "activation_fn_kwargs": {"ties": 1}}, {}, "activation_fn_kwargs to"),
        ({"rescale_acts_by_decoder_norm": True}, {}, "needs W_dec"),
        ({"cls_token_only": True}, {}, "mix has no tokens, so that it has no token=class"),
        ({"hook_point_head_index": 3}, {}, "hook_point_head_index, which MAIA does not support"),
        ({"is_transcoder": True}, {}, "is_transcoder, which MAIA does not support"),
        ({"d_in": 6}, {}, "sets d_in to 6, but the weights have 5 units"),
        ({"d_sae": 8}, {}, "sets d_sae to 8, but the weights have 7 latents"),
        ({"architecture": "gated"}, {}, "it lacks a tensor of a gated autoencoder: b_gate"),
        ({"architecture": "standard"}, {"b_gate": LATENTS}, "holds a tensor b_gate, but its architecture is not gated"),
        ({}, {"b_mag": LATENTS}, "it holds a tensor b_mag, but no b_gate"),
        ({"schema": 5, "cfg": {}}, {}, "sets cfg, schema, which MAIA does not know"),
        ({"input_scale": 2}, {}, "sets input_scale, which MAIA does not know"),
        ({}, {"b_skip": LATENTS}, "it holds a tensor b_skip, which MAIA does not know"),
        ({}, {"encoder.bias": LATENTS}, "several of b_enc, encoder.bias"),
        (
            {"architecture": "standard"},
            {"threshold": LATENTS},
            "a threshold for each latent, but the activation is relu",
        ),
    ],
)
def test_settings_and_tensors_that_are_not_understood_are_refused_by_name(
    model, saved, weights, tmp_path, settings, tensors, says
):
    file = saved(weights | {name: np.ones(size, np.float32) for name, size in tensors.items()})
    (tmp_path / "cfg.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=says):
        model.layer(f"mix:sae={file}")


DEEP = "[" * 10**5
ONE = np.ones(1, np.float32)


@pytest.mark.parametrize(
    ("settings", "tensors", "says"),
    [
        (
            {"architecture": "jumprelu"},
            {"threshold": np.ones(4)},
            r"threshold has the shape \(4,\) instead of \(7,\) or",
        ),
        ({"architecture": "jumprelu"}, {"threshold": np.ones((LATENTS, 1))}, r"threshold has the shape \(7, 1\)"),
        ({}, {"b_enc": np.ones(4)}, r"b_enc has the shape \(4,\) instead of \(7,\)"),
        ({"rescale_acts_by_decoder_norm": True}, {"b_enc": np.ones(4)}, r"b_enc has the shape \(4,\)"),
        ({}, {"b_enc": None, "encoder.bias": ONE}, r"encoder.bias has the shape \(1,\)"),
        ({}, {"b_dec": None, "pre_bias": np.ones((1, UNITS))}, r"pre_bias has the shape \(1, 5\) instead of \(5,\)"),
        (
            {"rescale_acts_by_decoder_norm": True},
            {"W_dec": np.ones((LATENTS, 2))},
            r"needs W_dec of the shape \(7, 5\)",
        ),
        ({"rescale_acts_by_decoder_norm": True}, {"W_dec": ONE[0]}, r"needs W_dec of the shape \(7, 5\)"),
        ({}, {"W_enc": ONE}, r"was made for another layer: its W_enc is \(1,\)"),
        ({}, {"k": np.array([2, 3])}, r"k has the shape \(2,\) instead of \(\)"),
        ({}, {"k": np.array(2.5)}, "k is not one whole number, but 2.5"),
        ({}, {"k": np.array(-2)}, "topk keeps 1 to 7 latents, not -2"),
        ({"k": [4]}, {}, r"k is not one whole number, but \[4\]"),
        ({"k": [[[[[[[[4]]]]]]]]}, {}, "k is not one whole number"),
        ({"k": {"a": [4]}}, {}, r"k is not one whole number, but \{'a': \[4\]\}"),
        ({"k": float("nan")}, {}, "k is not one whole number, but nan"),
        ({"k": float("-inf")}, {}, "k is not one whole number, but -inf"),
        ({"k": True}, {}, "k is not one whole number, but True"),
        ({"k": "four"}, {}, "k is not one whole number, but 'four'"),
        ({"k": "NaN"}, {}, "k is not one whole number, but nan"),
        ({"k": 10**30}, {}, "topk keeps 1 to 7 latents, not 10{30}: state k"),
        ({"k": -1}, {}, "topk keeps 1 to 7 latents, not -1"),
        ({"k": 2, "activation_fn_kwargs": {"k": [2]}}, {}, r"k is not one whole number, but 2, \[2\]"),
        ({"k": 2, "activation_fn_kwargs": []}, {}, r"activation_fn_kwargs to \[\]; MAIA supports k"),
        ({"k": 2, "activation_fn_kwargs": DEEP}, {}, "activation_fn_kwargs to '"),
        ({"architecture": ["topk"]}, {}, r"architecture to \['topk'\]"),
        ({"dict_class": {"topk": 1}}, {}, "dict_class to {'topk': 1}"),
        ({"normalize_activations": [["none"]]}, {}, "normalize_activations to"),
        ({"apply_b_dec_to_input": [True]}, {}, r"apply_b_dec_to_input to \[True\]"),
        ({"two\nlines": 1, "\ud800": 1}, {}, r"sets 'two\\nlines', '\\ud800', which MAIA does not know"),
        ({}, {"two\nlines": ONE}, r"holds a tensor 'two\\nlines', which MAIA does not know"),
        ({}, {"W_enc": np.full((UNITS, LATENTS), 1e30), "b_dec": np.full(UNITS, 1e30)}, "too large for float32"),
        ({"trainer": [{"k": 2}]}, {}, "sets trainer, which MAIA does not know"),
        ([{"k": 2}], {}, "holds a list instead of settings"),
        (DEEP, {}, "cannot be read as JSON"),
        ("{", {}, "cannot be read as JSON"),
        ({}, {"b_enc": np.ones(0)}, "b_enc of sae.safetensors holds no numbers"),
        ({}, {"W_enc": np.ones((UNITS, 0))}, "W_enc of sae.safetensors holds no numbers"),
        ({}, {"b_enc": np.ones(LATENTS, bool)}, "b_enc of sae.safetensors holds no numbers, but bool"),
        ({}, {"b_enc": np.full(LATENTS, 1e300)}, "b_enc of sae.safetensors holds values that are not finite"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_malformed_values_are_refused_in_one_line_that_names_them(
    model, saved, weights, tmp_path, settings, tensors, says
):
    given = {"W_dec": np.ones((LATENTS, UNITS)), **weights, **tensors}
    file = saved({name: value for name, value in given.items() if value is not None})
    if isinstance(settings, dict) and settings.keys() & {"k"}:
        settings = {"architecture": "topk"} | settings
    (tmp_path / "cfg.json").write_text(settings if isinstance(settings, str) else json.dumps(settings))
    with pytest.raises(UsageError, match=says) as refused:
        model.layer(f"mix:sae={file}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("k", [3, 3.0, "3", np.array([3])])
def test_numbers_of_any_type_are_read(model, images, saved, weights, tmp_path, dtype, k):
    rounded = {name: torch.as_tensor(3 * value).to(dtype) for name, value in weights.items()}
    file = saved(rounded | ({"k": k} if isinstance(k, np.ndarray) else {}))
    number = {} if isinstance(k, np.ndarray) else {"k": k}
    (tmp_path / "cfg.json").write_text(json.dumps({"architecture": "topk", **number}))
    exact = {name: value.double().numpy() for name, value in rounded.items()}
    expected = sae_reference(exact, np.moveaxis(maps(model, images), 1, -1), k=3).max((1, 2))
    np.testing.assert_allclose(model.activations(images, f"mix:sae={file}"), expected, atol=1e-3)


def test_a_module_or_weights_in_memory_serve_as_well(model, images, weights, saved):
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(UNITS, LATENTS)
            with torch.no_grad():
                self.encoder.weight.copy_(torch.from_numpy(weights["W_enc"].T))
                self.encoder.bias.copy_(torch.from_numpy(weights["b_enc"]))

        def encode(self, x):
            return torch.relu(self.encoder(x)), "and something else"

    layer = model.latents("mix", Autoencoder(), "mine")
    encoder = Encoder(weights["W_enc"].T.copy(), weights["b_enc"], np.zeros(UNITS, np.float32))
    given = model.latents("mix", encoder, "given")
    assert layer.name == "mix:sae=mine"
    np.testing.assert_allclose(model.activations(images, layer.name), model.activations(images, given.name), atol=1e-5)
    assert model.unit("mix:sae=mine:3").neuron(images)[0] == pytest.approx(model.activations(images, given.name)[:, 3])


def test_latents_have_exemplars_and_a_cache_of_their_own(model, net, preprocess, folder, images, saved, weights):
    unit = model.unit(f"mix:sae={saved(weights)}:1")
    ours, statistics = unit.exemplar_source(folder).exemplars(unit, 5)
    brute, _ = BruteForce(folder).exemplars(unit, 5)
    assert [e.image.id for e in ours] == [e.image.id for e in brute]
    assert statistics.threshold is not None
    cache = Context(parts={"dataset": folder}, cache=model.context.cache)
    saved(weights | {"b_enc": weights["b_enc"] + 1})  # another autoencoder under the same name
    other = TorchModel(net, preprocess, "net", context=cache).unit("mix:sae=sae.safetensors:1")
    assert other.statistics.mean > statistics.mean + 0.5


def test_very_many_latents_are_computed_some_images_at_a_time(model, images, weights, monkeypatch):
    encoder = Encoder(weights["W_enc"].T.copy(), weights["b_enc"], weights["b_dec"])
    whole = model.activations(images, model.latents("mix", encoder, "a").name)
    pixels = next(pixels for _, pixels in model.batches(images))
    positions = {model.latents("mix", encoder, "a"): np.tile(np.arange(16)[:, None], 3)}
    expected = model.engine.maxima_of(pixels, list(positions), where=True, values=positions)
    monkeypatch.setattr("maia_torch.takes.MAX_READOUT_VALUES", 3 * LATENTS * 64)
    np.testing.assert_allclose(model.activations(images, "mix:sae=a"), whole, atol=1e-6)
    found = model.engine.maxima_of(pixels, list(positions), where=True, values=positions)
    for one, other in zip(found.values(), expected.values(), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=1e-6)
        np.testing.assert_array_equal(one.where, other.where)


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("mix:direction=none.npy", "there is no file none.npy"),
        ("mix:direction=three.npy", r"Write mix:direction=three.npy:0 to mix:direction=three.npy:2"),
        ("mix:direction=three.npy:3", "it has units 0 to 2"),
        ("mix:direction=three.npy:-1", "it has units 0 to 2"),
        ("fc:direction=three.npy:0", "the layer needs vectors of 4 numbers"),
        ("mix:direction=pickle.npy:0", "is not a .npy file of numbers"),
        ("mix:direction=text.npy:0", "is not a .npy file of numbers"),
        ("mix:direction=zip.npy:0", "is not a .npy file of numbers"),
        ("mix:direction=lying.npy:0", "is not a .npy file of numbers"),
        ("mix:direction=sae.safetensors:0", "which tensor of sae.safetensors.*W_enc, b_dec"),
        ("mix:direction=three.txt:0", "neither a .npy nor a .safetensors file"),
        ("mix:direction=nan.npy", "values that are not finite"),
        ("mix:sae=sae.safetensors", "which unit of layer mix:sae=sae.safetensors"),
        ("mix:sae=sae.safetensors:7", "it has units 0 to 6"),
        ("fc:sae=sae.safetensors:0", "was made for another layer"),
        (
            "mix:sae=broken.safetensors:0",
            "broken.safetensors is not a safetensors file, nor one of torch, nor a pickle",
        ),
        ("mix:sae=three.npy:0", "is not a safetensors file, nor one of torch, nor a pickle"),
        ("mix:probe=three.npy:0", "after a layer comes a number, direction=FILE or sae=FILE:NUMBER"),
        ("mixx:sae=sae.safetensors:0", "no layer 'mixx' in net; nearest: mix"),
    ],
)
def test_what_cannot_be_read_says_why(model, saved, weights, ref, says):
    saved(weights)
    np.save("three.npy", np.zeros((3, UNITS), np.float32))
    np.save("pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save("nan.npy", np.full(UNITS, np.nan))
    with open("zip.npy", "wb") as archive:
        np.savez(archive, a=np.zeros(UNITS))
    with open("lying.npy", "wb") as file:  # Its header names 4 PB.
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**15,)}
        np.lib.format.write_array_header_1_0(file, header)
    for name in ("text.npy", "broken.safetensors"):
        with open(name, "w") as file:
            file.write("no numbers")
    with pytest.raises(UsageError, match=says):
        model.unit(ref)


def test_encoders_that_do_not_fit_are_refused(model, weights, saved):
    enc, bias, centre = weights["W_enc"].T.copy(), weights["b_enc"], weights["b_dec"]
    with pytest.raises(UsageError, match="takes 5 units, but fc has 4"):
        model.latents("fc", Encoder(enc, bias, centre), "x")
    with pytest.raises(UsageError, match="cannot take vectors of 4 units"):
        model.latents("fc", nn.Linear(5, 3), "x")
    with pytest.raises(UsageError, match="topk keeps 1 to 7 latents, not 0"):
        Encoder(enc, bias, centre, "topk")
    with pytest.raises(UsageError, match=r"b_enc of the sparse autoencoder has the shape \(5,\)"):
        Encoder(enc, centre, centre)
    with pytest.raises(UsageError, match="not the shape"):
        model.direction("mix", [1, 2], "x")
    with pytest.raises(
        UsageError,
        match=r"sae.safetensors cannot be read: its metadata sets architecture to 'temporal'; MAIA supports standard",
    ):
        model.unit(f"mix:sae={saved(weights, architecture='temporal')}:0")
