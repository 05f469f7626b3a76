"""A unit that responds to dark pixels."""

from collections.abc import Sequence

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.image import Image
from maia_core.types import UnitInfo


class Darkness:
    """Responds to dark pixels; has no map."""

    def __init__(self, config: PluginConfig, context: Context) -> None:
        self.info = UnitInfo(model="acme-darkness", has_map=False)

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures how dark images are."""
        return [255.0 - float((i.clean or i).pixels().min()) for i in images], [i.clean or i for i in images]
