"""The files of every library are read as the library computes them; see make_fixtures.py for what wrote them."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from maia_core.errors import UsageError
from maia_sae import read_autoencoder
from maia_sae.command import sae
from maia_sae.contents import ENDINGS
from maia_sae.convert import write_autoencoder
from maia_sae.encoder import Encoder, Latents

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = sorted(file.parent.name for file in FIXTURES.glob("*/latents.npy"))
X = torch.from_numpy(np.load(FIXTURES / "x.npy"))

LIBRARIES = {
    "saev": "saev",
    "prisma": "ViT-Prisma",
    "overcomplete": "overcomplete",
    "dictionary": "dictionary_learning",
}
LIBRARIES |= {"saelens": "SAELens", "saelens5": "SAELens"}


def weights(name: str) -> Path:
    """Returns the one file of weights of a fixture."""
    (file,) = [file for file in (FIXTURES / name).rglob("*") if file.suffix in ENDINGS]
    return file


def copied(name: str, to: Path) -> Path:
    """Copies a fixture's folder; returns its file of weights."""
    shutil.copytree(weights(name).parent, to, dirs_exist_ok=True)
    return to / weights(name).name


@pytest.mark.parametrize("name", NAMES)
def test_latents_are_those_of_the_library(name):
    autoencoder = read_autoencoder(str(weights(name)))
    expected = np.load(FIXTURES / name / "latents.npy")
    assert 0.02 < (expected != 0).mean() < 0.98, "a fixture that shows nothing"
    latents = autoencoder.readout()
    np.testing.assert_allclose(latents.all(X).numpy(), expected, atol=1e-5)
    for unit in (0, 7, 23):
        np.testing.assert_allclose(latents.one(X, unit).numpy(), expected[:, unit], atol=1e-5)
    as_map = X.T.reshape(1, 8, 8, 8)
    np.testing.assert_allclose(latents.all(as_map).flatten(2)[0].T.numpy(), expected, atol=1e-5)
    assert autoencoder.format == LIBRARIES[name.partition("-")[0]]


@pytest.mark.parametrize("name", NAMES)
def test_converting_keeps_the_latents_and_what_the_file_says(name, tmp_path):
    autoencoder = read_autoencoder(str(weights(name)))
    write_autoencoder(autoencoder, tmp_path / "one.safetensors")
    again = read_autoencoder(str(tmp_path / "one.safetensors"))
    np.testing.assert_allclose(again.readout().all(X).numpy(), np.load(FIXTURES / name / "latents.npy"), atol=1e-5)
    np.testing.assert_allclose(again.decoder, autoencoder.decoder)
    assert (again.format, again.home, again.encoder.label) == (
        autoencoder.format,
        autoencoder.home,
        autoencoder.encoder.label,
    )
    assert (again.other is None) == (autoencoder.other is None), "whether the centring is known"


def test_every_listed_format_has_fixtures():
    assert {name.partition("-")[0] for name in NAMES} == set(LIBRARIES)
    assert len(NAMES) >= 35


def test_what_a_file_says_about_its_layer():
    says = {name: read_autoencoder(str(weights(name))).home for name in NAMES}
    assert says["prisma-standard"].layer == "blocks.9.hook_resid_post"
    assert says["prisma-standard"].model.startswith("open-clip:laion/CLIP-ViT-B-32")
    assert (says["prisma-standard"].token, says["prisma-class"].token) == ("patches", "class")
    assert says["saelens-topk"].layer == says["saelens5-topk"].layer == "blocks.6.hook_resid_post"
    assert says["dictionary-AutoEncoder"].layer == "resid_post_layer_6"
    assert says["saev-schema5-topk"].layer == "layer_9"
    assert says["saev-schema2"].layer == ""


@pytest.mark.parametrize("name", ["saev-0.1.0", "saev-schema1-relu"])
def test_files_of_before_saev_stated_its_centring_say_so(name):
    autoencoder = read_autoencoder(str(weights(name)))
    assert "does not say whether the encoder subtracts" in autoencoder.assumed
    assert not autoencoder.other.centre.any()
    assert autoencoder.encoder.centre.any()


def test_a_folder_stands_for_its_one_file_of_weights(tmp_path):
    assert read_autoencoder(str(FIXTURES / "saelens-topk")).encoder.k == 5
    assert read_autoencoder(str(FIXTURES / "dictionary-AutoEncoderTopK" / "trainer_0")).encoder.k == 5
    with pytest.raises(UsageError, match=r"holds no file of weights .*name the file"):
        read_autoencoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds settings, not weights; name the file of weights"):
        read_autoencoder(str(tmp_path / "config.json"))


