"""The settings of an autoencoder's file: each is used, known to decide no latent, or refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from reprlib import Repr
from typing import Any

from maia_core.plugin import UsageError
from maia_sae.readouts import Array

ARCHITECTURES = {
    "standard": "relu",
    "relu": "relu",
    "topk": "topk",
    "jumprelu": "jumprelu",
    "gated": "relu",
    "tanh-relu": "tanh-relu",
    "abstopk": "abstopk",
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
    "AutoEncoder": "relu",
    "AutoEncoderNew": "relu",
    "AutoEncoderTopK": "topk",
    "BatchTopKSAE": "jumprelu",
    "MatryoshkaBatchTopKSAE": "jumprelu",
    "GatedAutoEncoder": "relu",
    "JumpReluAutoEncoder": "jumprelu",
}
"""Activations of `Encoder` by the architectures of SAELens and the classes of dictionary_learning."""

FUNCTIONS = ("relu", "topk", "tanh-relu")
"""Values of `activation_fn` in SAELens before 6 and in ViT-Prisma."""

SAELENS = """
act_store_device activations_mixing_fraction adam_beta1 adam_beta2 autocast autocast_lm autocast_sae
b_dec_init_method cached_activations_path checkpoint_path compile_llm compile_sae context_size dataset
dataset_path dataset_trust_remote_code dead_feature_threshold dead_feature_window decoder_heuristic_init
decoder_init_norm device disable_concat_sequences dtype eval_batch_size_prompts eval_every_n_wandb_logs
exclude_special_tokens expansion_factor feature_sampling_window finetuning_method finetuning_scaling_factor
finetuning_tokens format from_pretrained_path hook_eval hook_layer hook_name hook_name_out hook_head_index_out
hf_hook_name hf_hook_name_out init_encoder_as_decoder_transpose is_dataset_tokenized l0_lambda l1_coefficient
l1_warm_up_steps llm_compilation_mode llm_device log_to_wandb logger lp_norm lr lr_decay_steps lr_end
lr_scheduler_name lr_warm_up_steps metadata model_class_name model_from_pretrained_kwargs model_kwargs model_name
mse_loss_normalization n_batches_in_buffer n_checkpoints n_eval_batches n_restart_cycles neuronpedia_id noise_scale
normalize_sae_decoder output_path prefetch_llm_batches prepend_bos resume resume_from_checkpoint run_name
sae_compilation_mode sae_lens_training_version sae_lens_version save_final_checkpoint save_path seed
sequence_separator_token sparsity_loss_type store_batch_size_prompts streaming train_batch_size_tokens training_tokens
use_cached_activations use_chat_formatting use_ghost_grads verbose wandb_entity wandb_id wandb_log_frequency wandb_name
wandb_project
"""
"""Settings of SAELens about training or about the model."""

PRISMA = """
hook_point hook_point_layer layer_subtype vit_model_cfg model_path image_size num_workers num_epochs store_batch_size
total_training_images total_training_tokens total_training_steps tokens_per_buffer train_batch_size max_grad_norm
initialization_method min_l0 min_explained_variance dataset_name dataset_train_path dataset_val_path n_validation_runs
transcoder_with_skip_connection out_hook_point out_hook_point_layer layer_out_subtype d_out is_training
return_out_only use_patches_only lr_schedule
"""
"""The same of ViT-Prisma; those of transcoders decide only with `is_transcoder`."""

TRAINER = """
auxk_alpha bandwidth buffer decay_start group_fractions group_sizes group_weights l1_penalty layer lm_name
resample_steps sparsity_penalty sparsity_warmup_steps steps submodule submodule_name target_l0 threshold_beta
threshold_start_step top_k_aux trainer_class warmup_steps
"""
"""Settings of dictionary_learning's trainers."""

OWN = "model token explained_variance l0 library"
"""What `maia sae convert` adds."""

IDLE = frozenset((SAELENS + PRISMA + TRAINER + OWN).split())
"""Settings on which no latent depends."""

INNER = ("metadata.hook_head_index", "metadata.seqpos_slice", "buffer.io", "buffer.normalize")
"""Settings inside of idle ones that decide which numbers an autoencoder reads."""

UNITS = ("d_in", "d_vit", "d_model", "activation_dim")
LATENTS = ("d_sae", "dict_size")
"""Settings that repeat the width of the layer and the number of latents."""

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 80


