"""Directions in files: vectors, probes, rows, sums and differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from maia_core.errors import UsageError
from maia_sae import directions_file, is_sum

UNITS = 4
ROWS = np.random.default_rng(0).normal(size=(6, UNITS)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(5, UNITS)).astype(np.float32)


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """Directions in every kind of file, in the working directory."""
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", ROWS)
    np.save("one.npy", ROWS[1])
    np.save("a-b.npy", ROWS[2])
    save_file({"my-key": ROWS, "other": ROWS[:1]}, "two.safetensors")
    np.savez("probe.npz", coef_=ROWS[:3], intercept_=np.array([1, 2, 3.0]), classes_=np.array(["a", "b", "c"]))
    linear = torch.nn.Linear(UNITS, 3)
    torch.save(linear.state_dict(), "linear.pt")
    np.savez("linear.npz", weight=linear.weight.detach(), bias=linear.bias.detach())


def values(where: str) -> np.ndarray:
    """Returns the values of `X` along the directions: (vectors, directions)."""
    return directions_file(where, UNITS).all(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize(
    ("where", "vector"),
    [
        ("rows.npy:1-rows.npy:3", ROWS[1] - ROWS[3]),
        ("rows.npy:1+3", ROWS[1] + ROWS[3]),
        ("rows.npy:1-3+0", ROWS[1] - ROWS[3] + ROWS[0]),
        ("one.npy-a-b.npy", ROWS[1] - ROWS[2]),
        ("a-b.npy+two.safetensors#my-key:4", ROWS[2] + ROWS[4]),
        ("two.safetensors#my-key:4-a-b.npy", ROWS[4] - ROWS[2]),
        ("-rows.npy:5", -ROWS[5]),
    ],
)
def test_sums_and_differences_are_directions(where, vector):
    assert is_sum(where)
    np.testing.assert_allclose(values(where)[:, 0], X @ vector, atol=1e-5)


@pytest.mark.parametrize("where", ["rows.npy", "a-b.npy", "two.safetensors#my-key", "probe.npz", "some-name", "1+2"])
def test_a_name_with_a_dash_is_not_a_difference(where):
    assert not is_sum(where)


def test_a_linear_probe_keeps_its_bias_and_the_note_tells_sign_and_length():
    np.testing.assert_allclose(values("probe.npz"), X @ ROWS[:3].T + [1, 2, 3], atol=1e-5)
    np.testing.assert_allclose(values("probe.npz#coef_"), X @ ROWS[:3].T, atol=1e-5)
    np.testing.assert_allclose(values("linear.pt"), values("linear.npz"), atol=1e-6)
    note = directions_file("probe.npz", UNITS).note_of(1)
    assert "linear probe" in note
    assert f"its length is {np.linalg.norm(ROWS[1]):.4g}" in note
    assert "bias of 2" in note
    assert "negative ones against it" in note
    difference = directions_file("probe.npz:0-probe.npz:2", UNITS)
    np.testing.assert_allclose(difference.all(torch.from_numpy(X))[:, 0], X @ (ROWS[0] - ROWS[2]) - 2, atol=1e-5)


def test_probes_with_different_biases_are_different_units():
    np.savez("again.npz", coef_=ROWS[:3], intercept_=np.array([1, 2, 4.0]))
    prints = {directions_file(where, UNITS).fingerprint for where in ("probe.npz", "again.npz", "probe.npz#coef_")}
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("rows.npy-one.npy", "rows.npy holds 6 directions; name one: rows.npy:0"),
        ("rows.npy:9-one.npy", "rows.npy holds directions 0 to 5, not 9"),
        ("rows.npy:1-none.npy", "there is no file none.npy"),
        ("pickle.npz", "pickle.npz is not a .npz file of numbers"),
        ("broken.npz", "broken.npz is not a .npz file of numbers"),
        ("broken.pt", "broken.pt is broken or cut short"),
        ("shape.npz", r"3 rows of weights, but the shape of its bias is \(2,\)"),
        ("probe.joblib", "neither a .npy nor a .safetensors file"),
    ],
)
def test_what_cannot_be_read_says_why(where, says):
    np.savez("pickle.npz", a=np.array([{"a": 1}], dtype=object), b=ROWS, c=ROWS)
    for name in ("broken.npz", "broken.pt"):
        with open(name, "w") as file:
            file.write("no numbers")
    np.savez("shape.npz", coef_=ROWS[:3], intercept_=np.zeros(2))
    with pytest.raises(UsageError, match=says) as refused:
        directions_file(where, UNITS)
    assert "\n" not in str(refused.value)


def test_a_packed_archive_far_larger_than_its_file_is_refused(monkeypatch):
    monkeypatch.setattr("maia_sae.pickles.MAX_INFLATED", 1 << 10)
    np.savez_compressed("bomb.npz", a=np.zeros((1 << 10, UNITS), np.float32))
    with pytest.raises(UsageError, match=r"bomb.npz would unpack to .* bytes"):
        directions_file("bomb.npz", UNITS)
