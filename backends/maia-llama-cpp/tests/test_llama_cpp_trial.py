"""What crashes llama.cpp crashes a child process, and ends in one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_gguf

from maia_core.errors import MaiaError, PluginError, UsageError
from maia_llama_cpp import trial
from maia_llama_cpp.engine import Files
from maia_llama_cpp.trial import try_out

pytestmark = pytest.mark.usefixtures("llama")


def files(model: Path, projector: Path | None = None) -> Files:
    return Files(model, projector, context=1024, gpu_layers=-1, threads=1, options="backbone")


def test_crash_becomes_a_line_with_both_ways_out(tmp_path: Path, families: Any) -> None:
    """A projector whose type is not checked tensor by tensor: loading it is a segmentation fault."""
    broken = tiny_gguf.projector(tmp_path / "mmproj.gguf", "qwen2vl_merger", without=["v.patch_embd.weight.1"])
    with pytest.raises(PluginError) as caught:
        try_out(files(families["qwen"].model, broken), tmp_path)
    text = str(caught.value)
    assert "llama.cpp crashes (SIG" in text
    assert str(broken) in text
    assert "--force-reinstall" in text
    assert "fetch the files again" in text
    assert "\n" not in text
    assert not list(tmp_path.glob("tried-*")), "a crash must not be noted as a success"


@pytest.mark.parametrize(
    ("without", "says"),
    [
        (["blk.0.attn_q.weight"], "blk.0.attn_q.weight"),
        (["tokenizer.ggml.tokens"], "cannot find tokenizer vocab"),
        (["llama.embedding_length"], "embedding_length"),
    ],
)
def test_model_that_cannot_be_loaded_is_a_line(tmp_path: Path, without: list[str], says: str) -> None:
    broken = tiny_gguf.language_model(tmp_path / "model.gguf", without=without)
    with pytest.raises(UsageError, match=says) as caught:
        try_out(files(broken), tmp_path)
    assert str(caught.value).startswith("backbone.model")
    assert str(broken) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dim": 32}, "mismatch"),
        ({"kind": "nothing-known"}, "nothing-known"),
        ({"without": ["clip.vision.image_size"]}, "image_size"),
    ],
)
def test_projector_of_another_model_is_a_line(tmp_path: Path, llava: Any, options: dict[str, Any], says: str) -> None:
    other = tiny_gguf.projector(tmp_path / "mmproj.gguf", **options)
    with pytest.raises(UsageError, match=says) as caught:
        try_out(files(llava.model, other), tmp_path)
    assert str(caught.value).startswith("backbone.projector")


def test_good_files_are_tried_once(tmp_path: Path, llava: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when one of them has changed."""
    runs: list[Any] = []
    run = trial.subprocess.run
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **k: runs.append(a) or run(*a, **k))
    model = tmp_path / "model.gguf"
    model.write_bytes(llava.model.read_bytes())
    for _ in range(2):
        try_out(files(model), tmp_path)
    assert len(runs) == 1
    tiny_gguf.language_model(model, seed=5)
    try_out(files(model), tmp_path)
    assert len(runs) == 2


def test_backbone_of_a_broken_file_leaves_this_process_whole(
    backbone_of: Callable[..., Any], tmp_path: Path, families: Any
) -> None:
    broken = tiny_gguf.projector(tmp_path / "mmproj.gguf", "gemma3", without=["mm.soft_emb_norm.weight"])
    with pytest.raises(MaiaError):
        backbone_of(families["gemma"]._replace(projector=broken))
