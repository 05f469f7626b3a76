"""What sessions in threads of one process gain: against the ideal, against processes, and through the batcher.

python tests/bench/bench_threads.py [latency|offline|images] [--units N] [--latency 2] [--workers 2] [--sessions 8]

Every figure is a ratio to a baseline that is measured in the same run. The units of `latency` are of a CNN;
a script stands for a language model, with ten replies a run and ten generated images a program. Those of `offline` are
collage neurons, which the rule-based scientist explains; its programs take a processor ten times as long.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from maia_core.plugin import Context, Image, Reply, RunConfig, Runner, hookimpl
from maia_sweep.batching import BatchedGenerator
from maia_sweep.processes import Processes
from maia_sweep.sweeping import Explain, sweep
from maia_sweep.threads import Threads
from maia_torch.allocator import process_started

TURNS = 6
"""Most turns of an offline run."""
REPLIES = 10
"""Replies of a run whose backbone is a service: 10 to 15 are usual."""
WITHOUT = ("report", "cache")
"""Observers that are left out: a second run of a unit must draw its images, as the first one does."""
THINGS = (
    "a red ball",
    "a fox",
    "a striped cup",
    "a dog",
    "a yellow flower",
    "a car",
    "a clock",
    "a green bottle",
    "a wolf",
)
PLACES = ("on snow", "on grass", "on sand", "on a plain grey background", "on water")
PROGRAM = """[HYPOTHESIS LIST]:
Hypothesis_1: {thing}
[CODE]:
```python
def run_experiment(system, tools):
    prompts = {prompts!r}
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
```"""


class Script:
    """Stands for a language model: writes a program for each of the things, then answers."""

    is_service = True

    def __init__(self, backbone: Any, latency: float) -> None:
        self._latency, self.info = latency, backbone.info

    def complete(self, messages: Any, limits: Any) -> Any:
        time.sleep(self._latency)
        said = sum(message.role == "assistant" for message in messages)
        if said >= REPLIES - 1:
            return Reply(text="[DESCRIPTION]: It responds to balls.\n[LABEL]: a red ball")
        thing = THINGS[said % len(THINGS)]
        return Reply(text=PROGRAM.format(thing=thing, prompts=[f"{thing} {place}" for place in PLACES] * 2))


class Scripting:
    """Puts the script in place of the backbone of every run."""

    latency = 0.0

    @hookimpl
    def part_built(self, kind: str, part: Any) -> object | None:
        """Returns the script."""
        return Script(part, self.latency) if kind == "backbone" else None


def config(turns: int) -> RunConfig:
    """Returns the configuration of the runs."""
    return RunConfig.model_validate({"verify": False, "limits": {"turns": turns}})


def units(count: int) -> list[str]:
    """Names collage neurons of the list that needs no drawing: 64 at most."""
    return [f"synthetic:collage/{number}" for number in range(1, count + 1)]


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Returns wall time and processor time (also of ended children) of some work in seconds, and its result."""

    def used() -> float:
        who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, who))

    wall, processor = time.perf_counter(), used()
    result = work()
    return time.perf_counter() - wall, used() - processor, result


class Sessions:
    """Explains units with one copy of all parts, so that figures leave out the loading of weights."""

    def __init__(self, settings: RunConfig, names: Sequence[str], script: Scripting | None = None) -> None:
        self._script = script or Scripting()
        self._explain = Explain(settings, Path(), WITHOUT)
        if script:
            self._explain.context.observers = self._explain.context.observers.joined_by([script])
        self(names[:1], 0, None)

    def __call__(self, names: Sequence[str], latency: float, runner: Runner | None) -> dict[str, Any]:
        """Explains units; returns the outcomes of their runs."""
        self._script.latency = latency
        with tempfile.TemporaryDirectory() as folder:
            self._explain.folder = Path(folder)
            explain = self._explain
            results = runner.map(explain, names) if runner else zip(names, map(explain, names), strict=True)
            return {unit: run.outcome for unit, run in results}


def latency_figure(count: int, latency: float) -> None:
    """Prints the time of sessions in threads against the ideal."""
    names = [f"efficientnet-lite0:blocks.5:{number}" for number in range(count)]
    sessions = Sessions(config(REPLIES), names, Scripting())
    alone, processor, outcomes = timed(lambda: sessions(names, 0, None))
    threads = Threads(Threads.Config(workers=count), Context())
    took, _, slow = timed(lambda: sessions(names, latency, threads))
    waiting = max(outcome.turns for outcome in slow.values()) * latency
    longest = max(outcome.seconds + outcome.turns * latency for outcome in outcomes.values())
    cores = len(os.sched_getaffinity(0))
    ideal = max(longest, processor / cores)
    print(f"{count} units, {REPLIES} replies, a reply takes {latency:g} s, {cores} cores")
    print(f"one after another without latency {alone:.1f} s, of which {processor:.1f} s of processor")
    print(
        f"ideal {ideal:.1f} s, the longer of: the longest session alone {longest:.1f} s, the processor time on all "
        f"cores {processor / cores:.1f} s"
    )
    print(
        f"threads {took:.1f} s: {took / ideal:.2f} times the ideal, {took / waiting:.2f} times the waiting of one "
        "session"
    )
    print(
        f"one after another with latency {alone + sum(o.turns for o in outcomes.values()) * latency:.1f} s (computed)"
    )


