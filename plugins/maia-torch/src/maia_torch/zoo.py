"""Models of a library of networks, each by its name there. Importing this module does not import torch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from maia_core.plugin import LayerInfo, RunContext
from maia_exemplars import Preprocessing
from maia_exemplars.units import NUMBER, find_unit
from maia_torch.layers import LOGIT, OUTPUT, PROB, Layer, find_layer, split_ref
from maia_torch.layouts import Layout
from maia_torch.model import TorchModel
from maia_torch.options import TorchOptions

if TYPE_CHECKING:
    from torch import nn

RANDOM = "random"
"""The name of weights that nobody trained; they are the same ones every time."""

RANDOM_NOTE = "its weights are random: what its units respond to is an accident"


UNITS = ("out_channels", "out_features", "num_features")
"""Attributes of torch's modules that tell how many units their output has."""


class Built(NamedTuple):
    """A network that is ready to run.

    Attributes:
        module: The network.
        preprocess: Prepares its input.
        classes: Names of its outputs.
        classifier: False where the outputs are not classes; None where their shape tells.
        layouts: How outputs are laid out that shapes do not tell.
        note: What the user must know.
    """

    module: nn.Module
    preprocess: Preprocessing
    classes: Sequence[str] = ()
    classifier: bool | None = None
    layouts: Mapping[str, Layout] = {}
    note: str = ""


class ZooModel(TorchModel):
    """A network that a library builds."""

    def __init__(self, built: Built, name: str, config: TorchOptions, context: RunContext | None) -> None:
        """Takes over a network.

        Args:
            built: The network.
            name: The model's name in references, `LIBRARY/NAME`.
            config: The options of the adapter.
            context: The run; None outside of one.
        """
        super().__init__(
            built.module,
            built.preprocess,
            name,
            classes=built.classes,
            classifier=built.classifier,
            context=context,
            layouts=built.layouts,
            **config.running,
        )
        if built.note:
            self.warn(f"{name}: {built.note}")


def check_modules(ref: str, module: nn.Module, model: str) -> None:
    """Checks a reference `LAYER:UNIT` against a network that need not have weights: no pass is made.

    A layer is one of the network's modules, or its output; how many units it has, some modules tell.

    Args:
        ref: The reference. Only its layer counts where it has no unit, or reads something (`LAYER:sae=...`).
        module: The network, on any device, `meta` too.
        model: Its name, for errors.

    Raises:
        UsageError: there is no such layer, or a unit's number is beyond the layer's.
    """
    layers = [_layer_of(name, part) for name, part in module.named_modules() if name]
    layers += [Layer(LayerInfo(name=name, units=1, shape=(1,), kind="classes"), "", 1) for name in (LOGIT, PROB)]
    layers.append(Layer(LayerInfo(name=OUTPUT, units=1, shape=(1,), kind="main"), "", 1))
    name, unit = split_ref(ref, layers)
    # `sae=FILE` finds its layer by itself; `name@2` is a call of a module, `name#key` a part of its output.
    name = name.partition("#")[0].partition("@")[0]
    if not name or "=" in name:
        return
    layer = find_layer(name, layers, model)
    if re.fullmatch(NUMBER, unit) and layer.info.units > 1:
        find_unit(unit, layer.name, layer.info.units, ())


def _layer_of(name: str, part: nn.Module) -> Layer:
    units = next((getattr(part, key) for key in UNITS if isinstance(getattr(part, key, None), int)), 1)
    kind = "main" if name.count(".") == 0 or name.rpartition(".")[2].isdigit() else "inner"
    return Layer(LayerInfo(name=name, units=units, shape=(units,), kind=kind), name, 1)


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """While it lasts, torch draws the same random numbers every time; afterwards it draws as if it never had."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
