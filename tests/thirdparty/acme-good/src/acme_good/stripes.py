"""A generator that counts the images that it makes, and a report of one line."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maia_core.plugin import GeneratedImages, Image, PluginConfig, RunContext, RunOutcome, RunSession, hookimpl


class Stripes:
    """Makes grey stripes."""

    fingerprint = "acme-stripes-1"

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        pass

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image per prompt, and notes each in the file ACME_STRIPES."""
        if "ACME_STRIPES" in os.environ:
            with Path(os.environ["ACME_STRIPES"]).open("a") as file:
                file.writelines(f"{prompt} {seed}\n" for prompt, seed in zip(prompts, seeds, strict=True))
        images = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            pixels = np.zeros((16, 16, 3), np.uint8)
            pixels[:, :: 2 + (len(prompt) + seed) % 5] = 200
            images.append(Image.from_pixels(pixels, prompt))
        return GeneratedImages(images, [""] * len(images))


class Summary:
    """Writes one line into the run folder when a run has ended."""

    @hookimpl
    def run_finished(self, session: RunSession, outcome: RunOutcome) -> str | None:
        """Writes `acme.txt`; returns a line that says where it is."""
        if session.folder is None:
            return None
        path = session.folder / "acme.txt"
        path.write_text(f"{outcome.status}, {len(session.turns)} turns")
        return f"acme summary: {path}"