class Evil:
    """A pickle of it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("ending", ["pt", "pkl", "pkl.gz", "saev", "legacy"])
def test_a_pickle_that_would_run_code_is_refused_and_runs_nothing(tmp_path, ending):
    content = {"state_dict": {"W_enc": Evil(tmp_path / "ran")}}
    file = tmp_path / f"sae.{ending}"
    if ending in ("pt", "saev", "legacy"):
        with io.BytesIO() as data:
            torch.save(content, data, _use_new_zipfile_serialization=ending != "legacy")
            line = b'{"schema": 5, "cfg": {}}\n' if ending == "saev" else b""
            file.write_bytes(line + data.getvalue())
    else:
        data = pickle.dumps(content)
        file.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    with pytest.raises(
        UsageError, match=r"would run (posix|nt).mkdir when it is loaded, and MAIA does not run"
    ) as refused:
        read_autoencoder(str(file))
    assert "\n" not in str(refused.value)
    assert "weights_only=False" not in str(refused.value), "no command that runs it"
    assert not (tmp_path / "ran").exists()


def test_a_whole_module_is_refused_with_the_command_that_converts_it(tmp_path):
    file = FIXTURES / "overcomplete-whole" / "sae.pt"
    with pytest.raises(UsageError, match=r"holds a whole module .overcomplete.sae") as refused:
        read_autoencoder(str(file))
    command = str(refused.value).partition("python -c ")[2]
    assert command.startswith('"import torch; m = torch.load(')
    assert "'class': type(m).__name__" in command
    # The file that the command writes is read: the state dict of the same module, with what it lacks.
    state = torch.load(weights("overcomplete-TopKSAE"), weights_only=True)
    torch.save({"state_dict": state, "class": "TopKSAE", "top_k": 5}, tmp_path / "sae-state.pt")
    latents = read_autoencoder(str(tmp_path / "sae-state.pt")).readout().all(X)
    np.testing.assert_allclose(latents.numpy(), np.load(FIXTURES / "overcomplete-TopKSAE" / "latents.npy"), atol=1e-5)


@pytest.mark.parametrize("name", ["saev-schema5-topk", "prisma-gated", "prisma-gz", "saelens-topk", "prisma-pkl"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.97])
def test_a_file_that_is_cut_short_says_so(tmp_path, name, part):
    file = copied(name, tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UsageError, match=r"is empty|cannot be read as JSON|.*copy or fetch it again") as refused:
        read_autoencoder(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("prisma-topk", "holds tensors without settings, and no config.json"),
        ("saelens-topk", "holds tensors without settings, .*SAELens names it cfg.json"),
        ("overcomplete-TopKSAE", "is of overcomplete and does not say which class.*top_k"),
        ("dictionary-BatchTopKSAE", "one threshold for all latents: state its architecture"),
    ],
)
def test_a_missing_config_is_named(tmp_path, name, says):
    file = copied(name, tmp_path)
    for beside in ("config.json", "cfg.json"):
        (tmp_path / beside).unlink(missing_ok=True)
    with pytest.raises(UsageError, match=says):
        read_autoencoder(str(file))


def changed(file: Path, **changes: object) -> None:
    """Changes the settings beside a file, or in the first line of it."""
    beside = file.with_name("cfg.json") if file.with_name("cfg.json").is_file() else file.with_name("config.json")
    if beside.is_file():
        beside.write_text(json.dumps(json.loads(beside.read_text()) | changes))
        return
    line, _, rest = file.read_bytes().partition(b"\n")
    header = json.loads(line)
    header["cfg"] |= changes
    file.write_bytes(json.dumps(header).encode() + b"\n" + rest)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("saev-schema5-topk", {"input_scale": 2}, "sets input_scale, which MAIA does not know"),
        ("saev-schema5-topk", {"activation": {"cls": "JumpReLU", "params": {}}}, "activation .*MAIA reads Relu, TopK"),
        ("saev-schema5-topk", {"activation": {"cls": "TopK", "params": {"top_k": 5, "x": 1}}}, "activation .* sets x"),
        ("saev-schema5-topk", {"d_sae": 25}, "sets d_sae to 25, but the weights have 24 latents"),
        ("saev-schema2", {"exp_factor": 4}, "sets d_sae to 32, but the weights have 24 latents"),
        ("prisma-standard", {"is_transcoder": True}, "is_transcoder, which MAIA does not support"),
        ("prisma-standard", {"hook_point_head_index": 2}, "hook_point_head_index, which MAIA does not support"),
        ("prisma-standard", {"activation_fn_str": "leaky_relu"}, "activation_fn_str to 'leaky_relu'"),
        ("prisma-standard", {"normalize_activations": "whiten"}, "normalize_activations to 'whiten'"),
        ("prisma-standard", {"standardise": 1}, "sets standardise, which MAIA does not know"),
        ("prisma-standard", {"gated_sae": True}, "lacks a tensor of a gated autoencoder"),
        (
            "saelens-topk",
            {"metadata": {"hook_head_index": 0}},
            "sets metadata.hook_head_index, which MAIA does not sup",
        ),
        ("saelens-topk", {"metadata": {"seqpos_slice": [1, None]}}, "sets metadata.seqpos_slice, which MAIA does not"),
        ("saelens5-topk", {"seqpos_slice": [0, 1]}, "sets seqpos_slice, which MAIA does not support"),
        ("dictionary-AutoEncoder", {"buffer": {"io": "in"}}, "sets buffer.io to 'in'; MAIA supports out"),
        ("dictionary-AutoEncoder", {"buffer": {"io": "out", "normalize": True}}, "sets buffer.normalize, which MAIA"),
        ("prisma-gated", {"architecture": "standard"}, "holds a tensor b_gate, but its architecture is not gated"),
        ("saelens-topk", {"architecture": "temporal"}, "architecture to 'temporal'"),
        ("saelens-topk", {"normalize_activations": "covariance_whitening"}, "'covariance_whitening'"),
        ("saelens-topk", {"reshape_activations": "hook_z"}, "reshape_activations to 'hook_z'"),
        ("saelens-topk", {"k": 50}, "topk keeps 1 to 24 latents, not 50"),
        ("overcomplete-TopKSAE", {"class": "MpSAE"}, "class to 'MpSAE'; MAIA reads SAE"),
        ("overcomplete-TopKSAE", {"class": "JumpSAE"}, "the file has no thresholds"),
        ("overcomplete-TopKSAE", {"top_k": None}, "TopKSAE needs its top_k"),
        ("overcomplete-TopKSAE", {"dropout": 0.5}, "sets dropout, which MAIA does not know"),
        ("overcomplete-BatchTopKSAE", {"running_threshold": None}, "needs its running_threshold"),
    ],
)
def test_settings_that_are_not_understood_are_refused_by_name(tmp_path, name, changes, says):
    file = copied(name, tmp_path)
    changed(file, **changes)
    with pytest.raises(UsageError, match=says) as refused:
        read_autoencoder(str(file))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["saelens-topk", "saelens-standard"])
@pytest.mark.parametrize("lost", ["b_enc", "b_dec"])
def test_a_lost_bias_is_not_taken_for_zero(tmp_path, name, lost):
    file = copied(name, tmp_path)
    tensors = load_file(file)
    del tensors[lost]
    save_file(tensors, file)
    with pytest.raises(UsageError, match=f"lacks the tensor {lost} or"):
        read_autoencoder(str(file))


def test_weights_in_whole_numbers_are_refused(tmp_path):
    file = copied("saelens-topk", tmp_path)
    tensors = load_file(file)
    tensors["W_enc"] = (tensors["W_enc"] * 100).to(torch.int8)
    save_file(tensors, file)
    with pytest.raises(UsageError, match=r"W_enc of .* is a matrix of whole numbers .int8."):
        read_autoencoder(str(file))


def test_settings_that_say_nothing_are_not_refused(tmp_path):
    file = copied("saelens-topk", tmp_path)
    changed(file, metadata={"hook_name": "h", "hook_head_index": None, "seqpos_slice": [None, None]})
    assert read_autoencoder(str(file)).home.layer == "h"
    file = copied("dictionary-AutoEncoder", tmp_path / "other")
    changed(file, buffer={"io": "out", "normalize": False})
    assert read_autoencoder(str(file)).encoder.activation == "relu"


def test_nothing_beside_a_converted_file_counts(tmp_path):
    """It may lie in the folder of the file that it was made from, or of another one."""
    converted = tmp_path / "one.safetensors"
    write_autoencoder(read_autoencoder(str(weights("saelens-topk"))), converted)
    (tmp_path / "config.json").write_text('{"class": "SAE", "rescale_acts_by_decoder_norm": true, "metadata": {}}')
    (tmp_path / "eval_results.json").write_text('{"l0": 99.0}')
    again = read_autoencoder(str(converted))
    np.testing.assert_allclose(again.readout().all(X), np.load(FIXTURES / "saelens-topk" / "latents.npy"), atol=1e-5)
    assert "l0" not in again.recorded


class Rebuilt:
    """Becomes what a function returns, when its pickle is read."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(("offset", "size", "stride"), [(0, (4, 4), (4, 1)), (1, (2,), (1,)), (0, (2,), (2,))])
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_a_tensor_beyond_its_numbers_is_refused(tmp_path, offset, size, stride):
    """torch would fill it with whatever the memory holds."""
    with io.BytesIO() as data:
        torch.save(torch.zeros(2).storage(), data, _use_new_zipfile_serialization=False)
        storage = Rebuilt(torch.storage._load_from_bytes, data.getvalue())
    tensor = Rebuilt(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, OrderedDict())
    (tmp_path / "sae.pkl").write_bytes(pickle.dumps({"W_enc": tensor}))
    with pytest.raises(UsageError, match=r"needs more than the 2 numbers it has; copy or fetch it again"):
        read_autoencoder(str(tmp_path / "sae.pkl"))


