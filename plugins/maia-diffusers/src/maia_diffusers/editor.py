"""Images changed as instructed by a diffusion model: Instruct-Pix2Pix, FLUX.1-Kontext and their like."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image as PILImage
from pydantic import Field

from maia_core.plugin import GeneratedImages, Image, RunContext, recordable
from maia_diffusers.engine import Engine
from maia_diffusers.options import PipelineOptions


class DiffusersEditor(Engine):
    """Changes images as instructed.

    It finds the model when it is built, and loads the model when it edits the first image.
    """

    class Config(PipelineOptions):
        """Options of the editor."""

        size: int | None = Field(None, ge=8, le=8192)
        """Longer side in pixels at which images are edited; they come back in their own size. Their own where it is not
        set: set what the model was trained on, 512 for Instruct-Pix2Pix, 1024 for Kontext."""
        image_guidance: float | None = Field(None, ge=0, allow_inf_nan=False)
        """How closely Instruct-Pix2Pix keeps to the image; the pipeline's default where it is not set."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Finds the model.

        Raises:
            PluginError: a package is missing.
            UsageError: there is no such model or device, or the model does not edit as instructed.
            RunError: the hub cannot be reached.
        """
        super().__init__(config, context, "editor", size=config.size, image_guidance=config.image_guidance)
        self._size, self._model = config.size, config.model

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Returns one edited image each, of its original's size; see `Engine.draw` for what it raises."""
        from maia_diffusers.drawing import Drawn, Job

        jobs = [
            # Always RGB: a small image with transparency would be taken for what the network itself computes with.
            Job(recordable(text), seed, image=(image.clean or image).pil(), longer=self._size)
            for image, text, seed in zip(images, instructions, seeds, strict=True)
        ]

        def picture(place: int, drawn: Drawn) -> Image:
            original, job = images[place], jobs[place]
            edited = PILImage.fromarray(drawn.pixels)
            if edited.size != (original.width, original.height):
                edited = edited.resize((original.width, original.height), PILImage.Resampling.LANCZOS)
            origin = {"instruction": job.text, "edited_from": (original.clean or original).id}
            title = f"{original.title}, {job.text}" if original.title else job.text
            return Image.from_pil(edited, title, **origin, seed=job.seed, model=self._model)

        return self.draw(jobs, picture)
