"""Fakes of the roles around a run: task, explainer, judge, similarity, tool, runner, observer and command.

They live in the world of coloured discs of `maia_core.testing.fakes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from maia_core.plugin import (
    Explanation,
    Image,
    PluginConfig,
    ReplyError,
    RunContext,
    System,
    UnitInfo,
    hookimpl,
)
from maia_core.testing.fakes import COLOURS, disc, is_colour, named_colour


class _Fake:
    def __init__(self, config: PluginConfig | None = None, context: RunContext | None = None) -> None:
        pass


class FakeAnswer(BaseModel):
    """The answer of `FakeTask`."""

    description: str
    labels: list[str]


class FakeTask(_Fake):
    """Asks for a description and labels."""

    answer = FakeAnswer
    tags = ("DESCRIPTION", "LABEL")

    def prompt(self, info: UnitInfo) -> str:
        """Returns one question that names the unit and both tags."""
        return f"What activates {info.ref}? Answer under [DESCRIPTION]: and [LABEL]:"

    def parse(self, sections: Mapping[str, list[str]]) -> FakeAnswer:
        """Returns the answer, or names the missing section."""
        for tag in self.tags:
            if not any(sections.get(tag, [])):
                raise ReplyError(f"the answer has no [{tag}]: section; add it")
        return FakeAnswer(description=sections["DESCRIPTION"][0], labels=sections["LABEL"])

    def explanation(self, answer: BaseModel) -> Explanation:
        """Returns description and labels."""
        assert isinstance(answer, FakeAnswer)
        return Explanation(description=answer.description, labels=tuple(answer.labels))


class FakeExplainer(_Fake):
    """Measures one disc of each colour and names the colour that activates the unit most."""

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit."""
        activations, _ = unit.neuron([disc(colour) for colour in COLOURS])
        best = list(COLOURS)[int(np.argmax(activations))]
        return Explanation(description=f"{best} discs activate the unit", labels=(best,))


class FakeSimilarity(_Fake):
    """Scores the share of the unmasked region that has the colour which a text names."""

    fingerprint = "discs-1"

    def similarity(self, images: Sequence[Image], texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns float32 of shape (images, texts), 0 to 1."""
        scores = [[_share(image, named_colour(text)) for text in texts] for image in images]
        return np.array(scores, np.float32).reshape(len(images), len(texts))


class FakeJudge(_Fake):
    """Compares the colours that texts name."""

    def write_prompts(self, label: str, n: int) -> list[str]:
        """Returns `n` numbered prompts of discs."""
        return [f"a {label} disc, number {number}" for number in range(1, n + 1)]

    def select(self, label: str, prompts: Sequence[str]) -> list[int]:
        """Ranks prompts of the label's colour first."""
        return sorted(range(len(prompts)), key=lambda n: named_colour(prompts[n]) != named_colour(label))

    def compare(self, truth: str, a: str, b: str) -> int:
        """Returns 1 if only `b` names the colour of `truth`, else 0."""
        colour = named_colour(truth)
        return int(named_colour(a) != colour == named_colour(b))

    def predict(self, label: str, images: Sequence[Image]) -> list[float]:
        """Returns the share of each image that has the label's colour."""
        return [_share(image, named_colour(label)) for image in images]


class FakeTool(_Fake):
    """Measures how much of each image is red."""

    def __call__(self, images: list[Image]) -> list[float]:
        """Measures how much of each image is red.

        Args:
            images: The images.

        Returns:
            A share of each image, 0 to 1.

        Example:
            >>> def run_experiment(system, tools):
            ...     print(tools.redness([]))
        """
        return [_share(image, "red") for image in images]


class FakeRunner(_Fake):
    """Maps in this process, one item after another."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yields each item with its result, in order."""
        for item in items:
            try:
                result = function(item)
            except Exception as error:
                result = error
            yield item, result


class FakeObserver:
    """Records the names of the hooks that a run calls.

    Attributes:
        calls: The names, in order.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    @hookimpl
    def run_started(self) -> None:
        """Records the start."""
        self.calls.append("run_started")

    @hookimpl
    def turn_finished(self) -> None:
        """Records a turn."""
        self.calls.append("turn_finished")

    @hookimpl
    def run_finished(self) -> None:
        """Records the end."""
        self.calls.append("run_finished")


@click.command("discs")
@click.option("--colour", default="red", help="Name of a colour [default: red].")
def FakeCommand(colour: str) -> int:
    """Print the red, green and blue of a colour."""
    click.echo(" ".join(map(str, COLOURS.get(colour, (0, 0, 0)))))
    return 0


def _share(image: Image, colour: str) -> float:
    mask = image.mask()
    if not colour:
        return 0.0
    found = is_colour((image.clean or image).pixels(), colour)
    return float(found.mean() if mask is None else found[mask].mean() if mask.any() else 0)
