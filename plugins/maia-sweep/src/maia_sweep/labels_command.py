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

NEEDED = {"human": ("label",), "clip-dissect": ("label", "pearson")}
"""Columns that the table of a form needs beside `unit`."""

NUMBER = object()
"""Key of the number of a row: no column has it."""


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
    from tempfile import TemporaryDirectory

    from maia_sweep.tables import PARQUET, loaded, write

    with TemporaryDirectory() as copies:
        if file is not None:  # A sweep may write rows meanwhile: both readers get the same ones.
            copy = Path(copies) / PARQUET
            with loaded(folder) as database:
                write(database, "labels", copy)
            folder = copy
        numbered = _rows(folder, words, where or "", sort)
        if file is not None:
            _export(folder, [number for number, _ in numbered], file, form)
    rows = [row for _, row in numbered]
    for row in rows[:limit]:
        click.echo(json.dumps(row, default=str) if as_json else _line(row))
    if not rows:
        narrow = words or where is not None
        click.echo("no label is found" if narrow else "no unit has ended yet; see `maia sweep status`", err=True)
    elif len(rows) > limit:
        click.echo(f"{len(rows) - limit} more; raise --limit", err=True)
    return 0 if rows else 1


def _rows(table: Path, words: tuple[str, ...], where: str, sort: str | None) -> list[tuple[int, dict[str, Any]]]:
    """Returns the chosen rows of a table with their numbers in it, in the order in which they are printed.

    Raises:
        UsageError: the table, the condition or the column is wrong.
    """
    from maia_core.plugin import UsageError
    from maia_sweep.search import rank
    from maia_sweep.tables import opened, select

    with opened(table) as database:
        columns = [name for name, *_ in database.execute("DESCRIBE labels").fetchall()]
        if sort is not None and sort not in columns:
            raise UsageError(f"there is no column '{sort}'; the columns are {', '.join(columns)}")
        quoted = (sort or "").replace('"', '""')
        order = f' ORDER BY "{quoted}" DESC NULLS LAST' if sort else ""
        found = select(database, "SELECT rowid, * FROM labels", where, order)
    rows = [dict(zip((NUMBER, *columns), row, strict=True)) for row in found]
    if words:
        rows = rank(rows, " ".join(words), keep_order=sort is not None)
    return [(row.pop(NUMBER), row) for row in rows]


def _line(row: dict[str, Any]) -> str:
    text = f"{row['unit'] or '-'}  {row.get('label') or '-'}"
    pearson = row.get("pearson")
    if pearson is not None:  # A table from elsewhere may hold text here.
        text += f"  (r = {pearson:.2f})" if isinstance(pearson, float) else f"  (r = {pearson})"
    if isinstance(row.get("verified"), bool):
        text += "  verified" if row["verified"] else "  not verified"
    if row.get("likeness") is not None:
        text += f"  [{row['likeness']:.2f}]"
    return printable_line(text)


def _export(table: Path, numbers: list[int], file: Path, form: str) -> None:
    """Writes the rows of some numbers into a file of the form that its suffix names, in their order.

    Raises:
        UsageError: the suffix is unknown, or the table does not have the columns of the form.
        RecordError: the file cannot be written.
    """
    from maia_core.plugin import UsageError
    from maia_sweep.tables import COPY_OPTIONS, loaded, write

    if file.suffix not in COPY_OPTIONS:
        raise UsageError(f"cannot export to {file}: its name must end with {', '.join(COPY_OPTIONS)}")
    with loaded(table) as database:
        columns = {name for name, *_ in database.execute("DESCRIBE labels").fetchall()}
        if missing := [name for name in NEEDED.get(form, ()) if name not in columns]:
            raise UsageError(f"cannot export --form {form}: the table does not have a column {' and '.join(missing)}")
        database.execute(
            "CREATE TABLE chosen AS SELECT unnest(?::BIGINT[]) AS number, generate_subscripts(?::BIGINT[], 1) AS rank",
            [numbers] * 2,
        )
        joined = "SELECT labels.* FROM labels JOIN chosen ON labels.rowid = chosen.number ORDER BY rank"
        write(database, f"(SELECT {FORMS[form]} FROM ({joined}))", file)
