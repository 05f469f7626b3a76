"""Tells from a file's content which library wrote it, and reads it as that library computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from maia_core.plugin import UsageError
from maia_sae.autoencoder import Autoencoder, Home
from maia_sae.common import TENSORS, WidthError, build
from maia_sae.contents import OWN_FORMAT, WEIGHTS, Contents, read_contents, read_json
from maia_sae.overcomplete import is_overcomplete, of_overcomplete
from maia_sae.readouts import Array
from maia_sae.saev import of_saev
from maia_sae.settings import from_text

Tensors = Mapping[str, Array]
Values = dict[str, Any]

EVALUATED = {"explained_variance": "frac_variance_explained"}
"""Names of figures in the evaluations of dictionary_learning."""

BIASES = ("bias", "centre")
"""What the files of these libraries always hold, but for the encoder's bias of a gated autoencoder."""
HAVE_BIASES = ("saev", "ViT-Prisma", "dictionary_learning", "SAELens")

IN_TORCH = ("encoder.weight", "decoder.weight")
"""Tensors that dictionary_learning's files hold, but for those of its JumpReluAutoEncoder."""


class _Format(NamedTuple):
    """How MAIA recognises and reads the files of one library.

    Attributes:
        name: The library.
        fits: Whether a file is one of it.
        common: Returns the tensors, the settings in the words of `maia_sae.common`, and where it belongs.
    """

    name: str
    fits: Callable[[Contents], bool]
    common: Callable[[Contents], tuple[Tensors, Values, Home]]


def read_autoencoder(path: str, units: int | None = None) -> Autoencoder:
    """Reads a sparse autoencoder from a file, or from a folder with one file of weights.

    Args:
        path: The file. Settings may lie beside it, in `cfg.json` or `config.json`.
        units: Units of the layer that it is attached to; None: not known.

    Raises:
        UsageError: the file cannot be read, does not fit the layer, or holds a tensor or a setting that MAIA does not
            know.
    """
    contents = read_contents(path)
    try:
        found = next((found for found in FORMATS if found.fits(contents)), None)
        common = found.common(contents) if found else (contents.tensors, contents.settings, Home())
        tensors, settings, home = common
        if found and found.name in HAVE_BIASES:
            _require_biases(tensors)
        built = build(tensors, settings, contents.source, units)
    except UsageError as error:
        kind = WidthError if isinstance(error, WidthError) else UsageError
        raise kind(f"the sparse autoencoder {path} cannot be read: {error}") from error
    if found is None and not contents.settings:
        assumed = "; ".join(
            filter(
                None, (f"the file has no settings; MAIA takes the activation {built.encoder.activation}", built.assumed)
            )
        )
        built = replace(built, assumed=assumed)
    recorded = {name: value for name in ("explained_variance", "l0") if (value := _figure(contents, name)) is not None}
    name = str(contents.settings.get("library", found.name)) if found else "tensors alone"
    return replace(built, format=name, home=home, recorded=recorded, settings=settings)


def _require_biases(tensors: Tensors) -> None:
    is_gated = any(name in tensors for name in TENSORS["gate"])
    for what in BIASES[is_gated:]:
        if not any(name in tensors for name in TENSORS[what]):
            raise UsageError(f"it lacks the tensor {' or '.join(TENSORS[what])}; copy or fetch it again")


def _of_own(contents: Contents) -> tuple[Tensors, Values, Home]:
    values = {name: from_text(value) for name, value in contents.settings.items()}
    texts = {name: str(values.pop(name, "")) for name in ("model", "layer", "token")}
    values.pop("format")
    return contents.tensors, values, Home(texts["model"], texts["layer"], texts["token"] or "patches")


def _is_prisma(contents: Contents) -> bool:
    known = ("layer_subtype", "hook_point_layer", "vit_model_cfg", "use_patches_only", "cls_token_only")
    return any(name in contents.settings for name in known)


def _of_prisma(contents: Contents) -> tuple[Tensors, Values, Home]:
    values = {"normalize_activations": "layer_norm", "architecture": "standard"} | contents.settings  # as its class has
    layer = values.get("hook_point") or f"blocks.{values.get('hook_point_layer')}.{values.get('layer_subtype')}"
    token = "class" if from_text(values.get("cls_token_only")) is True else "patches"
    # The settings of both classes hold it; `encode` subtracts the bias always.
    return contents.tensors, values, Home(str(values.get("model_name", "")), str(layer), token)


def _is_saelens(contents: Contents) -> bool:
    metadata = contents.settings.get("metadata")
    known = ("sae_lens_version", "sae_lens_training_version", "hook_name", "hook_point", "reshape_activations")
    return isinstance(metadata, Mapping) or any(name in contents.settings for name in known)


def _of_saelens(contents: Contents) -> tuple[Tensors, Values, Home]:
    settings = contents.settings
    metadata = settings.get("metadata")
    texts = {**(metadata if isinstance(metadata, Mapping) else {}), **settings}
    layer = texts.get("hook_name") or texts.get("hook_point") or ""
    home = Home(str(texts.get("model_name") or ""), str(layer))
    return contents.tensors, {"apply_b_dec_to_input": True, "architecture": _default(settings)} | settings, home


def _default(settings: Mapping[str, Any]) -> str:
    return "standard" if "architecture" not in settings else str(settings["architecture"])


def _is_dictionary(contents: Contents) -> bool:
    settings = contents.settings
    return "dict_class" in settings or "trainer" in settings or all(name in contents.tensors for name in IN_TORCH)


def _of_dictionary(contents: Contents) -> tuple[Tensors, Values, Home]:
    settings = dict(contents.settings)
    trainer = settings.get("trainer")
    values = {**settings, **(trainer if isinstance(trainer, Mapping) else {})}
    names = [str(values[name]) for name in ("submodule_name", "layer") if values.get(name) not in (None, "")]
    home = Home(str(values.get("lm_name") or ""), names[0] if names else "")
    if "dict_class" not in values and "decoder_bias" in contents.tensors:
        settings["dict_class"] = "GatedAutoEncoder"
    return contents.tensors, settings, home


def _is_bare(contents: Contents) -> bool:
    has_settings_beside = contents.container in ("torch", "pickle") or contents.file.name == WEIGHTS[0]
    return has_settings_beside and not contents.settings and "W_enc" in contents.tensors


def _of_bare(contents: Contents) -> tuple[Tensors, Values, Home]:
    raise UsageError(
        "it holds tensors without settings, and no config.json or cfg.json lies beside it: put the one that the "
        "library saved there (SAELens names it cfg.json, ViT-Prisma and dictionary_learning config.json)"
    )


FORMATS = (
    _Format(OWN_FORMAT, lambda contents: contents.settings.get("format") == OWN_FORMAT, _of_own),
    _Format("saev", lambda contents: contents.container == "saev", of_saev),
    _Format("overcomplete", is_overcomplete, of_overcomplete),
    _Format("ViT-Prisma", _is_prisma, _of_prisma),
    _Format("dictionary_learning", _is_dictionary, _of_dictionary),
    _Format("SAELens", _is_saelens, _of_saelens),
    _Format("unknown", _is_bare, _of_bare),
)
"""The formats; the first that fits counts."""


def _figure(contents: Contents, name: str) -> float | None:
    """Returns a figure that the file or the evaluation of dictionary_learning beside it states."""
    value = from_text(contents.settings.get(name))
    results = contents.file.with_name("eval_results.json")
    if value is None and contents.settings.get("format") != OWN_FORMAT and results.is_file():
        try:
            value = read_json(results).get(EVALUATED.get(name, name))
        except UsageError:
            return None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
