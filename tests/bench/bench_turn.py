"""Framework time a turn: the real loop, sandbox, record and standard tools on fakes, the fakes' own time taken off."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from maia_core.agent import run
from maia_core.config import Limits, RunConfig
from maia_core.context import Context
from maia_core.events import Event, Manifest
from maia_core.journal import Journal
from maia_core.record import RunWriter
from maia_core.session import make_session
from maia_core.testing import FAKE_RUN, ScriptedBackbone, disc, fake_parts

TURNS = 30
PROGRAM = """[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a red disc"] * 5 + ["a blue disc"] * 5
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
```"""


class Timed:
    """Wraps a part and adds up the time spent in it."""

    total = 0.0

    def __init__(self, part: Any) -> None:
        self._part = part

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._part, name)
        if not callable(value):
            return value

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return value(*args, **kwargs)
            finally:
                Timed.total += time.perf_counter() - started

        return timed


class TimedSystem(Timed):
    """A system at the usual image size, its signature visible to the prompt."""

    def neuron(self, images: list) -> tuple:
        """Measures images."""
        return self.__getattr__("neuron")(images)


class Generator:
    """Draws discs at 224 pixels."""

    fingerprint = "bench"

    def generate(self, prompts: list[str], seeds: list[int]) -> Any:
        from maia_core.types import GeneratedImages

        images = [disc(p.split()[1], s, 224).retitled(p) for p, s in zip(prompts, seeds, strict=True)]
        return GeneratedImages(images, [""] * len(images))


def main() -> None:
    """Prints milliseconds a turn with ten images of 224 pixels, all in."""
    Timed.total = 0.0
    with tempfile.TemporaryDirectory() as place:
        parts = fake_parts()
        parts |= {"system": TimedSystem(parts["system"]), "generator": Timed(Generator())}
        context = Context(RunConfig(limits=Limits(turns=TURNS + 2)), parts=parts, cache=Path(place) / "cache")
        manifest = Manifest(id="b", created=0, config={}, seed=0, system=context.system.info, versions={})
        writer = RunWriter.create(Path(place) / "run", manifest)
        recording = 0.0

        def append(event: Event) -> None:
            nonlocal recording
            before = time.perf_counter()
            writer.append(event)
            recording += time.perf_counter() - before

        session = make_session(context, Journal(append))
        session.execute("def run_experiment(system, tools): pass")  # The worker starts before the clock does.
        started = time.perf_counter()
        run(session, ScriptedBackbone([PROGRAM] * TURNS + [FAKE_RUN[-1]]))
        took = time.perf_counter() - started
        session.close()
        writer.close()
    framework = (took - Timed.total) / TURNS
    share = recording / TURNS
    print(f"framework {framework * 1e3:.1f} ms a turn (goal: under 30), of it recording {share * 1e3:.1f} ms")
    print(f"model and generator {Timed.total / TURNS * 1e3:.1f} ms a turn, left out")


if __name__ == "__main__":
    main()
