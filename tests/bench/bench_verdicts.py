"""How often verdicts are right: answers made by rule on synthetic neurons, whose truth is known.

A right answer counts as accepted if it is verified, also in other words. A wrong one (too broad, too narrow, half of an
OR, another thing, a wrong colour) counts as refused if it is not verified. Both shares are also printed with partly
verified answers as accepted. Neurons are made of concepts that the pack has pictures of; one that no image of the data
set activates is counted apart. Every verdict is appended to a file (`--out`): the same command resumes, in as many
processes as `--part 0/2`, `--part 1/2` say, and `--table` prints the shares of what the file holds.

    python tests/bench/bench_verdicts.py [--neurons 40] [--seed 1] [--list development] [--minutes 60] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

import numpy as np

from maia_core.plugin import Context, Explanation, PluginRef, RunConfig
from maia_labels.colours import COLOURS
from maia_labels.pictured import pictured
from maia_labels.vocabulary import vocabulary
from maia_stats import wilson
from maia_verify.verifier import HeldOut

THINGS = ("dog", "cat", "bird", "car", "flower", "fruit", "boat", "fish", "chair", "tree", "hat", "bottle")
"""Kinds that neurons are made of in development; a fresh list begins behind them in the tree of concepts."""

UNTESTED = "not tested"


def neurons(count: int, seed: int, fresh: bool, shown: Set[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields different expressions of neurons, with the concepts that they are made of; `shown` has pictures."""
    rng, tree = np.random.default_rng(seed), vocabulary().concepts
    kinds = [name for name in THINGS if name in tree and below(name, shown)]
    if fresh:
        used = {other for kind in kinds for other in (*tree.path(kind), *tree.below(kind))}
        kinds = [name for name in tree if 1 < len(below(name, shown)) < 12 and name not in used]
    made: set[str] = set()
    while len(made) < count:
        one, other = (str(name) for name in rng.choice(kinds, 2, replace=False))
        colour = str(rng.choice(COLOURS))
        if other in tree.path(one) or one in tree.path(other):
            continue
        drawn = [(one, [one]), (f"{one} OR {other}", [one, other]), (f"{colour} thing", [f"{colour} things"])]
        for expression, parts in drawn:
            if expression not in made and len(made) < count:
                made.add(expression)
                yield expression, parts


def below(name: str, shown: Set[str]) -> set[str]:
    """Returns the concepts at or below one that have pictures."""
    return shown & set(vocabulary().concepts.below(name))


def answers(parts: list[str], rng: np.random.Generator, shown: Set[str]) -> Iterator[tuple[str, bool, list[str]]]:
    """Yields answers about a neuron: the rule, whether it is right, and the labels."""
    tree = vocabulary().concepts
    yield "right", True, parts
    yield "other wording", True, [f"pictures of {part}" for part in parts]
    if len(parts) > 1:
        yield from (("half of an OR", False, [part]) for part in parts)
    elif parts[0] in tree:
        yield "another thing", False, ["guitar" if "guitar" not in tree.path(parts[0]) else "clock"]
        narrower = sorted(below(parts[0], shown) - {parts[0]})
        if len(narrower) > 2:
            yield "too narrow", False, [str(rng.choice(narrower))]
        broader = [name for name in tree.path(parts[0]) if len(below(name, shown)) > 3 * len(below(parts[0], shown))]
        if broader:
            yield "too broad", False, broader[:1]
    else:
        colour = parts[0].split()[0]
        yield "other wording", True, [f"anything {colour}"]
        yield "wrong colour", False, [f"{rng.choice([name for name in COLOURS if name != colour])} things"]


def share(states: list[str], counted: tuple[str, ...]) -> str:
    """Returns how many verdicts are of these kinds, with Wilson's 95 % interval."""
    hits = sum(state in counted for state in states)
    value, low, high = wilson(hits, len(states), 0.95)
    return f"{hits} of {len(states)} ({value:.0%} [{low:.0%}, {high:.0%}])"


def table(verdicts: list[dict[str, Any]]) -> None:
    """Prints the shares of verdicts by rule, and those of all right and of all wrong answers."""
    measured = [verdict for verdict in verdicts if verdict["state"] != UNTESTED]
    rules: dict[str, list[str]] = {"right answers": [], "wrong answers": []}
    for verdict in measured:
        for name in ("right answers" if verdict["right"] else "wrong answers", verdict["rule"]):
            rules.setdefault(name, []).append(verdict["state"])
    print("\n| answers | verified | verified or partly |\n| --- | --- | --- |")
    for name, states in rules.items():
        if states:
            print(f"| {name} | {share(states, ('verified',))} | {share(states, ('verified', 'partly'))} |")
    neurons = {verdict["neuron"] for verdict in measured}
    print(f"{len(measured)} answers about {len(neurons)} neurons; not tested: {len(verdicts) - len(measured)} answers")
    if measured:
        seconds = np.median([verdict["processor_seconds"] for verdict in measured])
        print(f"median {seconds:.1f} s of one processor core per answer", flush=True)


def judged(context: Context, labels: list[str]) -> dict[str, Any]:
    """Returns the verdict about labels of the context's unit, and what it cost."""
    worked = time.process_time()
    verdict = HeldOut(HeldOut.Config(), context).verify(Explanation(description="", labels=tuple(labels)), context, 1)
    state = "verified" if verdict.passed else "partly" if verdict.partly else "not"
    return {
        "state": state if verdict.measured else UNTESTED,
        "line": verdict.line,
        "processor_seconds": round(time.process_time() - worked, 2),
    }


def main() -> None:
    """Prints one line per answer, then the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", choices=("development", "fresh"), default="development")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    verdicts = [json.loads(line) for line in asked.out.open()] if asked.out and asked.out.exists() else []
    if asked.table:
        return table(verdicts)
    context, began = Context(RunConfig(seed=asked.seed)), time.perf_counter()
    pictures = pictured("", context.cache)
    if pictures is None:
        parser.error("the cache holds no pack; fetch one with make pack")
    shown = frozenset(pictures.things)
    known = {(verdict["neuron"], *verdict["labels"]) for verdict in verdicts}
    mine, parts_in_all = map(int, asked.part.split("/"))
    for number, (expression, parts) in enumerate(neurons(asked.neurons, asked.seed, asked.list == "fresh", shown)):
        rng = np.random.default_rng([asked.seed, number])
        for rule, right, labels in answers(parts, rng, shown) if number % parts_in_all == mine else ():
            if (expression, *labels) in known or time.perf_counter() - began > 60 * asked.minutes:
                continue
            context.restart(PluginRef(name=f"synthetic:{expression}"))
            verdict = {"neuron": expression, "rule": rule, "right": right, "labels": labels, **judged(context, labels)}
            verdicts.append(verdict)
            print(f"{rule}: {verdict['state']}: {expression} | {labels}: {verdict['line']}", flush=True)
            if asked.out:
                with asked.out.open("a") as file:
                    file.write(json.dumps(verdict) + "\n")
            if verdict["state"] == UNTESTED and "no image of the data set" in verdict["line"]:
                break
    table(verdicts)


if __name__ == "__main__":
    main()
