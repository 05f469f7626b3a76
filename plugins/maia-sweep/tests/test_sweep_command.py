"""The command on the fake model: what the parts do together."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from maia_core.plugin import Context, Explanation, RunConfig, RunReader, RunWriter, Usage, UsageError
from maia_core.registry import Registry
from maia_core.testing import fakes
from maia_sweep import explaining
from maia_sweep.command import sweep as sweep_command
from maia_sweep.displays import JsonDisplay, LiveDisplay, LogDisplay, line_of, running_lines
from maia_sweep.drivers import AgentWorker
from maia_sweep.explaining import Choices, explain_units
from maia_sweep.ledgers import Ledger, SweepLimits
from maia_sweep.measures import Running, progress
from maia_sweep.plans import read_plan
from maia_sweep.stages import FirstWorker, chosen, explainer_ref
from maia_sweep.status_command import status
from maia_sweep.sweeping import Explain
from maia_sweep.tables import FIRST, Row, Table, opened
from maia_sweep.threads import Threads
from maia_sweep.units import Selection

COLOURS = list(fakes.COLOURS)
WRONG = COLOURS[1:3]
UNITS = [f"discs:colours:{colour}" for colour in COLOURS]


class _Cheap:
    """Calls units by their names, but for two that it takes for the first one."""

    def explain(self, unit: Any, context: Any) -> Explanation:
        if unit.info.unit == COLOURS[-1]:
            raise RuntimeError("no idea")
        name = COLOURS[0] if unit.info.unit in WRONG else unit.info.unit
        return Explanation(description="It is round.", labels=(f"{name} discs",))


class _Judge:
    """Predicts discs of the colour that a label names."""

    predicts_for_free = True

    def predict(self, label: str, images: Any) -> list[float]:
        """The data set has discs of all colours in turn, and its held-out images are evenly spread over it."""
        colour = label.partition(" ")[0]
        system = fakes.FakeSystem(fakes.FakeSystem.Config(ref=colour if colour in COLOURS else COLOURS[0]))
        return system.neuron(images)[0]


class _Backbone(fakes.ScriptedBackbone):
    """Answers by the number of turns; each reply costs a dollar."""

    def __init__(self) -> None:
        super().__init__(list(fakes.FAKE_RUN))

    def complete(self, messages: Any, limits: Any) -> Any:
        turn = sum(message.role == "assistant" for message in messages)
        reply = fakes.ScriptedBackbone(list(fakes.FAKE_RUN)[turn:]).complete(messages, limits)
        return reply.model_copy(update={"usage": reply.usage.model_copy(update={"cost": 1.0})})


class _World(Registry):
    """The installed registry, with fakes for all that a run needs."""

    def find(self, kind: str, name: str) -> Any:
        if (kind, name) in (("model", "discs"), ("explainer", "cheap")):
            return object()
        return super().find(kind, name)

    def get(self, kind: str, name: str) -> Any:
        return object() if (kind, name) == ("explainer", "cheap") else super().get(kind, name)

    def build(self, kind: str, name: str, options: Any, context: Any) -> Any:
        if kind == "model":
            return fakes.FakeModel()
        if (kind, name) == ("explainer", "cheap"):
            return _Cheap()
        if kind in ("backbone", "judge"):
            return _Backbone() if kind == "backbone" else _Judge()
        parts = fakes.fake_parts()
        return parts[kind] if kind in parts and kind != "system" else super().build(kind, name, options, context)

    def without_observers(self, names: Any) -> Registry:
        return self


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World()
    monkeypatch.setattr("maia_sweep.sweeping.installed", lambda: world)
    monkeypatch.setattr("maia_core.context.installed", lambda: world)


class Seen(LogDisplay):
    """Remembers what the user would see."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.rows: list[Row] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def row(self, row: Row) -> None:
        self.rows.append(row)


CONFIG = RunConfig(verify=False)


def sweep(out: Path, *words: str, confirm: bool = False, **choices: Any) -> tuple[explaining.Result, Seen]:
    shown = Seen()
    made = Choices(out, Selection(words=words), images=24, **choices)
    return explain_units(CONFIG, made, shown, lambda question: confirm), shown


@pytest.mark.slow
def test_the_agent_takes_the_units_that_the_first_stage_predicts_worst(tmp_path: Path) -> None:
    result, shown = sweep(tmp_path, "discs:colours", first={"name": "cheap"}, take=2)
    first = [row for row in shown.rows if row.stage == FIRST]
    agent = [row for row in shown.rows if row.stage == "agent"]
    assert len(first) == len(COLOURS)
    last = UNITS[-1]
    assert {row.unit for row in agent} == {last, UNITS[1]}, "one has no label, one a wrong one"
    assert {row.unit: row.pearson for row in first}[UNITS[0]] == pytest.approx(1)
    assert result.answered >= len(COLOURS) - 1
    with opened(tmp_path / "labels.parquet") as database:
        explainers = dict(database.execute("SELECT explainer, count(*) FROM labels GROUP BY ALL").fetchall())
    assert explainers == {"agent": 2, "cheap": len(COLOURS) - 2}
    again = sweep(tmp_path, first={"name": "cheap"}, take=2)[1].rows
    assert {(row.stage, row.unit) for row in again} == {(FIRST, last)}, "only the failed one is tried again"
    more = sweep(tmp_path, first={"name": "cheap"}, take=3)[1].rows
    assert [row.stage for row in more].count("agent") == 1


