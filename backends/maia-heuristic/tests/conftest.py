"""A small world whose truth is known: scenes coded in pixels, a generator, an editor, a describer that errs, units."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from maia_core.agent import run
from maia_core.config import PluginConfig, RunConfig
from maia_core.context import Context
from maia_core.image import Image
from maia_core.registry import Registry
from maia_core.session import Session
from maia_core.testing import InProcessSandbox
from maia_core.types import GeneratedImages, UnitInfo
from maia_heuristic.backbone import HeuristicBackbone
from maia_standard.describe import DescribeImages, SummarizeImages
from maia_standard.exemplars import DatasetExemplars
from maia_standard.images import EditImages, Text2Image
from maia_standard.log import Display, LogExperiment, Results
from maia_standard.tasks import NeuronDescription

SIDE = 40
THING, GROUND = 200, 100
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey"]
PATTERNS = ["stripes", "dots", "checks"]
PLACES = {"vegetation": "grass leaves", "water": "lake waves", "": "snow sand brick wood clouds asphalt"}
TREE = {
    "animal": {
        "mammal": {
            "cat family": "cat lion tiger leopard",
            "dog family": "dog wolf fox dingo",
            "cattle": "cow bull bison yak",
            "rodent": "mouse rat squirrel capybara",
            "": "elephant horse rabbit koala bat otter",
        },
        "bird": {"seabird": "gull pelican penguin", "poultry": "hen duck goose turkey", "": "owl heron eagle toucan"},
        "insect": "bee ant fly mantis butterfly",
        "fish": "trout shark wrasse",
        "": "snail lobster snake frog",
    },
    "food": {
        "fruit": "apple banana orange lemon strawberry pear",
        "vegetable": "carrot tomato potato onion",
        "": "bread cake cheese pizza",
    },
    "vehicle": {
        "road vehicle": "car bus truck tractor",
        "aircraft": "airplane helicopter",
        "": "boat train bicycle rocket",
    },
    "instrument": "guitar violin trumpet drum piano flute",
    "tool": "hammer saw wrench drill",
    "clothing": "hat shoe shirt glove",
    "": "chair cup bottle key clock book candle umbrella lamp kettle anvil ball flower tree",
}


def paths(tree: Any, above: tuple[str, ...] = ()) -> list[tuple[str, tuple[str, ...]]]:
    """Returns every name with its kinds, narrow to broad."""
    if isinstance(tree, str):
        return [(name, above) for name in tree.split()]
    found = []
    for name, below in tree.items():
        if name:
            found.append((name, above))
        found += paths(below, (name, *above) if name else above)
    return found


KINDS = dict(paths(TREE))
NAMES = [n for n in KINDS if not any(n in kinds for kinds in KINDS.values())]
BACKGROUND_KINDS = dict(paths(PLACES)) | {"plain background": (), "pattern": ()} | dict.fromkeys(PATTERNS, ("pattern",))
GROUNDS = [n for n in BACKGROUND_KINDS if n not in ("vegetation", "water", "pattern")]


def noise(*key: object) -> np.random.Generator:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


@functools.cache
def natural_colour(name: str) -> str:
    return COLOURS[int(noise("colour", name).integers(len(COLOURS)))]


@dataclass(frozen=True)
class World:
    """One scene: objects (name, colour, box) on a ground (name, colour)."""

    things: tuple[tuple[str, str, tuple[int, int, int, int]], ...]
    ground: str
    ground_colour: str


def draw(scene: World) -> Image:
    pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    pixels[:] = (GROUNDS.index(scene.ground), COLOURS.index(scene.ground_colour), GROUND)
    for name, colour, (top, left, bottom, right) in scene.things:
        pixels[top:bottom, left:right] = (NAMES.index(name), COLOURS.index(colour), THING)
    return Image.from_pixels(pixels)


_decoded: dict[str, World] = {}


def decode(image: Image) -> World:
    """Reads a scene out of its pixels, once per content: a pixel holds the numbers of a name and of a colour."""
    if image.id not in _decoded:
        _decoded[image.id] = _decode(image.pixels().astype(np.int64))
    return _decoded[image.id]


def _decode(pixels: np.ndarray) -> World:
    codes = pixels[:, :, 0] * len(COLOURS) + pixels[:, :, 1]
    things = []
    for code in np.unique(codes[pixels[:, :, 2] == THING]):
        rows, columns = np.nonzero((codes == code) & (pixels[:, :, 2] == THING))
        box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
        things.append((NAMES[code // len(COLOURS)], COLOURS[code % len(COLOURS)], box))
    common = int(np.bincount(codes[pixels[:, :, 2] == GROUND], minlength=1).argmax())
    return World(tuple(things), GROUNDS[common // len(COLOURS)], COLOURS[common % len(COLOURS)])


def ground_of(name: str, rng: np.random.Generator, colour: str = "") -> tuple[str, str]:
    if name == "plain background":
        return name, colour or str(rng.choice(COLOURS))
    members = [g for g in GROUNDS if g == name or name in BACKGROUND_KINDS[g]]
    chosen = str(rng.choice(members))
    return chosen, colour or natural_colour(chosen)


BOXES = [(3, 3, 18, 18), (20, 20, 36, 37), (4, 22, 17, 36)]


def place(things: Sequence[tuple[str, str]], ground: tuple[str, str], rng: np.random.Generator) -> World:
    order = rng.permutation(len(BOXES))
    boxes = [tuple(v + int(rng.integers(-2, 3)) for v in BOXES[i]) for i in order[: len(things)]]
    return World(tuple((n, c or natural_colour(n), b) for (n, c), b in zip(things, boxes, strict=False)), *ground)


class FakeGenerator:
    """Follows simple prompts exactly; says so where it cannot."""

    fingerprint = "fake-generator"

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        made = [self.one(prompt, noise(prompt, seed)) for prompt, seed in zip(prompts, seeds, strict=True)]
        return GeneratedImages([image for image, _ in made], [warning for _, warning in made])

    def one(self, prompt: str, rng: np.random.Generator) -> tuple[Image, str]:
        text, _, where = prompt.partition(" on ")
        warnings: list[str] = []
        things: list[tuple[str, str]] = []
        if not where and (ground := self.ground(text, rng)):
            return draw(place([], ground, rng)), ""
        for part in text.split(" and "):
            words = re.sub(r"^(a|an) ", "", part).split()
            colour = words.pop(0) if len(words) > 1 and words[0] in COLOURS else ""
            name = self.name(" ".join(words), rng, warnings)
            if name:
                things.append((name, colour))
        ground = self.ground(where, rng) if where else ground_of(str(rng.choice(GROUNDS)), rng)
        if ground is None:
            warnings.append(f"there is no background {where}")
            ground = ground_of("wood", rng)
        return draw(place(things, ground, rng)), "; ".join(warnings)

    def name(self, word: str, rng: np.random.Generator, warnings: list[str]) -> str:
        members = [n for n in NAMES if word in ("thing", n) or word in KINDS[n]]
        if members:
            return str(rng.choice(members))
        other = str(noise(word).choice(NAMES))
        warnings.append(f"'{word}' is not here; drew '{other}' instead")
        return other

    def ground(self, text: str, rng: np.random.Generator) -> tuple[str, str] | None:
        if match := re.fullmatch(r"a plain (\w+) background", text):
            return ground_of("plain background", rng, match.group(1))
        words = text.split()
        colour = words.pop(0) if len(words) > 1 and words[0] in COLOURS else ""
        name = " ".join(words)
        return ground_of(name, rng, colour) if name in BACKGROUND_KINDS else None


class FakeEditor:
    """Replaces, recolours, changes the background; leaves alone what it does not understand, and says so."""

    fingerprint = "fake-editor"

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        made = [self.one(*task) for task in zip(images, instructions, seeds, strict=True)]
        return GeneratedImages([image for image, _ in made], [warning for _, warning in made])

    def one(self, image: Image, instruction: str, seed: int) -> tuple[Image, str]:
        rng, scene = noise(image.id, instruction, seed), decode(image)
        things, warnings = list(scene.things), []
        ground: tuple[str, str] | None = (scene.ground, scene.ground_colour)
        if match := re.fullmatch(r"replace the (.+) with (?:an? )?(.+)", instruction):
            old = match.group(1).split()[-1]
            for i, (name, _, box) in enumerate(things):
                if old in (name, "thing") or old in KINDS[name]:
                    new = FakeGenerator().name(match.group(2), rng, warnings)
                    things[i] = (new, natural_colour(new), box)
        elif match := re.fullmatch(r"change the colour of the (.+) to (\w+)", instruction):
            things = [(n, match.group(2) if match.group(1) in (n, "thing", *KINDS[n]) else c, b) for n, c, b in things]
        elif match := re.fullmatch(r"change the background to (.+)", instruction):
            ground = FakeGenerator().ground(match.group(1), rng)
        else:
            warnings.append("not understood; nothing was changed")
        if ground is None:
            return image, "no such background"
        return draw(World(tuple(things), *ground)), "; ".join(warnings)


@functools.cache
def relatives(name: str) -> list[str]:
    """Returns the two names that share most kinds with a name."""
    nearest = sorted(NAMES, key=lambda n: (-len(set(KINDS[n]) & set(KINDS[name])), noise(n, name).random()))
    return [n for n in nearest if n != name][:2]


class FakeDescriber:
    """Names what is in the region: right most of the time, else a relative; blind to everything but pixels."""

    fingerprint = "fake-describer"

    def __init__(self, accuracy: float = 0.7) -> None:
        self.accuracy = accuracy

    def describe(self, images: Sequence[Image]) -> list[str]:
        return [self.one(image) for image in images]

    def summarize(self, images: Sequence[Image]) -> str:
        return f"common to {len(images)} images: nothing in particular"

    def one(self, image: Image) -> str:
        rng = noise(image.id)
        mask = image.mask()
        lit = np.ones((SIDE, SIDE), bool) if mask is None else mask
        whole = decode(image.clean or image)
        inside = []
        for name, colour, (top, left, bottom, right) in whole.things:
            share = lit[top:bottom, left:right].mean()
            if share > 0.4:
                inside.append((name, colour, share * (bottom - top) * (right - left)))
        inside.sort(key=lambda item: -item[2])
        names: list[str] = []
        for name, _, _ in inside[:2]:
            guesses = [name, *relatives(name)]
            if rng.random() > self.accuracy:
                guesses = guesses[1:] + (guesses[:1] if rng.random() < 0.6 else [str(rng.choice(NAMES))])
            names += [guess for guess in guesses[:3] if guess not in names]
        if not inside:
            names = [str(n) for n in rng.choice(NAMES, 3, replace=False)]
        scores = [0.8, 0.35, 0.2, 0.15, 0.1] if inside else [0.15, 0.12, 0.1]
        ground = whole.ground if rng.random() < 0.8 else str(rng.choice(GROUNDS))
        ground = "plain" if ground == "plain background" else ground
        listed = ", ".join(f"{n} ({s:.2f})" for n, s in zip(names, scores, strict=False))
        colours = [(inside[0][1], 60), (whole.ground_colour, 25)] if inside else [(whole.ground_colour, 90)]
        text = f"{listed}; kind: {', '.join(f'{k} (0.70)' for k in KINDS[names[0]])}"
        text += f"; colours: {', '.join(f'{c} {share}%' for c, share in colours)}; texture: smooth"
        return f"{text}; on: {ground}, {whole.ground_colour}; region: {lit.mean():.0%} of the image, centre"


class FakeDataset:
    """Random scenes of one to three objects."""

    name = "fake"
    fingerprint = "fake"

    def __init__(self, size: int = 700, seed: int = 0) -> None:
        self.ids = [str(i) for i in range(size)]
        self._seed = seed

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        return dataset_scene(self._seed, index)


@functools.lru_cache(3000)
def dataset_scene(seed: int, index: int) -> Image:
    rng = noise("dataset", seed, index)
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))
    ground = ground_of(str(rng.choice(GROUNDS)), rng)
    colours = [str(rng.choice(COLOURS)) if rng.random() < 0.2 else "" for _ in range(count)]
    return draw(place([(str(rng.choice(NAMES)), c) for c in colours], ground, rng))


Truth = tuple[tuple[str, str], ...]
"""Concepts as (aspect, name): one, two alternatives, or one and its condition."""


class FakeUnit:
    """A unit with known truth: `one`, `or` or `given`; `graded` adds noise and a strength of its own per object."""

    def __init__(self, kind: str, truth: Truth, noise_level: float = 0.0) -> None:
        self.info = UnitInfo(model="fake", layer="synthetic", unit="0")
        self.kind, self.truth, self.noise_level = kind, truth, noise_level

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        pairs = [self.one(image.clean or image) for image in images]
        return [a for a, _ in pairs], [i for _, i in pairs]

    def one(self, image: Image) -> tuple[float, Image]:
        scene = decode(image)
        masks = [self.mask(concept, scene) for concept in self.truth]
        there = [bool(mask.any()) for mask in masks]
        mask = masks[0] | masks[1] if self.kind == "or" else masks[0]
        value = {"one": there[0], "or": any(there), "given": all(there)}[self.kind]
        if not value:
            mask = np.zeros_like(mask)
        activation = float(value) + self.noise_level * float(noise(image.id).standard_normal())
        return activation, image.masked(mask)

    def mask(self, concept: tuple[str, str], scene: World) -> np.ndarray:
        aspect, wanted = concept
        mask = np.zeros((SIDE, SIDE), bool)
        for name, colour, (top, left, bottom, right) in scene.things:
            if (aspect in ("colour", "tint") and colour == wanted) or (
                aspect == "thing" and (name == wanted or wanted in KINDS[name])
            ):
                mask[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = True
        if (aspect == "background" and (scene.ground == wanted or wanted in BACKGROUND_KINDS[scene.ground])) or (
            aspect == "tint" and scene.ground_colour == wanted
        ):
            ground = np.ones((SIDE, SIDE), bool)
            for _, _, (top, left, bottom, right) in scene.things:
                ground[top:bottom, left:right] = False
            mask |= ground
        return mask


TOOLS: dict[str, Callable[..., Any]] = {
    "dataset_exemplars": lambda context: DatasetExemplars(DatasetExemplars.Config(), context),
    "text2image": lambda context: Text2Image(PluginConfig(), context),
    "edit_images": lambda context: EditImages(PluginConfig(), context),
    "describe_images": lambda context: DescribeImages(PluginConfig(), context),
    "summarize_images": lambda context: SummarizeImages(PluginConfig(), context),
    "log_experiment": lambda context: LogExperiment(PluginConfig(), context),
    "results": lambda context: Results(PluginConfig(), context),
    "display": lambda context: Display(PluginConfig(), context),
}


def make_session(unit: Any, seed: int = 0, leave_out: Sequence[str] = (), turns: int = 30, **parts: Any) -> Session:
    """Returns a session of the real loop over the fake world."""
    config = RunConfig(seed=seed, limits={"turns": turns})
    world = {
        "system": unit,
        "dataset": FakeDataset(seed=seed),
        "generator": FakeGenerator(),
        "editor": FakeEditor(),
        "describer": FakeDescriber(),
    }
    context = Context(config, Registry([]), parts=world | parts)
    tools = {name: make(context) for name, make in TOOLS.items() if name not in leave_out}
    session = Session(
        context,
        task=NeuronDescription(PluginConfig(), context),
        tools=tools,
        sandbox=InProcessSandbox(PluginConfig(), context),
    )
    session.start()
    return session


def study(unit: Any, seed: int = 0, **options: Any) -> Session:
    """Runs the backbone on a unit to its end and returns the session."""
    session = make_session(unit, seed, **options)
    run(session, HeuristicBackbone(PluginConfig(), session.context))
    return session


def draw_truth(kind: str, seed: int) -> Truth:
    """Draws what a unit stands for, at a random level."""
    rng = noise("truth", kind, seed)
    things = [("thing", name) for name in KINDS if name not in ("animal",)]
    grounds = [
        ("background", name) for name in BACKGROUND_KINDS if name not in ("plain background", *PATTERNS, "pattern")
    ]
    colours = [("colour", name) for name in COLOURS]

    def one() -> tuple[str, str]:
        pool = (things, grounds, colours)[int(rng.choice(3, p=[0.75, 0.15, 0.1]))]
        return pool[int(rng.integers(len(pool)))]

    if kind == "one":
        return (one(),)
    for _ in itertools.count():
        a, b = one(), one()
        if kind == "given" and a[0] == b[0] != "thing":
            continue
        alike = a[0] == b[0] == "thing" and {a[1], *KINDS[a[1]]} & {b[1], *KINDS[b[1]]} - {"animal", "food"}
        if a != b and not alike and (kind == "or" or common(a) * common(b) > 0.01):
            return (a, b)
    raise AssertionError


def common(concept: tuple[str, str]) -> float:
    """Returns how often a concept is in a scene, about."""
    aspect, name = concept
    if aspect == "thing":
        return 1.5 * sum(n == name or name in KINDS[n] for n in NAMES) / len(NAMES)
    return 0.12


def expected(kind: str, truth: Truth) -> set[str]:
    """Returns the right labels."""
    texts = [f"{name} things" if aspect == "colour" else name for aspect, name in truth]
    return {" given ".join(texts)} if kind == "given" else set(texts)


@pytest.fixture(scope="session")
def world() -> Any:
    """The names of this module, for tests in other files."""
    import sys

    return sys.modules[__name__]
