"""Questions over a layer whose units are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from maia_core.agent import run
from maia_core.config import PluginConfig, RunConfig
from maia_core.context import Context
from maia_core.registry import Registry
from maia_core.session import Session
from maia_core.testing import InProcessSandbox
from maia_core.types import LayerInfo
from maia_heuristic.backbone import HeuristicBackbone
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.layers import _answer, _holding, concepts_of
from maia_heuristic.statistics import contrast
from maia_layers.exemplars import UnitExemplars
from maia_layers.scoring import ScoreUnits
from maia_layers.system import LayerSystem
from maia_layers.task import LayerQuestion

TRUTHS = [("thing", "dog family"), ("thing", "bird"), ("background", "snow"), ("colour", "red"), ("thing", "dog")]


class Layer:
    """Forty units: some respond to something, the rest to nothing but noise."""

    name = fingerprint = "world"

    def __init__(self, world: Any) -> None:
        self.known = [world.FakeUnit("one", (truth,), noise_level=0.1) for truth in TRUTHS]
        self.rest = [world.FakeUnit("one", (("thing", "no such thing"),), noise_level=1.0) for _ in range(35)]

    def layers(self) -> list[LayerInfo]:
        return [LayerInfo(name="deep", units=40)]

    def activations(self, images: Any, layer: str) -> Any:
        known = [unit.neuron(images)[0] for unit in self.known]
        seeds = [int(image.id[:8], 16) for image in images]
        noise = np.stack([np.random.default_rng([seed, 1]).normal(size=35) for seed in seeds], axis=1)
        return np.concatenate([np.array(known), noise]).T.astype(np.float32)

    def unit(self, ref: str) -> Any:
        return [*self.known, *self.rest][int(ref.partition(":")[2])]


def ask(world: Any, question: str, turns: int = 30, generator: Any = None) -> Session:
    """Runs the backbone on a question to its end and returns the session."""
    parts = {
        "model/world/[]": Layer(world), "generator": generator or world.FakeGenerator(),
        "dataset": world.FakeDataset(60), "describer": world.FakeDescriber(),
    }  # fmt: skip
    context = Context(RunConfig(seed=4, limits={"turns": turns}), Registry([]), parts=parts)
    context._parts["system"] = LayerSystem(LayerSystem.Config(ref="world:deep"), context)
    tools = {name: world.TOOLS[name](context) for name in ("text2image", "log_experiment", "display")}
    tools["score_units"] = ScoreUnits(ScoreUnits.Config(), context)
    tools["unit_exemplars"] = UnitExemplars(UnitExemplars.Config(), context)
    session = Session(
        context,
        task=LayerQuestion(LayerQuestion.Config(question=question), context),
        tools=tools,
        sandbox=InProcessSandbox(PluginConfig(), context),
    )
    session.start()
    run(session, HeuristicBackbone(PluginConfig(), context))
    return session


def units(session: Session) -> set[int]:
    return {ranked.unit for ranked in session.state.answer.units}


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Which units are selective for snowy backgrounds?", {2}),
        ("which units respond to birds", {1}),
        ("Units for red things, please.", {3}),
        ("which of them like dogs?", {0, 4}),
        ("which units like trumpets?", set()),
    ],
)
def test_names_the_units_that_respond_and_no_others(world: Any, question: str, found: set[int]) -> None:
    session = ask(world, question)
    assert units(session) == found
    assert not [turn for turn in session.state.turns if turn.mistake or (turn.execution and turn.execution.error)]


@pytest.mark.parametrize(("question", "shown"), [("which of them like dogs?", 0), ("which units like trumpets?", 3)])
def test_shows_the_units_that_it_names_and_controls(world: Any, question: str, shown: int) -> None:
    session = ask(world, question)
    titles = {entry.title for entry in session.context.logged}
    of = {int(title.split(":")[0].removeprefix("unit ")) for title in titles}
    assert len(of) == (shown or len(units(session)))
    assert of >= units(session)
    assert all(f"unit {unit}: controls" in titles for unit in of)
    assert len(titles) == 2 * len(of)


def test_more_units_that_hold_than_are_named_are_counted_as_such() -> None:
    strong = contrast([2.0, 2.1, 2.2] * 6, [0.0, 0.1, 0.2] * 6, 0)
    weak = contrast([0.0, 0.1, 0.2] * 6, [0.0, 0.1, 0.2] * 6, 0)
    measured = [(unit, strong) for unit in range(12)] + [(12, weak)]
    answer = _answer("dog", measured, _holding(measured)).answer
    assert "12 of the 13 best candidates respond to dog" in answer
    assert "The 10 that do so most are named." in answer
    assert answer.count("AUC") == 10


def test_says_so_when_the_question_names_nothing_known(world: Any) -> None:
    session = ask(world, "What is the meaning of life?")
    assert units(session) == set()
    assert "names nothing that I know" in session.state.answer.answer


def test_answers_when_the_run_ends_early(world: Any) -> None:
    assert ask(world, "which units respond to birds", turns=1).state.answer is not None


def test_what_cannot_be_drawn_is_not_evidence(world: Any) -> None:
    """A generator that lacks half of the names draws something else and says so."""

    class Poor(world.FakeGenerator):
        def name(self, word: str, rng: Any, warnings: list[str]) -> str:
            if word in world.NAMES[::2]:
                warnings.append(f"'{word}' is not here; drew 'owl' instead")
                return "owl"
            return super().name(word, rng, warnings)

    session = ask(world, "which units respond to dogs?", generator=Poor())
    assert 1 not in units(session), "owls are birds"


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("forested backgrounds", ["forest"]),
        ("cats or dogs", ["cat", "dog"]),
        ("GRAY THINGS", ["grey"]),
        ("", []),
        ("x" * 10_000, []),
    ],
)
def test_reads_what_a_question_names(question: str, names: list[str]) -> None:
    assert [concept.name for concept in concepts_of(question, Knowledge())] == names
