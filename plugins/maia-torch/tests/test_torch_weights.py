"""Weights come from files that hold numbers; nothing of a file is run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from maia_core.errors import UsageError
from maia_torch.weights import load_weights, read_weights


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def module():
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("w.pth", lambda state: {"model." + k.replace("0.", "0._orig_mod."): v for k, v in state.items()}),
        ("w.pth", lambda state: {"_orig_mod.module.net." + k: v for k, v in state.items()}),
        ("w.pth", lambda state: {"module.module." + k: v for k, v in state.items()} | {"n_averaged": torch.tensor(3)}),
        ("w.pth", lambda state: {"run": {"ema": {"module.backbone." + k: v for k, v in state.items()}}, "epoch": 3}),
        ("w.pth", lambda state: state),
        ("w.pt", lambda state: {"epoch": 3, "model": state}),
        ("w.ckpt", lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "lr": 0.1}),
        ("w.bin", lambda state: {"module." + k: v for k, v in state.items()}),
        ("w.safetensors", lambda state: {"_orig_mod." + k: v for k, v in state.items()}),
    ],
)
def test_weights_are_found_in_whatever_they_were_wrapped(module, file, wrap):
    other = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    save = save_file if file.endswith("safetensors") else torch.save
    save(wrap(other.state_dict()), file)
    load_weights(module, file)
    assert all((a == b).all() for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_network_with_a_prefix_of_its_own_takes_weights_without_it():
    """A module that holds the network as its attribute, and a file of the network alone."""
    inner = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    torch.save({"module." + k: v for k, v in inner.state_dict().items()}, "w.pth")
    outer = nn.ModuleDict({"net": nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))})
    assert load_weights(outer, "w.pth") == ""
    assert torch.equal(outer["net"][0].weight, inner[0].weight)


def test_of_a_larger_network_the_part_is_taken_and_the_rest_is_named(module):
    state = {"backbone." + k: v + 1 for k, v in module.state_dict().items()} | {"head.weight": torch.zeros(2)}
    torch.save({"student": {"module." + k: v for k, v in state.items()}}, "w.pth")
    assert "under 'backbone.' and leaves out module.head.weight" in load_weights(module, "w.pth")
    assert torch.equal(module[0].weight, state["backbone.0.weight"])


def test_weights_that_are_there_several_times_are_not_drawn_lots_for(module):
    state = {k: v.clone() for k, v in module.state_dict().items()}
    torch.save({f"{part}.{k}": v for part in ("encoder", "momentum") for k, v in state.items()}, "w.pth")
    with pytest.raises(UsageError, match=r"several times, under encoder\., momentum\."):
        load_weights(module, "w.pth")
    torch.save({"model_ema": state, "model": {k: v + 1 for k, v in state.items()}}, "w.pth")
    assert "MAIA uses those under 'model', not 'model_ema'" in load_weights(module, "w.pth")
    assert torch.equal(module[0].weight, state["0.weight"] + 1)


@pytest.mark.parametrize("file", ["w.pth", "w.pt", "w.safetensors"])
def test_a_pickle_is_never_run(file):
    torch.save({"state_dict": Bomb()}, "w.pth")
    Path("w.pt").write_bytes(pickle.dumps({"a": Bomb()}))
    Path("w.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UsageError, match=r"does not run what|not a file of weights"):
        read_weights(file, [])
    assert not Path("exploded").exists()


def test_weights_of_another_network_are_refused_by_name(module):
    state = module.state_dict()
    for wrong, says in [
        ({k: v for k, v in state.items() if k != "0.bias"}, "they lack 0.bias"),
        (state | {"head.weight": torch.zeros(1)}, "they hold an unknown head.weight"),
        ({k.replace("0.w", "0.v"): v for k, v in state.items()}, r"they lack 0.weight \(nearest: 0.veight\)"),
        (state | {"0.bias": torch.zeros(3)}, r"0.bias has the shape \(3,\), not \(2,\)"),
    ]:
        torch.save(dict(wrong), "w.pth")
        with pytest.raises(UsageError, match=says):
            load_weights(module, "w.pth")


def test_counts_of_batches_may_lack(module):
    state = {name: value + 1 for name, value in module.state_dict().items() if "num_batches" not in name}
    torch.save(state, "w.pth")
    load_weights(module, "w.pth")
    assert torch.equal(module.state_dict()["0.weight"], state["0.weight"])


def test_what_is_no_file_of_weights_says_so(module):
    Path("empty.pth").touch()
    Path("text.safetensors").write_text("hello")
    torch.save([1, 2], "list.pth")
    for file, says in [
        ("none.pth", "no file of weights"),
        ("empty.pth", "not a file of weights, or a broken one"),
        ("text.safetensors", "not a file of weights"),
        ("list.pth", "holds no weights by name"),
    ]:
        with pytest.raises(UsageError, match=says):
            load_weights(module, file)


def test_weights_that_would_inflate_are_refused(module, tmp_path):
    """Weights of zeros, compressed: 1 MB took gigabytes. torch never compresses."""
    file, bomb = tmp_path / "weights.pt", tmp_path / "bomb.pt"
    torch.save(module.state_dict() | {"zeros": torch.zeros(30 << 20)}, file)
    with zipfile.ZipFile(file) as plain, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    with pytest.raises(UsageError, match="is compressed and would take"):
        read_weights(str(bomb), module.state_dict())
    assert set(read_weights(str(file), module.state_dict()).tensors) >= set(module.state_dict())


def test_a_name_with_a_million_levels_takes_no_memory_for_its_prefixes(module, tmp_path):
    """The prefixes of one name of 200 kB took 10 GB."""
    torch.save({**module.state_dict(), "a." * 100_000 + "w": torch.zeros(1)}, tmp_path / "weights.pt")
    with pytest.raises(UsageError, match=r"hold an unknown a\.a\."):
        load_weights(module, str(tmp_path / "weights.pt"))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda value: (value * 100).to(torch.int8), "int8"),
        (lambda value: value.to(torch.complex64), "complex64"),
        (lambda value: value.to("meta"), "no values"),
        (lambda value: value / 0, "not finite"),
    ],
)
def test_weights_without_the_networks_numbers_are_refused(module, spoil, why):
    torch.save(
        {name: spoil(value) if name == "0.weight" else value for name, value in module.state_dict().items()}, "w.pth"
    )
    with pytest.raises(UsageError, match=rf"w\.pth cannot be used: 0\.weight .*{why}"):
        load_weights(module, "w.pth")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, "quantised", "sparse"])
def test_weights_of_any_type_are_taken_as_numbers(kind):
    module, other = nn.Linear(4, 3), nn.Linear(4, 3)
    state = other.state_dict()
    if kind == "quantised":
        state["weight"] = torch.quantize_per_tensor(state["weight"], 0.01, 0, torch.qint8)
    elif kind == "sparse":
        state["weight"] = state["weight"].to_sparse()
    else:
        state["weight"] = state["weight"].to(kind)
    torch.save(state, "w.pth")
    load_weights(module, "w.pth")
    torch.testing.assert_close(module.weight, other.weight, atol=0.01, rtol=0)


def test_a_pointer_of_git_lfs_is_named(module):
    Path("w.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(UsageError, match="git lfs pull"):
        load_weights(module, "w.pth")
