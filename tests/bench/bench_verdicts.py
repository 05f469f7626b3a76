"""How often verdicts are right: answers made by rule on synthetic neurons, whose truth is known.

A right answer counts as accepted if it is verified, also in other words. A wrong one (too broad, too narrow, half of an
OR, another thing, a wrong colour) counts as refused if it is not verified. Both shares are also printed with partly
verified answers as accepted. Neurons are made of concepts that the pack has pictures of. Also prints how much faster
one batch of images is than one prompt at a time.

    python tests/bench/bench_verdicts.py [--neurons 40] [--seed 1] [--list development] [--minutes 60]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Set

import numpy as np

from maia_core.plugin import Context, Explanation, PluginRef, RunConfig
from maia_labels.colours import COLOURS
from maia_labels.pictured import pictured
from maia_labels.vocabulary import vocabulary
from maia_stats import wilson
from maia_verify.verifier import HeldOut

THINGS = ("dog", "cat", "bird", "car", "flower", "fruit", "boat", "fish", "chair", "tree", "hat", "bottle")
"""Kinds that neurons are made of in development; a fresh list begins behind them in the tree of concepts."""


def neurons(count: int, seed: int, fresh: bool, shown: Set[str]) -> Iterator[tuple[str, list[str]]]:
    """Yields expressions of neurons with the concepts that they are made of; `shown` has pictures."""
    rng, tree = np.random.default_rng(seed), vocabulary().concepts
    kinds = [name for name in THINGS if name in tree and below(name, shown)]
    if fresh:
        used = {other for kind in kinds for other in (*tree.path(kind), *tree.below(kind))}
        kinds = [name for name in tree if 1 < len(below(name, shown)) < 12 and name not in used]
    for number in range(count):
        one, other = (str(name) for name in rng.choice(kinds, 2, replace=False))
        while other in tree.path(one) or one in tree.path(other):
            other = str(rng.choice(kinds))
        colour = str(rng.choice([*COLOURS][:6]))
        yield [(one, [one]), (f"{one} OR {other}", [one, other]), (f"{colour} thing", [f"{colour} things"])][number % 3]


def below(name: str, shown: Set[str]) -> set[str]:
    """Returns the concepts at or below one that have pictures."""
    return shown & set(vocabulary().concepts.below(name))


def answers(parts: list[str], rng: np.random.Generator, shown: Set[str]) -> Iterator[tuple[str, bool, list[str]]]:
    """Yields answers about a neuron: the rule, whether it is right, and the labels."""
    tree = vocabulary().concepts
    yield "right", True, parts
    yield "other wording", True, [f"pictures of {part}" for part in parts]
    if len(parts) > 1:
        yield "half of an OR", False, parts[:1]
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
        yield "wrong colour", False, [f"{next(name for name in COLOURS if name != colour)} things"]


def batch_ratio(context: Context) -> float:
    """Returns how many times longer 32 prompts take one at a time than in one batch, with their measurement."""
    prompts = [f"a {thing} on {place}" for thing in THINGS[:8] for place in ("grass", "sand", "wood", "snow")]
    seeds, spent = list(range(len(prompts))), []
    for size in (1, len(prompts)):
        started = time.perf_counter()
        for at in range(0, len(prompts), size):
            made = context.generator.generate(prompts[at : at + size], [seed + size for seed in seeds[at : at + size]])
            context.system.neuron(made.images)
        spent.append(time.perf_counter() - started)
    return spent[0] / spent[1]


def share(states: list[str], counted: tuple[str, ...]) -> str:
    """Returns how many verdicts are of these kinds, with Wilson's 95 % interval."""
    hits = sum(state in counted for state in states)
    value, low, high = wilson(hits, len(states), 0.95)
    return f"{hits} of {len(states)} ({value:.0%} [{low:.0%}, {high:.0%}])"


def main() -> None:
    """Prints one line per answer, then the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", choices=("development", "fresh"), default="development")
    parser.add_argument("--minutes", type=float, default=60)
    asked = parser.parse_args()
    context, rng = Context(RunConfig(seed=asked.seed)), np.random.default_rng(asked.seed)
    pictures = pictured("", context.cache)
    if pictures is None:
        parser.error("the cache holds no pack; fetch one with make pack")
    states: dict[str, list[str]] = {}
    seconds: list[tuple[float, float]] = []
    began, shown = time.perf_counter(), frozenset(pictures.things)
    for expression, parts in neurons(asked.neurons, asked.seed, asked.list == "fresh", shown):
        if time.perf_counter() - began > 60 * asked.minutes:
            break
        context.restart(PluginRef(name=f"synthetic:{expression}"))
        for rule, true, labels in answers(parts, rng, shown):
            started, worked = time.perf_counter(), time.process_time()
            explanation = Explanation(description="", labels=tuple(labels))
            verdict = HeldOut(HeldOut.Config(), context).verify(explanation, context, 1)
            seconds.append((time.perf_counter() - started, time.process_time() - worked))
            if not verdict.measured:
                print(f"not tested: {expression} | {labels}: {verdict.line}", flush=True)
                continue
            state = "verified" if verdict.passed else "partly" if verdict.partly else "not"
            for name in (rule, "RIGHT" if true else "WRONG"):
                states.setdefault(name, []).append(state)
            print(f"{rule}: {state}: {expression} | {labels}: {verdict.line}", flush=True)
    for name, of in states.items():
        print(f"{name}: verified {share(of, ('verified',))}, verified or partly {share(of, ('verified', 'partly'))}")
    wall, processor = np.median(seconds, axis=0)
    print(f"median {wall:.1f} s per answer, of the processor {processor:.1f} s", flush=True)
    print(f"one batch is {batch_ratio(context):.1f} times faster than one at a time")


if __name__ == "__main__":
    main()
