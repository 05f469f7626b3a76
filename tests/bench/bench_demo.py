"""The demo on a terminal: seconds, longest silence and memory, cold and warm, against importing torch alone.

    python tests/bench/bench_demo.py [--unit efficientnet-lite0:logit:tailed_frog]

Cold is the first run after `make pack`: the cache folder holds the pack and the features of the describer's library,
nothing else. Warm is the same command again. On a busy machine, read the seconds of the processors.
"""

from __future__ import annotations

import argparse
import itertools
import os
import pty
import sys
import tempfile
import time
from typing import NamedTuple

CODE = "from maia_core.cli import main; main()"


class Cost(NamedTuple):
    """What a command took: seconds of the wall and of the processors, its peak of resident memory in MB, the seconds
    until it first wrote to the terminal, and the longest time that it wrote nothing after that."""

    wall: float
    processors: float
    memory: float
    first: float
    silence: float


def cost(arguments: list[str], environment: dict[str, str]) -> Cost:
    """Runs Python with these arguments on a terminal of its own."""
    started = time.perf_counter()
    process, terminal = pty.fork()
    if not process:
        os.execve(sys.executable, [sys.executable, *arguments], os.environ | environment)
    written, last = [started], b""
    while True:
        try:
            if not (text := os.read(terminal, 1 << 16)):
                break
        except OSError:  # The command has closed its end.
            break
        written.append(time.perf_counter())
        last = (last + text)[-2000:]
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{arguments} ended with status {os.waitstatus_to_exitcode(status)}:\n{last.decode(errors='replace')}")
    wall = time.perf_counter() - started
    gaps = [after - before for before, after in itertools.pairwise(written[1:])]
    first = written[1] - started if len(written) > 1 else wall
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, first, max(gaps, default=0.0))


def main() -> None:
    """Prints the demo's seconds, silences and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unit", default="efficientnet-lite0:logit:tailed_frog")
    unit = parser.parse_args().unit
    bare = cost(["-c", "import torch, numpy, PIL"], {})
    print(f"importing torch alone: {bare.wall:.1f} s, processors {bare.processors:.1f} s, {bare.memory:.0f} MB")
    with tempfile.TemporaryDirectory() as place:
        from maia_core.config import cache_dir

        for name in ("collage", "nearest"):
            if (cache_dir() / name).exists():
                os.symlink(cache_dir() / name, os.path.join(place, name))
        for name, goal in (("cold", 120), ("warm", 60)):
            run = cost(["-c", CODE, "run", "--system", unit, "--out", f"{place}/{name}"], {"MAIA_CACHE": place})
            print(
                f"{name}: {run.wall:.0f} s (goal on two quiet cores: under {goal}), processors {run.processors:.0f} s, "
                f"{run.processors / bare.processors:.0f} times importing torch; first line after {run.first:.1f} s, "
                f"longest silence {run.silence:.1f} s (goal: 2); {run.memory:.0f} MB, "
                f"{run.memory / bare.memory:.1f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
