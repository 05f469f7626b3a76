"""Files are checked before native code sees them: what is wrong is one line that names the file and the option."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import tiny_gguf

from maia_core.errors import UsageError, one_line
from maia_llama_cpp.files import check_model, check_projector, fingerprint
from maia_llama_cpp.header import read_header


def refusal(check: Callable[[Path, str], Any], path: Path, option: str = "backbone.model") -> str:
    with pytest.raises(UsageError) as caught:
        check(path, option)
    text = str(caught.value)
    assert text == one_line(caught.value)
    assert text.startswith(option)
    assert str(path) in text
    return text


def test_good_files_pass(families: Any) -> None:
    for pair in families.values():
        model = check_model(pair.model, "backbone.model")
        assert (model.trained_context, model.chat_template) == (32_768, tiny_gguf.CHATML)
        check_projector(pair.projector, "backbone.projector")


def test_real_file_passes(smollm: Path) -> None:
    model = check_model(smollm, "backbone.model")
    assert (model.name, model.trained_context) == ("SmolLM2-135M-Instruct.Q4_1", 8192)
    assert "<|im_start|>" in model.chat_template


def test_what_is_no_gguf_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.gguf").touch()
    (tmp_path / "page.gguf").write_text("<html>Access denied</html>")
    (tmp_path / "old.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 1, 0, 0))
    (tmp_path / "other-end.gguf").write_bytes(b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    assert "No such file" in refusal(check_model, tmp_path / "missing.gguf")
    assert "is a folder" in refusal(check_model, tmp_path)
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "not a regular file" in refusal(check_model, tmp_path / "pipe.gguf")
    (tmp_path / "zero.gguf").symlink_to("/dev/zero")
    assert "not a regular file" in refusal(check_model, tmp_path / "zero.gguf")
    assert "is not a GGUF file" in refusal(check_model, tmp_path / "empty.gguf")
    assert "is not a GGUF file" in refusal(check_projector, tmp_path / "page.gguf", "describer.projector")
    assert "version 1" in refusal(check_model, tmp_path / "old.gguf")
    assert "version" in refusal(check_model, tmp_path / "other-end.gguf")


def test_a_tensor_of_a_thousand_dimensions_is_refused(tmp_path: Path) -> None:
    """The product of a million sizes took minutes."""
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + struct.pack("<Q", 1) + b"x" + struct.pack("<I", 1000)
    (tmp_path / "deep.gguf").write_bytes(header + struct.pack("<Q", 1 << 60) * 1000 + struct.pack("<IQ", 0, 0))
    assert "has 1000 dimensions" in refusal(check_model, tmp_path / "deep.gguf")


def test_model_and_projector_are_told_apart(llava: Any) -> None:
    assert "set backbone.projector to it" in refusal(check_model, llava.projector)
    assert "not a projector" in refusal(check_projector, llava.model, "backbone.projector")


def test_a_file_without_language_or_eyes_is_refused(tmp_path: Path) -> None:
    model, projector = tmp_path / "model.gguf", tmp_path / "mmproj.gguf"
    for lacking in ("llama.context_length", "tokenizer.ggml.model", "token_embd.weight"):
        assert lacking in refusal(check_model, tiny_gguf.language_model(model, without=[lacking]))
    tiny_gguf.projector(projector, without=["clip.has_vision_encoder"])
    assert "not for images" in refusal(check_projector, projector, "backbone.projector")
    tiny_gguf.projector(projector, without=["clip.projector_type"])
    assert "newer conversion" in refusal(check_projector, projector, "backbone.projector")


@pytest.mark.parametrize(
    "lacking", ["mm.0.bias", "mm.2.weight", "v.patch_embd.weight", "v.position_embd.weight", "v.blk.1.attn_q.weight"]
)
def test_llava_projector_without_a_tensor_is_refused(tmp_path: Path, lacking: str) -> None:
    """Native code would crash on each of these."""
    path = tiny_gguf.projector(tmp_path / "mmproj.gguf", without=[lacking])
    assert lacking in refusal(check_projector, path, "backbone.projector")


def test_a_projector_that_claims_a_trillion_blocks_is_refused(tmp_path: Path) -> None:
    """The names of all tensors that it would lack took all memory."""
    writer = gguf.GGUFWriter(tmp_path / "mmproj.gguf", "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_uint64("clip.vision.block_count", 10**12)
    tiny_gguf._written(writer, tmp_path / "mmproj.gguf", ())
    assert "lacks v.patch_embd.weight" in refusal(check_projector, tmp_path / "mmproj.gguf", "backbone.projector")


def test_a_download_that_was_cut_off_is_refused(tmp_path: Path, llava: Any) -> None:
    for check, whole in ((check_model, llava.model), (check_projector, llava.projector)):
        data = whole.read_bytes()
        for length in (4, 5, 20, 30, 300, 3000, len(data) // 2, len(data) - 1):
            cut = tmp_path / "cut.gguf"
            cut.write_bytes(data[:length])
            assert "damaged or cut off" in refusal(check, cut)


def test_damage_never_ends_in_another_error(tmp_path: Path, llava: Any) -> None:
    """Counts of 2**60, texts that are none, unknown types: a line, at once, or a header that reads well by chance."""
    chance = random.Random(0)
    data = llava.model.read_bytes()
    path = tmp_path / "damaged.gguf"
    for _ in range(300):
        damaged = bytearray(data[:20_000])
        for _ in range(chance.choice([1, 8])):
            damaged[chance.randrange(4, 6000)] = chance.choice([0, 1, 9, 127, 255])
        path.write_bytes(damaged)
        with pytest.raises(UsageError):
            read_header(path, "backbone.model")


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    one = tiny_gguf.language_model(tmp_path / "one.gguf")
    same = tiny_gguf.language_model(tmp_path / "same.gguf")
    other = tiny_gguf.language_model(tmp_path / "other.gguf", seed=1)
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
