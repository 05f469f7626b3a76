from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from maia_core.config import PluginRef, RunConfig
from maia_core.events import Manifest, RunOutcome
from maia_core.record import RunWriter
from maia_core.types import Explanation, UnitInfo
from maia_labels.parser import parse
from maia_synthetic.command import synthetic
from maia_synthetic.score import verdict


@pytest.mark.parametrize(
    ("truth", "labels", "expected"),
    [
        ("tiger", ["tiger"], "right"),
        ("tiger", ["Tigers"], "right"),
        ("cat family", ["big cats"], "right"),  # a name that means the same
        ("red thing", ["red things"], "right"),
        ("stripes", ["striped"], "right"),
        ("tiger", ["cat family"], "near"),
        ("mammal", ["tiger"], "near"),
        ("tiger", ["lion"], "wrong"),
        ("tiger", ["tiger", "hammer"], "wrong"),
        ("red thing", ["red"], "wrong"),
        ("water", ["calm water"], "near"),
        ("tiger", ["something fluffy"], "wrong"),
        ("tiger", [], "wrong"),
        ("tiger OR snow", ["snow", "tiger"], "right"),
        ("tiger OR snow", ["snow OR tiger"], "right"),
        ("tiger OR snow", ["snow"], "near"),
        ("tiger OR snow", ["snow", "cat family"], "near"),
        ("tiger OR snow", ["snow", "crow"], "wrong"),
        ("tiger OR snow", ["tiger given snow"], "near"),
        ("tiger | snow", ["tiger given snow"], "right"),
        ("tiger | snow", ["tiger | snow"], "right"),
        ("tiger | snow", ["snow given tiger"], "near"),
        ("tiger | snow", ["tiger"], "near"),
        ("tiger | snow", ["tiger", "snow"], "near"),
        ("tiger but not snow", ["tiger AND NOT snow"], "right"),
        ("tiger OR lion OR dog", ["dog", "lion", "tiger"], "right"),
    ],
)
def test_verdicts(truth: str, labels: list[str], expected: str) -> None:
    assert verdict(parse(truth), labels) == expected


def record(folder: Path, system: str, labels: tuple[str, ...], **options: object) -> None:
    config = RunConfig(system=PluginRef(name=system, **options))
    manifest = Manifest(
        id="run", created=0.0, config=config.model_dump(mode="json"), seed=0, system=UnitInfo(model="m"), versions={}
    )
    writer = RunWriter.create(folder, manifest)
    if labels:
        explanation = Explanation(description="it does", labels=labels)
        writer.append(RunOutcome(status="answered", explanation=explanation))
    writer.close()


def test_runs_are_counted_by_kind(tmp_path: Path) -> None:
    record(tmp_path / "sweep" / "a", "synthetic:tiger", ("tiger",))
    record(tmp_path / "sweep" / "b", "synthetic:lion", ("cat family",))
    record(tmp_path / "sweep" / "c", "synthetic", ("snow given tiger",), ref="tiger | snow")
    record(tmp_path / "sweep" / "d", "synthetic:paper/46", ())
    record(tmp_path / "sweep" / "e", "efficientnet-lite0:head:3", ("tiger",))
    record(tmp_path / "alone", "synthetic:crow", ("\x1b[31mhammer",))
    shown = CliRunner().invoke(synthetic, ["score", str(tmp_path / "sweep"), str(tmp_path / "alone")])
    assert shown.exit_code == 0, shown.output
    rows = [line.split() for line in shown.output.splitlines()]
    assert rows[1] == ["one", "concept", "1", "1", "1", "0", "3", "33%", "right"]
    assert rows[2] == ["A", "OR", "B", "0", "0", "0", "1", "1", "0%", "right"]
    assert rows[3] == ["A", "given", "B", "0", "1", "0", "0", "1", "0%", "right"]
    assert "near       lion: lion  named: cat family" in shown.output
    assert "\x1b" not in shown.output
    lines = CliRunner().invoke(synthetic, ["score", str(tmp_path / "sweep" / "a"), "--json"]).output
    assert json.loads(lines) == {
        "neuron": "tiger", "kind": "one concept", "truth": "tiger", "verdict": "right", "labels": ["tiger"],
    }  # fmt: skip


def test_folder_without_such_runs_is_said(tmp_path: Path) -> None:
    record(tmp_path / "a", "efficientnet-lite0:head:3", ("tiger",))
    result = CliRunner().invoke(synthetic, ["score", str(tmp_path)])
    assert "no run of a synthetic neuron" in str(result.exception)
