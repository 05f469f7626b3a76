"""Writes tiny models with random weights: the files are whole, what they say is noise. A token is a byte."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import gguf
import numpy as np

DIM, HEADS, LAYERS = 64, 2, 2
SEEING, PATCH = 32, 14
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

Add = Callable[..., None]


def _bytes_as_text() -> list[str]:
    """Returns the 256 bytes as byte-level tokenizers write them."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = iter(range(256, 512))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(256)]


def language_model(
    path: Path,
    architecture: str = "llama",
    *,
    context: int = 32_768,
    template: str | None = CHATML,
    without: Collection[str] = (),
    seed: int = 0,
) -> Path:
    """Writes a language model: `llama`, `qwen2vl` (M-RoPE) or `gemma3` (sliding window).

    `without` names keys and tensors to leave out.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(context)
    writer.add_embedding_length(DIM)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * DIM)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(DIM // HEADS)
    if architecture == "qwen2vl":
        writer.add_rope_dimension_sections([4, 6, 6, 0])
    if architecture == "gemma3":
        writer.add_key_length(DIM // HEADS)
        writer.add_value_length(DIM // HEADS)
        writer.add_sliding_window(64)
    tokens = [*_bytes_as_text(), "<|im_start|>", "<|im_end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 256 + [3, 3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_add_bos_token(False)
    if template is not None:
        writer.add_chat_template(template)
    add = _adder(writer, without, seed)
    add("token_embd.weight", len(tokens), DIM, scale=0.1 if architecture == "gemma3" else 1.0)  # Gemma scales them up.
    add("output_norm.weight", DIM)
    add("output.weight", len(tokens), DIM, scale=1.0)
    for number in range(LAYERS):
        block = f"blk.{number}."
        norms = ["attn_norm", "ffn_norm"]
        if architecture == "gemma3":
            norms += ["post_attention_norm", "post_ffw_norm"]
            add(block + "attn_q_norm.weight", DIM // HEADS)
            add(block + "attn_k_norm.weight", DIM // HEADS)
        for name in norms:
            add(f"{block}{name}.weight", DIM)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}{name}.weight", DIM, DIM)
            if architecture == "qwen2vl" and name != "attn_output":
                add(f"{block}{name}.bias", DIM)
        add(block + "ffn_gate.weight", 2 * DIM, DIM)
        add(block + "ffn_up.weight", 2 * DIM, DIM)
        add(block + "ffn_down.weight", DIM, 2 * DIM)
    return _written(writer, path, without)


def projector(
    path: Path,
    kind: str = "mlp",
    *,
    side: int = 56,
    dim: int = DIM,
    without: Collection[str] = (),
    seed: int = 1,
) -> Path:
    """Writes a projector for it: `mlp` (LLaVA), `qwen2vl_merger` or `gemma3`."""
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", kind)
    writer.add_bool("clip.use_gelu", True)
    for name, value in (
        ("image_size", side),
        ("patch_size", PATCH),
        ("embedding_length", SEEING),
        ("feed_forward_length", 2 * SEEING),
        ("projection_dim", dim),
        ("attention.head_count", HEADS),
        ("block_count", LAYERS),
    ):
        writer.add_uint32(f"clip.vision.{name}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.48, 0.46, 0.41])
    writer.add_array("clip.vision.image_std", [0.27, 0.26, 0.28])
    add = _adder(writer, without, seed)
    patches = (side // PATCH) ** 2
    add("v.patch_embd.weight", SEEING, 3, PATCH, PATCH, scale=0.02)
    for number in range(LAYERS):
        block = f"v.blk.{number}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            _linear(add, block + name, SEEING, SEEING)
        for name in ("ln1", "ln2"):
            _linear(add, block + name, SEEING)
        _linear(add, block + "ffn_up", 2 * SEEING, SEEING)
        _linear(add, block + "ffn_down", SEEING, 2 * SEEING)
    if kind == "mlp":
        add("v.class_embd", SEEING)
        add("v.position_embd.weight", patches + 1, SEEING)
        _linear(add, "v.pre_ln", SEEING)
        _linear(add, "mm.0", dim, SEEING)
        _linear(add, "mm.2", dim, dim)
    elif kind == "qwen2vl_merger":
        add("v.patch_embd.weight.1", SEEING, 3, PATCH, PATCH, scale=0.02)
        _linear(add, "v.post_ln", SEEING)
        _linear(add, "mm.0", 4 * SEEING, 4 * SEEING)
        _linear(add, "mm.2", dim, 4 * SEEING)
    else:
        add("v.patch_embd.bias", SEEING)
        add("v.position_embd.weight", patches, SEEING)
        _linear(add, "v.post_ln", SEEING)
        add("mm.input_projection.weight", SEEING, dim, scale=3.0)
        add("mm.soft_emb_norm.weight", SEEING)
    return _written(writer, path, without)


def _adder(writer: Any, without: Collection[str], seed: int) -> Add:
    rng = np.random.default_rng(seed)

    def add(name: str, *shape: int, scale: float = 0.3) -> None:
        values = np.ones(shape) if name.endswith("norm.weight") else rng.normal(0, scale, shape)
        if name not in without:
            writer.add_tensor(name, values.astype(np.float32))

    return add


def _linear(add: Add, name: str, *shape: int) -> None:
    add(f"{name}.weight", *shape)
    add(f"{name}.bias", shape[0])


def _written(writer: Any, path: Path, without: Collection[str]) -> Path:
    for key in without:
        writer.kv_data[0].pop(key, None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
