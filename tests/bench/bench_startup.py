"""Start-up: `maia --help` and `maia plugins list` against a bare interpreter."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 15
MAIA = "import sys; sys.argv = ['maia', *{}]; from maia_core.cli import main; main()"


def seconds(code: str) -> float:
    """Returns the median wall time of `python -c code` in seconds."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Prints medians and ratios."""
    bare = seconds("pass")
    print(f"python -c pass   {bare * 1e3:6.0f} ms  1.0")
    for arguments in (["--help"], ["plugins", "list"]):
        took = seconds(MAIA.format(arguments))
        print(f"maia {arguments[0]:<11} {took * 1e3:6.0f} ms  {took / bare:.1f} times")
