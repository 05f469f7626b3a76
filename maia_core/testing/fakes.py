"""Small, exact, fast parts for every role, so that a plugin or a whole run is tested without weights.

They live in a world of coloured discs: `FakeGenerator` draws a disc of the colour that a prompt names, `FakeSystem`
measures how much of one colour an image holds, `FakeDescriber` names the colour it sees. So a fake run has a right
answer that can be found by experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maia_core.config import PluginConfig
from maia_core.errors import BackboneError, UnreadableImage, UsageError
from maia_core.image import Image, Mask, Pixels, content_id
from maia_core.types import (
    BackboneInfo,
    CallLimits,
    Check,
    Detection,
    Execution,
    Explanation,
    GeneratedImages,
    LayerInfo,
    Message,
    Probe,
    Reply,
    UnitInfo,
    Usage,
    Verdict,
)

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 180, 40),
    "blue": (30, 60, 220),
    "yellow": (230, 220, 40),
    "white": (245, 245, 245),
    "black": (10, 10, 10),
}
GREY = (128, 128, 128)


def disc(colour: str, seed: int = 0, size: int = 32, background: tuple[int, int, int] = GREY) -> Image:
    """Draws a disc of a named colour at a place and of a radius that the seed decides."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.2, 0.35) * size
    x, y = rng.uniform(0.4, 0.6, 2) * size
    rows, columns = np.mgrid[:size, :size]
    inside = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    pixels = np.empty((size, size, 3), np.uint8)
    pixels[:] = background
    pixels[inside] = COLOURS.get(colour, background)
    return Image.from_pixels(pixels)


def photograph(seed: int = 0, size: int = 32) -> Image:
    """Draws coloured noise whose spectrum falls as a photograph's does, so that it takes as many bytes as one."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((3, size, size))) / frequency**1.2
    waves = np.fft.irfft2(spectrum, (size, size))
    grey, colour = waves[0] / waves[0].std(), waves / waves.std()
    pixels = 128 + 50 * (0.85 * grey + 0.15 * colour)
    return Image.from_pixels(np.moveaxis(pixels, 0, -1).clip(0, 255).astype(np.uint8))


def is_colour(pixels: Pixels, colour: str) -> Mask:
    """Returns where pixels are nearest to a named colour, bool of shape (height, width)."""
    names = [*COLOURS, "grey"]
    palette = np.array([*COLOURS.values(), GREY], np.int32)
    distance = ((pixels[:, :, None, :].astype(np.int32) - palette) ** 2).sum(-1)
    nearest: Mask = distance.argmin(-1) == names.index(colour)
    return nearest


def named_colour(text: str) -> str:
    """Returns the first colour that a text names, an empty string if it names none."""
    words = text.lower().replace(",", " ").split()
    return next((word for word in words if word in COLOURS), "")


class FakeSystem:
    """Responds to one colour: its activation is the share of the image that has it, times ten."""

    class Config(PluginConfig):
        """Options of the fake system."""

        ref: str = "red"
        """The colour."""

    def __init__(self, config: Config | None = None, context: Any = None) -> None:
        self.colour = (config or self.Config()).ref
        self.info = UnitInfo(model="discs", layer="colours", unit=self.colour)

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures the unit on a batch of images: activations from 0 to 10, and images masked to where it is active."""
        masks = [is_colour((image.clean or image).pixels(), self.colour) for image in images]
        return [10 * float(mask.mean()) for mask in masks], [i.masked(m) for i, m in zip(images, masks, strict=True)]


