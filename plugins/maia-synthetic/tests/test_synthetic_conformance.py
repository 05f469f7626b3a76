from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from maia_core.context import Context
from maia_core.testing import DistributionSuite


class TestDistribution(DistributionSuite):
    distribution: ClassVar[str] = "maia-synthetic"


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize(("ref", "label"), [("stripes", "stripes"), ("dog | leash", "dog given leash")])
def test_neuron_is_explained_end_to_end_offline(laboratory: Context, tmp_path: Path, ref: str, label: str) -> None:
    maia = [sys.executable, "-c", "from maia_core.cli import main; main()"]
    out = tmp_path / "runs" / "a"
    command = ["run", "--system", f"synthetic:{ref}", "--out", str(out), "--without", "report"]
    done = subprocess.run([*maia, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"\n{label}\n" in done.stdout
    score = subprocess.run([*maia, "synthetic", "score", str(out)], capture_output=True, text=True)
    assert "100% right" in score.stdout


@pytest.mark.pack
@pytest.mark.slow
def test_several_processes_explain_a_list(laboratory: Context, tmp_path: Path) -> None:
    maia = [sys.executable, "-c", "from maia_core.cli import main; main()"]
    refs = ["synthetic:stripes", "synthetic:snow", "synthetic:nothing known"]
    command = ["sweep", *refs, "--out", str(tmp_path), "--no-verify", "--workers", "2"]
    done = subprocess.run([*maia, *command], capture_output=True, text=True)
    assert done.returncode == 1
    *units, end = done.stdout.splitlines()
    said = dict(line.split("  ")[:2] for line in units)  # In the order in which they ended.
    assert "does not know 'nothing known'" in said.pop("synthetic:nothing known")
    assert said == {"synthetic:stripes": "stripes", "synthetic:snow": "snow"}
    assert "2 of 3 answered" in end
    assert len(list(tmp_path.glob("*/report.html"))) == 2


def test_malformed_expression_is_one_line() -> None:
    maia = [sys.executable, "-c", "from maia_core.cli import main; main()"]
    done = subprocess.run([*maia, "run", "--system", "synthetic:dog OR | snow"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "maia: malformed expression, at character 8: a concept is missing before '|': dog OR >>>| snow\n"
    )
