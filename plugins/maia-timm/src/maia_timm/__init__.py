"""timm's models as MAIA models. Importing this package imports neither torch nor timm."""

from __future__ import annotations

from maia_core.plugin import RunContext
from maia_torch.options import TorchOptions
from maia_torch.own import class_names
from maia_torch.zoo import ZooModel, check_modules


class TimmModel(ZooModel):
    """A model of timm by its name, with or without the tag of its weights: `timm/vit_small_patch8_224.dino`.

    Of a transformer the patches' tokens are laid out as a map; class, distillation and register tokens are left out.
    Images are preprocessed as the weights were evaluated.
    """

    class Config(TorchOptions):
        """Which model, with which weights."""

        model: str = ""
        """Its name in timm: `resnet50.a1_in1k`, `vit_small_patch8_224.dino`; without a tag, with its default one."""
        weights: str = "default"
        """timm's weights for that name (`default`), another tag of it, a file (`.pth` or `.safetensors`), `random`."""
        size: int | tuple[int, int] | None = None
        """Input in pixels, a side or [height, width]; as the weights were evaluated if not set."""
        classes: str | None = None
        """A text file with the names of the outputs, one a line, for weights of your own; ImageNet's where they are
        its, if not set."""

    def __init__(self, config: Config, context: RunContext | None) -> None:
        from maia_timm.zoo import build

        names = None if config.classes is None else class_names(config.classes)
        super().__init__(
            build(config.model, config.weights, config.size, names), f"timm/{config.model}", config, context
        )

    @classmethod
    def check_unit(cls, config: Config, ref: str) -> None:
        """Checks the names of the model, of its weights and of a layer before any weights are read or fetched.

        Raises:
            UsageError: there is no such model, weights or layer, or a unit's number is beyond the layer's.
        """
        from maia_timm.zoo import skeleton

        if ref:
            check_modules(ref, skeleton(config.model, config.weights), f"timm/{config.model}")

    @staticmethod
    def models() -> list[str]:
        """Returns the names of the models, with and without tags."""
        from maia_timm.zoo import names

        return names()
