"""What a study found: the table, and what every method says of every unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from maia_core.plugin import UsageError, one_line
from maia_spurious.rows import Comparison, Row, comparisons

AGENT, FACTORIAL = "agent", "factorial"
"""Names of two methods: one agent run per unit, and the table of class by environment without any language model."""

RESULTS = "results.json"


class Decision(BaseModel):
    """What a method says of one unit.

    Attributes:
        keep: Whether the unit stays.
        label: What the method said, or why it said nothing.
        answered: Whether it said anything.
        run: Its run folder, relative to the results; empty where it has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: bool
    label: str
    answered: bool = True
    run: str = ""


class UnitResult(BaseModel):
    """One of the units of the l1 regression.

    Attributes:
        unit: Its number.
        selective: Whether it is, by the truth.
        share: Share of the variance over the cells that one class explains.
        best: That class.
        table: Mean activation by class and environment; None where there is no image.
        decisions: What each method says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: int
    selective: bool
    share: float
    best: str
    table: tuple[tuple[float | None, ...], ...]
    decisions: dict[str, Decision]


class Results(BaseModel):
    """What `results.json` holds.

    Attributes:
        system: The layer.
        dataset: The data set, as it was chosen.
        classes: Names of the classes.
        environments: Names of the environments.
        units: The units of the l1 regression, and what was decided of each.
        rows: The table.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str
    dataset: dict[str, Any]
    classes: tuple[str, ...]
    environments: tuple[str, ...]
    units: tuple[UnitResult, ...]
    rows: tuple[Row, ...]

    def comparisons(self) -> list[Comparison]:
        """Returns how the agent's row compares with the others, paired by seed."""
        return comparisons(self.rows, AGENT)

    def precision_and_recall(self, method: str) -> tuple[float | None, float | None]:
        """Returns precision and recall of a method's kept units against the truth; None where a share has no base."""
        kept = {unit.unit for unit in self.units if unit.decisions[method].keep}
        true = {unit.unit for unit in self.units if unit.selective}
        both = len(kept & true)
        return both / len(kept) if kept else None, both / len(true) if true else None


def read(folder: Path) -> Results:
    """Reads the results of a folder.

    Raises:
        UsageError: there are none, or they are broken.
    """
    try:
        return Results.model_validate(json.loads((folder / RESULTS).read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{folder} holds no results ({error.strerror}); run `maia spurious --out {folder}`") from error
    except ValueError as error:
        raise UsageError(f"{folder / RESULTS} is not readable: {one_line(error)}; run the command again") from error
