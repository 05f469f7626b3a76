"""What a pipeline is for, told by its class: making images from text, editing them as instructed, or neither."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal

Role = Literal["generator", "editor"]

INSTRUCTED = re.compile(r"InstructPix2Pix|Kontext|Edit|Flux2|QwenImage21|ZImageOmni|DreamLite|GlmImage|5I2I")
"""Classes that edit an image as an instruction says; others that take one use it as a pose, a mask or a start."""

BOTH = re.compile(r"Flux2|QwenImage21|ZImageOmni|DreamLite|GlmImage")
"""Those of them that make images from text alone as well."""

BATCHED = frozenset(
    {"StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline", "FluxKontextPipeline"}
)
"""Editors that take a list of images as a batch; others see one scene in it, or take one image only."""

OTHERS = re.compile(r"Inpaint|Img2Img|ControlNet|Video|Upscale|SuperResolution|Audio|Adapter|Depth2Img|Prior")
"""Classes that are known to be neither by their name, so that nothing must be loaded to tell."""

IMAGES = frozenset({"image", "images", "input_images", "mask_image", "control_image"})
OTHER_ARGUMENTS = frozenset({"mask_image", "control_image", "strength", "num_frames"})
"""Arguments of the call that neither a generator nor an instructed editor has."""


def roles_by_name(kind: str) -> frozenset[Role]:
    """Returns what a class may be for, as far as its name tells: every unknown name may be a generator."""
    if OTHERS.search(kind):
        return frozenset()
    if INSTRUCTED.search(kind):
        return frozenset({"editor", "generator"} if BOTH.search(kind) else {"editor"})
    return frozenset({"generator"})


def roles(kind: type) -> frozenset[Role]:
    """Returns what a pipeline is for, by its name and by the arguments of its call."""
    taken = call_arguments(kind)
    found: set[Role] = set()
    if "prompt" in taken and not OTHER_ARGUMENTS & taken:
        named = roles_by_name(kind.__name__)
        if "editor" in named and "image" in taken:
            found.add("editor")
        if "generator" in named and "num_images_per_prompt" in taken and (not IMAGES & taken or "editor" in named):
            found.add("generator")
    return frozenset(found)


def call_arguments(kind: Any) -> frozenset[str]:
    """Returns the names of the arguments of a pipeline's call."""
    return frozenset(inspect.signature(kind.__call__).parameters) - {"self", "kwargs"}


def mismatch(model: str, kind: str, found: frozenset[Role], role: Role) -> str:
    """Returns why a pipeline cannot be used, in one line; empty if it can."""
    if role in found:
        return ""
    needs = {"generator": "a text-to-image pipeline", "editor": "a pipeline that edits as instructed"}[role]
    if not found:
        return f"{model} is a {kind}, which neither makes images from text nor edits as instructed; choose {needs}"
    other = next(iter(found))
    article = {"generator": "a generator", "editor": "an editor"}
    return f"{model} is {article[other]} ({kind}), no {role}; choose {needs}, or use it as --{other} diffusers"