@pytest.mark.slow
def test_a_limit_of_the_sweep_interrupts_a_run_which_resumes_when_it_is_raised(tmp_path: Path) -> None:
    result, shown = sweep(tmp_path, "discs:colours", limits=SweepLimits(cost=1.0))
    assert "used $1.00 of $1.00" in result.reason
    assert shown.rows == []
    run = next(path for path in tmp_path.iterdir() if (path / "run.json").exists())
    outcome = RunReader(run).outcome
    assert outcome is not None
    assert outcome.status == "interrupted"
    result, shown = sweep(tmp_path)
    assert not result.reason
    assert result.answered == len(COLOURS)
    spent = progress(tmp_path)[1].state.cost
    assert spent == sum(row.cost for row in shown.rows), "the turn before the limit was paid twice, or not counted"


@pytest.mark.slow
def test_a_forecast_above_the_bound_needs_a_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "FORECAST_AFTER", 1)
    with pytest.raises(UsageError, match=r"forecast: \d+ more units .* above --confirm-above"):
        sweep(tmp_path, "discs:colours", confirm_cost=0.5)
    result, shown = sweep(tmp_path, confirm_cost=0.5, confirm=True)
    assert result.answered == len(COLOURS)
    assert any(note.startswith("forecast: ") for note in shown.notes)


@pytest.mark.slow
def test_units_can_be_added_and_another_configuration_is_refused(tmp_path: Path) -> None:
    assert sweep(tmp_path, UNITS[0])[0].units == 1
    assert sweep(tmp_path, UNITS[1], "discs:colours:mauve")[0] == (3, 2, "")
    plan = read_plan(tmp_path)
    assert plan is not None
    assert plan.units == tuple(UNITS[:2])
    with pytest.raises(UsageError, match="first is"):
        sweep(tmp_path, first={"name": "cheap"})
    with pytest.raises(UsageError, match="does not hold a sweep"):
        sweep(tmp_path / "new")


