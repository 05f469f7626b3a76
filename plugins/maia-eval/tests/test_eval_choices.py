"""Explainers and units as they are written on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.errors import MaiaError, UsageError
from maia_core.registry import installed
from maia_core.testing import DistributionSuite, FakeModel
from maia_eval.choices import Spec, adjusted, drawn, spec, specs, units_in
from maia_eval.command import evaluate
from maia_eval.explaining import Contexts
from maia_exemplars.splits import parted


class TestDistribution(DistributionSuite):
    distribution = "maia-eval"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("agent", Spec(alias="agent", name="agent")),
        ("plain=agent:run.verify=false", Spec(alias="plain", name="agent", run={"verify": False})),
        (
            "human:file=a,b.csv,strict=true",
            Spec(alias="human", name="human", options={"file": "a,b.csv", "strict": True}),
        ),
        ("x=agent:run.limits.turns=5", Spec(alias="x", name="agent", run={"limits.turns": 5})),
    ],
)
def test_an_explainer_is_read_with_its_options(text: str, read: Spec) -> None:
    assert spec(text) == read


@pytest.mark.parametrize("text", ["", "a b", "agent:verify", "=agent", "x="])
def test_a_malformed_explainer_is_one_line(text: str) -> None:
    with pytest.raises(UsageError):
        specs([text or " "], installed())


def test_two_explainers_of_one_name_are_told_apart() -> None:
    with pytest.raises(UsageError, match="there is no explainer"):
        specs(["agnet"], installed())
    with pytest.raises(UsageError, match="no explainer is chosen"):
        specs([], installed())


def test_the_run_of_one_explainer_is_changed_alone() -> None:
    config = RunConfig()
    changed = adjusted(config, {"verify": False, "limits.turns": 3, "backbone.model": "m"})
    assert (changed.verify, changed.limits.turns, changed.backbone.options) == (False, 3, {"model": "m"})
    assert config.verify
    with pytest.raises(UsageError, match="verfy"):
        adjusted(config, {"verfy": False})
    with pytest.raises(UsageError, match="no table"):
        adjusted(config, {"seed.x": 1})


def test_the_parts_that_the_task_prefers_hold_at_every_unit(tmp_path: Path) -> None:
    contexts = Contexts(RunConfig(task=PluginRef(name="bias")), tmp_path)
    at_unit = contexts.on("synthetic:dog").config
    by_agent = contexts.on("synthetic:cat", Spec(alias="agent", name="agent", run={"limits.turns": 3})).config
    assert {at_unit.verifier.name, by_agent.verifier.name} == {"matched-pairs"}
    assert "class_exemplars" in [tool.name for tool in by_agent.tools]


def test_halves_of_the_cutouts_are_chosen_where_the_engine_has_them() -> None:
    config = RunConfig(dataset=PluginRef(name="collage", cutouts="all"))  # type: ignore[call-arg]
    changed = parted(config, ["generator", "dataset", "describer"], "cutouts", "seen", installed())
    assert changed.generator.options == {"cutouts": "seen"}
    assert changed.dataset.options == {"cutouts": "all"}, "what a user set stays"
    assert changed.describer == config.describer


def test_units_are_drawn_by_seed_and_layer() -> None:
    context = Context(parts={"model/discs/[]": FakeModel()})
    units = drawn(PluginRef(name="discs"), ["colours"], 3, 5, context)
    assert units == drawn(PluginRef(name="discs"), ["colours"], 3, 5, context)
    assert len(set(units)) == 3
    assert units != drawn(PluginRef(name="discs"), ["colours"], 3, 6, context)
    with pytest.raises(UsageError, match="6 units, not 7"):
        drawn(PluginRef(name="discs"), ["colours"], 7, 0, context)
    with pytest.raises(UsageError, match="no layer 'colour'"):
        drawn(PluginRef(name="discs"), ["colour"], 1, 0, context)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no unit is chosen"),
        (["--layer", "head"], "add --draw"),
        (["--units", "missing.txt"], "cannot read the units in missing.txt: No such file or directory"),
        (["--draw", "nothing"], "nothing"),
        (["discs:colours:red", "--test-generator", "a b"], "not 'a b'"),
    ],
)
def test_a_command_that_lacks_something_says_so(tmp_path: Path, arguments: list[str], says: str) -> None:
    if installed().find("explainer", "exemplar-summary") is None:
        pytest.skip("maia-baselines is not installed")
    command = ["predictive", "--out", str(tmp_path / "e"), "--explainer", "exemplar-summary", *arguments]
    with pytest.raises(MaiaError, match=says):
        CliRunner().invoke(evaluate, command, catch_exceptions=False)
    assert not (tmp_path / "e").exists()


def test_a_file_of_units_may_hold_remarks(tmp_path: Path) -> None:
    file = tmp_path / "units.txt"
    file.write_text("# drawn by hand\na:b:1\n\na:b:2  # the nice one\n")
    assert units_in(file) == ["a:b:1", "a:b:2"]
    file.write_text("# none\n")
    with pytest.raises(UsageError, match="names no unit"):
        units_in(file)
    with pytest.raises(UsageError, match="cannot read"):
        units_in(tmp_path / "missing")