@pytest.mark.parametrize("activation", ["topk", "abstopk"])
def test_of_equal_latents_k_are_on(activation):
    weights, bias = np.zeros((16, 4), np.float32), np.ones(16, np.float32)
    latents = Latents(Encoder(weights, bias, np.zeros(4, np.float32), activation, k=4))
    values = torch.ones(3, 4, 2, 2)
    found = latents.all(values)
    assert ((found != 0).sum(1) == 4).all()
    for unit in range(16):
        assert torch.equal(latents.one(values, unit), found[:, unit])


def test_encoders_of_overcomplete_that_are_not_one_linear_layer_are_refused(tmp_path):
    state = torch.load(weights("overcomplete-TopKSAE"), weights_only=True)
    torch.save(state | {"encoder.final_block.1.weight": torch.ones(24)}, tmp_path / "norm.pt")
    with pytest.raises(UsageError, match=r"encoder.final_block.1.weight: its encoder has more than one linear layer"):
        read_autoencoder(str(tmp_path / "norm.pt"))
    tied = {name: value for name, value in state.items() if not name.startswith("encoder")}
    torch.save(tied, tmp_path / "tied.pt")
    with pytest.raises(UsageError, match=r"tied to its dictionary: call sae.untied\(\)"):
        read_autoencoder(str(tmp_path / "tied.pt"))


