"""What the `process` sandbox adds: start, an empty experiment, one host call, one image, against bare Python."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from maia_core.context import Context
from maia_core.image import Image
from maia_core.testing import FakeHost
from maia_sandbox.process import ProcessSandbox

CALLS, IMAGES = 2000, 200
EMPTY = "def run_experiment(system, tools): pass"
CALL = f"def run_experiment(system, tools):\n    for _ in range({CALLS}):\n        tools.nothing()"
READ = """
import numpy as np
def run_experiment(system, tools):
    for image in tools.images():
        np.asarray(image)
"""
SEND = f"""
import numpy as np
pixels = np.zeros((224, 224, 3), np.uint8)
def run_experiment(system, tools):
    for _ in range({IMAGES}):
        tools.take(pixels)
"""


def seconds(work: Callable[[], object], runs: int = 9) -> float:
    """Returns the median wall time of `work` in seconds."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Prints each figure with its goal."""
    rng = np.random.default_rng(0)
    images = [Image.from_pixels(rng.integers(0, 256, (224, 224, 3), np.uint8)) for _ in range(IMAGES)]
    functions = {"tools.nothing": lambda: None, "tools.images": lambda: images, "tools.take": lambda image: None}
    host, context = FakeHost(functions), Context(parts={})

    def cold() -> None:
        sandbox = ProcessSandbox(ProcessSandbox.Config(), context)
        sandbox.run(EMPTY, host)
        sandbox.close()

    bare = seconds(lambda: subprocess.run([sys.executable, "-S", "-c", "pass"], check=True))
    first = seconds(cold)
    print(
        f"cold start, first experiment and end {first * 1e3:6.1f} ms (goal: under 150), bare Python {bare * 1e3:.1f} ms"
    )
    sandbox = ProcessSandbox(ProcessSandbox.Config(), context)
    warm = seconds(lambda: sandbox.run(EMPTY, host), 50)
    print(f"warm experiment                      {warm * 1e3:6.2f} ms (goal: under 5)")
    for name, program, count, goal in (
        ("one host call", CALL, CALLS, 100),
        ("224x224 image to a program", READ, IMAGES, 500),
        ("224x224 image from a program", SEND, IMAGES, 500),
    ):
        if error := sandbox.run(program, host).error:
            sys.exit(error)
        each = (seconds(lambda program=program: sandbox.run(program, host), 5) - warm) / count
        print(f"{name:<36} {each * 1e6:6.0f} us (goal: under {goal})")
    sandbox.close()


if __name__ == "__main__":
    main()
