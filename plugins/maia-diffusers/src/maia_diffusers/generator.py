"""Images made from prompts by a diffusion model: Stable Diffusion, SDXL, SD 3.5, FLUX and their like."""

from __future__ import annotations

from collections.abc import Sequence

from maia_cache import CachedGenerator, Picture, shared
from maia_core.plugin import GeneratedImages, Image, RunContext
from maia_diffusers.engine import Engine, recordable
from maia_diffusers.options import PipelineOptions, Size


class DiffusersGenerator(CachedGenerator):
    """Makes images from prompts; the same prompt and seed is drawn once over all runs.

    The model is found when this is made, and loaded when the first image is drawn that the cache does not have.
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
        painter = Painter(config, context)
        super().__init__(painter, shared(context), painter.name, painter.step)


class Painter(Engine):
    """The generator without its cache."""

    def __init__(self, config: DiffusersGenerator.Config, context: RunContext) -> None:
        super().__init__(config, context, "generator", size=config.size)
        self._size, self._model = config.size, config.model

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image a prompt; see `Engine.draw` for what it raises."""
        from maia_diffusers.drawing import Drawn, Job

        jobs = [Job(recordable(prompt), seed, self._size) for prompt, seed in zip(prompts, seeds, strict=True)]

        def picture(place: int, drawn: Drawn) -> Picture:
            text, seed = jobs[place].text, jobs[place].seed
            image = Image.from_pixels(drawn.pixels, text, prompt=text, seed=seed, model=self._model)
            return Picture(image, drawn.warning)

        return self.draw(jobs, picture)