@pytest.mark.slow
def test_a_bomb_is_not_unpacked(tmp_path):
    (tmp_path / "sae.pkl.gz").write_bytes(gzip.compress(b"\x80\x04" + bytes(300 << 20)))
    with pytest.raises(UsageError, match="would unpack to more than"):
        read_autoencoder(str(tmp_path / "sae.pkl.gz"))


def _nested(levels, width):
    value = [1]
    for _ in range(levels):
        value = [value] * width
    return value


def _cycle():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [_nested(12, 10), _nested(60, 1), _cycle()], ids=["wide", "deep", "cycle"])
@pytest.mark.parametrize("save", [torch.save, lambda content, file: file.write_bytes(pickle.dumps(content))])
def test_settings_larger_than_their_file_are_refused(value, save, tmp_path):
    """One list in many places: 200 bytes took memory for 10 ** 12 values."""
    save({"state_dict": {}, "cfg": {"a": value}}, tmp_path / "sae.pt")
    with pytest.raises(UsageError, match=r"the settings in .* hold more than 100,000 values or 30 levels"):
        read_autoencoder(str(tmp_path / "sae.pt"))


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.zeros(1).as_strided((8, 10**9), (0, 0)), "repeats its numbers"),
        (torch.zeros(2, 2).to_sparse(), "not a plain tensor"),
        (torch.zeros(8, 16, device="meta"), "not a plain tensor"),
    ],
)
def test_tensors_larger_than_their_file_are_refused(tensor, says, tmp_path):
    torch.save({"W_enc": tensor}, tmp_path / "sae.pt")
    with pytest.raises(UsageError, match=says):
        read_autoencoder(str(tmp_path / "sae.pt"))


def test_a_pickle_that_claims_two_billion_objects_takes_no_memory_for_them(tmp_path):
    """C's unpickler made room for 2 ** 31 objects, 32 GB, on a file of nine bytes."""
    (tmp_path / "sae.pkl").write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    tracemalloc.start()
    with pytest.raises(UsageError):
        read_autoencoder(str(tmp_path / "sae.pkl"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_inspect_and_convert_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(sae, ["inspect", str(weights("prisma-gated"))])
    assert shown.exit_code == 0, shown.output
    for text in ("ViT-Prisma", "24", "gated relu", "subtracts the decoder's bias", "layer_norm", "hook_resid_post"):
        assert text in shown.output
    record = json.loads(CliRunner().invoke(sae, ["inspect", "--json", str(weights("saev-schema5-topk"))]).output)
    assert record["activation"] == "topk, k=5, negative values stay"
    assert (record["units"], record["latents"], record["layer"]) == (8, 24, "layer_9")
    done = CliRunner().invoke(sae, ["convert", str(weights("prisma-gated")), "out.safetensors"])
    assert done.exit_code == 0, done.output
    assert read_autoencoder("out.safetensors").encoder.gate is not None
    again = CliRunner().invoke(sae, ["convert", str(weights("prisma-gated")), "out.safetensors"])
    assert isinstance(again.exception, UsageError)
    assert "out.safetensors exists" in str(again.exception)
