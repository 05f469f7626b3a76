"""A unit that responds to dark pixels; the core has renamed a name that it imports."""

from maia_core.config import Choice, PluginConfig
from maia_core.context import Context
from maia_core.types import UnitInfo


class Darkness:
    """Responds to dark pixels."""

    class Config(PluginConfig):
        """Options of the unit."""

        dataset: Choice = Choice(name="discs")
        """Images that it is scaled on."""

    def __init__(self, config: Config, context: Context) -> None:
        self.info = UnitInfo(model="acme-dimness", unit="whole")

    def neuron(self, images):
        """Measures how dark images are."""
        return [1 - float(image.pixels().mean()) / 255 for image in images], list(images)
