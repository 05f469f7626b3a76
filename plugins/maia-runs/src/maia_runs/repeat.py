"""Repeats a run with other seeds and merges the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, zip_longest
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from maia_core.plugin import (
    Context,
    Explanation,
    MaiaError,
    Registry,
    RunConfig,
    RunContext,
    RunOutcome,
    UsageError,
    as_file,
    one_line,
    write_atomically,
)
from maia_runs.chosen import check_names
from maia_runs.launch import FinishedRun, explain_in, folder_name, new_run_id

MERGED = "merged.json"
"""File with the merged explanation, beside the folders of the runs."""

LABELS, AGREEMENT = "runs_by_label", "agreement"
"""Where the details of merged labels hold the number of runs per label, and the share of pairs of runs that agree."""

Same = Callable[[str, str], bool]


class Repeated(NamedTuple):
    """A run that was repeated.

    Attributes:
        folder: Holds a folder per run, `seed-0`, `seed-1` and so on, and `merged.json`.
        runs: The runs, in the order of their seeds.
        merged: One explanation of all of them.
    """

    folder: Path
    runs: tuple[FinishedRun, ...]
    merged: Explanation


def repeat(
    config: RunConfig,
    times: int,
    *,
    out: Path | None = None,
    observers: Iterable[object] = (),
    registry: Registry | None = None,
) -> Repeated:
    """Explains one unit several times with the seeds `config.seed`, `config.seed + 1`, ..., and merges the answers.

    With the same `out` again it resumes: runs that have ended are read. A larger `times` adds runs.

    Args:
        config: What to run.
        times: Number of runs, at least one.
        out: Folder of the runs; a new one in `config.runs` where it is None.
        observers: As for `maia_runs.explain`.
        registry: As for `maia_runs.explain`.

    Raises:
        UsageError: `times` is less than one, or the merged explanation cannot be written.
        MaiaError: as for `maia_runs.explain`.
    """
    if times < 1:
        raise UsageError(f"a run cannot be repeated {times} times; give a number from 1")
    context = Context(config, registry)
    check_names(context.config, context.registry)
    ref = context.system.info.ref
    folder = out or Path(config.runs) / f"{new_run_id()}-{folder_name(ref)}"
    runs = tuple(_run_each(context, times, folder, observers))
    merged = merge([each.outcome for each in runs], context)
    try:
        write_atomically(folder / MERGED, as_file(merged))
    except OSError as error:
        raise UsageError(f"cannot write {folder / MERGED}: {error.strerror}") from error
    return Repeated(folder, runs, merged)


def _run_each(context: Context, times: int, folder: Path, observers: Iterable[object]) -> Iterator[FinishedRun]:
    watching, system = tuple(observers), context.config.system
    assert system is not None  # It has been built.
    for seed in range(context.config.seed, context.config.seed + times):
        context.restart(system, context.config.model_copy(update={"seed": seed}))
        yield explain_in(context, folder / f"seed-{seed}", observers=watching)


def merge(outcomes: Sequence[RunOutcome], context: RunContext) -> Explanation:
    """Makes one explanation of several runs of one unit, as their task does it, or by counting labels.

    Args:
        outcomes: How the runs ended.
        context: The parts of one of them; its task merges, and its judge tells which labels say the same.
    """
    own: Callable[[Sequence[RunOutcome], RunContext], Explanation] | None
    own = getattr(context.part("task"), "merged", None)
    if own is not None:
        explanation: Explanation = own(outcomes, context)
        return explanation
    try:
        judge = context.part("judge")
    except MaiaError as error:  # The runs have been paid for.
        merged = merged_labels(outcomes, same_by(None))
        note = f"Labels count as the same only where their words are equal: {one_line(error)}"
        return merged.model_copy(update={"description": f"{merged.description} {note}"})
    return merged_labels(outcomes, same_by(judge))


def same_by(judge: Any) -> Same:
    """Returns what tells whether two texts say the same: the judge's `same`, or else whether their words are equal."""
    own: Same | None = getattr(judge, "same", None)

    def same(a: str, b: str) -> bool:
        return a.casefold().split() == b.casefold().split() or bool(own and own(a, b))

    return same


def merged_labels(outcomes: Sequence[RunOutcome], same: Same) -> Explanation:
    """Counts how many runs gave each label; the commonest label comes first.

    Labels that say the same count as one, in the words of the first run that gave it. Two runs agree if each label of
    either says the same as one of the other. The strength of a label is the mean of the strengths that the runs state
    for it; there are none where a label has none.
    """
    answers = [outcome.explanation for outcome in outcomes if outcome.explanation is not None]
    groups: dict[str, set[int]] = {}
    stated: dict[str, list[float]] = {}
    for number, answer in enumerate(answers):
        for label, strength in zip_longest(answer.labels, answer.strengths):
            known = next((name for name in groups if same(name, label)), label)
            groups.setdefault(known, set()).add(number)
            stated.setdefault(known, []).extend([strength] if strength is not None else [])
    by_run = [frozenset(name for name, runs in groups.items() if number in runs) for number in range(len(answers))]
    pairs = list(combinations(by_run, 2))
    agreement = sum(one == other for one, other in pairs) / len(pairs) if pairs else None
    ranked = sorted(groups.items(), key=lambda item: -len(item[1]))
    counted = ", ".join(f"{label} ({len(runs)})" for label, runs in ranked)
    shared = "" if agreement is None else f" {agreement:.0%} of the pairs of runs agree."
    return Explanation(
        description=f"{len(answers)} of {len(outcomes)} runs answered. Labels by number of runs: {counted}.{shared}"
        if answers
        else f"None of {len(outcomes)} runs answered.",
        labels=tuple(label for label, _ in ranked),
        strengths=tuple(fmean(stated[label]) for label, _ in ranked) if all(stated.values()) else (),
        details={LABELS: {label: len(runs) for label, runs in ranked}, AGREEMENT: agreement},
    )
