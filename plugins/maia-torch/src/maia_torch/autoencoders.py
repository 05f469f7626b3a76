"""The encoder in a file of a sparse autoencoder: every tensor and setting is applied, known to be idle, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from reprlib import Repr
from typing import Any

import numpy as np

from maia_core.plugin import UsageError
from maia_torch.readouts import NORMALIZATIONS, Array, Encoder

Settings = Mapping[str, Any]

TENSORS = {
    "weights": ("W_enc", "encoder.weight"),
    "bias": ("b_enc", "encoder.bias"),
    "centre": ("b_dec", "decoder.bias", "pre_bias", "bias"),
    "threshold": ("threshold",),
    "k": ("k",),
    "decoder": ("W_dec", "decoder.weight"),
}
"""Names of the tensors: as SAELens, as torch's modules, and as dictionary_learning write them."""

ARCHITECTURES = {
    "standard": "relu",
    "relu": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "AutoEncoder": "relu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "jumprelu",
    "JumpReluAutoEncoder": "jumprelu",
}
"""Activations of `Encoder` by the architectures of SAELens and the classes of dictionary_learning."""

TRAINING = """
act_store_device activations_mixing_fraction adam_beta1 adam_beta2 autocast autocast_lm autocast_sae buffer
b_dec_init_method cached_activations_path checkpoint_path compile_llm compile_sae context_size d_in d_sae dataset
dataset_path dataset_trust_remote_code dead_feature_threshold dead_feature_window decoder_heuristic_init
decoder_init_norm device disable_concat_sequences dtype eval_batch_size_prompts eval_every_n_wandb_logs
exclude_special_tokens expansion_factor feature_sampling_window finetuning_method finetuning_scaling_factor
finetuning_tokens format from_pretrained_path hook_eval hook_head_index hook_layer hook_name hook_point
hook_point_head_index hook_point_layer init_encoder_as_decoder_transpose is_dataset_tokenized l0_lambda l1_coefficient
l1_warm_up_steps llm_compilation_mode llm_device log_to_wandb logger lp_norm lr lr_decay_steps lr_end
lr_scheduler_name lr_warm_up_steps metadata model_class_name model_from_pretrained_kwargs model_kwargs model_name
mse_loss_normalization n_batches_in_buffer n_checkpoints n_eval_batches n_restart_cycles neuronpedia_id noise_scale
normalize_sae_decoder output_path prefetch_llm_batches prepend_bos resume resume_from_checkpoint run_name
sae_compilation_mode sae_lens_training_version sae_lens_version save_final_checkpoint save_path seed seqpos_slice
sequence_separator_token sparsity_loss_type store_batch_size_prompts streaming train_batch_size_tokens training_tokens
use_cached_activations use_chat_formatting use_ghost_grads use_patches_only verbose wandb_entity wandb_id
wandb_log_frequency wandb_name wandb_project
"""
"""Settings of SAELens, ViT-Prisma and dictionary_learning about training or about the model."""

TRAINER = """
activation_dim auxk_alpha bandwidth decay_start dict_size group_fractions group_weights io l1_penalty layer lm_name
resample_steps sparsity_penalty sparsity_warmup_steps steps submodule submodule_name target_l0 threshold_beta
threshold_start_step top_k_aux trainer_class warmup_steps
"""
"""Settings of dictionary_learning's trainers."""

IDLE = frozenset((TRAINING + TRAINER).split())
"""Settings on which no latent depends."""

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 80


