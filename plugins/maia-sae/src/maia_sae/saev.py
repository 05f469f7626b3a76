"""Files of saev: a line of JSON, then a torch file. Every schema of the line is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from maia_core.plugin import UsageError
from maia_sae.autoencoder import Home
from maia_sae.contents import Contents
from maia_sae.readouts import Array
from maia_sae.settings import names_of, shown

HEADER = {"schema", "cfg", "cls", "commit", "lib"}
IDLE = {
    *("n_reinit_samples", "remove_parallel_grads", "normalize_w_dec", "seed", "reinit_blend", "sparsity_coeff"),
    *("ghost_grads", "use_ghost_grads", "l1_coeff", "reinit_enc_dec_tranpose"),
}
"""Settings on which no latent depends."""

ACTIVATION = {"top_k", "kind", "sparsity", "momentum", "aux", "aux_k", "aux_coeff"}
KINDS = ("Relu", "TopK", "BatchTopK")

LAYER = re.compile(r"layer_(\d+)")
"""The folder of a published autoencoder: `layer_23/<run>/sae.pt`."""


def of_saev(contents: Contents) -> tuple[Mapping[str, Array], dict[str, Any], Home]:
    """Returns tensors, settings in the words of `maia_sae.common`, and where the autoencoder belongs.

    From schema 2 on, saev does not subtract the decoder's bias. Before there were schemas it did, but later versions
    load these files as if they had not been trained so: MAIA subtracts it, and a check on images decides.
    """
    schema, config, kind, parameters = _header(contents.settings)
    tensors = dict(contents.tensors)
    settings: dict[str, Any] = {"architecture": {"Relu": "relu", "TopK": "topk"}.get(kind, "topk")}
    units = config.pop("d_model", config.pop("d_vit", None))
    factor = config.pop("exp_factor", None)
    latents = config.pop("d_sae", None)
    if latents is None and isinstance(units, int) and isinstance(factor, int):
        latents = units * factor
    if units is not None:
        settings["d_in"] = units
    if latents is not None:
        settings["d_sae"] = latents
    if unknown := config.keys() - IDLE:
        raise UsageError(
            f"its first line sets {names_of(unknown)}, which MAIA does not know: a latent may depend on it"
        )
    if unknown := parameters.keys() - ACTIVATION:
        raise UsageError(f"the activation in its first line sets {names_of(unknown)}, which MAIA does not know")
    threshold = tensors.pop("activation.threshold", None)
    if kind == "BatchTopK" and threshold is not None:
        settings["architecture"] = "jumprelu"
        tensors["threshold"] = threshold
    elif kind != "Relu":  # A BatchTopK of before there were thresholds keeps the k largest of each position.
        settings |= {"k": parameters.get("top_k", 32), "keeps_negative_values": True}
    if schema is None or schema == 1:
        # `build` then takes both centrings into account.
        settings = {"activation": settings.pop("architecture")} | settings
    else:
        settings["apply_b_dec_to_input"] = False
    numbers = LAYER.findall(str(contents.file.resolve()))
    return tensors, settings, Home(layer=f"layer_{numbers[-1]}" if numbers else "")


def _header(header: Mapping[str, Any]) -> tuple[int | None, dict[str, Any], str, dict[str, Any]]:
    """Returns the schema, the settings, the kind of activation, and its parameters."""
    schema = header.get("schema")
    if schema is None:
        return None, dict(header), "Relu", {}
    if schema not in (1, 2, 3, 4, 5):
        raise UsageError(f"its first line has the schema {shown(schema)}; MAIA reads those up to 5 of saev")
    if unknown := header.keys() - HEADER:
        raise UsageError(f"its first line holds {names_of(unknown)}, which MAIA does not know")
    config = header.get("cfg")
    if not isinstance(config, Mapping):
        raise UsageError("its first line has no settings (cfg)")
    config = dict(config)
    activation = config.pop("activation", None)
    if schema == 1 and header.get("cls") in KINDS:
        activation = {"cls": header["cls"], "params": {"top_k": config.pop("top_k", 32)}}
    if activation is None and schema == 1:
        activation = {"cls": "Relu"}
    if not isinstance(activation, Mapping) or activation.get("cls") not in KINDS:
        raise UsageError(f"its first line has the activation {shown(activation)}; MAIA reads {', '.join(KINDS)}")
    parameters = activation.get("params", {})
    return schema, config, str(activation["cls"]), dict(parameters) if isinstance(parameters, Mapping) else {}
