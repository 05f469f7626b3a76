"""Explains several units, one after another or spread over workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from maia_core.plugin import Context, MaiaError, PluginRef, Registry, RunConfig, RunError, Runner, installed, one_line
from maia_runs import FinishedRun, explain_in, folder_name


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
        out: Folder in which every unit gets its run folder.
        folder: The same: a runner of several machines checks that all of them see it.
        run_config: The configuration of the runs, whose plugins every machine must have.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        without: tuple[str, ...] = (),
        observers: tuple[object, ...] = (),
        registry: Registry | None = None,
    ) -> None:
        self._config = config
        self.out = out
        self._without = without
        self._observers = observers
        self._registry = registry
        self.folder, self.run_config = out, config

    def __reduce__(self) -> tuple[type[Explain], tuple[RunConfig, Path, tuple[str, ...]]]:
        return Explain, (self._config, self.out, self._without)

    @cached_property
    def context(self) -> Context:
        """The parts of this process."""
        return Context(self._config, (self._registry or installed()).without_observers(self._without))

    def __call__(self, unit: str) -> FinishedRun | MaiaError:
        self.context.restart(system_of(self._config, unit))
        try:
            return explain_in(self.context, self.out / folder_name(unit), observers=self._observers)
        except MaiaError as error:
            return error
        except Exception as error:  # It may not survive the way back from another process.
            return RunError(one_line(error))
