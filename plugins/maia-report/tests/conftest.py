"""A run folder, made by core's own session, host and sandbox from the fakes' world of coloured discs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_core.agent import run
from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.events import Manifest
from maia_core.image import Image
from maia_core.journal import Journal
from maia_core.protocols import Verifier
from maia_core.record import RunWriter
from maia_core.registry import installed
from maia_core.session import Session
from maia_core.testing import COLOURS, FakeDescriber, FakeEditor, FakeSystem, ScriptedBackbone, disc
from maia_core.types import GeneratedImages, Reply, Usage
from maia_sandbox.process import ProcessSandbox

SIDE = 96

EXEMPLARS = """[HYPOTHESIS LIST]:
Hypothesis_1: the unit responds to red things
Hypothesis_2: the unit responds to discs of any colour
[CODE]:
```python
def run_experiment(system, tools):
    # What real images does the unit like?
    activations, images = tools.dataset_exemplars(system)
    summary = tools.summarize_images(images)
    print("summary:", summary)
    tools.log_experiment(activations, images, [image.title for image in images], summary)
```
"""
COLOURED = """The exemplars are all red, so I vary the colour.
[HYPOTHESIS LIST]:
Hypothesis_1: red, whatever its shape
[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a red disc on grey"] * 4 + ["a green disc on grey"] * 4 + ["a blue disc on grey"] * 3
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts, "three colours, one shape")
    tools.display("what the clean image looks like", images[0].clean)
    return {"highest": max(activations)}
```
"""
BROKEN = """[CODE]:
```python
def run_experiment(system, tools):
    for colour in ["red"]:
        tools.text2image(len(colour))
```
"""
MALFORMED = "I think that the unit is about red things, but let me look again."
ANSWER = """[DESCRIPTION]: Red surfaces of any shape.
The activation grows with their share of the image.
[LABEL 1]: red things
[LABEL 2]: red discs
"""


class Discs:
    """Draws the disc that a prompt names, larger than the fakes do, with a little noise so that no two are alike."""

    fingerprint = "discs"

    def generate(self, prompts: list[str], seeds: list[int]) -> GeneratedImages:
        notes = ["" if any(c in p for c in COLOURS) else f"there is no {p}; the image is grey" for p in prompts]
        return GeneratedImages([noisy(p, s) for p, s in zip(prompts, seeds, strict=True)], notes)


class Album:
    """A data set of discs of all colours."""

    name = "discs"
    fingerprint = "discs"

    def __init__(self, size: int = 120) -> None:
        self.ids = [f"secret-file-{n}.png" for n in range(size)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        return noisy([*COLOURS][index % len(COLOURS)], index)


def noisy(text: str, seed: int) -> Image:
    colour = next((c for c in COLOURS if c in text.replace(",", " ").split()), "grey")
    pixels = disc(colour, seed, SIDE).pixels().astype(np.int16)
    noise = np.random.default_rng(seed).normal(0, 5, pixels.shape)
    return Image.from_pixels(np.clip(pixels + noise, 0, 255).astype(np.uint8), title=text)


def scripted(reply: str | BaseException) -> Reply | BaseException:
    if isinstance(reply, BaseException):
        return reply
    usage = Usage(input_tokens=1200, output_tokens=150, cost=0.004)
    return Reply(text=reply, model="script-1", usage=usage, reasoning="I wonder." if "[CODE]" in reply else "")


MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[ProcessSandbox]:
    made = ProcessSandbox(ProcessSandbox.Config(spare=False), Context(RunConfig()))
    yield made
    made.close()


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory, sandbox: ProcessSandbox) -> MakeRun:
    """Makes a run folder from a script of replies."""

    def make(
        *replies: str | BaseException,
        notes: tuple[str, ...] = (),
        unit: str = "",
        verifier: Verifier | None = None,
        **config: Any,
    ) -> Path:
        folder = tmp_path_factory.mktemp("run") / "run"
        system = FakeSystem(FakeSystem.Config(ref="red"), None)
        system.info = system.info.model_copy(update={"unit": unit} if unit else {})
        parts = {
            "system": system, "dataset": Album(), "generator": Discs(), "describer": FakeDescriber(None, None),
            "editor": FakeEditor(None, None),
        }  # fmt: skip
        context = Context(RunConfig(**config), installed(), parts=parts, cache=folder.parent / "cache")
        manifest = Manifest(
            id="20260101-120000-abcd", created=1767268800.0, config=context.config.model_dump(mode="json"), seed=0,
            system=system.info, versions={"python": "3.11.2", "maia-core": "0.1.0"}, fingerprints={"generator": "d1"},
        )  # fmt: skip
        writer = RunWriter.create(folder, manifest)
        names = [choice.name for choice in context.config.tools]
        session = Session(
            context, task=context.part("task"), tools={n: context.build("tool", n) for n in names}, sandbox=sandbox,
            journal=Journal(writer.append), verifier=verifier,
        )  # fmt: skip
        session.start()
        for note in notes:
            session.note(note)
        try:
            run(session, ScriptedBackbone([scripted(r) for r in replies]))
        except KeyboardInterrupt:
            pass
        finally:
            writer.close()
        return folder

    return make


@pytest.fixture(scope="session")
def whole_run(make_run: MakeRun) -> Path:
    """A run in which everything that a report shows happens once; not to be written to."""
    return make_run(
        EXEMPLARS, COLOURED, BROKEN, MALFORMED, ANSWER,
        notes=("2 images of discs cannot be read and were skipped: a.png, b.png",),
    )  # fmt: skip


@pytest.fixture(scope="session")
def scripts() -> dict[str, str]:
    return {"exemplars": EXEMPLARS, "coloured": COLOURED, "broken": BROKEN, "malformed": MALFORMED, "answer": ANSWER}


class Page(HTMLParser):
    """A parsed page: its elements in order, its text, and whether every element is closed where it should be."""

    VOID = ("meta", "input", "br", "hr", "link", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.by_element: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.misnested: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misnested.append(tag)

    def handle_data(self, data: str) -> None:
        element = self.open[-1] if self.open else ""
        self.by_element.setdefault(element, []).append(data)
        if element not in ("style", "script"):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def of_class(self, name: str) -> list[dict[str, str]]:
        return [attributes for _, attributes in self.elements if name in attributes.get("class", "").split()]


@pytest.fixture(scope="session")
def parse() -> Callable[[str], Page]:
    return Page
