"""CLIP's image encoders as MAIA models. Importing this package imports neither torch nor open_clip."""

from __future__ import annotations

from maia_core.plugin import RunContext
from maia_torch.options import TorchOptions
from maia_torch.zoo import ZooModel, check_modules


class OpenClipModel(ZooModel):
    """The image encoder of a model of open_clip by its name: `open-clip/RN50`, `open-clip/ViT-B-32`.

    Layers are named as in the encoder: `layer1` to `layer4` of a ResNet, `transformer.resblocks.N` of a transformer;
    `output` is the image's embedding. The text encoder is not run.
    """

    class Config(TorchOptions):
        """Which model, with which weights."""

        model: str = ""
        """Its name in open_clip: `RN50`, `ViT-B-32`."""
        weights: str = "default"
        """A tag of open_clip's (`openai`, `laion2b_s34b_b79k`), a file (`.pt` or `.safetensors`), or `random`; the
        default is `openai` where there is one, else the first tag."""
        size: int | tuple[int, int] | None = None
        """Input in pixels, a side or [height, width]; as the weights were trained if not set."""

    def __init__(self, config: Config, context: RunContext | None) -> None:
        from maia_open_clip.zoo import build

        super().__init__(build(config.model, config.weights, config.size), f"open-clip/{config.model}", config, context)

    @classmethod
    def check_unit(cls, config: Config, ref: str) -> None:
        """Checks the names of the model, of its weights and of a layer before any weights are read or fetched.

        Raises:
            UsageError: there is no such model, weights or layer, or a unit's number is beyond the layer's.
        """
        from maia_open_clip.zoo import skeleton

        if ref:
            check_modules(ref, skeleton(config.model, config.weights), f"open-clip/{config.model}")

    @staticmethod
    def models() -> list[str]:
        """Returns the names of the models."""
        from maia_open_clip.zoo import names

        return names()
