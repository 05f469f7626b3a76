"""Drives a sweep: hands out units that no other driver holds, and writes each result as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

from maia_core.plugin import MaiaError, RunInUse, Runner, dumped, one_line
from maia_runs import FinishedRun
from maia_sweep.leases import Leases
from maia_sweep.scoring import Scorer
from maia_sweep.sweeping import Explain, RunPaused
from maia_sweep.tables import AGENT, HELD, PAUSED, Row, Table

POLL = 2.0
"""Seconds between two looks at the units of other drivers."""


class AgentWorker:
    """Has the agent explain a unit, and returns its row of the table: what a runner maps over units.

    Attributes:
        explain: Explains the unit.
        images: Number of held-out images for the score of the label.
        config: Hash of the configuration.
        folder: As in `Explain`.
        run_config: As in `Explain`.
    """

    def __init__(self, explain: Explain, images: int, config: str) -> None:
        self.explain = explain
        self.images = images
        self.config = config
        self.folder, self.run_config = explain.folder, explain.run_config
        self._scorer: Scorer | None = None

    def __call__(self, unit: str) -> Row:
        result = self.explain(unit)
        context = self.explain.context
        update: dict[str, object] = {"config": self.config, "seed": context.config.seed}
        if isinstance(result, FinishedRun):
            context.warn_to(lambda line: None)  # The record of the run is closed.
            self._scorer = self._scorer or Scorer(context, self.images)
            update |= self._scorer.scores(context.system, result.outcome.explanation)
            update["fingerprints"] = dumped(context.fingerprints(), sort_keys=True)
        return row_of(unit, result, self.explain.folder).model_copy(update=update)


def row_of(unit: str, result: FinishedRun | MaiaError, out: Path) -> Row:
    """Returns the row of a unit that the agent has explained.

    Args:
        unit: Its reference.
        result: The run, or the error that prevented it.
        out: The folder of the sweep.
    """
    if isinstance(result, MaiaError):
        status = {RunPaused: PAUSED, RunInUse: HELD}.get(type(result), "failed")
        return Row(unit=unit, status=status, error=one_line(result))
    outcome = result.outcome
    verdict = outcome.verdict
    predicted = next((prediction.pearson for prediction in verdict.predictions), None) if verdict else None
    return Row(
        unit=unit,
        status=outcome.status,
        label=outcome.explanation.line if outcome.explanation else "",
        verified=verdict.passed if verdict and verdict.measured else None,
        verdict=verdict.line if verdict else "",
        **dict(zip(("generated_pearson", "generated_low", "generated_high"), predicted or (), strict=False)),
        cost=outcome.usage.cost,
        tokens=outcome.usage.tokens,
        turns=outcome.turns,
        seconds=outcome.seconds,
        error=outcome.reason,
        run=str(result.folder.relative_to(out)),
    )


class Driver:
    """One of the drivers that may work on the folder of a sweep.

    Attributes:
        folder: The folder of the sweep.
        leases: The units that this driver holds.
        table: The outcome.
    """

    def __init__(self, folder: Path, leases: Leases) -> None:
        self.folder = folder
        self.leases = leases
        self.table = Table(folder, leases.owner)

    def explain(
        self,
        units: Sequence[str],
        worker: Callable[[str], Row],
        *,
        stage: str = AGENT,
        runner: Runner | None = None,
        may_start: Callable[[], bool] = lambda: True,
        wait: Callable[[int], None] = lambda count: time.sleep(POLL),
    ) -> Generator[Row, None, None]:
        """Explains the units that have no label yet, and yields their rows as they come.

        Units that another driver holds come last: this one takes them over if their leases expire.

        Args:
            units: References.
            worker: Explains one.
            stage: The stage of the rows.
            runner: Spreads the units over workers; this process explains them one by one where it is None.
            may_start: Returns whether another unit may be started.
            wait: Waits for a moment for so many units of other drivers.

        Raises:
            RecordError: the folder cannot be written.
        """
        pending = list(units)
        while pending := self._pending(pending, stage):
            held: list[str] = []
            busy = 0  # Units without a lease whose run another driver still writes.
            items = self._free(pending, stage, held, may_start)
            for unit, result in runner.map(worker, items) if runner else ((item, worker(item)) for item in items):
                if not self.leases.holds(unit):  # This process was suspended, and another has taken the unit over.
                    held.append(unit)
                    continue
                row = result if isinstance(result, Row) else Row(unit=unit, stage=stage, error=one_line(result))
                if row.status in (PAUSED, HELD):  # It can be resumed, so it has not ended.
                    self.leases.release(unit)
                    if row.status == HELD:
                        held.append(unit)
                        busy += 1
                    continue
                row = self.table.append(row)
                self.leases.release(unit)
                self.table.export(due=False)
                yield row
            if not may_start():
                return
            pending = held
            if busy:
                wait(busy)
            while pending and (pending := self._pending(pending, stage)) and not self._any_free(pending):
                wait(len(pending))

    def _pending(self, units: Iterable[str], stage: str) -> list[str]:
        ended = self.table.ended(stage)
        return [unit for unit in units if unit not in ended]

    def _free(self, units: Iterable[str], stage: str, held: list[str], may_start: Callable[[], bool]) -> Iterator[str]:
        """Takes one unit after another, as workers become free; adds those of other drivers to `held`."""
        for unit in units:
            if not may_start():
                return
            if not self.leases.take(unit):
                held.append(unit)
            elif unit in self.table.ended(stage):  # Another driver has explained it meanwhile.
                self.leases.release(unit)
            else:
                yield unit

    def _any_free(self, units: Sequence[str]) -> bool:
        held = {lease.unit for lease in self.leases.all() if not lease.expired}
        return any(unit not in held for unit in units)
