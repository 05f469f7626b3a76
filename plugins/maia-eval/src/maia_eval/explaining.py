"""Has every explainer explain every unit, before anything is scored: no explainer can know how it is graded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import click

from maia_core.plugin import (
    KINDS,
    MANIFEST,
    Context,
    Explanation,
    MaiaError,
    Registry,
    RunConfig,
    Runner,
    Usage,
    installed,
    one_line,
    printable,
    recordable,
    redacted,
)
from maia_eval.choices import Spec, adjusted
from maia_eval.integrity import count_faults
from maia_eval.results import Explained, Folder
from maia_labels import any_of
from maia_sweep.sweeping import system_of

Log = Callable[[str], None]

RUN = "run"
"""Where an explanation's details hold the folder of its run."""

MAX_CHARACTERS = 20_000
"""Characters of a text from an explainer that are kept."""

SHARED_KINDS = frozenset(kind.name for kind in KINDS.values() if kind.scope == "shared")
"""Parts that a context keeps from run to run: an explainer that changes one needs a context of its own."""


def log_to(quiet: bool) -> Log:
    """Returns what prints a line of progress; nothing is printed where it is to be quiet."""
    return (lambda line: None) if quiet else (lambda line: click.echo(printable(" ".join(line.split()))))


class Contexts:
    """The contexts of an evaluation: one for all, and one for each explainer that changes an engine."""

    def __init__(
        self, config: RunConfig, runs: Path, registry: Registry | None = None, log: Log = lambda line: None
    ) -> None:
        # One report per unit and explainer would cost more time than many explainers take.
        self.main = Context(config, (registry or installed()).without_observers(["report"]))
        self._log = log
        self._noted: set[str] = set()
        self._config = self.main.config
        self._runs = runs
        self._own: dict[str, Context] = {}
        self._alike: dict[str, str] = {}

    def on(self, unit: str, spec: Spec | None = None) -> Context:
        """Returns a context that is at a unit, as an explainer wants it.

        Raises:
            UsageError: the explainer sets a key that the configuration does not have.
        """
        context, config = self.main, self._config
        if spec is not None:
            # Explainers that work alike share runs, as the agent's first answer and its final one do.
            alike = self._alike.setdefault(f"{spec.name} {sorted(spec.run.items())}", spec.alias)
            runs = str(self._runs / alike)
            config = adjusted(config, spec.run).model_copy(update={"runs": runs})
            if any(key.partition(".")[0] in SHARED_KINDS for key in spec.run):
                context = self._own.setdefault(spec.alias, Context(config, context.registry))
        context.restart(system_of(self._config, unit), config)
        context.warn_to(self._note)
        return context

    def _note(self, line: str) -> None:
        """Says a part's warning once: a stand-in, files that were skipped."""
        if line not in self._noted:
            self._noted.add(line)
            self._log(f"note: {line}")


@dataclass(frozen=True)
class EvaluationPlan:
    """The explainers and units of an evaluation.

    Attributes:
        config: The run's configuration, for explainers and judge.
        specs: The explainers.
        units: Unit references.
    """

    config: RunConfig
    specs: Sequence[Spec]
    units: Sequence[str]

    def settings(self) -> dict[str, object]:
        """Returns all that the figures depend on, for the record."""
        return {
            "config": self.config.model_dump(mode="json", exclude={"system", "runs"}),
            "system": self.config.system.options if self.config.system else {},
            "explainers": [each.model_dump(mode="json") for each in self.specs],
            "units": list(self.units),
        }


def explain_all(contexts: Contexts, specs: Sequence[Spec], units: Sequence[str], folder: Folder, log: Log) -> None:
    """Explains what has not been explained yet. An explainer that fails on a unit is recorded as having said nothing.

    Raises:
        MaiaError: an explainer cannot be built, or a unit does not exist: said before any work is done.
    """
    for unit in units:
        if any(folder.read(Explained, "explanations", unit, each.alias) is None for each in specs):
            _ = contexts.on(unit).system
    for each in specs:
        context = contexts.on(units[0], each)
        context.build("explainer", each.name, **each.options)
    for number, unit in enumerate(units, 1):
        for each in specs:
            if folder.read(Explained, "explanations", unit, each.alias) is None:
                explained = _explain(contexts, each, unit, folder.path)
                folder.write(explained, "explanations", unit, each.alias)
                label = any_of(explained.labels) or f"no label ({explained.error})"
                place = f"{number}/{len(units)} " if len(units) > 1 else ""
                log(f"{place}{unit} {each.alias}: {label}")


