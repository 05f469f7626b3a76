"""How often verdicts are right: answers made by rule on synthetic neurons, whose truth is known.

A right answer counts as accepted if it is verified, also in other words. A wrong one (too broad, too narrow, half of an
OR, another thing, a wrong colour) counts as refused if it is not verified. Also prints how much faster one batch of
images is than one prompt at a time.

    python tests/bench/bench_verdicts.py [--neurons 40] [--seed 1] [--list development]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np

from maia_core.plugin import Context, Explanation, PluginRef, RunConfig
from maia_labels.colours import COLOURS
from maia_labels.vocabulary import vocabulary
from maia_verify.verifier import HeldOut

THINGS = ("dog", "cat", "bird", "car", "flower", "fruit", "boat", "fish", "chair", "tree", "hat", "bottle")
"""Kinds that neurons are made of in development; a fresh list begins behind them in the tree of concepts."""


def neurons(count: int, seed: int, fresh: bool) -> Iterator[tuple[str, list[str]]]:
    """Yields expressions of neurons with the concepts that they are made of."""
    rng, tree = np.random.default_rng(seed), vocabulary().concepts
    kinds = [name for name in tree if 2 < len(tree.below(name)) < 12 and name not in THINGS] if fresh else [*THINGS]
    for number in range(count):
        one, other = (str(name) for name in rng.choice(kinds, 2, replace=False))
        colour = str(rng.choice([*COLOURS][:6]))
        yield [(one, [one]), (f"{one} OR {other}", [one, other]), (f"{colour} thing", [f"{colour} things"])][number % 3]


def answers(parts: list[str], rng: np.random.Generator) -> Iterator[tuple[str, bool, list[str]]]:
    """Yields answers about a neuron: the rule, whether it is right, and the labels."""
    tree = vocabulary().concepts
    yield "right", True, parts
    yield "other wording", True, [f"pictures of {part}" for part in parts]
    yield "another thing", False, ["guitar" if "guitar" not in parts else "clock"]
    if len(parts) > 1:
        yield "half of an OR", False, parts[:1]
    elif parts[0] in tree:
        narrower = [name for name in tree.below(parts[0]) if name != parts[0]]
        if narrower:
            yield "too narrow", False, [str(rng.choice(narrower))]
        if tree.path(parts[0])[1:]:
            yield "too broad", False, [tree.path(parts[0])[-1]]
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


def main() -> None:
    """Prints one line per answer that is judged wrongly, then the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neurons", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", choices=("development", "fresh"), default="development")
    asked = parser.parse_args()
    context, rng = Context(RunConfig(seed=asked.seed)), np.random.default_rng(asked.seed)
    right, total, seconds = Counter[str](), Counter[str](), []
    for expression, parts in neurons(asked.neurons, asked.seed, asked.list == "fresh"):
        context.restart(PluginRef(name=f"synthetic:{expression}"))
        for rule, true, labels in answers(parts, rng):
            started = time.perf_counter()
            explanation = Explanation(description="", labels=tuple(labels))
            verdict = HeldOut(HeldOut.Config(), context).verify(explanation, context, 1)
            seconds.append(time.perf_counter() - started)
            if not verdict.measured:
                print(f"not tested: {expression} | {labels}: {verdict.line}")
                continue
            for name in (rule, "right accepted" if true else "wrong refused"):
                total[name] += 1
                right[name] += verdict.passed == true
            if verdict.passed != true:
                print(f"wrong verdict on {rule}: {expression} | {labels}: {verdict.line}", flush=True)
    for name, count in total.items():
        print(f"{name}: {right[name]} of {count} verdicts right ({right[name] / count:.0%})")
    ratio = batch_ratio(context)
    print(f"median {np.median(seconds):.1f} s per answer; one batch is {ratio:.1f} times faster than one at a time")


if __name__ == "__main__":
    main()