def encoder(tensors: Mapping[str, Array], settings: Settings, source: str, units: int) -> tuple[Encoder, str]:
    """Returns the encoder that the tensors and the settings of a file describe, and what MAIA had to assume.

    Without settings it is jumprelu where there is a threshold for each latent, else relu; the centre is subtracted
    from the input except by jumprelu, as in the papers that `Encoder` names.

    Args:
        tensors: By name; `W_enc` (units, latents) or `encoder.weight` (latents, units), and the other `TENSORS`.
        settings: By name, as the library wrote them; texts as in metadata are read too.
        source: Where the settings come from, for messages.
        units: Units of the layer.

    Raises:
        UsageError: a tensor or a setting is not known, lacks, contradicts another, or does not fit the layer.
    """
    arrays = _arrays(tensors)
    read = _Settings(settings, source)
    weights = _weights(tensors, units)
    latents = len(weights)
    arrays = _shaped(arrays, tensors, latents, units)
    threshold, bias = arrays.get("threshold"), arrays.get("bias", np.zeros(latents, np.float32))
    names_architecture = read.has("architecture", "dict_class")
    is_batch_topk = read.says("BatchTopKSAE", "architecture", "dict_class")
    named = read.architecture("jumprelu" if threshold is not None and threshold.shape else "relu")
    kind = "topk" if named == "relu" and "k" in arrays else named
    k = read.count("k", arrays.get("k"))
    if threshold is not None:
        if kind != "jumprelu" and threshold.shape:
            raise UsageError(f"it has a threshold for each latent, but the activation is {kind}")
        # AutoEncoderTopK holds a threshold that its `encode` does not apply unless asked to.
        if named == "relu" and threshold >= 0:
            raise UsageError("it has one threshold for all latents: state its architecture, topk or BatchTopKSAE")
        # Both libraries apply the rectifier, too: no latent is below 0.
        threshold = np.maximum(np.broadcast_to(threshold, latents), 0) if kind == "jumprelu" else None
    if read.flag("rescale_acts_by_decoder_norm", False):
        norms = _decoder_norms(tensors, weights)
        weights, bias = weights * norms[:, None], bias * norms
    subtracts = kind != "jumprelu" or is_batch_topk  # JumpReLU: by the setting; BatchTopKSAE: always.
    is_known = read.has("apply_b_dec_to_input") or (names_architecture and subtracts)
    subtracts = read.flag("apply_b_dec_to_input", subtracts)
    zeros = np.zeros(units, np.float32)
    centre = arrays.get("centre", zeros)
    assumed = (
        ""
        if is_known or not centre.any()
        else (
            f"the file does not say whether the encoder subtracts the decoder's bias (apply_b_dec_to_input); MAIA "
            f"{'subtracts it' if subtracts else 'does not subtract it'}"
        )
    )
    normalize = read.choice("normalize_activations", NORMALIZATIONS)
    read.choice("reshape_activations", ("none",))
    for flag in ("cls_token_only", "is_transcoder", "use_error_term"):
        if read.flag(flag, False):
            raise UsageError(f"{source} sets {flag}, which MAIA does not support")
    read.require_all_read()
    rows = np.ascontiguousarray(weights)
    return Encoder(rows, bias, centre if subtracts else zeros, kind, k, threshold, normalize), assumed


class _Settings:
    """Settings that notes which of them were read."""

    def __init__(self, settings: Settings, source: str) -> None:
        trainer = settings.get("trainer")
        if isinstance(trainer, Mapping):  # dictionary_learning's config.json
            settings = {**{name: value for name, value in settings.items() if name != "trainer"}, **trainer}
        self._source = source
        values = {name: _value(value) for name, value in settings.items() if name not in IDLE}
        self._unread = {name: value for name, value in values.items() if value is not None}

    def has(self, *names: str) -> bool:
        """Returns whether one of some settings is there and not read yet."""
        return any(name in self._unread for name in names)

    def says(self, value: str, *names: str) -> bool:
        """Returns whether one of some settings is there, not read yet, and has a value."""
        return any(self._unread.get(name) == value for name in names)

    def architecture(self, default: str) -> str:
        """Returns the activation of `Encoder`."""
        names = [name for name in ("architecture", "activation", "dict_class") if name in self._unread]
        choices = {self._choice(name, ARCHITECTURES) for name in names}
        inner = [name for name in ("activation_fn_str", "activation_fn") if name in self._unread]
        functions = {ARCHITECTURES[self.choice(name, ("relu", "topk"))] for name in inner}
        if functions == {"topk"} and choices <= {"relu", "topk"}:
            return "topk"  # SAELens before 6 calls such an autoencoder standard.
        if len(choices) > 1 or "topk" in functions:
            raise UsageError(f"{self._source} contradicts itself about the architecture: {', '.join((*names, *inner))}")
        return choices.pop() if choices else default

    def _choice(self, name: str, known: Mapping[str, str]) -> str:
        return known[self.choice(name, tuple(known))]

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        """Returns one of some texts, the first where the setting lacks; false stands for `none`."""
        value = self._unread.pop(name, known[0])
        value = "none" if value is False else value
        if value not in known:
            raise UsageError(f"{self._source} sets {name} to {_shown(value)}; MAIA supports {', '.join(known)}")
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        """Returns a truth value."""
        value = self._unread.pop(name, default)
        if value not in (True, False):
            raise UsageError(f"{self._source} sets {name} to {_shown(value)}, which is neither true nor false")
        return bool(value)

    def count(self, name: str, tensor: Array | None) -> int:
        """Returns a whole number from the settings, the arguments of the activation, or a tensor; 0 without any."""
        arguments = self._unread.pop("activation_fn_kwargs", {})
        if not isinstance(arguments, Mapping) or arguments.keys() - {name}:
            raise UsageError(f"{self._source} sets activation_fn_kwargs to {_shown(arguments)}; MAIA supports {name}")
        inner = _value(arguments.get(name))
        values = [self._unread.pop(name, None), inner, None if tensor is None else tensor.item()]
        values = [value for value in values if value is not None]
        if not all(map(_is_whole, values)) or len(set(values)) > 1:
            raise UsageError(f"{name} is not one whole number, but {', '.join(map(_shown, values))}")
        return int(values[0]) if values else 0

    def require_all_read(self) -> None:
        """Checks that no setting is left.

        Raises:
            UsageError: one is; the message names it.
        """
        if self._unread:
            raise UsageError(
                f"{self._source} sets {_names(self._unread)}, which MAIA does not know: a latent may "
                "depend on it; remove it if none does"
            )


