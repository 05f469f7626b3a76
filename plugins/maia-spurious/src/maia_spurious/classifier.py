"""The model plugin `classifier`: a network that `maia spurious --out DIR` trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from maia_core.plugin import PluginRef, RunContext, UsageError, one_line, validated
from maia_torch import TorchModel
from maia_torch.options import TorchOptions

if TYPE_CHECKING:
    from maia_spurious.network import Network

FILE, WEIGHTS = "classifier.json", "weights.safetensors"


class Description(BaseModel):
    """What `classifier.json` holds.

    Attributes:
        base: The model that the network begins with, and its options.
        layer: Its layer that the trained part reads.
        units: Number of trained units; 0: the layer's own.
        classes: Names of the classes, in order.
        trained: Which parameters were trained: the `head`, or `all`.
        settings: How it was trained, for people.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: PluginRef
    layer: str
    units: int
    classes: tuple[str, ...]
    trained: str
    settings: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> Description:
        """Reads the description of a folder.

        Raises:
            UsageError: there is none, or it is not one.
        """
        try:
            found = dict(json.loads((folder / FILE).read_text(encoding="utf-8")))
        except OSError as error:
            raise UsageError(
                f"{folder} is not a trained classifier ({FILE}: {error.strerror}); "
                "make one with `maia spurious --out DIR`"
            ) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{folder / FILE} is not readable: {one_line(error)}; train the classifier again"
            ) from error
        return validated(Description, found, f"{folder / FILE} is damaged (train the classifier again)")


class Classifier(TorchModel):
    """A trained classifier: `classifier/FOLDER`. Its layer `features` has the units that `maia spurious` studies."""

    class Config(TorchOptions):
        """Options of the model `classifier`."""

        model: str = ""
        """The folder `classifier` that `maia spurious --out DIR` wrote."""

    def __init__(self, config: Config, context: RunContext) -> None:
        folder = Path(config.model).expanduser()
        description = Description.read(folder)
        network, base = assembled(description, context)
        from maia_torch.weights import load_weights

        load_weights(network if description.trained == "all" else network_head(network), str(folder / WEIGHTS))
        super().__init__(
            network,
            base.preprocess,
            f"classifier/{config.model}",
            classes=description.classes,
            main=["features"],
            context=context,
            **config.running,
        )


def assembled(description: Description, context: RunContext) -> tuple[Network, TorchModel]:
    """Builds the network with the weights of its base, and returns the base, too.

    Raises:
        UsageError: the base is not a torch model, or has no such layer.
    """
    import copy

    from maia_spurious.network import Head, Network, Trunk, units_of

    base = context.model(description.base.name, **description.base.options)
    if not isinstance(base, TorchModel):
        raise UsageError(
            f"{description.base.name} is not a torch model; choose one of maia-torch's, such as torchvision"
        )
    module = copy.deepcopy(base.engine.module)
    try:
        module.get_submodule(description.layer)
    except AttributeError:
        names = ", ".join(info.name for info in base.layers() if info.kind == "main")
        raise UsageError(f"{base.name} has no layer '{description.layer}'; it has {names}") from None
    trunk = Trunk(module, description.layer)
    height, width = base.preprocess.input
    head = Head(units_of(trunk, (height, width)), description.units, len(description.classes))
    return Network(trunk, head), base


def network_head(network: Network) -> Any:
    """Returns the trained part of a network whose base was left as it is, as one module."""
    from torch import nn

    return nn.ModuleDict({"features": network.features, "last": network.last})
