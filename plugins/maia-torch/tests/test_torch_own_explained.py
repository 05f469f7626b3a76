"""A user's own network, explained from the command line to the report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maia_core.registry import installed

CODE = """
import torch
from torch import nn

class Redness(nn.Module):
    '''Two layers of which one unit sees how much redder a place is than green and blue.'''

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.pixels = nn.Conv2d(3, 8, 5, stride=2, padding=2)
        self.places = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        with torch.no_grad():
            self.pixels.weight[0, 0], self.pixels.weight[0, 1:] = 0.04, -0.02
            self.places.weight[0], self.places.bias[0] = 0, 0
            self.places.weight[0, 0] = 1 / 9

    def forward(self, x):
        return self.places(torch.relu(self.pixels(x)))
"""

PARTS = [("backbone", "heuristic"), ("generator", "collage"), ("describer", "nearest"), ("tool", "text2image")]


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.skipif(
    not all(installed().find(kind, name) for kind, name in PARTS), reason="the offline laboratory is not installed"
)
def test_a_unit_that_sees_red_is_found_to(tmp_path):
    (tmp_path / "my_nets.py").write_text(CODE)
    maia = str(Path(sys.executable).with_name("maia"))
    options = ["-o", "system.size=112", "-o", "limits.turns=5", "-o", "runs=out"]
    done = subprocess.run(
        [maia, "run", "--system", "module/my_nets.Redness:places:0", "--seed", "1", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    if "maia collage fetch" in done.stderr:
        pytest.skip("no collage pack")
    assert done.returncode == 0, done.stderr
    assert "red" in done.stdout.strip().splitlines()[0].split()
    [run] = (tmp_path / "out").iterdir()
    guess = "mean and std not given; the preprocessing is taken to be: crop to 112 x 112"
    assert guess in (run / "journal.jsonl").read_text()