_BUILDING = threading.Lock()
"""Held while a worker's contexts are made: the sessions of the runner `threads` share them."""


@dataclass(frozen=True)
class Worker:
    """Explains units in a process of its own, with models of its own: what a runner maps over units.

    Attributes:
        config: The run's configuration.
        runs: Folder of the agent's runs.
        specs: The explainers.
        folder: The evaluation's folder.
        quiet: Whether progress is printed.
    """

    config: RunConfig
    runs: Path
    specs: Sequence[Spec]
    folder: Path
    quiet: bool = False

    def explain(self, units: Sequence[str], runner: Runner) -> None:
        """Has workers explain units; a unit that cannot be explained at all is left undone.

        The first unit comes first and alone: what is learned once and kept then is there for all.
        """
        self(units[0])
        for _, result in runner.map(replace(self), units[1:]):  # A copy, without the models of this process.
            if isinstance(result, Exception) and not isinstance(result, MaiaError):
                raise result

    def __call__(self, unit: str) -> None:
        with suppress(MaiaError):  # The first process says it, when it comes to the same unit.
            with _BUILDING:
                contexts = self._contexts
            explain_all(contexts, self.specs, [unit], Folder(self.folder), log_to(self.quiet))

    @property
    def run_config(self) -> RunConfig:
        """The configuration whose plugins every machine must have."""
        return self.config

    @cached_property
    def _contexts(self) -> Contexts:
        return Contexts(self.config, self.runs, log=log_to(self.quiet))


def _explain(contexts: Contexts, spec: Spec, unit: str, root: Path) -> Explained:
    start = time.monotonic()
    context = contexts.on(unit, spec)
    before = context.spent
    try:
        explainer = context.build("explainer", spec.name, **spec.options)
        explanation: Explanation = explainer.explain(context.system, context)
        run = _run(explanation)
        faults = count_faults(run.place) if run.place else None
    except Exception as error:
        # Also a plugin's own mistake: the other explainers and units go on, as in a sweep.
        failed = redacted(one_line(error))[:500]
        return Explained(
            explainer=spec.alias,
            unit=unit,
            error=failed,
            seconds=time.monotonic() - start,
            usage=context.spent - before,
        )
    stated = explanation.strengths or (1.0,) * len(explanation.labels)
    said = dict(zip((_recordable(label).strip() for label in explanation.labels), stated, strict=True))
    said.pop("", None)
    labels = tuple(said)
    description = _recordable(explanation.description)
    return Explained(
        explainer=spec.alias,
        unit=unit,
        labels=labels,
        strengths=tuple(said.values()) if explanation.strengths else (),
        description=description,
        error="" if labels else f"it gave no label: {description}"[:500],
        verified=run.verified,
        run=run.within(root),
        conduct=faults,
        seconds=time.monotonic() - start if run.seconds is None else run.seconds,
        usage=context.spent - before if run.usage is None else run.usage,
        details={key: value for key, value in explanation.details.items() if key != RUN},
    )


def _recordable(text: str) -> str:
    """Returns a text of bounded length without lone surrogates, which no record can hold."""
    return recordable(text[:MAX_CHARACTERS])


class _Run(NamedTuple):
    """What an explanation's details say of the run that it comes from; a part of it may have run before now."""

    place: Path | None = None
    verified: bool | None = None
    seconds: float | None = None
    usage: Usage | None = None

    def within(self, root: Path) -> str:
        """Returns the run's place relative to the evaluation's; empty where there is no run, or it is elsewhere."""
        place = os.path.relpath(self.place, root) if self.place else ""
        return "" if place.startswith("..") else place


def _run(explanation: Explanation) -> _Run:
    details = explanation.details
    place, verdict, usage, seconds = (details.get(key) for key in (RUN, "verdict", "usage", "seconds"))
    if not isinstance(place, str) or not (Path(place) / MANIFEST).is_file():
        return _Run()
    tested = isinstance(verdict, dict) and verdict.get("measured") is True
    return _Run(
        place=Path(place),
        verified=verdict.get("passed") is True if tested and isinstance(verdict, dict) else None,
        seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        usage=Usage.model_validate(usage) if isinstance(usage, dict) else None,
    )