def offline_figure(count: int, workers: int) -> None:
    """Prints the times of offline units in threads and in processes against one after another."""
    names = units(count)
    sessions = Sessions(config(TURNS), names)
    alone, processor, _ = timed(lambda: sessions(names, 0, None))
    print(f"{count} offline units one after another {alone:.1f} s, {processor / count:.2f} s of processor per unit")
    threads = Threads(Threads.Config(workers=workers), Context())
    took, _, _ = timed(lambda: sessions(names, 0, threads))
    print(f"{workers} threads {took:.1f} s: {alone / took:.2f} times as fast")
    processes = Processes(Processes.Config(workers=workers), Context())
    took, _, _ = timed(lambda: swept(names, processes))
    print(f"{workers} processes {took:.1f} s, the loading of their parts included: {alone / took:.2f} times as fast")


def swept(names: Sequence[str], runner: Runner) -> None:
    """Explains units by a runner that may send the work to other processes."""
    with tempfile.TemporaryDirectory() as folder:
        for unit, result in sweep(config(TURNS), names, Path(folder), runner=runner, without=WITHOUT):
            assert hasattr(result, "outcome"), f"{unit}: {result}"


def images_figure(sessions: int) -> None:
    """Prints images per second of sessions that share a model or a generator, against one session."""
    print(f"{sessions} sessions, each asks for 5 images at a time; images per second, and times one session")
    for name, make in (("efficientnet-lite0", _network), ("tiny diffusion pipeline", _pipeline)):
        ask, without, count = make()
        baseline = _rate(ask, 1, count)
        unjoined = _rate(without, sessions, count)
        joined = _rate(ask, sessions, count)
        print(
            f"{name}: one session {baseline:.1f}, {sessions} sessions {joined:.1f} ({joined / baseline:.2f} times), "
            f"without the batcher {unjoined:.1f} ({unjoined / baseline:.2f} times)"
        )


Ask = Callable[[int, int], int]
"""Asks for images as the n-th session, the m-th time; returns how many."""


def _rate(ask: Ask, sessions: int, count: int) -> float:
    """Returns images per second; the best of three, as another program of the machine only slows."""

    def session(number: int) -> int:
        return sum(ask(number, step) for step in range(count))

    ask(0, 0)
    best = 0.0
    for _ in range(3):
        with ThreadPoolExecutor(sessions) as pool:
            wall, _, made = timed(lambda pool=pool: sum(pool.map(session, range(sessions))))
        best = max(best, made / wall)
    return best


def _network() -> tuple[Ask, Ask, int]:
    models = [Context().model("efficientnet-lite0") for _ in range(2)]
    models[1].join_passes(0)
    random = np.random.default_rng(0)
    images = [Image.from_pixels(random.integers(0, 256, (224, 224, 3), dtype=np.uint8)) for _ in range(20)]

    def asking(model: Any) -> Ask:
        named = [model.unit(f"blocks.5:{number}") for number in range(64)]
        return lambda session, step: len(named[session % 64].neuron(images[step % 4 * 5 :][:5])[0])

    return asking(models[0]), asking(models[1]), 4


def _pipeline() -> tuple[Ask, Ask, int]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "plugins/maia-diffusers/tests"))
    from tiny_pipelines import BUILDERS

    folder = Path(tempfile.mkdtemp()) / "tiny"
    BUILDERS["sd"]().save_pretrained(folder)
    context = Context(cache=Path(tempfile.mkdtemp()))
    engine = context.registry.build("generator", "diffusers", {"model": str(folder), "steps": 4, "batch": 32}, context)

    def asking(generator: Any) -> Ask:
        def ask(session: int, step: int) -> int:
            seeds = [session * 1000 + step * 10 + n for n in range(5)]
            return len(generator.generate(["a red disc"] * 5, seeds).images)

        return ask

    return asking(BatchedGenerator(engine, context)), asking(engine), 4


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figure that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figure", nargs="?", choices=["latency", "offline", "images"], help="print one figure only")
    parser.add_argument("--units", type=int, help="16 for the latency, 64 for offline units")
    parser.add_argument("--latency", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sessions", type=int, default=8)
    options = parser.parse_args(arguments)
    process_started()  # As every command of MAIA does.
    if options.figure in (None, "latency"):
        latency_figure(options.units or 16, options.latency)
    if options.figure in (None, "offline"):
        offline_figure(options.units or 64, options.workers)
    if options.figure in (None, "images"):
        images_figure(options.sessions)


if __name__ == "__main__":
    main()
