"""Scores run folders: what was explained, against what is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from maia_core.plugin import MANIFEST, Context, RunConfig, RunContext, RunReader, UsageError, printable, validated
from maia_labels.expression import any_of, kind, text_of
from maia_synthetic.lists import resolve
from maia_synthetic.score import verdict

KINDS = ("one concept", "A OR B", "A given B", "A AND B", "A but not B", "compound")
VERDICTS = ("right", "near", "wrong", "no answer")


class Scored(NamedTuple):
    """One run: which neuron, what it responds to and how this is made, how the labels do, and the labels."""

    neuron: str
    kind: str
    truth: str
    verdict: str
    labels: tuple[str, ...]


def score_runs(paths: Iterable[Path]) -> list[Scored]:
    """Scores the runs of synthetic neurons in folders; other runs are left out.

    Args:
        paths: Run folders, or folders of run folders.

    Raises:
        UsageError: there is no run of a synthetic neuron.
        RecordError: a run folder is damaged.
    """
    scored = []
    context = Context()
    for path in paths:
        folders = [path] if (path / MANIFEST).exists() else sorted(file.parent for file in path.glob(f"*/{MANIFEST}"))
        scored += [each for folder in folders if (each := score_run(folder, context)) is not None]
    if not scored:
        raise UsageError(f"there is no run of a synthetic neuron in {', '.join(map(str, paths))}")
    return sorted(scored, key=lambda each: (KINDS.index(each.kind), each.neuron))


def score_run(folder: Path, context: RunContext) -> Scored | None:
    """Scores one run; None for a run of something else. Lists are drawn by what `context` finds."""
    reader = RunReader(folder)
    # Of an old record too, whose configuration has keys of other names.
    system = validated(RunConfig, {"system": reader.manifest.config.get("system")}, str(folder)).system
    plugin, _, ref = system.name.partition(":") if system else ("", "", "")
    if system is None or plugin.partition("@")[0] != "synthetic":
        return None
    ref = ref or str(system.options.get("ref", ""))
    truth = resolve(ref, context)
    outcome = reader.outcome
    labels = outcome.explanation.labels if outcome is not None and outcome.explanation is not None else ()
    judged = verdict(truth, labels) if labels else "no answer"
    return Scored(ref, kind(truth), text_of(truth), judged, labels)


def table(scored: Sequence[Scored]) -> list[str]:
    """Returns the counts by kind, and what was not right, as lines for a terminal."""
    counts = Counter((each.kind, each.verdict) for each in scored)
    width = max(map(len, KINDS))
    lines = [f"{'':{width}}  {'right':>5}  {'near':>5}  {'wrong':>5}  {'no answer':>9}  {'of':>5}"]
    for name in KINDS:
        row = [counts[name, each] for each in VERDICTS]
        if total := sum(row):
            right, near, wrong, silent = row
            lines.append(
                f"{name:{width}}  {right:5}  {near:5}  {wrong:5}  {silent:9}  {total:5}  {right / total:4.0%} right"
            )
    lines.append("")
    for each in scored:
        if each.verdict != "right":
            named = printable(any_of(each.labels)) or "-"
            lines.append(f"{each.verdict:9}  {each.neuron}: {each.truth}  named: {named}")
    return lines
