"""How far a sweep is: read from its plan, its rows, its leases and the ends of its journals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from maia_core.plugin import MaiaError, Replied, RunReader, UsageError
from maia_runs import folder_name
from maia_sweep.leases import Lease, leases_of
from maia_sweep.ledgers import Ledger, State, SweepLimits
from maia_sweep.plans import Plan, read_plan
from maia_sweep.tables import AGENT, FIRST, PLAN, Row, Table, check_sweep

TAIL = 1 << 16
"""Bytes of the end of a journal that are read."""

RECENT = 100
"""Rows, the last ones, from which the rate is computed."""


class Running(NamedTuple):
    """A unit that a driver holds.

    Attributes:
        unit: Its reference.
        owner: The driver.
        seconds: How long the driver has held it.
        turns: Replies of the backbone so far, as far as the end of the journal tells.
    """

    unit: str
    owner: str
    seconds: float
    turns: int


class Progress(NamedTuple):
    """How far a sweep is.

    Attributes:
        stage: `first` or `agent`: the stage that is not finished, or the last one.
        units: Number of units of the stage.
        answered: Units with a label.
        stopped: Units that ended at a limit, without a label.
        failed: Units that failed, which the next command tries again.
        running: Units that a driver holds.
        state: What all sessions have used.
        rate: Units per hour; None before the second unit.
        left: Seconds to the end at this rate; None where it is not known.
        cost_left: US dollars to the end, by the mean cost of the units that ended.
    """

    stage: str
    units: int
    answered: int
    stopped: int
    failed: int
    running: list[Running]
    state: State
    rate: float | None
    left: float | None
    cost_left: float | None

    @property
    def pending(self) -> int:
        """Units that have not ended, running ones among them."""
        return self.units - self.answered - self.stopped


class Counts:
    """Counts the rows of a stage as they come; keeps no row but the last ones."""

    def __init__(self) -> None:
        self._status: dict[str, str] = {}
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._cost = 0.0

    def add(self, row: Row) -> None:
        """Counts a row; of several rows of a unit, one that is done counts."""
        if self._status.get(row.unit) not in ("answered", "stopped"):
            self._status[row.unit] = row.status
        self._recent.append(row.finished)
        self._cost += row.cost

    def of(self, status: str) -> int:
        """Returns how many units have a status."""
        return sum(found == status for found in self._status.values())

    @property
    def rate(self) -> float | None:
        """Units per second, over the last rows; None before the second one."""
        if len(self._recent) < 2:
            return None
        times = sorted(self._recent)
        return (len(times) - 1) / max(1e-3, times[-1] - times[0])

    @property
    def mean_cost(self) -> float:
        """Mean cost of a row in US dollars."""
        return self._cost / max(1, len(self._status))


def progress(folder: Path) -> tuple[Plan, Progress]:
    """Returns the plan of a sweep, and how far it is.

    Raises:
        UsageError: the folder does not hold a sweep.
        RecordError: its plan cannot be read.
    """
    plan = read_plan(folder)
    if plan is None:
        check_sweep(folder)
        raise UsageError(f"{folder} has rows of a sweep, but not its {PLAN}; copy the whole folder")
    stages = {FIRST: Counts(), AGENT: Counts()}
    for row in Table(folder).new_rows():
        stages.setdefault(row.stage, Counts()).add(row)
    first, agent = stages[FIRST], stages[AGENT]
    units = len(plan.units)
    in_first = plan.first is not None and first.of("answered") + first.of("stopped") + first.of("failed") < units
    if plan.first is not None and not in_first:
        units = units if plan.take is None else min(units, plan.take)
    counts = first if in_first else agent
    done = counts.of("answered") + counts.of("stopped")
    rate = counts.rate
    pending = max(0, units - done - counts.of("failed"))
    return plan, Progress(
        stage=FIRST if in_first else AGENT,
        units=units,
        answered=counts.of("answered"),
        stopped=counts.of("stopped"),
        failed=counts.of("failed"),
        running=running(folder),
        state=Ledger(folder, SweepLimits()).state,
        rate=rate,
        left=pending / rate if rate else None,
        cost_left=counts.mean_cost * pending if done else None,
    )


def running(folder: Path, leases: Sequence[Lease] | None = None) -> list[Running]:
    """Returns the units that drivers hold, those that were taken first before the others."""
    if leases is None:
        leases = leases_of(folder)
    now = time.time()
    held = [lease for lease in leases if not lease.expired and lease.unit != PLAN]
    return [
        Running(each.unit, each.owner, max(0.0, now - each.taken), _turns(folder / folder_name(each.unit)))
        for each in sorted(held, key=lambda lease: lease.taken)
    ]


def _turns(run: Path) -> int:
    """Returns the number of the last turn in the end of a journal; 0 where there is none yet."""
    try:
        replies = RunReader(run, -TAIL).of_type(Replied)
    except MaiaError:
        return 0
    return replies[-1].turn if replies else 0
