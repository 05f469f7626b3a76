"""Units per minute of the runner `ray` against `processes`, and how fast both recover from a killed worker.

Real run folders of a fake model (`plugins/maia-ray/tests/discs`) whose backbone takes no time; two workers.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_sweep.sweeping import sweep

UNITS = 64
WORKERS = 2
DISCS = Path(__file__).parents[2] / "plugins" / "maia-ray" / "tests" / "discs" / "maia_discs.py"
ENGINES = ("dataset", "generator", "editor", "describer")


class Killed:
    """Ends its own process at the first try of item 1; writes when each try and each process began."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        tries = len(list(self.folder.glob(f"{item}-*")))
        (self.folder / f"{item}-{tries}").write_text(str(time.monotonic()))
        if not (begun := self.folder / f"process-{os.getpid()}").exists():
            begun.write_text(str(time.monotonic()))
        time.sleep(0.2)
        if item == 1 and not tries:
            (self.folder / "killed").write_text(str(time.monotonic()))
            os.kill(os.getpid(), signal.SIGKILL)
        return item


def units_per_minute(runner: Any, folder: Path) -> tuple[float, float]:
    """Returns the units per minute of a whole sweep, and of its part between the first and the last result."""
    parts = {kind: PluginRef(name="discs") for kind in ENGINES}
    config = RunConfig(backbone=PluginRef(name="by-turn"), verify=False, **parts)
    units = [f"discs:colours:{number}" for number in range(UNITS)]
    begun, ended = time.monotonic(), []
    for _, run in sweep(config, units, folder, runner=runner, without=["report"]):
        assert run.outcome.status == "answered", run
        ended.append(time.monotonic())
    return 60 * UNITS / (time.monotonic() - begun), 60 * (UNITS - 1) / (ended[-1] - ended[0])


def recovery(runner: Any, folder: Path) -> tuple[float, float]:
    """Returns the seconds from the end of a worker to the second try of its item, and to its replacement's first."""
    folder.mkdir()
    list(runner.map(Killed(folder), range(40)))
    killed = float((folder / "killed").read_text())
    replaced = max(float(file.read_text()) for file in folder.glob("process-*"))
    return float((folder / "1-1").read_text()) - killed, replaced - killed


def measured(name: str, measure: Callable[[Any, Path], Any], **options: Any) -> Any:
    """Returns a measurement with a runner of this name in a folder of its own."""
    with tempfile.TemporaryDirectory() as place:
        return measure(Context().build("runner", name, workers=WORKERS, **options), Path(place) / "out")


def main() -> None:
    """Prints both figures for both runners."""
    spec = importlib.util.spec_from_file_location("maia_discs", DISCS)
    assert spec
    assert spec.loader
    discs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(discs)
    with tempfile.TemporaryDirectory() as place:
        os.environ["PYTHONPATH"] = discs.install(Path(place) / "path")
        sys.path.insert(0, os.environ["PYTHONPATH"])
        os.environ["MAIA_CACHE"] = str(Path(place) / "cache")
        for name in ("processes", "ray"):
            whole, steady = measured(name, units_per_minute)
            load = os.getloadavg()[0]
            print(f"{name}: {whole:.0f} units a minute with the start, {steady:.0f} without (load {load:.1f})")
            again, replaced = measured(name, recovery)
            print(f"{name}: a killed worker's item runs again after {again:.1f} s,", end=" ")
            print(f"its replacement works after {replaced:.1f} s", flush=True)


if __name__ == "__main__":
    main()
