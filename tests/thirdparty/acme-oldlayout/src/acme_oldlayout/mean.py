"""A tool that measures the mean of images; the modules that it imports are private, and still there."""

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.image import Image


class Mean:
    """Measures means."""

    def __init__(self, config: PluginConfig, context: Context) -> None:
        pass

    def __call__(self, images: list[Image]) -> list[float]:
        """Measures the mean of each image.

        Args:
            images: The images.

        Returns:
            The mean of each image's pixels, 0 to 255.
        """
        return [float(image.pixels().mean()) for image in images]
