"""The response of a model to a class: what findings are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maia_bias.whole import WholeModel
from maia_core.plugin import Image, RunContext, System, UsageError

CLASS_LAYERS = ("prob", "logit")
"""Layers whose units are classes."""

Response = Callable[[Sequence[Image]], list[float]]
"""Measures images: one finite number per image."""


def class_of(system: System) -> str:
    """Returns the name of the class whose probability or score a unit is; empty where it is another unit."""
    info = system.info
    return spoken(info.unit) if info.layer in CLASS_LAYERS and not info.unit.isdigit() else ""


def spoken(name: str) -> str:
    """Returns a class's name as people say it: the first of several, without underscores."""
    return name.partition(",")[0].replace("_", " ").strip()


def response_to(context: RunContext, name: str) -> Response:
    """Returns what measures the response to a class: the run's unit, or that class of the run's whole model.

    Raises:
        UsageError: the model lacks the class, or the run's system measures several units.
    """
    whole: object = context.system
    if isinstance(whole, WholeModel):
        unit = whole.class_unit(name)
    elif hasattr(whole, "methods"):
        raise UsageError("findings are about a class: study a unit such as MODEL:prob:tiger, or whole:MODEL")
    else:
        unit = context.system
    return lambda images: unit.neuron(images)[0]