def _arrays(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Returns the tensors by what they are."""
    arrays: dict[str, Array] = {}
    known = {name: what for what, names in TENSORS.items() for name in names}
    if not any(name in tensors for name in TENSORS["weights"]):
        raise UsageError(f"it holds no W_enc and no encoder.weight, but {_names(tensors) or 'nothing'}")
    for name, array in tensors.items():
        if name not in known:
            raise UsageError(f"it holds a tensor {_names([name])}, which MAIA does not know: a latent may depend on it")
        if known[name] in arrays:
            raise UsageError(f"it holds several of {', '.join(TENSORS[known[name]])}; MAIA cannot tell which counts")
        arrays[known[name]] = array
    return arrays


def _shaped(arrays: Mapping[str, Array], tensors: Mapping[str, Array], latents: int, units: int) -> dict[str, Array]:
    """Returns the tensors as the formula needs them; one value, in whatever shape, as one of shape ()."""
    fit: dict[str, tuple[tuple[int, ...], ...]] = {
        "bias": ((latents,),),
        "centre": ((units,),),
        "threshold": ((latents,), ()),
        "k": ((),),
    }
    shaped = dict(arrays)
    for what in fit.keys() & arrays.keys():
        array = arrays[what]
        if array.size == 1 and array.shape not in fit[what] and () in fit[what]:
            array = array.reshape(())
        if array.shape not in fit[what]:
            name = next(name for name in TENSORS[what] if name in tensors)
            raise UsageError(f"{name} has the shape {array.shape} instead of {' or '.join(map(str, fit[what]))}")
        shaped[what] = array
    return shaped


def _weights(tensors: Mapping[str, Array], units: int) -> Array:
    """Returns the encoder's matrix: (latents, units)."""
    name = next(name for name in TENSORS["weights"] if name in tensors)  # `_arrays` checked that there is one.
    weights = tensors[name]
    if name == "W_enc" and weights.ndim == 2 and weights.shape[0] == units:
        weights = weights.T
    if weights.ndim != 2 or weights.shape[1] != units:
        raise UsageError(f"it was made for another layer: its {name} is {weights.shape}, the layer has {units} units")
    return weights


def _decoder_norms(tensors: Mapping[str, Array], weights: Array) -> Array:
    """Returns the length of each latent's vector in the decoder: (latents,)."""
    decoder = tensors.get("W_dec", tensors.get("decoder.weight", np.empty(0)).T)
    if decoder.shape != weights.shape:
        raise UsageError(
            f"rescale_acts_by_decoder_norm needs W_dec of the shape {weights.shape}, or decoder.weight, its transpose"
        )
    return np.asarray(np.linalg.norm(decoder, axis=1), np.float32)


def _value(value: Any) -> Any:
    """Returns a setting as its type; metadata of a safetensors file holds texts alone."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.lower() if value in ("True", "False") else value)
    except (ValueError, RecursionError):
        return value


def _is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number, as an integer or as a finite float."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _names(names: Iterable[str]) -> str:
    """Returns the first of some names in one line."""
    first = sorted(names)[:5]
    return ", ".join(name if name.isprintable() else _shown(name) for name in first)


def _shown(value: Any) -> str:
    """Returns a value as in code, shortened."""
    return SHORT.repr(value)
