"""torchvision's models as MAIA models. Importing this package imports neither torch nor torchvision."""

from __future__ import annotations

from pydantic import Field

from maia_core.plugin import RunContext
from maia_torch.options import TorchOptions
from maia_torch.own import class_names
from maia_torch.zoo import ZooModel, check_modules


class TorchvisionModel(ZooModel):
    """A model of torchvision by its name: `torchvision/resnet152`.

    Classifiers have classes (`logit`, `prob`), segmentation networks have them at each place; of a detector only the
    backbone is run. Images are preprocessed as the weights were evaluated.
    """

    class Config(TorchOptions):
        """Which model, with which weights."""

        model: str = ""
        """Its name in torchvision: `resnet152`, `vit_b_16`, `fcn_resnet50`, `fasterrcnn_resnet50_fpn`."""
        weights: str = "DEFAULT"
        """Weights by torchvision's name (`IMAGENET1K_V1`), a file (`.pth` or `.safetensors`), or `random`."""
        size: int | tuple[int, int] | None = Field(None)
        """Input in pixels, a side or [height, width]; as the weights were evaluated if not set."""
        classes: str | None = None
        """A text file with the names of the outputs, one a line, for weights of your own; the weights' own if not
        set."""

    def __init__(self, config: Config, context: RunContext | None) -> None:
        from maia_torchvision.zoo import build

        names = None if config.classes is None else class_names(config.classes)
        super().__init__(
            build(config.model, config.weights, config.size, names), f"torchvision/{config.model}", config, context
        )

    @classmethod
    def check_unit(cls, config: Config, ref: str) -> None:
        """Checks the names of the model, of its weights and of a layer before any weights are read or fetched.

        Raises:
            UsageError: there is no such model, weights or layer, or a unit's number is beyond the layer's.
        """
        from maia_torchvision.zoo import skeleton

        if ref:
            check_modules(ref, skeleton(config.model, config.weights), f"torchvision/{config.model}")

    @staticmethod
    def models() -> list[str]:
        """Returns the names of the models."""
        from maia_torchvision.zoo import names

        return names()
