"""`maia runs`, on runs that were made with the fakes of the kit."""

from __future__ import annotations

import fcntl
import json
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from maia_cli.runs import runs
from maia_core.plugin import Context, PluginRef, RunConfig, UsageError
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_runs import explain_in


def _maia(*arguments: object) -> Result:
    return CliRunner().invoke(runs, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two finished runs with other seeds and limits."""
    made = []
    for number in (1, 2):
        config: dict[str, Any] = {"seed": number, "verify": False, "limits": {"turns": 10 * number}, "tools": []}
        tools = ["text2image", "log_experiment", "dataset_exemplars", "display"]
        chosen = RunConfig.model_validate(config | {"system": PluginRef(name="fake"), "tools": tools})
        parts = fake_parts() | {"backbone": ScriptedBackbone(FAKE_RUN)}
        folder = tmp_path / "runs" / f"run{number}"
        explain_in(Context(chosen, parts=parts, cache=tmp_path / "cache"), folder)
        made.append(folder)
    return made[0], made[1]


def test_list_names_each_run_with_its_result_and_what_it_cannot_read(two: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "runs" / "torn").mkdir()
    (tmp_path / "runs" / "torn" / "run.json").write_text("{")
    rows = {
        Path(row["run"]).name: row for row in map(json.loads, _maia("list", tmp_path, "--json").stdout.splitlines())
    }
    assert set(rows) == {"run1", "run2", "torn"}
    assert (rows["run1"]["status"], rows["run1"]["seed"]) == ("answered", 1)
    assert rows["run1"]["label"]
    assert rows["torn"]["status"] == "damaged"
    table = _maia("list", tmp_path).stdout.splitlines()
    assert table[0].split() == ["run", "unit", "backbone", "status", "turns", "cost", "label", "tested"]
    assert len(table) == 4
    assert "holds no runs" in _maia("list", tmp_path / "runs" / "run1" / "images").stdout


def test_compare_shows_results_and_the_keys_that_differ(two: tuple[Path, Path]) -> None:
    first, second = (json.loads(line) for line in _maia("compare", *two, "--json").stdout.splitlines())
    assert (first["limits.turns"], second["limits.turns"]) == (10, 20)
    assert "limits.cost" not in first
    lines = {
        line.split()[0]: line.split()[1:] for line in _maia("compare", *two).stdout.splitlines() if line.split()[1:]
    }
    assert lines["limits.turns"] == ["10", "20"]
    assert lines["seed"] == ["1", "2"]


def test_delete_removes_runs_and_nothing_else(two: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    (other / "dear.txt").write_text("x")
    link = tmp_path / "link"
    link.symlink_to(two[0])
    for wrong, says in ((other, "not a run folder"), (link, "is a link")):
        with pytest.raises(UsageError, match=says):
            _maia("delete", "--yes", two[0], wrong)
    with pytest.raises(UsageError, match="--yes"):
        _maia("delete", two[0])
    with (two[1] / "journal.jsonl").open("ab") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="a process is working on it"):
            _maia("delete", "--yes", two[1])
    assert two[0].is_dir()
    assert _maia("delete", "--yes", two[0]).exit_code == 0
    assert not two[0].exists()
    assert two[1].is_dir()


@pytest.mark.parametrize("name", ["run.zip", "run.tar", "run.tar.gz"])
def test_an_archive_holds_the_whole_run_and_no_secret(
    name: str, two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-very-secret-0123456789")
    (two[0] / "notes.txt").write_text("the key is sk-very-secret-0123456789")
    (two[0] / "outside").symlink_to("/etc/passwd")
    out = tmp_path / name
    assert _maia("export", two[0], "--out", out).exit_code == 0
    if name.endswith(".zip"):
        with zipfile.ZipFile(out) as archive:
            held = {member: archive.read(member) for member in archive.namelist()}
    else:
        with tarfile.open(out) as tar:
            held = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    on_disk = {f"run1/{path.relative_to(two[0])}" for path in two[0].rglob("*") if path.is_file()} - {"run1/outside"}
    assert set(held) == on_disk
    assert not any(b"sk-very-secret" in data for data in held.values())
    assert held["run1/journal.jsonl"] == (two[0] / "journal.jsonl").read_bytes()
    with pytest.raises(UsageError, match="it exists"):
        _maia("export", two[0], "--out", out)


def test_an_archive_of_an_unknown_kind_leaves_nothing(two: tuple[Path, Path], tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    with pytest.raises(UsageError, match=r"name it \.zip"):
        _maia("export", two[0], "--out", tmp_path / "run.rar")
    assert set(tmp_path.iterdir()) == before


def test_one_damaged_run_hides_no_other(two: tuple[Path, Path]) -> None:
    manifest = two[0] / "run.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"created": 1e300}))
    rows = {
        Path(row["run"]).name: row
        for row in map(json.loads, _maia("list", two[0].parent, "--json").stdout.split("\n")[:-1])
    }
    assert {name: row["status"] for name, row in rows.items()} == {"run1": "damaged", "run2": "answered"}
    done = _maia("compare", *two, "--json")
    assert [Path(json.loads(line)["run"]).name for line in done.stdout.splitlines()] == ["run2"]
    assert str(two[0]) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(UsageError, match="none of these runs"):
        _maia("compare", two[0])


def test_compare_refuses_a_folder_that_is_not_a_run(two: tuple[Path, Path], tmp_path: Path) -> None:
    for wrong in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(UsageError, match="is not a run folder") as refused:
            _maia("compare", wrong, two[0])
        assert "\n" not in str(refused.value)


def test_delete_opens_the_journal_alone_and_neither_a_pipe_nor_a_link(two: tuple[Path, Path], tmp_path: Path) -> None:
    os.mkfifo(two[0] / "other.jsonl")
    journal = two[1] / "journal.jsonl"
    journal.rename(tmp_path / "elsewhere")
    journal.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="it is a link"):
        _maia("delete", "--yes", two[1])
    journal.unlink()
    os.mkfifo(journal)
    with pytest.raises(OSError, match="regular file"):
        _maia("delete", "--yes", two[1])
    journal.unlink()
    assert _maia("delete", "--yes", two[0], two[1], two[0]).exit_code == 0
    assert list(two[0].parent.iterdir()) == []
    assert (tmp_path / "elsewhere").is_file()


def test_a_run_is_locked_until_it_is_deleted(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def remove(run: Path) -> None:
        with (run / "journal.jsonl").open("ab") as journal, pytest.raises(BlockingIOError):
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen.append(run)

    monkeypatch.setattr("shutil.rmtree", remove)
    _maia("delete", "--yes", *two)
    assert seen == list(two)
