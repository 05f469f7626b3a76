"""A sweep of many units by simulation: real plan, leases, rows, tables and run folders; the agent's work is recorded.

python tests/bench/bench_sweep.py [--units 10000]

Each unit gets a real run folder with the events of a recorded run. The latency of the recorded run is not slept, but
counts in the share of the overhead. The sweep is killed (kill -9) in the middle and resumed; `maia sweep status` is
timed beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from maia_core.plugin import Manifest, Message, MessageAdded, Replied, Reply, RunConfig, RunOutcome, RunWriter, Usage
from maia_core.types import UnitInfo
from maia_runs import folder_name
from maia_sweep.drivers import Driver
from maia_sweep.leases import Leases
from maia_sweep.measures import progress
from maia_sweep.plans import begin, save
from maia_sweep.tables import Row
from maia_sweep.units import Found, Selection

LATENCY = 41.0
"""Seconds of a recorded run: the offline demo on two cores (9 turns, 412 images)."""
TURNS = 9


class Recorded:
    """Writes the run folder of a recorded run."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seconds = 0.0

    def __call__(self, unit: str) -> Row:
        started = time.perf_counter()
        folder = self.out / folder_name(unit)
        model, layer, number = unit.split(":")
        info = UnitInfo(model=model, layer=layer, unit=number)
        if not (folder / "run.json").exists():
            writer = RunWriter.create(
                folder, Manifest(id=unit, created=0.0, config={}, seed=0, system=info, versions={})
            )
            writer.append(MessageAdded(message=Message.of("system", "x" * 4000)))
            for turn in range(1, TURNS + 1):
                reply = Reply(text="y" * 1500, usage=Usage(input_tokens=4000, output_tokens=400, cost=0.02))
                writer.append(Replied(turn=turn, reply=reply, seconds=2.0))
            writer.append(RunOutcome(status="answered", turns=TURNS, seconds=LATENCY))
            writer.close()
        self.seconds += time.perf_counter() - started
        label = f"label number {number} OR something else (40%)"
        return Row(unit=unit, status="answered", label=label, pearson=0.4, cost=0.18, tokens=39_600, run=folder.name)


def memory() -> float:
    """Returns the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def drive(out: Path, units: int) -> None:
    """Explains the units that are left, and prints figures; what `kill -9` hits."""
    started = time.perf_counter()
    plan = begin(out, RunConfig(), None)
    selection = Selection(words=("m:l",))
    if not plan.has(selection):
        plan = plan.with_units(selection, Found([f"m:l:{number}" for number in range(units)], 0, {}))
        out.mkdir(exist_ok=True)
        save(out, plan)
    worker, marks = Recorded(out), []
    with Leases(out) as leases:
        driver = Driver(out, leases)
        for number, _ in enumerate(driver.explain(plan.units, worker), 1):
            if number == 1:
                print(f"first row {time.perf_counter() - started:.2f} s after the start", flush=True)
            if number % max(1, units // 10) == 0:
                marks.append(memory())
        driver.table.export()
    seconds = time.perf_counter() - started
    each = (seconds - worker.seconds) / max(1, number)
    print(f"{number} units in {seconds:.1f} s, {worker.seconds:.1f} s of it writing run folders")
    print(f"overhead {each * 1000:.2f} ms per unit, {each / LATENCY:.4%} of a recorded run of {LATENCY:.0f} s")
    print(f"memory {' '.join(f'{mark:.0f}' for mark in marks)} MiB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Drives a sweep, kills it in the middle, resumes it, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.drive is not None:
        drive(options.drive, options.units)
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sweep"
        command = [sys.executable, __file__, "--units", str(options.units), "--drive", str(out)]
        first = subprocess.Popen(command)
        while not (out / "plan.json").exists() or progress(out)[1].answered < options.units // 2:
            time.sleep(0.5)
        started = time.perf_counter()
        _, half = progress(out)
        print(f"status of {half.answered} rows while it runs: {time.perf_counter() - started:.2f} s")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        subprocess.run(command, check=True)
        started = time.perf_counter()
        _, done = progress(out)
        print(f"status of {done.answered} of {done.units}: {time.perf_counter() - started:.2f} s")
        inodes = sum(1 for _ in out.rglob("*"))
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        table = (out / "labels.parquet").stat().st_size
        print(f"{inodes} inodes ({inodes / options.units:.2f} per unit, without images), {size / 2**20:.0f} MiB")
        print(f"labels.parquet {table / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
