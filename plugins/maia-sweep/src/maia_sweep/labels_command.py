"""`maia labels`: Search the labels of a sweep, and export them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from maia_core.plugin import printable_line

SHOWN = ("unit", "label", "pearson", "verified", "explainer")
"""Columns that are printed."""

FORMS = {
    "all": "*",
    "human": "unit, label",
    "clip-dissect": "regexp_extract(unit, '^[^:]*:(.*):[^:]*$', 1) AS layer, regexp_extract(unit, '[^:]*$') AS unit, "
    "label AS description, pearson AS similarity",
}
"""Columns of an exported table, by the name of the form."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.argument("words", nargs=-1, metavar="[WORDS]...")
@click.option("--where", metavar="SQL", help='Take the rows for which this holds: "verified AND pearson > 0.3".')
@click.option(
    "--sort", metavar="COLUMN", help="Sort by this column, the greatest first [default: by likeness or unit]."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Print this many rows at most.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line with all columns.")
@click.option(
    "--export",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the rows into a .parquet, .csv or .jsonl file.",
)
@click.option(
    "--form",
    type=click.Choice(list(FORMS)),
    default="all",
    show_default=True,
    help="Write all columns, those of the explainer `human`, or those of CLIP-Dissect.",
)
def labels(
    folder: Path, words: tuple[str, ...], where: str | None, sort: str | None, limit: int, as_json: bool,
    file: Path | None, form: str,
) -> int:  # fmt: skip
    """Search the labels of a sweep, and export them.

    DIR is the --out of `maia sweep`, or a .parquet, .csv or .jsonl file. With WORDS, the labels that mean something
    like them come first.
    """
    from maia_core.plugin import UsageError
    from maia_sweep.search import rank
    from maia_sweep.tables import opened, select

    with opened(folder) as database:
        columns = [name for name, *_ in database.execute("DESCRIBE labels").fetchall()]
        if sort is not None and sort not in columns:
            raise UsageError(f"there is no column '{sort}'; the columns are {', '.join(columns)}")
        order = f' ORDER BY "{sort}" DESC NULLS LAST' if sort else ""
        rows = [dict(zip(columns, row, strict=True)) for row in select(database, "FROM labels", where or "", order)]
        if words:
            rows = rank(rows, " ".join(words), keep_order=sort is not None)
    if file is not None:
        _export(folder, [str(row["unit"]) for row in rows], file, form)
    for row in rows[:limit]:
        click.echo(json.dumps(row, default=str) if as_json else _line(row))
    if not rows:
        click.echo("no label is found", err=True)
    elif len(rows) > limit:
        click.echo(f"{len(rows) - limit} more; raise --limit", err=True)
    return 0 if rows else 1


def _line(row: dict[str, Any]) -> str:
    text = f"{row['unit']}  {row.get('label') or '-'}"
    if row.get("pearson") is not None:
        text += f"  (r = {row['pearson']:.2f})"
    if row.get("verified") is not None:
        text += "  verified" if row["verified"] else "  not verified"
    if row.get("likeness") is not None:
        text += f"  [{row['likeness']:.2f}]"
    return printable_line(text)


def _export(table: Path, units: list[str], file: Path, form: str) -> None:
    """Writes the rows of some units into a file of the form that its suffix names, in their order.

    Raises:
        UsageError: the suffix is unknown, or the table does not have the columns of the form.
        RecordError: the file cannot be written.
    """
    from maia_core.plugin import UsageError
    from maia_sweep.tables import COPY_OPTIONS, loaded, write

    if file.suffix not in COPY_OPTIONS:
        raise UsageError(f"cannot export to {file}: its name must end with {', '.join(COPY_OPTIONS)}")
    with loaded(table) as database:
        database.execute(
            "CREATE TABLE chosen AS SELECT unnest(?) AS unit, generate_subscripts(?, 1) AS rank", [units] * 2
        )
        query = f"(SELECT {FORMS[form]} FROM (SELECT labels.* FROM labels JOIN chosen USING (unit) ORDER BY rank))"
        write(database, query, file)