def test_status_counts_units_money_and_what_is_left_out(tmp_path: Path) -> None:
    sweep(tmp_path, "discs:colours:0-1", "discs:colours:mauve")
    Table(tmp_path, "other").append(Row(unit=UNITS[3], error="why"))
    sweep(tmp_path, "discs:colours:0-2", hours=1e-9)
    done = CliRunner().invoke(status, [str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "2 of 3 done (2 answered, 0 stopped without a label), 0 running" in done.output
    assert "used $" in done.output
    assert "1 that do not exist" in done.output
    found = json.loads(CliRunner().invoke(status, [str(tmp_path), "--json"]).output)
    assert (found["answered"], found["units"], found["pending"]) == (2, 3, 1)
    nothing = CliRunner().invoke(status, [str(tmp_path / "nowhere")])
    assert "does not hold a sweep" in str(nothing.exception)


def test_rules_choose(tmp_path: Path) -> None:
    rows = [
        Row(unit="a", pearson=0.5, polysemy=0.1),
        Row(unit="b", pearson=None, polysemy=None),
        Row(unit="c", pearson=-0.2, polysemy=0.9),
    ]
    assert chosen("worst", rows, None, 0) == ["b", "c", "a"]
    assert chosen("polysemous", rows, 2, 0) == ["c", "a"]
    assert len({tuple(chosen("random", rows, None, seed)) for seed in range(20)}) > 1
    assert chosen("random", rows, 2, 7) == chosen("random", rows[::-1], 2, 7)


def test_an_explainer_of_the_first_stage_has_options() -> None:
    assert explainer_ref("exemplar-summary:exemplars=5").options == {"exemplars": 5}
    with pytest.raises(UsageError, match="--first takes NAME"):
        explainer_ref(":x=1")


def test_an_empty_first_stage_is_an_error_and_not_left_out(tmp_path: Path) -> None:
    """A script whose variable is empty would otherwise pay the agent for all units."""
    done = CliRunner().invoke(
        sweep_command, ["efficientnet-lite0:blocks.5:1", "--first", "", "--out", str(tmp_path / "s")]
    )
    assert "--first takes NAME" in str(done.exception) + done.output
    assert not (tmp_path / "s").exists()


def test_displays_show_labels_reasons_and_hostile_text_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert line_of(Row(unit="m:l:1", label="tiger", pearson=0.512)) == "m:l:1  tiger  (r = 0.51)"
    assert line_of(Row(unit="m:l:1", error="why")) == "m:l:1  not run: why"
    assert line_of(Row(unit="m:l:1", status="stopped", run="r", error="limits.turns")) == "m:l:1  stopped: limits.turns"
    assert "\x1b" not in line_of(Row(unit="m:l:1", label="a\x1b[2Jb\nc"))
    many = [Running(f"m:l:{number}", "host", 70.0, number) for number in range(40)]
    lines = running_lines(many)
    assert lines[1] == "  m:l:1 70 s, turn 1"
    assert lines[-1] == "  and 24 more"
    assert running_lines(many, 15)[1] == "  …70 s, turn 1", "its end tells the unit and the time"
    with JsonDisplay() as shown:
        shown.begin("the agent", 3)
        shown.row(Row(unit="m:l:1", label="tiger"))
        shown.note("why")
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["stage", "unit", "note"]
    assert events[1]["label"] == "tiger"


def test_workers_can_be_sent_to_other_processes_with_the_limits_of_the_sweep(tmp_path: Path) -> None:
    explain = Explain(CONFIG, tmp_path, ("report",), (object(),), ledger=Ledger(tmp_path, SweepLimits(cost=3.0)))
    for worker in (AgentWorker(explain, 5, "hash"), FirstWorker(explain, {"name": "cheap"}, 5, "hash")):
        sent = pickle.loads(pickle.dumps(worker))
        assert (sent.images, sent.config, sent.folder, sent.run_config) == (5, "hash", tmp_path, CONFIG)
        assert sent.explain.ledger.limits.cost == 3.0
        assert sent(UNITS[0]).label


def _interrupting(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """Has Ctrl-C come during one call of the backbone; returns a list that holds the number of calls."""
    calls, complete = [0], _Backbone.complete

    def counted(self: Any, messages: Any, limits: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise KeyboardInterrupt
        return complete(self, messages, limits)

    monkeypatch.setattr(_Backbone, "complete", counted)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 6])
def test_the_ledger_is_right_after_ctrl_c_and_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    calls = _interrupting(monkeypatch, at)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, *UNITS[:3])
    assert progress(tmp_path)[1].state.cost == at - 1
    sweep(tmp_path)
    assert progress(tmp_path)[1].state.cost == calls[0] - 1


def test_money_of_a_first_stage_that_fails_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, unit: Any, context: Any) -> Explanation:
        context.spend(Usage(cost=5.0))
        raise RuntimeError("too late")

    monkeypatch.setattr(_Cheap, "explain", fail)
    result, shown = sweep(tmp_path, "discs:colours", first={"name": "cheap"}, take=0, limits=SweepLimits(cost=5.0))
    assert [row.cost for row in shown.rows] == [5.0]
    assert "$5.00 of $5.00" in result.reason


def test_a_driver_does_not_join_a_sweep_that_another_began_while_it_looked_for_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = explaining.find_units

    def slow(*arguments: Any) -> Any:
        found = find(*arguments)
        monkeypatch.setattr(explaining, "find_units", find)
        explain_units(RunConfig(verify=False, seed=1), Choices(tmp_path, Selection(words=UNITS[:1])), Seen(), bool)
        return found

    monkeypatch.setattr(explaining, "find_units", slow)
    with pytest.raises(UsageError, match="seed is 0, was 1"):
        sweep(tmp_path, UNITS[1])
    assert [row.seed for row in Table(tmp_path).new_rows()] == [1]


def test_secrets_and_lone_surrogates_of_a_label_do_not_reach_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-very-secret-key-1234")

    def explain(self: Any, unit: Any, context: Any) -> Explanation:
        return Explanation(description="x", labels=("the key sk-a-very-secret-key-1234 \ud83d",))

    monkeypatch.setattr(_Cheap, "explain", explain)
    _, shown = sweep(tmp_path, *UNITS[:2], first={"name": "cheap"}, take=0)
    assert {row.label for row in shown.rows} == {"the key [OPENAI_API_KEY] ?"}
    assert sweep(tmp_path, first={"name": "cheap"}, take=0)[1].rows == [], "a row was not read again"
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in (".jsonl", ".csv", ".parquet")]
    assert len(files) == 3
    assert not any(b"sk-a-very" in path.read_bytes() for path in files)


