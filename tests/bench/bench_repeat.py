"""The same run twice: how often the engines are asked, and how long it takes, with an empty cache and with a full one.

python tests/bench/bench_repeat.py [--system efficientnet-lite0:head:303]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from maia_collage.editor import CollageEditor
from maia_collage.generator import CollageGenerator
from maia_core.config import PluginRef, RunConfig, cache_dir
from maia_core.context import Context
from maia_nearest.describer import Nearest
from maia_runs.launch import explain_in

ENGINES = ((CollageGenerator, "generate"), (CollageEditor, "edit"), (Nearest, "describe"), (Nearest, "summarize"))


def counted(counts: Counter[str]) -> None:
    """Counts the images that each engine is asked about."""
    for engine, name in ENGINES:
        asked = getattr(engine, name)

        def count(self: Any, items: Any, *rest: Any, asked: Any = asked, name: str = name) -> Any:
            counts[name] += len(items)
            return asked(self, items, *rest)

        setattr(engine, name, count)


def main() -> None:
    """Runs it twice and prints both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="efficientnet-lite0:head:303")
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    counted(counts)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cache.mkdir()
        (cache / "collage").symlink_to(cache_dir() / "collage")
        before = 0.0
        for number, name in enumerate(("empty cache", "the same again"), 1):
            counts.clear()
            began = time.perf_counter()
            context = Context(RunConfig(system=PluginRef(name=options.system)), cache=cache)
            ended = explain_in(context, Path(folder) / str(number)).outcome
            took = time.perf_counter() - began
            asked = ", ".join(f"{name} {count}" for name, count in counts.items()) or "nothing"
            share = f" ({took / before:.0%} of the first)" if before else ""
            print(
                f"{name}: {ended.status} {ended.explanation and ended.explanation.labels}, {took:.0f} s{share}; ",
                end="",
            )
            print(f"images that engines were asked for: {asked}", flush=True)
            before = took


if __name__ == "__main__":
    main()
