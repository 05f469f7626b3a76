"""The two files of a local model, checked: a language model, and the projector that lets it see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from maia_core.plugin import UsageError, content_id
from maia_llama_cpp.header import Header, read_header

PROJECTORS = ("clip", "mmproj")
"""What `general.architecture` is in a projector."""

TOWER = ("attn_out.weight", "ffn_up.weight", "ffn_down.weight")
LLAVA = ("v.patch_embd.weight", "v.position_embd.weight", "mm.0.weight", "mm.0.bias", "mm.2.weight", "mm.2.bias")
"""Tensors without which llama.cpp crashes when it loads a LLaVA projector (type `mlp`)."""

SAMPLES, SAMPLE_BYTES = 64, 65_536


@dataclass(frozen=True)
class ModelFile:
    """A language model in a GGUF file.

    Attributes:
        path: Where it is.
        name: The file's name without its ending: what people call it.
        trained_context: Tokens of the window that it was trained with.
        chat_template: Its chat template in Jinja; empty if the file has none.
    """

    path: Path
    name: str
    trained_context: int
    chat_template: str


def check_model(path: Path, option: str) -> ModelFile:
    """Checks that a file is a language model.

    Raises:
        UsageError: it is none, or is damaged.
    """
    header = read_header(path, option)
    architecture = header.text("general.architecture")
    if architecture in PROJECTORS:
        raise UsageError(
            f"{option}: {path} is a projector, not a language model; set {_sibling(option, 'projector')} to it and "
            f"{option} to the model that it belongs to"
        )
    if header.text("general.type") == "adapter":
        raise UsageError(f"{option}: {path} is an adapter, not a whole model")
    needed = ("general.architecture", f"{architecture}.context_length", "tokenizer.ggml.model")
    missing = [key for key in needed if key not in header.values]
    if header.number("split.count") <= 1 and "token_embd.weight" not in header.tensors:
        missing.append("token_embd.weight")
    if missing:
        raise UsageError(f"{option}: {path} is not a language model: it lacks {', '.join(missing)}")
    return ModelFile(
        path=path,
        name=path.name.removesuffix(".gguf"),
        trained_context=header.number(f"{architecture}.context_length"),
        chat_template=header.text("tokenizer.chat_template"),
    )


def check_projector(path: Path, option: str) -> None:
    """Checks that a file is a projector for images.

    Raises:
        UsageError: it is none, lacks something, or is damaged.
    """
    header = read_header(path, option)
    architecture = header.text("general.architecture")
    if architecture not in PROJECTORS:
        raise UsageError(
            f"{option}: {path} is a language model ({architecture or 'of no architecture'}), not a projector; a "
            "projector's name mostly begins with 'mmproj'"
        )
    if header.values.get("clip.has_vision_encoder") is not True:
        raise UsageError(f"{option}: {path} is a projector, but not for images")
    if not (header.text("clip.projector_type") or header.text("clip.vision.projector_type")):
        raise UsageError(f"{option}: {path} does not say what type of projector it is; fetch a newer conversion")
    if missing := list(islice(_missing_tensors(header), 3)):  # The file's number of blocks may be any.
        raise UsageError(f"{option}: {path} lacks {', '.join(missing)}; fetch it again, or another conversion")


def _missing_tensors(header: Header) -> Iterator[str]:
    """Names what llama.cpp needs of a LLaVA projector; of other types it is not known here."""
    if header.text("clip.projector_type") != "mlp":
        return
    yield from (name for name in LLAVA if name not in header.tensors)
    for number in range(header.number("clip.vision.block_count")):
        block = f"v.blk.{number}."
        joined = f"{block}attn_qkv.weight" in header.tensors
        attention = () if joined else ("attn_q.weight", "attn_k.weight", "attn_v.weight")
        yield from (block + name for name in (*attention, *TOWER) if block + name not in header.tensors)


def _sibling(option: str, name: str) -> str:
    """Returns the option `name` of the plugin that has `option`."""
    return f"{option.rpartition('.')[0]}.{name}"


def fingerprint(path: Path) -> str:
    """Returns what changes with a file's content, without reading all of it: its size, beginning, and samples."""
    size = path.stat().st_size
    step = max(SAMPLE_BYTES, size // SAMPLES)
    with path.open("rb") as file:
        chunks = []
        for start in range(0, size, step):
            file.seek(start)
            chunks.append(file.read(SAMPLE_BYTES))
        file.seek(max(0, size - SAMPLE_BYTES))
        return content_id(str(size).encode(), *chunks, file.read())
