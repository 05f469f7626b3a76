"""Small language models as agents: what their replies are, on synthetic neurons of a list that a seed draws.

    python tests/bench/bench_small_models.py [--models qwen2.5-coder-1.5b ...] [--seed 9001] [--units 4] [--turns 8]

Needs the models (`make llm`), llama-cpp-python and the collage pack. Seed 9001 is the development list: tune on it, and
take figures from another seed. Answers are not verified, so that the first one counts. Every run is recorded in --out.
The runs come one after the other: each reads only the part of the prompt that differs from the run before.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from maia_core.plugin import Context, PluginRef, RunConfig, Turn, hookimpl
from maia_labels import text_of
from maia_runs import explain_in
from maia_synthetic.lists import neurons_of
from maia_synthetic.score import verdict

RESULTS = re.compile(r"^(?:Printed|Returned|Failed):", re.MULTILINE)
"""The form of MAIA's results: a reply that has it makes results up."""

COLUMNS = ("runs", "turns", "ran", "ran without error", "repeated", "malformed", "invented", "answers", "right", "near")


class Counts:
    """An observer that counts the replies of a run by kind."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter(runs=1)
        self._measured = False

    @hookimpl
    def turn_finished(self, turn: Turn) -> None:
        """Counts one reply; an answer before the first successful experiment rests on invented results."""
        done = turn.execution
        self.found["turns"] += 1
        self.found["ran"] += done is not None
        self.found["ran without error"] += done is not None and not done.error
        self.found["repeated"] += "ran before" in turn.note
        unsupported = "no experiment of yours has succeeded" in turn.mistake
        self.found["malformed"] += bool(turn.mistake) and not unsupported
        self.found["invented"] += unsupported or bool(RESULTS.search(turn.reply.text))
        self.found["answers"] += done is None and not turn.mistake


def one(model: str, unit: str, options: argparse.Namespace, out: Path) -> tuple[Counter[str], float, int, str]:
    """Runs a model on a unit; returns the counts, the seconds, the tokens and the labels."""
    limits = {"turns": options.turns, "reply_tokens": 500, "reply_seconds": 1200.0, "seconds": 7200.0}
    backbone = PluginRef(name="llama-cpp", model=model)
    system = PluginRef(name=unit)
    config = RunConfig(system=system, backbone=backbone, verify=False, seed=options.seed, limits=limits)  # type: ignore[arg-type]
    counts, began = Counts(), time.perf_counter()
    outcome = explain_in(Context(config), out, observers=[counts]).outcome
    said: Any = outcome.explanation.labels if outcome.explanation else ()
    return counts.found, time.perf_counter() - began, outcome.usage.tokens, " OR ".join(said) or outcome.reason


def main() -> None:
    """Prints a line for each run, and a table with a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b"])
    parser.add_argument("--seed", type=int, default=9001, help="seed of the list; 9001 is for development")
    parser.add_argument("--units", type=int, default=4, help="units, from all kinds of the list")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=60, help="begin no further run after that")
    parser.add_argument("--out", type=Path, default=Path("runs/small-models"))
    options = parser.parse_args()
    if importlib.util.find_spec("llama_cpp") is None:
        print("llama-cpp-python is not installed; see docs/use/backbones/llama-cpp.md")
        return
    name, began = f"collage@{options.seed}", time.perf_counter()
    neurons = neurons_of(name, Context())
    step = max(1, len(neurons) // options.units)
    rows: dict[str, tuple[Counter[str], float, int]] = {}
    for model in options.models:
        total, seconds, tokens = Counter[str](), 0.0, 0
        for number in list(range(0, len(neurons), step))[: options.units]:
            if time.perf_counter() - began > 60 * options.minutes:
                break
            folder = options.out / f"{model}-{options.seed}-{number + 1}-{time.strftime('%H%M%S')}"
            found, took, used, labels = one(model, f"synthetic:{name}/{number + 1}", options, folder)
            if found["answers"]:
                found[verdict(neurons[number], labels.split(" OR "))] += 1
            total, seconds, tokens = total + found, seconds + took, tokens + used
            line = ", ".join(f"{found[column]} {column}" for column in COLUMNS[1:])
            print(
                f"{model}, {text_of(neurons[number])}: {labels[:80]}; {line}; {used:,} tokens, {took:.0f} s", flush=True
            )
        rows[model] = (total, seconds, tokens)
    print(f"\n| model | {' | '.join(COLUMNS)} | share that ran | tokens per turn | seconds per turn |")
    print(f"|{' --- |' * (len(COLUMNS) + 4)}")
    for model, (total, seconds, tokens) in rows.items():
        turns = max(1, total["turns"])
        shares = [f"{total['ran'] / turns:.2f}", f"{tokens / turns:,.0f}", f"{seconds / turns:.0f}"]
        print(f"| {model} | {' | '.join([*(str(total[column]) for column in COLUMNS), *shares])} |")


if __name__ == "__main__":
    main()
