"""`maia report`, as a user calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def maia(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from maia_core.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_it_writes_the_page_and_says_where(whole_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    done = maia("report", whole_run, "--out", out)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{out}\n", "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert maia("report", whole_run, "--out", out, "--quiet").stdout == ""


@pytest.mark.parametrize("case", ["no folder", "not a run", "broken journal", "no place for the page"])
def test_bad_input_is_one_line_and_exit_code_two(whole_run: Path, tmp_path: Path, case: str) -> None:
    arguments: dict[str, list[Path | str]] = {
        "no folder": [tmp_path / "nowhere"],
        "not a run": [tmp_path],
        "broken journal": [tmp_path / "broken"],
        "no place for the page": [whole_run, "--out", tmp_path / "broken" / "run.json" / "page.html"],
    }
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "run.json").write_bytes((whole_run / "run.json").read_bytes())
    (broken / "journal.jsonl").write_text("garbage\nmore\n")
    done = maia("report", *arguments[case])
    assert done.returncode == 2
    assert done.stderr.startswith("maia: ")
    assert done.stderr.count("\n") == 1


def test_importing_the_command_imports_only_click() -> None:
    heavy = ("jinja2", "pygments", "PIL", "numpy", "pydantic")
    code = f"import sys, maia_report.command; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
