"""Tiny models with random weights, saved to folders and loaded by the shipped code as real ones are."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maia_core.context import Context
from maia_detectors.detector import TransformersDetector

WORDS = ["a", "photo", "of", "the", "disc", "dog", "cat", "tiger", "red", "blue", "green", "grey", "window", "car"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _bert() -> Any:
    import transformers as hf

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS, *LETTERS, *(f"##{c}" for c in LETTERS)]
    return hf.BertTokenizer(vocab={token: n for n, token in enumerate(dict.fromkeys(tokens))})


def _grounding_dino(folder: Path) -> None:
    import torch
    import transformers as hf

    words = _bert()
    swin = hf.SwinConfig(
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        image_size=64,
        out_features=["stage2", "stage3", "stage4"],
    )
    layers = {
        f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("ffn_dim", 32), ("attention_heads", 2))
    }
    config = hf.GroundingDinoConfig(
        backbone_config=swin,
        text_config={
            "model_type": "bert",
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": len(words),
        },
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        num_queries=10,
        max_text_len=64,
        **layers,
    )
    model = hf.GroundingDinoForObjectDetection(config)
    with torch.no_grad():  # Random scores would all be 0 or 1 otherwise.
        model.model.decoder.layer_norm.weight *= 0.05
    model.save_pretrained(folder)
    images = hf.GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 192})
    hf.GroundingDinoProcessor(images, words).save_pretrained(folder)


def _owlv2(folder: Path) -> None:
    import torch
    import transformers as hf
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{c}</w>" for c in alphabet), "<|startoftext|>", "<|endoftext|>", "!"]
    vocab = {token: n for n, token in enumerate(dict.fromkeys(tokens))}
    words = hf.CLIPTokenizer(vocab=vocab, merges=[], pad_token="!", model_max_length=40)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = hf.Owlv2Config(
        text_config={
            **small,
            "vocab_size": len(words),
            "max_position_embeddings": 40,
            "bos_token_id": vocab["<|startoftext|>"],
            "eos_token_id": vocab["<|endoftext|>"],
            "pad_token_id": vocab["!"],
        },
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    model = hf.Owlv2ForObjectDetection(config)
    with torch.no_grad():
        model.class_head.logit_shift.weight *= 0.05
        model.class_head.logit_scale.weight *= 0.05
    model.save_pretrained(folder)
    hf.Owlv2Processor(hf.Owlv2ImageProcessor(size={"height": 64, "width": 64}), words).save_pretrained(folder)


def _sam(folder: Path) -> None:
    import transformers as hf

    small = {"num_attention_heads": 2, "mlp_dim": 32}
    config = hf.SamConfig(
        vision_config={
            **small,
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "image_size": 64,
            "patch_size": 8,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={**small, "hidden_size": 16, "num_hidden_layers": 1, "iou_head_hidden_dim": 16},
    )
    hf.SamModel(config).save_pretrained(folder)
    square = {"height": 64, "width": 64}
    half = {"height": 32, "width": 32}
    images = hf.SamImageProcessor(
        size={"longest_edge": 64}, pad_size=square, mask_size={"longest_edge": 32}, mask_pad_size=half
    )
    hf.SamProcessor(images).save_pretrained(folder)


def _sam2(folder: Path) -> None:
    import transformers as hf

    hiera = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 16,
        "num_attention_heads": 1,
        "image_size": [64, 64],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "window_size_per_stage": [4, 4, 4, 4],
        "window_positional_embedding_background_size": [4, 4],
        "global_attention_blocks": [3],
    }
    config = hf.Sam2Config(
        vision_config={
            "backbone_config": hiera,
            "backbone_channel_list": [128, 64, 32, 16],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 32,
        },
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    hf.Sam2Model(config).save_pretrained(folder)
    images = hf.Sam2ImageProcessor(size={"height": 64, "width": 64}, mask_size={"height": 16, "width": 16})
    hf.Sam2Processor(images, target_size=64).save_pretrained(folder)


MAKERS = {"grounding-dino": _grounding_dino, "owlv2": _owlv2, "sam": _sam, "sam2": _sam2}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the folder of a tiny model, once."""
    root = tmp_path_factory.mktemp("models")

    def of(name: str) -> Path:
        if not (root / name).exists():
            import torch
            from transformers.utils import logging

            logging.disable_progress_bar()
            torch.set_num_threads(1)
            torch.manual_seed(0)
            MAKERS[name](root / name)
        return root / name

    return of


@pytest.fixture
def make(folder: Callable[[str], Path], tmp_path: Path) -> Callable[..., TransformersDetector]:
    """Makes a detector of tiny models by their names."""

    def of(model: str = "grounding-dino", segmenter: str = "", **options: Any) -> TransformersDetector:
        named = {"model": str(folder(model)), "segmenter": str(folder(segmenter)) if segmenter else ""}
        config = TransformersDetector.Config(**{"device": "cpu", **named, **options})
        return TransformersDetector(config, Context(cache=tmp_path))

    return of
