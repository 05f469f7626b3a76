"""Explains several units, one after another or spread over workers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from maia_core.plugin import Context, MaiaError, PluginRef, Registry, RunConfig, RunError, Runner, installed, one_line
from maia_runs import FinishedRun, explain_in, folder_name
from maia_sweep.ledgers import Ledger
from maia_sweep.pacing import Pacing, SweepPaused


def sweep(
    config: RunConfig,
    units: Iterable[str],
    out: Path,
    *,
    runner: Runner | None = None,
    observers: Iterable[object] = (),
    without: Sequence[str] = (),
    registry: Registry | None = None,
) -> Iterator[tuple[str, FinishedRun | MaiaError]]:
    """Explains several units, with one copy of model, data set and engines in every process.

    A run that fails does not end the sweep. Rerun with the same `out`, it skips the units that have ended and resumes
    the others.

    Args:
        config: What to run, except for the unit.
        units: References such as `MODEL:LAYER:UNIT`.
        out: Folder in which every unit gets its run folder.
        runner: Spreads the units over workers; this process explains them one by one where it is None.
        observers: Observers beside the installed ones; not told of runs in other processes.
        without: Names of installed observers to leave out.
        registry: Where plugins are found in this process; other processes use the installed ones.

    Yields:
        Each unit once, as it comes, and its run or the error that prevented it.
    """
    units = list(dict.fromkeys(units))
    explain = Explain(config, out, tuple(without), tuple(observers), registry)
    for unit, result in runner.map(explain, units) if runner else zip(units, map(explain, units), strict=True):
        yield unit, result if isinstance(result, FinishedRun | MaiaError) else RunError(one_line(result))


def system_of(config: RunConfig, unit: str) -> PluginRef:
    """Returns a unit, or a model, with the options of the configuration's `[system]` if they are of the same model."""
    system = config.system
    same = system is not None and system.name.partition(":")[0] == unit.partition(":")[0]
    return PluginRef(name=unit, **(system.options if system is not None and same else {}))


class Explain:
    """Explains a unit. A runner sends it to each worker, which builds its own parts at the first unit.

    Attributes:
        folder: Folder in which every unit gets its run folder: a runner of several machines checks that all see it.
        run_config: What to run, except for the unit; every machine must have its plugins.
        ledger: The limits that all runs share; None: there are none.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        without: tuple[str, ...] = (),
        observers: tuple[object, ...] = (),
        registry: Registry | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.run_config = config
        self.folder = out
        self.ledger = ledger
        self._without = without
        self._observers = observers
        self._registry = registry
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _explain, (self.run_config, self.folder, self._without, self.ledger)

    @property
    def context(self) -> Context:
        """The parts of this process."""
        with self._lock:
            return self._context

    @cached_property
    def _context(self) -> Context:
        context = Context(self.run_config, (self._registry or installed()).without_observers(self._without))
        if self.ledger is not None:  # It wraps backbones as they are built, and joins every session.
            context.observers = context.observers.joined_by([Pacing(self.ledger)])
        return context

    def __call__(self, unit: str) -> FinishedRun | MaiaError:
        context = self.context
        context.restart(system_of(self.run_config, unit))
        try:
            return explain_in(context, self.folder / folder_name(unit), observers=self._observers)
        except SweepPaused as paused:
            return RunPaused(str(paused))
        except MaiaError as error:
            return error
        except Exception as error:  # It may not survive the way back from another process.
            return RunError(one_line(error))


class RunPaused(RunError):
    """A limit of the sweep has interrupted the run, which can be resumed."""


def _explain(config: RunConfig, out: Path, without: tuple[str, ...], ledger: Ledger | None) -> Explain:
    return Explain(config, out, without, ledger=ledger)
