"""A system, a tool, a backbone and an observer for plugin API 1.

While MAIA supports API 1, this file stays as it is: it stands for the plugins that nobody rewrites.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from maia_core.plugin import (
    BackboneInfo,
    CallLimits,
    Image,
    Message,
    PluginConfig,
    Reply,
    RunContext,
    RunOutcome,
    RunSession,
    ToolError,
    UnitInfo,
    hookimpl,
)

PROGRAM = """[HYPOTHESIS LIST]:
Hypothesis_1: bright things
[CODE]:
```python
def run_experiment(system, tools):
    images = tools.text2image(["a white disc", "a black disc"])
    print(system.neuron(images)[0], tools.acme_range(images))
```"""
ANSWER = "[DESCRIPTION]: Bright pixels activate the unit.\n[LABEL]: brightness"


class First:
    """Responds to bright pixels."""

    class Config(PluginConfig):
        """Options of the unit."""

        ref: str = "top"
        """Names the unit."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.info = UnitInfo(model="acme-first", unit=config.ref)

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures how bright images are."""
        bright = [(image.clean or image).pixels().mean(2) / 255 for image in images]
        return [float(values.max()) for values in bright], [
            image.masked(values > 0.5) for image, values in zip(images, bright, strict=True)
        ]


class Range:
    """Measures ranges."""

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self.context = context

    def __call__(self, images: list[Image]) -> list[float]:
        """Measures the range of each image.

        Args:
            images: The images.

        Returns:
            The largest minus the smallest pixel of each image, 0 to 255.
        """
        if not images:
            raise ToolError("acme_range needs images")
        self.context.show(f"ranges of {len(images)} images")
        self.context.warn(f"seed {self.context.seeds(['x'])[0]} is not used")
        self.context.log("the first image", 0.5, images[0], notes="logged by API 1")
        return [float(span(image)) for image in images]


def span(image: Image) -> int:
    """Returns the largest minus the smallest pixel."""
    pixels = image.pixels()
    return int(pixels.max()) - int(pixels.min())


class Steady:
    """Runs one experiment, then answers."""

    info = BackboneInfo(name="acme-steady")

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        pass

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """Runs one experiment, then answers."""
        return Reply(text=PROGRAM if len(messages) == 2 else ANSWER)


class Watcher:
    """Writes down how runs end."""

    @hookimpl
    def run_finished(self, session: RunSession, outcome: RunOutcome) -> None:
        """Writes down how the run ended."""
        if "ACME_FIRST" in os.environ:
            Path(os.environ["ACME_FIRST"]).write_text(f"{outcome.status} for {session.context.system.info.ref}")
