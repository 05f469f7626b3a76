"""The units of a layer as rows: what an atlas shows of each, and which of them an address asks for, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from maia_view.listing import VERDICTS, chosen_by, having, natural, ordered, page_of
from maia_view.rows import RunRow
from maia_view.sweep_labels import Proposed

PER_PAGE = 2048
"""Units of a page."""


@dataclass(frozen=True)
class UnitRow:
    """One unit of a layer.

    Attributes:
        key: Its name in addresses.
        model: Its model.
        layer: Its layer.
        unit: Its name or number.
        number: Its number in the index of the layer; None without an index.
        highest: Its highest activation over the data set, from the index.
        runs: Its runs, the one whose answer counts first.
        proposed: A label that the table of a sweep states: of a cheap first stage, without a run.
        mark: How a person has marked the first run: `right`, `wrong`, `unclear` or empty.
    """

    key: str
    model: str
    layer: str
    unit: str
    number: int | None = None
    highest: float | None = None
    runs: tuple[RunRow, ...] = ()
    proposed: Proposed | None = None
    mark: str = ""

    @property
    def run(self) -> RunRow | None:
        """The run whose answer counts; None where there is none."""
        return self.runs[0] if self.runs else None

    @property
    def ref(self) -> str:
        """`model:layer:unit`, the spelling that the command line takes."""
        return ":".join(part for part in (self.model, self.layer, self.unit) if part)

    @property
    def label(self) -> str:
        """Its label; empty where nobody has said one."""
        return (self.run.label if self.run else "") or (self.proposed.label if self.proposed else "")

    @property
    def verdict(self) -> str:
        """What fresh inputs say about the label; empty where they were not asked."""
        return self.run.verdict if self.run else ""

    @property
    def fit(self) -> float | None:
        """How well the label predicts fresh images, from -1 to 1; None where that is not known."""
        return self.run.fit if self.run and self.run.label else self.proposed.fit if self.proposed else None

    @property
    def status(self) -> str:
        """How the run ended; `proposed` for a label without a run, `no run` for neither."""
        return self.run.status if self.run else "proposed" if self.proposed else "no run"

    @property
    def text(self) -> str:
        """What a search looks at, in lower case."""
        labels = [run.label for run in self.runs]
        # A search for "red" must not find every unit that is answered; its verdict stands for that.
        state = "" if self.status == "answered" else self.status
        return " ".join((self.label, *labels, self.unit, self.verdict, state, self.mark)).casefold()

    def record(self) -> dict[str, Any]:
        """Returns the row as a table holds it."""
        run = self.run
        return {
            "model": self.model,
            "layer": self.layer,
            "unit": self.unit,
            "label": self.label,
            "verdict": self.verdict,
            "pearson": self.fit,
            "highest_activation": self.highest,
            "status": self.status,
            "backbone": run.backbone if run else self.proposed.explainer if self.proposed else "",
            "cost": run.cost if run else None,
            "seconds": run.seconds if run else None,
            "runs": len(self.runs),
            "run": run.name if run else "",
            "mark": self.mark,
        }


COLUMNS: dict[str, type] = {
    **dict.fromkeys(("model", "layer", "unit", "label", "verdict"), str),
    **dict.fromkeys(("pearson", "highest_activation"), float),
    **dict.fromkeys(("status", "backbone"), str),
    **dict.fromkeys(("cost", "seconds"), float),
    "runs": int,
    "run": str,
    "mark": str,
}
"""Columns of a table of units, and their types."""

FILTERS: dict[str, Callable[[UnitRow], str]] = {
    "verdict": lambda row: row.verdict or "not tested",
    "status": lambda row: row.status,
    "mark": lambda row: row.mark or "not marked",
}
"""What units can be chosen by, by its name in the address."""

SORTS: dict[str, tuple[str, Callable[[UnitRow], Any]]] = {
    "unit": ("unit", lambda row: row.number if row.number is not None else natural(row.unit)),
    "label": ("label", lambda row: row.label.casefold() or None),
    "fit": ("score (r)", lambda row: row.fit),
    "verdict": ("verdict", lambda row: VERDICTS.index(row.verdict) if row.verdict else None),
    "highest": ("highest activation", lambda row: row.highest),
    "cost": ("cost", lambda row: row.run.cost if row.run else None),
}
"""Order to its name, and to what units are sorted by; None stands last in either direction."""

FIRST_HIGH = ("fit", "verdict", "highest", "cost")
"""Orders that begin with the highest value."""


@dataclass(frozen=True)
class UnitSelection:
    """What the address of an atlas asks for.

    Attributes:
        words: What is searched for.
        by: How: `words` that a row must hold, or by meaning, see `maia_view.meaning`.
        chosen: Filter to the value that a row must have.
        sort: The order; empty for the order of the layer, or of the search.
        page: Number of the page, from 1.
    """

    words: str = ""
    by: str = "words"
    chosen: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> UnitSelection:
        """Reads the query of an address; what it does not know it leaves out."""
        sort, by = query.get("sort", ""), query.get("by", "")
        return cls(
            words=query.get("q", "")[:200].strip(),
            by=by if by in ("labels", "images") else "words",
            chosen=chosen_by(FILTERS, query),
            sort=sort if sort in SORTS else "",
            page=page_of(query),
        )

    def query(self, **changes: str | int) -> dict[str, str | int]:
        """Returns the query of an address that asks for this, with changes; one without `page` goes to the first."""
        by = self.by if self.by != "words" else ""
        return {"q": self.words, "by": by, **self.chosen, "sort": self.sort} | changes

    def as_query(self) -> str:
        """Returns the part of an address behind its path that asks for all pages of this."""
        pairs = [(key, value) for key, value in self.query().items() if value]
        return f"?{urlencode(pairs)}" if pairs else ""

    def select(self, rows: Iterable[UnitRow], scores: Mapping[str, float] | None = None) -> list[UnitRow]:
        """Returns the units that were asked for, in order.

        Args:
            rows: All units.
            scores: Unit's key to how well it fits a search by meaning: the best first, those without a score left out.
        """
        by_words = scores is None and self.by == "words"
        found = having(rows, FILTERS, self.chosen, self.words if by_words else "")
        if scores is not None:
            found = sorted((row for row in found if row.key in scores), key=lambda row: -scores[row.key])
        return ordered(found, SORTS[self.sort][1], self.sort in FIRST_HIGH) if self.sort else found
