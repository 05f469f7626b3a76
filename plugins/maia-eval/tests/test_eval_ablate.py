"""Ablation: what each variant is, one command from units to table, and the faults that a record shows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.events import HostCall
from maia_core.record import RunReader
from maia_core.testing import FAKE_RUN, InProcessSandbox, ScriptedBackbone, fake_parts
from maia_eval.ablate import SCORES, VARIANTS, command, markdown, variants
from maia_eval.choices import adjusted, spec
from maia_eval.explaining import explain_all
from maia_eval.integrity import Integrity, count_faults, invented
from maia_eval.report import render
from maia_eval.results import Folder
from maia_eval.summary import efforts
from maia_eval.tables import tables
from maia_runs.launch import explain_in

if TYPE_CHECKING:
    from conftest import World  # type: ignore[import-not-found]
else:
    World = Any


def configured(options: str, config: RunConfig | None = None) -> RunConfig:
    """Reads a variant as the evaluation does."""
    return adjusted(config or RunConfig(), spec(f"x=agent{options}").run)


def test_every_variant_lacks_what_it_says_and_nothing_else() -> None:
    found = {name: configured(options) for name, options in variants(RunConfig(), (), None, None).items()}
    assert list(found) == list(VARIANTS[:5])
    tools = {name: {choice.name for choice in config.tools} for name, config in found.items()}
    whole = tools["full"]
    assert found["full"] == RunConfig()
    assert whole - tools["exemplars-only"] == {"text2image", "edit_images"}
    assert whole - tools["generated-only"] == {"dataset_exemplars"}
    assert whole - tools["no-descriptions"] == {"describe_images", "summarize_images"}
    assert tools["no-verification"] == whole
    assert {name: config.verify for name, config in found.items()} == {
        "full": True,
        "exemplars-only": False,
        "generated-only": False,
        "no-descriptions": True,
        "no-verification": False,
    }


def test_another_part_keeps_its_options_and_tools_keep_theirs() -> None:
    config = RunConfig(tools=(PluginRef(name="text2image"), PluginRef(name="display", note='a "b", c=d')))
    found = variants(config, ("other-generator", "exemplars-only"), "diffusers:model=a/b,steps=4", None)
    assert configured(found["other-generator"]).generator == PluginRef(name="diffusers", model="a/b", steps=4)
    assert configured(found["exemplars-only"], config).tools == config.tools[1:]


def test_variants_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="needs --other-backbone NAME"):
        variants(RunConfig(), ("other-backbone",), None, None)
    bare = RunConfig(tools=(PluginRef(name="display"),))
    with pytest.raises(UsageError, match="takes nothing away: the configuration has no dataset_exemplars"):
        variants(bare, ("generated-only",), None, None)


def test_one_command_makes_one_table_and_goes_on(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_core.registry.installed", lambda: world)
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    world.says["agent"] = "animal"
    line = ["--out", str(tmp_path / "out"), "discs:colours:red", "--samples", "1", "--images", "0"]
    done = CliRunner().invoke(command, [*line, "--only", "full", "--only", "no-verification"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "| full |" in done.output
    assert "Table A5" in done.output
    asked = len(world.asked)
    assert asked == 2
    rows = list(csv.DictReader((tmp_path / "out" / "ablation.csv").open()))
    assert [row["variant"] for row in rows] == ["full", "no-verification"]
    assert float(rows[0]["margin"]) > 0.5
    again = CliRunner().invoke(command, [*line, "--only", "full", "--only", "no-verification"], catch_exceptions=False)
    assert len(world.asked) == asked
    assert again.output.partition("| variant")[2] == done.output.partition("| variant")[2]


def test_a_variant_without_scores_has_dashes() -> None:
    empty = {"variant": "full", "cost": None} | dict.fromkeys(
        ["no label", "failed verification", "invented results", "copied examples", "broken programs", "programs"], 0
    )
    figures = {f"{key}{part}": None for key in SCORES for part in ("", " low", " high")}
    text = markdown([empty | figures | {"seconds": 0.0}])
    assert "| full | – | – | – | – | – | 0 |" in text
    assert "unknown" in text


# --- faults ---

SEEN = [0.25, 14.2, 3.14159, -2.0, 36.92]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("a cat on the grass, activation: 14.21", ["14.21"]),
        ("The dog gave an activation of 3.14, the cat had activation 36.92.", []),
        ("activation: 3.1 and activation = 3.142 and Activation value was 3.1415", []),
        ("Its activation is **99.50**.", ["99.50"]),
        ("activation -2.0; activation: -2.5", ["-2.5"]),
        ("The mean activation is 8.25, which is above an activation of 7.5.", []),
        ("I would expect an activation of 5.5 for snow.", []),
        ("```python\nthreshold = 1  # activation: 77.7\n```\nNo numbers.", []),
        ("[CODE]: ```python\nactivation: 77.7", []),
        ("There were 3 activations and 0.99 accuracy.", []),
        ("Cat. Activation: 6.5. Mean activation: 9.5", ["6.5"]),
    ],
)
def test_activations_that_were_never_measured_are_found(reply: str, found: list[str]) -> None:
    assert invented(reply, SEEN) == found


def test_what_was_seen_may_be_nothing() -> None:
    assert invented("activation: 1.5", []) == ["1.5"]


def ran(tmp_path: Path, *replies: str) -> Path:
    context = Context(
        RunConfig(system=PluginRef(name="discs:colours:red")), parts=fake_parts(), cache=tmp_path / "cache"
    )
    context._parts["backbone"] = ScriptedBackbone(list(replies))
    context._parts["sandbox"] = InProcessSandbox(None, context)  # type: ignore[arg-type]
    return explain_in(context, tmp_path / "run").folder


def test_a_sound_run_has_no_faults(tmp_path: Path) -> None:
    assert count_faults(ran(tmp_path, *FAKE_RUN)) == Integrity(runs=1, programs=2)


@pytest.mark.parametrize("label", ["animal", "  "], ids=["answer", "no answer"])
def test_an_explanation_keeps_the_faults_of_its_run(world: World, tmp_path: Path, label: str) -> None:
    plan = world.plan(["red"], {"agent": label})
    folder = Folder.begin(tmp_path / "out", "predictive", plan.settings(), world)
    contexts = world.contexts(plan.config)
    world.run = str(ran(tmp_path, *FAKE_RUN))
    explain_all(contexts, plan.specs, plan.units, folder, lambda line: None)
    (effort,) = efforts(folder.explained().values(), ["agent"])
    assert effort.conduct == Integrity(runs=1, programs=2)
    assert tables(folder)["effort"][0]["programs"] == 2
    assert "invented results" in render(folder, tmp_path)


def test_faults_of_a_run_are_counted(tmp_path: Path) -> None:
    program = """[HYPOTHESIS LIST]:
Hypothesis_1: x
[CODE]:
```python
def run_experiment(system, tools):
    {}
```"""
    folder = ran(
        tmp_path,
        program.format('return system.neuron(tools.text2image(["a dog on grass"] * 2))[0]'),
        "The dog: activation: 14.21, an image of a cat.\n" + program.format("return system.datasetexemplars()"),
        FAKE_RUN[-1],
    )
    assert count_faults(folder) == Integrity(runs=1, programs=2, broken=1, invented=1, copied=1)


def test_measured_activations_are_known_at_every_later_turn(tmp_path: Path) -> None:
    first = FAKE_RUN[1]
    folder = ran(tmp_path / "a", first, FAKE_RUN[-1])
    reader = RunReader(folder)
    value = next(reader.value(c.result)[0][0] for c in reader.of_type(HostCall) if c.method == "system.neuron")
    honest = ran(tmp_path / "b", first, f"A red disc, activation: {value:.2f}.\n{FAKE_RUN[1]}", FAKE_RUN[-1])
    assert count_faults(honest).invented == 0
    early = ran(tmp_path / "c", f"activation: {value:.3f}1\n{first}", FAKE_RUN[-1])
    assert count_faults(early).invented == 1
