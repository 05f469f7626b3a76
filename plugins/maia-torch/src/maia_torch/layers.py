"""A network's layers and units by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from maia_core.plugin import LayerInfo, UsageError
from maia_exemplars.units import find_unit, listed
from maia_exemplars.units import split_ref as split_known
from maia_sae import Readout
from maia_torch.layouts import CHANNELS_FIRST, Layout, Tokens

LOGIT, PROB, OUTPUT = "logit", "prob", "output"
"""Layers that are not modules: a classifier's output and its softmax, any other network's output."""


@dataclass(frozen=True)
class Layer:
    """A layer and where its values come from.

    Attributes:
        info: Name, units and shape.
        module: Name of the module whose output it is; "" is the whole network.
        call: Which call of the module in one forward pass, counted from 1.
        softmax: True if the values are the softmax of that output.
        layout: How the output's axes are ordered.
        part: Which tensor of an output that is a tuple or a dict: keys, joined by dots; "" where it is a tensor.
        readout: What is computed from the output's units: directions, or the latents of a sparse autoencoder.
        base: Name of the layer that the readout reads; "" without one.
    """

    info: LayerInfo
    module: str
    call: int
    softmax: bool = False
    layout: Layout = CHANNELS_FIRST
    part: str = ""
    readout: Readout | None = None
    base: str = ""

    @property
    def name(self) -> str:
        """The name in references."""
        return self.info.name

    @property
    def key(self) -> str:
        """What tells its values from those of any other layer of the same model, in caches and indexes."""
        # A readout of tokens without places is computed at each of them; before 0.2, of the units' maxima.
        each = " each" if self.readout and not self.layout.placed else ""
        return f"{self.name} {self.layout.key} {self.readout.fingerprint if self.readout else ''}{each}".strip()

    @property
    def has_map(self) -> bool:
        """True if a unit has a spatial map."""
        return len(self.info.shape) == 3

    @property
    def positions(self) -> int:
        """Positions of a unit's map; 1 without a map."""
        return self.info.shape[1] * self.info.shape[2] if self.has_map else 1


def find_layer(name: str, layers: Sequence[Layer], model: str) -> Layer:
    """Returns the layer of that name.

    The name of a module that runs several times in a pass stands for its last call, `name@1` for the first; that of
    one with several outputs stands for the first of them, `name#key` for another. Case, and underscores around the
    parts of a name, do not matter as long as only one layer is meant.

    Raises:
        UsageError: there is none; the message lists what exists, the nearest names first.
    """
    by_name = {layer.name: layer for layer in layers}
    last_calls: dict[str, Layer] = {}
    for layer in layers:
        if layer.module and (layer.module not in last_calls or layer.call > last_calls[layer.module].call):
            last_calls[layer.module] = layer
    if found := by_name.get(name) or last_calls.get(name):
        return found
    meant = {id(layer): layer for known, layer in (last_calls | by_name).items() if _bare(known) == _bare(name)}
    if len(meant) == 1:
        return meant.popitem()[1]
    near = [layer.name for layer in meant.values()] or difflib.get_close_matches(name, by_name, n=4, cutoff=0.3)
    main = [layer.name for layer in layers if layer.info.kind != "inner"] or list(by_name)
    nearest = f"; nearest: {', '.join(near)}" if near else ""
    raise UsageError(f"no layer '{name}' in {model}{nearest}; layers: {listed(main)}")


def split_ref(ref: str, layers: Sequence[Layer]) -> tuple[str, str]:
    """Returns the layer and the rest of a reference `LAYER:REST`: a layer's own name may hold colons.

    The longest known layer that the reference begins with counts; without one, the text up to the first colon.
    """
    known = {name for layer in layers for name in (layer.name, layer.module)}
    if split := split_known(ref, known):
        return split
    name, _, rest = ref.partition(":")
    return name, rest


def check_unit(ref: str, known: Sequence[LayerInfo], model: str, names: Mapping[str, Sequence[str]]) -> None:
    """Checks a reference `LAYER:UNIT` against a list of layers: a model's plugin can do so before it loads the model.

    Args:
        ref: The reference. Only its layer counts where it has no unit, or reads something (`LAYER:sae=...`).
        known: All layers of the model; empty where they are not known.
        model: Its name, for errors.
        names: Names of the units, by layer.

    Raises:
        UsageError: there is no such layer or unit.
    """
    layers = [Layer(info, info.name.partition("@")[0], 1) for info in known]
    name, unit = split_ref(ref, layers)
    if layers and name and "=" not in name:  # `sae=FILE` finds its layer by itself.
        layer = find_layer(name, layers, model)
        if unit and "=" not in unit:
            find_unit(unit, layer.name, layer.info.units, names.get(layer.name, ()))


def derived(layer: Layer, kind: str, where: str, readout: Readout) -> Layer:
    """Returns the layer of what a readout computes from another: `LAYER:KIND=WHERE`, with its own units."""
    shape = (readout.units, *layer.info.shape[1:])
    info = LayerInfo(name=f"{layer.name}:{kind}={where}", units=readout.units, shape=shape, kind="inner")
    return replace(layer, info=info, readout=readout, base=layer.name)


def at_token(layer: Layer, token: str, name: str = "") -> Layer:
    """Returns a layer read at other tokens: `LAYER:token=class`.

    Args:
        layer: A layer of tokens.
        token: `patches`, `class` or `all`.
        name: What it is called; "" for the reference.

    Raises:
        UsageError: the layer has no such tokens.
    """
    if token not in get_args(Tokens):
        raise UsageError(f"token={token} of {layer.name}: a token is one of {', '.join(get_args(Tokens))}")
    layout = layer.layout.at(cast(Tokens, token), layer.name)
    shape = layer.info.shape
    if token == "patches" and layout.grid is not None and layout.placed and layout.grid != (1, 1):
        shape = (layer.info.units, *layout.grid)
    elif token != "patches":
        shape = (layer.info.units,)
    info = layer.info.model_copy(update={"name": name or f"{layer.name}:token={token}", "shape": shape})
    return replace(layer, info=info, layout=layout)


def at_tokens(layers: Sequence[Layer], token: str) -> list[Layer]:
    """Returns layers under their own names, read at other tokens where they have such.

    Raises:
        UsageError: none of them has.
    """
    moved: list[Layer] = []
    error: UsageError | None = None
    for layer in layers:
        try:
            moved.append(at_token(layer, token, layer.name))
        except UsageError as refused:
            moved.append(layer)
            error = refused if error is None or "L" in layer.layout.axes else error
    if error is not None and all(one is other for one, other in zip(moved, layers, strict=True)):
        raise error
    return moved


def _bare(name: str) -> str:
    return ".".join(part.strip("_") for part in name.casefold().split("."))


LayerKind = Literal["main", "inner", "classes"]
"""`LayerInfo.kind`: what a listing shows first, every other module, the network's classes."""
