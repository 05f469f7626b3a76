"""A tool that measures contrast."""

from maia_core.plugin import Image, PluginConfig, RunContext


class Contrast:
    """Measures contrast."""

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self, images: list[Image]) -> list[float]:
        """Measures the contrast of each image.

        Args:
            images: The images.

        Returns:
            The standard deviation of each image's pixels, 0 to 127.5.

        Example:
            >>> def run_experiment(system, tools):
            ...     images = tools.text2image(["a white disc", "a black disc"])
            ...     print(tools.acme_contrast(images))
        """
        return [float((image.clean or image).pixels().std()) for image in images]
