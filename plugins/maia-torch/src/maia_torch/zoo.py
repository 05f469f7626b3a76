"""Models of a library of networks, each by its name there. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from maia_core.plugin import RunContext
from maia_exemplars import Preprocessing
from maia_torch.layouts import Layout
from maia_torch.model import TorchModel
from maia_torch.options import TorchOptions

if TYPE_CHECKING:
    from torch import nn

RANDOM = "random"
"""The name of weights that nobody trained; they are the same ones every time."""

RANDOM_NOTE = "its weights are random: what its units respond to is an accident"


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


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """While it lasts, torch draws the same random numbers every time; afterwards it draws as if it never had."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