class Reader:
    """Settings that notes which of them were read."""

    def __init__(self, settings: Mapping[str, Any], source: str) -> None:
        trainer = settings.get("trainer")
        if isinstance(trainer, Mapping):  # dictionary_learning's config.json
            settings = {**{name: value for name, value in settings.items() if name != "trainer"}, **trainer}
        self._source = source
        values = {name: from_text(value) for name, value in settings.items() if name not in IDLE}
        for name in INNER:
            outer, _, inner = name.partition(".")
            group = from_text(settings.get(outer))
            values[name] = group.get(inner) if isinstance(group, Mapping) else None
        self._unread = {name: value for name, value in values.items() if not _is_unset(value)}

    def has(self, *names: str) -> bool:
        """Returns whether one of some settings is there and not read yet."""
        return any(name in self._unread for name in names)

    def says(self, values: Iterable[str], *names: str) -> bool:
        """Returns whether one of some settings is there, not read yet, and has one of some values."""
        return any(self._unread.get(name) == value for name in names for value in values)

    def architecture(self, default: str) -> str:
        """Returns the activation of `Encoder`."""
        names = [name for name in ("architecture", "activation", "dict_class") if name in self._unread]
        choices = {ARCHITECTURES[self.choice(name, tuple(ARCHITECTURES))] for name in names}
        inner = [name for name in ("activation_fn_str", "activation_fn") if name in self._unread]
        functions = {self.choice(name, FUNCTIONS) for name in inner} - {"relu"}
        if len(functions) == 1 and choices <= {"relu", *functions}:
            return functions.pop()  # SAELens before 6 and ViT-Prisma call such an autoencoder standard.
        if len(choices) > 1 or functions:
            raise UsageError(f"{self._source} contradicts itself about the architecture: {', '.join((*names, *inner))}")
        return choices.pop() if choices else default

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        """Returns one of some texts, the first where the setting lacks; false stands for `none`."""
        value = self._unread.pop(name, known[0])
        value = "none" if value is False else value
        if value not in known:
            raise UsageError(f"{self._source} sets {name} to {shown(value)}; MAIA supports {', '.join(known)}")
        return str(value)

    def flag(self, name: str, default: bool) -> bool:
        """Returns a truth value."""
        value = self._unread.pop(name, default)
        if value not in (True, False):
            raise UsageError(f"{self._source} sets {name} to {shown(value)}, which is neither true nor false")
        return bool(value)

    def count(self, name: str, tensor: Array | None) -> int:
        """Returns a whole number from the settings, the arguments of the activation, or a tensor; 0 without any."""
        arguments = self._unread.pop("activation_fn_kwargs", {})
        if not isinstance(arguments, Mapping) or arguments.keys() - {name}:
            raise UsageError(f"{self._source} sets activation_fn_kwargs to {shown(arguments)}; MAIA supports {name}")
        inner = from_text(arguments.get(name))
        values = [self._unread.pop(name, None), inner, None if tensor is None else tensor.item()]
        values = [value for value in values if value is not None]
        if not all(map(is_whole, values)) or len(set(values)) > 1:
            raise UsageError(f"{name} is not one whole number, but {', '.join(map(shown, values))}")
        return int(values[0]) if values else 0

    def refuse(self, *names: str) -> None:
        """Checks that settings are absent or false.

        Raises:
            UsageError: one is set.
        """
        for name in names:
            if self._unread.pop(name, False) is not False:
                raise UsageError(f"{self._source} sets {name}, which MAIA does not support")

    def check_sizes(self, units: int, latents: int) -> None:
        """Checks the settings that repeat the shape of the weights.

        Raises:
            UsageError: one differs from it.
        """
        for names, size, what in ((UNITS, units, "units"), (LATENTS, latents, "latents")):
            for name in names:
                value = self._unread.pop(name, size)
                if value != size:
                    raise UsageError(
                        f"{self._source} sets {name} to {shown(value)}, but the weights have {size} {what}: it belongs "
                        "to another file"
                    )

    def require_all_read(self) -> None:
        """Checks that no setting is left.

        Raises:
            UsageError: one is; the message names it.
        """
        if self._unread:
            raise UsageError(
                f"{self._source} sets {names_of(self._unread)}, which MAIA does not know: a latent may "
                "depend on it; remove it if none does"
            )


def _is_unset(value: Any) -> bool:
    """Returns whether a setting says nothing: None, or an open slice such as `[None]`."""
    return value is None or (isinstance(value, list) and value != [] and all(item is None for item in value))


def from_text(value: Any) -> Any:
    """Returns a setting as its type; metadata of a safetensors file holds texts alone."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.lower() if value in ("True", "False") else value)
    except (ValueError, RecursionError):
        return value


def is_whole(value: Any) -> bool:
    """Returns whether a value is a whole number, as an integer or as a finite float."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def names_of(names: Iterable[str]) -> str:
    """Returns the first of some names in one line."""
    first = sorted(names)[:5]
    return ", ".join(name if name.isprintable() else shown(name) for name in first)


def shown(value: Any) -> str:
    """Returns a value as in code, shortened."""
    return SHORT.repr(value)