def test_the_bar_tells_the_time_left_of_units_that_take_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An agent's unit takes longer than the 30 s over which rich measures a rate: the time left stayed `-:--:--`."""
    now = [0.0]
    monkeypatch.setattr("rich.console.monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "100")
    with LiveDisplay(tmp_path) as shown:
        shown.begin("agent", 8)
        for unit in UNITS[:4]:
            now[0] += 120
            shown.row(Row(unit=unit, status="answered", label="discs", run="runs/a"))
    assert re.search(r"agent .* 4/8 0:08:00", capsys.readouterr().err)


def test_displays_show_no_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-very-secret-key-1234")
    shown = LogDisplay()
    shown.row(Row(unit="m:l:1", error="wrong key sk-a-very-secret-key-1234"))
    shown.note("wrong key sk-a-very-secret-key-1234")
    captured = capsys.readouterr()
    assert "[OPENAI_API_KEY]" in captured.out
    assert "[OPENAI_API_KEY]" in captured.err
    assert "sk-a-very" not in captured.out + captured.err


def test_warnings_of_a_model_that_is_built_to_find_units_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = _World.build

    def warning(self: Any, kind: str, name: str, options: Any, context: Any) -> Any:
        if kind == "model":
            context.warn("the autoencoder does not fit")
        return build(self, kind, name, options, context)

    monkeypatch.setattr(_World, "build", warning)
    assert "the autoencoder does not fit" in sweep(tmp_path, UNITS[0])[1].notes


def test_a_unit_whose_run_folder_is_locked_is_held_by_another_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupting(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, UNITS[0])
    writer = RunWriter.reopen(next(path.parent for path in tmp_path.glob("*/run.json")))
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        writer.close()

    monkeypatch.setattr("maia_sweep.drivers.time.sleep", wait)
    result, shown = sweep(tmp_path)
    assert waits
    assert [row.status for row in shown.rows] == ["answered"]
    assert result.answered == 1


def test_no_to_the_forecast_interrupts_the_sessions_that_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "FORECAST_AFTER", 1)
    complete, first, waiting = _Backbone.complete, [], threading.Semaphore(0)

    def one_only(self: Any, messages: Any, limits: Any) -> Any:
        if len(messages) == 2 and first:  # The first turn of another unit.
            waiting.release()
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                time.sleep(0.01)
        first.append(self)
        return complete(self, messages, limits)

    def no(question: str) -> bool:
        for _ in range(2):
            waiting.acquire()
        return False

    monkeypatch.setattr(_Backbone, "complete", one_only)
    choices = Choices(tmp_path, Selection(words=("discs:colours",)), images=0, confirm_cost=0.1)
    with pytest.raises(UsageError, match="above --confirm-above"):
        explain_units(CONFIG, choices, Seen(), no, Threads(Threads.Config(workers=2), Context()))
    outcomes = [RunReader(path.parent).outcome for path in tmp_path.glob("*/run.json")]
    assert sorted(outcome.status for outcome in outcomes if outcome) == ["answered", "interrupted", "interrupted"]


def test_the_agent_takes_no_more_units_in_two_commands_than_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {row.unit for row in sweep(tmp_path, "discs:colours", first={"name": "cheap"}, take=1)[1].rows
             if row.stage == "agent"}  # fmt: skip
    explain = lambda self, unit, context: Explanation(description="x", labels=(f"{unit.info.unit} discs",))  # noqa: E731
    monkeypatch.setattr(_Cheap, "explain", explain)  # The unit without a label gets one, so another is now the worst.
    again = sweep(tmp_path, first={"name": "cheap"}, take=1)[1].rows
    assert [row.stage for row in again] == [FIRST]
    assert chosen("worst", [Row(unit="a", pearson=0.1), Row(unit="b", pearson=0.9)], 1, 0, {"b"}) == ["b"]
    assert len(taken) == 1


def test_units_that_did_not_exist_are_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (UNITS[0], "discs:later:1")
    assert sweep(tmp_path, *words)[0] == (2, 1, "")
    unit = fakes.FakeModel.unit
    monkeypatch.setattr(fakes.FakeModel, "unit", lambda self, ref: unit(self, ref.replace("later", "colours")))
    assert sweep(tmp_path, *words)[0] == (2, 2, "")
    plan = read_plan(tmp_path)
    assert plan is not None
    assert (len(plan.added), plan.added[0].units, plan.missing) == (1, 2, {})


@pytest.mark.parametrize("option", ["--max-hours", "--max-cost", "--calls-per-minute", "--confirm-above"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_limits_are_finite_numbers(tmp_path: Path, option: str, value: str) -> None:
    done = CliRunner().invoke(sweep_command, [UNITS[0], "--out", str(tmp_path), option, value])
    assert done.exit_code == 2
    assert option in done.output


def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    code = (
        "import maia_sweep.explaining as e\nfrom maia_core.cli import main\n"
        "def interrupted(*a, **k): raise KeyboardInterrupt\ne.explain_units = interrupted\nmain()"
    )
    command = [sys.executable, "-c", code, "sweep", "synthetic:dog", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.strip() == "maia: interrupted; run the same command again to resume"
