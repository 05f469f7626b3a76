"""The demo's run with an empty cache: wall time and peak memory, against importing torch alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

UNIT = "efficientnet-lite0:blocks.15:122"


def peak(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Runs a command; returns wall seconds and the peak resident memory of the process in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        arguments, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{arguments} ended with status {status}")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Prints the demo's seconds and megabytes."""
    code = "from maia_core.cli import main; main()"
    _, bare = peak([sys.executable, "-c", "import torch, numpy, PIL"], {})
    with tempfile.TemporaryDirectory() as place:
        from maia_core.config import cache_dir

        os.symlink(cache_dir() / "collage", os.path.join(place, "collage"))
        run = [sys.executable, "-c", code, "run", "--system", UNIT]
        first, memory = peak([*run, "--out", f"{place}/first"], {"MAIA_CACHE": place})
        second, _ = peak([*run, "--out", f"{place}/second"], {"MAIA_CACHE": place})
    print(f"demo with an empty cache {first:.0f} s (goal: under 180), again {second:.0f} s")
    print(f"peak memory {memory:.0f} MB, {memory / bare:.1f} times importing torch alone ({bare:.0f} MB)")


if __name__ == "__main__":
    main()
