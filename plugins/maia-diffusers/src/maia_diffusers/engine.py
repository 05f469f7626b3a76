"""The common part of the generator and the editor: it locates the model at once and loads it at the first image."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maia_core.plugin import GeneratedImages, Image, RunContext, ToolError, UsageError, content_id, with_results
from maia_diffusers.key import Key
from maia_diffusers.options import PipelineOptions, require
from maia_diffusers.roles import Role, mismatch, roles_by_name

if TYPE_CHECKING:
    from maia_diffusers.drawing import Drawn, Job

VERSION = 1
"""Raised whenever the same options, text and seed would give another image."""

RESERVED_ARGUMENTS = frozenset(
    {
        "prompt",
        "image",
        "generator",
        "output_type",
        "return_dict",
        "num_images_per_prompt",
        "width",
        "height",
        "latents",
    }
    | {"num_inference_steps", "guidance_scale", "image_guidance_scale", "negative_prompt", "max_area", "_auto_resize"}
)
"""Arguments of a pipeline's call that have an option, or that MAIA sets itself."""

MAX_PROMPT_CHARACTERS = 100
"""Characters of a prompt in a message."""


class Engine:
    """A model in the role of a generator or an editor.

    Attributes:
        cache_name: The role and the model.
        cache_step: Images per call.
        fingerprint: Changes with the model's files, with every option that decides about pixels, and with the library.
    """

    def __init__(self, options: PipelineOptions, context: RunContext, role: Role, **own: Any) -> None:
        """Finds the model and the device.

        Args:
            options: The plugin's options.
            context: The run's context.
            role: The role of the model.
            **own: Options of this role alone that decide about pixels.

        Raises:
            PluginError: a package is missing.
            UsageError: there is no such model or device, or the model is for something else.
            RunError: the hub cannot be reached.
        """
        require(role)
        from maia_diffusers.folder import locate, read_index
        from maia_hub.device import choose_device, choose_dtype

        if clash := RESERVED_ARGUMENTS & set(options.params):
            raise UsageError(f"{role}.params: '{min(clash)}' has an option of its own, or is set by MAIA; leave it out")
        self._options, self._role, self._context, self._own = options, role, context, own
        folder = locate(options.model, options.revision, options.variant, options.safety, context.warn)
        index = read_index(folder, options.model)
        if problem := mismatch(options.model, index.pipeline, roles_by_name(index.pipeline), role):
            raise UsageError(problem)
        device = choose_device(options.device)
        unet = any(part.name == "unet" for part in index.components)
        dtype = choose_dtype(options.dtype, device, "unet" if unet else "diffusion-transformer")
        self._key = Key(
            folder.resolve(),
            options.variant,
            str(device),
            str(dtype).removeprefix("torch."),
            options.scheduler,
            options.offload,
            options.slicing,
            options.tiling,
            options.safety,
        )
        self.cache_name = f"diffusers-{role}-{Path(options.model).expanduser().name or options.model}"
        self.cache_step = 1 if options.exact else options.batch
        self.fingerprint = self._fingerprint()

    def _fingerprint(self) -> str:
        from maia_diffusers.folder import files
        from maia_hub.fingerprints import exact_fingerprint

        options, key = self._options, self._key
        used = files(key.folder, options.model, key.variant, safety=key.safety)
        content = exact_fingerprint(key.folder, used, self._context.cache / "diffusers", self._context.warn)
        # Not the batch, the slicing and the offloading: what they change is within the tolerance.
        parts: list[Any] = [VERSION, self._role, content, key.device.partition(":")[0], key.dtype, key.scheduler]
        parts += [options.steps, options.guidance, options.negative_prompt, dict(sorted(options.params.items()))]
        parts += [key.tiling, options.exact, options.redraws, self._own, version("diffusers")]
        return content_id(json.dumps(parts).encode())

    def draw(self, jobs: Sequence[Job], picture: Callable[[int, Drawn], Image]) -> GeneratedImages:
        """Draws some images.

        Args:
            jobs: What is wanted.
            picture: Makes the image of the n-th job from its pixels.

        Raises:
            ToolError: a text is empty, or the safety checker blanked every image of some of the texts; the error
                carries the images of the others.
            UsageError: the model cannot be loaded, or does not take an option.
            RunError: memory does not suffice, or the pipeline failed.
        """
        from maia_diffusers.drawing import Drawer

        if any(not job.text.strip() for job in jobs):
            what = {"generator": "a prompt is empty; say what the image should show"}
            raise ToolError(what.get(self._role, "an instruction is empty; say what should be changed"))
        drawer = Drawer(self._options, self._key, self._role, self._arguments(), self._context.warn)
        made = {
            place: (picture(place, drawn), drawn.warning)
            for place, drawn in enumerate(drawer.draw(jobs))
            if drawn is not None
        }
        if refused := [_short(job.text) for place, job in enumerate(jobs) if place not in made]:
            texts = " and ".join(f"'{text}'" for text in dict.fromkeys(refused))
            tries = 1 + self._options.redraws
            message = f"the safety checker blanked all {tries} images of {texts}: use other words"
            raise with_results(ToolError(message), made)
        return GeneratedImages([image for image, _ in made.values()], [warning for _, warning in made.values()])

    def _arguments(self) -> dict[str, Any]:
        """Returns what the pipeline's call takes beside texts, images, sizes and seeds."""
        options = self._options
        asked = {
            "num_inference_steps": options.steps,
            "guidance_scale": options.guidance,
            "image_guidance_scale": self._own.get("image_guidance"),
            "negative_prompt": options.negative_prompt or None,
        }
        return {name: value for name, value in asked.items() if value is not None} | options.params


def _short(text: str) -> str:
    return text if len(text) <= MAX_PROMPT_CHARACTERS else text[: MAX_PROMPT_CHARACTERS - 1] + "…"
