"""Images made from prompts by a diffusion model: Stable Diffusion, SDXL, SD 3.5, FLUX and their like."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import GeneratedImages, Image, RunContext, recordable
from maia_diffusers.engine import Engine
from maia_diffusers.options import PipelineOptions, Size


class DiffusersGenerator(Engine):
    """Makes images from prompts.

    It finds the model when it is built, and loads the model when it draws the first image.
    """

    class Config(PipelineOptions):
        """Options of the generator."""

        size: Size | None = None
        """Side of an image in pixels, or width and height (`768x512`); the model's own size where it is not set."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Finds the model.

        Raises:
            PluginError: a package is missing.
            UsageError: there is no such model or device, or the model makes no images from text.
            RunError: the hub cannot be reached.
        """
        super().__init__(config, context, "generator", size=config.size)
        self._size, self._model = config.size, config.model

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image per prompt; see `Engine.draw` for what it raises."""
        from maia_diffusers.drawing import Drawn, Job

        jobs = [Job(recordable(prompt), seed, self._size) for prompt, seed in zip(prompts, seeds, strict=True)]

        def picture(place: int, drawn: Drawn) -> Image:
            text, seed = jobs[place].text, jobs[place].seed
            return Image.from_pixels(drawn.pixels, text, prompt=text, seed=seed, model=self._model)

        return self.draw(jobs, picture)