class FakeModel:
    """A model with one layer, `colours`, that has one unit a colour."""

    name = "discs"
    fingerprint = "discs-1"

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        self.closed = False

    def layers(self) -> list[LayerInfo]:
        """Returns the one layer."""
        return [LayerInfo(name="colours", units=len(COLOURS))]

    def activations(self, images: Sequence[Image], layer: str) -> Any:
        """Measures all colours: float32 of shape (images, colours)."""
        if layer != "colours":
            raise UsageError(f"{self.name} has no layer '{layer}'; it has 'colours'")
        columns = [FakeSystem(FakeSystem.Config(ref=colour)).neuron(images)[0] for colour in COLOURS]
        return np.array(columns, np.float32).T.reshape(len(images), len(COLOURS))

    def unit(self, ref: str) -> FakeSystem:
        """Returns the unit for `colours:red`, or by its number."""
        layer, _, unit = ref.partition(":")
        if layer != "colours":
            raise UsageError(f"{self.name} has no layer '{layer}'; it has 'colours'")
        if unit.isdigit() and int(unit) < len(COLOURS):
            unit = list(COLOURS)[int(unit)]
        if unit not in COLOURS:
            raise UsageError(f"layer '{layer}' of {self.name} has no unit '{unit}'; its units are {', '.join(COLOURS)}")
        return FakeSystem(FakeSystem.Config(ref=unit))

    def close(self) -> None:
        """Frees nothing."""
        self.closed = True


class FakeDataset:
    """Discs of all colours in turn; some indices can be made unreadable."""

    class Config(PluginConfig):
        """Options of the fake data set."""

        count: int = 24
        """Number of images."""
        broken: tuple[int, ...] = ()
        """Indices of images that cannot be read."""

    name = "discs"

    def __init__(self, config: Config | None = None, context: Any = None) -> None:
        self._config = config or self.Config()
        self.ids = [f"disc-{n}" for n in range(self._config.count)]
        self.fingerprint = content_id(repr(self._config).encode())

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        """Returns one disc."""
        if index not in range(len(self)):
            raise IndexError(f"{self.name} holds {len(self)} images; there is no image {index}")
        if index in self._config.broken:
            raise UnreadableImage(f"{self.ids[index]} is broken")
        image = disc(self.concepts(index)[0], seed=index)
        return image.model_copy(update={"provenance": {"id": self.ids[index]}}).bind(image.pixels)

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the disc's colour."""
        return (list(COLOURS)[index % len(COLOURS)], "disc")


