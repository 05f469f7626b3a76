"""Draws images with a pipeline that is lent from the pool: in batches that fit, each from its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Pixels, RunError, UsageError, content_id, one_line
from maia_diffusers.key import Key
from maia_diffusers.loading import load, pool
from maia_diffusers.options import PipelineOptions
from maia_diffusers.pool import Slot
from maia_diffusers.prompts import cut
from maia_diffusers.roles import BATCHED, Role, call_arguments
from maia_diffusers.sizes import side_multiple, working_size
from maia_hub.batches import Batches
from maia_hub.device import is_out_of_memory
from maia_hub.quiet import quiet

OPTIONS = {"num_inference_steps": "steps", "guidance_scale": "guidance", "image_guidance_scale": "image_guidance"}
"""Arguments that have an option of another name."""


@dataclass(frozen=True)
class Job:
    """One image that is wanted.

    Attributes:
        text: Prompt or instruction.
        seed: Of its noise.
        size: Width and height of a new image; None: the pipeline's own.
        image: The picture to edit, of mode RGB; None: a new one is made.
        longer: Longer side at which it is edited; None: its own.
    """

    text: str
    seed: int
    size: tuple[int, int] | None = None
    image: PILImage.Image | None = None
    longer: int | None = None


@dataclass(frozen=True)
class Drawn:
    """What came of a job: pixels (uint8, height x width x 3) and what the reader must know (empty: nothing)."""

    pixels: Pixels
    warning: str = ""


class Drawer:
    """Draws with one pipeline, which is loaded when it is needed and shared with every drawer of an equal key."""

    def __init__(
        self, options: PipelineOptions, key: Key, role: Role, arguments: dict[str, Any], warn: Callable[[str], None]
    ) -> None:
        """Loads nothing.

        Args:
            options: The plugin's options.
            key: What to load.
            role: What it is used for; the first word of an option's whole name.
            arguments: What the pipeline's call takes beside texts, images, sizes and seeds, by its names.
            warn: Takes a line for the record.
        """
        self._options, self._key, self._role, self._warn = options, key, role, warn
        self._arguments = arguments

    def draw(self, jobs: Sequence[Job]) -> list[Drawn | None]:
        """Draws images; those that a safety checker blanks are drawn again with other seeds.

        Returns:
            What came of each job; None where every attempt was blanked.

        Raises:
            UsageError: the model cannot be loaded, or does not take an option.
            RunError: memory does not suffice, or the pipeline failed.
        """
        with pool.using(self._key, self._load, self._options.idle_seconds) as (pipe, slot):
            self._check(pipe)
            jobs = [self._fitted(job, side_multiple(pipe)) for job in jobs]
            longest = self._arguments.get("max_sequence_length")
            warnings = [cut(pipe, job.text, longest) for job in jobs]
            done: dict[int, Drawn] = {}
            for attempt in range(1 + self._options.redraws):
                if not (waiting := [place for place in range(len(jobs)) if place not in done]):
                    break
                pictures = self._in_batches(pipe, slot, [_attempt(jobs[place], attempt) for place in waiting])
                blanked = f"the safety checker blanked this image {attempt} times; it is drawn with another seed"
                for place, pixels in zip(waiting, pictures, strict=True):
                    if pixels is not None:
                        done[place] = Drawn(pixels, "; ".join(filter(None, [warnings[place], blanked * bool(attempt)])))
        return [done.get(place) for place in range(len(jobs))]

    def _load(self) -> Any:
        return load(self._key, self._options.model, self._role)

    def _check(self, pipe: Any) -> None:
        taken = call_arguments(type(pipe))
        for name in self._arguments:
            if name not in taken:
                option = OPTIONS.get(name, name if name == "negative_prompt" else f"params.{name}")
                raise UsageError(f"{self._role}.{option}: a {type(pipe).__name__} does not take it; leave it out")

    def _fitted(self, job: Job, multiple: int) -> Job:
        """Brings a picture that is edited to a size that the pipeline takes; checks the size of a new one."""
        if job.image is not None:
            size = working_size(job.image.size, job.longer, multiple)
            return replace(job, size=size, image=job.image.resize(size, PILImage.Resampling.LANCZOS))
        if job.size and any(side % multiple for side in job.size):
            near = " x ".join(str(max(1, round(side / multiple)) * multiple) for side in job.size)
            raise UsageError(
                f"{self._role}.size: this model draws sides that are multiples of {multiple}, not "
                f"{job.size[0]} x {job.size[1]}; the nearest is {near}"
            )
        return job

    def _in_batches(self, pipe: Any, slot: Slot[Any], jobs: Sequence[Job]) -> list[Pixels | None]:
        """Draws jobs in batches of one size; a batch that does not fit into memory is halved."""
        largest = max(jobs, key=lambda job: job.size or (0, 0))
        batches = Batches(
            slot.most or self._options.batch,
            torch.device(self._key.device),
            too_large=lambda: RunError(self._too_large(largest)),
            warn=self._warn,
            relieve=pool.drop_idle,
        )
        alone = self._options.exact or (self._role == "editor" and type(pipe).__name__ not in BATCHED)
        try:
            return batches.map(
                lambda batch: self._run(pipe, batch), jobs, group=lambda job: job.size, limit=1 if alone else None
            )
        finally:
            if batches.size < self._options.batch:
                slot.most = batches.size

    def _run(self, pipe: Any, jobs: Sequence[Job]) -> list[Pixels | None]:
        """Calls the pipeline once; returns the pixels of each job, None for a blanked one."""
        try:
            with quiet():
                output = pipe(**self._call(type(pipe), jobs))
        except Exception as error:  # Pipelines have no root of their own errors.
            if is_out_of_memory(error):
                raise
            raise RunError(f"{self._options.model} failed: {one_line(error)[:300]}") from error
        pictures = getattr(output, "images", None)
        if pictures is None or len(pictures) != len(jobs):
            raise RunError(f"{self._options.model} ({type(pipe).__name__}) did not return one image per prompt")
        flags = getattr(output, "nsfw_content_detected", None) or [False] * len(jobs)
        return [None if flag else self._pixels(picture) for picture, flag in zip(pictures, flags, strict=True)]

    def _call(self, kind: type, jobs: Sequence[Job]) -> dict[str, Any]:
        """Returns the arguments of the call for jobs of one size."""
        taken = call_arguments(kind)
        arguments = dict(self._arguments)
        if "negative_prompt" in arguments:
            arguments["negative_prompt"] = [arguments["negative_prompt"]] * len(jobs)
        arguments["prompt"] = [job.text for job in jobs]
        # Noise is drawn by the processor, so that a seed is the same noise on every device.
        arguments["generator"] = [torch.Generator("cpu").manual_seed(job.seed % 2**63) for job in jobs]
        arguments["output_type"] = "np"
        if images := [job.image for job in jobs if job.image is not None]:
            arguments["image"] = images
        if size := jobs[0].size:
            width, height = size
            if {"width", "height"} <= taken:
                arguments |= {"width": width, "height": height}
            if {"max_area", "_auto_resize"} <= taken:  # Else the image is brought to a million pixels.
                arguments |= {"max_area": width * height, "_auto_resize": False}
        return arguments

    def _pixels(self, picture: NDArray[Any]) -> Pixels:
        """Turns a picture of floats from 0 to 1 into pixels."""
        if not np.isfinite(picture).all():
            raise RunError(
                f"the numbers of {self._options.model} overflow in {self._key.dtype}, so that there is no image; set "
                f"{self._role}.dtype=float32 (or bfloat16)"
            )
        pixels: Pixels = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
        return pixels

    def _too_large(self, job: Job) -> str:
        options, key = self._options, self._key
        accelerated = not key.device.startswith("cpu")
        ways = {
            "dtype=bfloat16": key.dtype == "float32",
            "tiling=true": not options.tiling,
            "offload=model": accelerated and options.offload == "none",
            "offload=sequential": accelerated and options.offload == "model",
            "device=cpu": accelerated,
        }
        tips = ", ".join(["size to less", *(way for way, helps in ways.items() if helps)])
        size = f" of {job.size[0]} x {job.size[1]} pixels" if job.size else ""
        return (
            f"the memory of {key.device} does not suffice for one image{size} of {options.model}; among the options "
            f"of the {self._role}, set {tips}"
        )


def _attempt(job: Job, number: int) -> Job:
    """Returns a job with the seed of its n-th attempt; that of the first, 0, is its own."""
    if not number:
        return job
    return replace(job, seed=int(content_id(str(job.seed).encode(), str(number).encode())[:8], 16) >> 1)