class FakeGenerator:
    """Draws a disc of the first colour that a prompt names, else a grey image with a warning."""

    fingerprint = "discs-1"

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        self.calls = 0

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Makes one image per prompt."""
        self.calls += 1
        images = [disc(named_colour(p), s).retitled(p) for p, s in zip(prompts, seeds, strict=True)]
        return GeneratedImages(
            images, ["" if named_colour(p) else "no colour is named; drew plain grey" for p in prompts]
        )


class FakeEditor:
    """Understands "change the colour to X" for discs: paints everything that is not grey in X."""

    fingerprint = "discs-1"

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        pass

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """Returns one edited image each."""
        made, warnings = [], []
        for image, instruction in zip(images, instructions, strict=True):
            pixels = (image.clean or image).pixels().copy()
            colour = named_colour(instruction)
            if colour:
                pixels[~is_colour(pixels, "grey")] = COLOURS[colour]
            made.append(Image.from_pixels(pixels, instruction))
            warnings.append("" if colour else "no colour is named; nothing was changed")
        return GeneratedImages(made, warnings)


class FakeDescriber:
    """Names the colour that fills most of the unmasked region."""

    fingerprint = "discs-1"

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        pass

    def describe(self, images: Sequence[Image]) -> list[str]:
        """Names one colour an image."""
        return [self._describe(image) for image in images]

    def summarize(self, images: Sequence[Image]) -> str:
        """Names the colours that the images have in common."""
        named = sorted(set(self.describe(images)))
        return f"all show: {named[0]}" if len(named) == 1 else f"nothing in common: {', '.join(named)}"

    def _describe(self, image: Image) -> str:
        mask = image.mask()
        pixels = (image.clean or image).pixels()
        seen = {c: int((is_colour(pixels, c) & (True if mask is None else mask)).sum()) for c in COLOURS}
        best = max(seen, key=lambda c: seen[c])
        return f"a {best} disc" if seen[best] else "nothing but grey"


class FakeDetector:
    """Finds discs by the colour that a text names."""

    fingerprint = "discs-1"

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        pass

    def detect(self, images: Sequence[Image], text: str) -> list[list[Detection]]:
        """Returns one detection for each image that holds the colour."""
        return [self._detect((image.clean or image).pixels(), named_colour(text)) for image in images]

    def _detect(self, pixels: Pixels, colour: str) -> list[Detection]:
        mask = is_colour(pixels, colour) if colour else np.zeros(pixels.shape[:2], np.bool_)
        if not mask.any():
            return []
        rows, columns = np.nonzero(mask)
        box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
        return [Detection(box, 1.0, mask)]


class FakeVerifier:
    """Draws discs of the colour that each label names, and discs of other colours: the first must activate more."""

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        pass

    def verify(self, explanation: Explanation, context: Any, attempt: int) -> Verdict:
        """Tests each label."""
        probes: list[Probe] = []
        checks = []
        for label in explanation.labels:
            prompts = [f"a {label} disc"] * 3 + [f"a {colour} disc" for colour in COLOURS if colour not in label]
            images = context.generator.generate(prompts, context.seeds([f"{attempt} {p}" for p in prompts])).images
            activations, masked = context.system.neuron(images)
            shown = ["positive"] * 3 + ["control"] * (len(prompts) - 3)
            probes += [
                Probe(condition=c, text=p, activation=a, image=i)
                for c, p, a, i in zip(shown, prompts, activations, masked, strict=True)
            ]
            higher = [p > c for p in activations[:3] for c in activations[3:]]
            share = sum(higher) / len(higher)
            claim = f"'{label}' activates the unit more than other colours do"
            checks.append(
                Check(claim=claim, passed=share > 0.9, effect=share, low=share, high=share, measure="AUC", required=0.9)
            )
        failed = [check.claim for check in checks if not check.passed]
        summary = f"Not so: {'; '.join(failed)}." if failed else "Every check held."
        return Verdict(
            passed=bool(checks) and not failed,
            checks=tuple(checks),
            summary=summary if checks else "The answer has no label to test.",
            probes=tuple(probes),
            measured=bool(checks),
        )


class ScriptedBackbone:
    """Replies with given texts, one a call; an exception among them is raised. Keeps the conversations it was sent."""

    def __init__(self, replies: Sequence[str | Reply | BaseException]) -> None:
        self.info = BackboneInfo(name="scripted", model="scripted")
        self._replies = list(replies)
        self.seen: list[list[Message]] = []

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """Returns the next reply.

        Raises:
            BackboneError: no reply is left.
        """
        self.seen.append(list(messages))
        if not self._replies:
            raise BackboneError("the script has no reply left")
        reply = self._replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        if isinstance(reply, Reply):
            return reply
        return Reply(text=reply, usage=Usage(input_tokens=10 * len(messages), output_tokens=len(reply) // 4))


FAKE_RUN: tuple[str, ...] = (
    """I begin with the exemplars.
[HYPOTHESIS LIST]:
Hypothesis_1: a colour
[CODE]:
```python
def run_experiment(system, tools):
    activations, images = tools.dataset_exemplars(system)
    tools.log_experiment(activations, images, [i.title for i in images], tools.summarize_images(images))
```""",
    """[HYPOTHESIS LIST]:
Hypothesis_1: red things
Hypothesis_2: discs of any colour
[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a red disc"] * 3 + ["a blue disc"] * 3
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
    return sum(activations[:3]) / 3
```""",
    "[DESCRIPTION]: Red discs activate the unit, discs of other colours do not.\n[LABEL]: red",
)
"""The replies of a whole run on `FakeSystem`."""


class FakeSandbox:
    """Records programs instead of running them."""

    def __init__(self, config: PluginConfig | None = None, context: Any = None) -> None:
        self.programs: list[str] = []

    def run(self, program: str, host: Any) -> Execution:
        """Keeps the program and returns an empty execution."""
        self.programs.append(program)
        return Execution()

    def close(self) -> None:
        """Closes nothing."""


def fake_parts(colour: str = "red") -> dict[str, Any]:
    """Returns ready-made parts for `maia_core.context.Context(parts=...)`: a system, a data set and all engines."""
    return {
        "system": FakeSystem(FakeSystem.Config(ref=colour)),
        "dataset": FakeDataset(),
        "generator": FakeGenerator(),
        "editor": FakeEditor(),
        "describer": FakeDescriber(),
        "detector": FakeDetector(),
        "verifier": FakeVerifier(),
    }
