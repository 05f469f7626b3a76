"""The outcome of a sweep as a table: one row per unit, written as it grows.

Each driver appends its rows to a file of its own in `rows/`, one JSON object per line, so that a kill tears at most the
last line of one file. `labels.csv` and `labels.parquet` are made from them, in one step each.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maia_core.plugin import MANIFEST, Data, RecordError, UsageError, dumped, open_plain
from maia_sweep.conditions import check_condition

if TYPE_CHECKING:
    import duckdb

PLAN = "plan.json"
"""File of the plan in the folder of a sweep."""

ROWS = "rows"
"""Folder of the rows in the folder of a sweep."""
CSV, PARQUET = "labels.csv", "labels.parquet"

COPY_OPTIONS = {".parquet": "FORMAT parquet, COMPRESSION zstd", ".csv": "FORMAT csv, HEADER", ".jsonl": "FORMAT json"}
"""How DuckDB writes a table, by the suffix of the file."""

FIRST, AGENT = "first", "agent"
"""The two stages of a sweep: the cheap explainer of `--first`, and the agent."""

DONE = ("answered", "stopped")
"""Status of a unit that is not explained again."""

FORMULA = "^[\\s\ufeff]*[=+@\uff1d\uff0b\uff20-]|^[\\t\\r\\n]"
"""How a text begins that a spreadsheet takes for a formula: it reads wide signs, too."""

PAUSED, HELD = "paused", "held"
"""Status of a unit that has not ended, whose row is not written: a limit of the sweep has interrupted its run, or
another driver writes it."""

MAX_ROW = 16 << 20
"""Longest row that is read, in bytes: a file from elsewhere may be one endless line."""

SHARE = 0.02
"""Part of the time that writing the table may take while it grows."""
SECONDS = 10.0
"""Least time between two tables, in seconds."""


class Row(Data):
    """What a sweep has found out about one unit in one stage.

    Attributes:
        unit: Reference of the unit.
        stage: `first` or `agent`.
        status: As in `maia_core.events.RunOutcome`; `failed` where the run could not begin either.
        label: The labels, joined by OR.
        explainer: Name of the explainer.
        verified: Whether fresh images confirmed the labels; None where nothing was tested.
        verdict: The outcome of that test in one line.
        pearson: Correlation of the prediction from the labels with the activation of held-out images.
        pearson_low: Lower end of its 95 % interval.
        pearson_high: Upper end.
        auprc: Average precision of predicting which held-out images activate the unit, with the ends of its interval.
        images: Number of held-out images.
        generated_pearson: Correlation on generated images from the verdict, with the ends of its 95 % interval.
        polysemy: How little the exemplars have in common, in [0, 1]; None where it was not measured.
        cost: US dollars, as far as prices are known.
        tokens: Tokens that backbone and engines read and wrote.
        turns: Replies of the backbone.
        seconds: Time of the explanation.
        error: Why there is no label.
        run: Run folder, relative to the folder of the sweep.
        fingerprints: Fingerprints of model, data set and engines, as JSON.
        config: Hash of the configuration.
        seed: Random seed.
        driver: Which driver wrote the row.
        finished: When, in seconds since 1970.
    """

    unit: str
    stage: str = AGENT
    status: str = "failed"
    label: str = ""
    explainer: str = "agent"
    verified: bool | None = None
    verdict: str = ""
    pearson: float | None = None
    pearson_low: float | None = None
    pearson_high: float | None = None
    auprc: float | None = None
    auprc_low: float | None = None
    auprc_high: float | None = None
    images: int = 0
    generated_pearson: float | None = None
    generated_low: float | None = None
    generated_high: float | None = None
    polysemy: float | None = None
    cost: float = 0.0
    tokens: int = 0
    turns: int = 0
    seconds: float = 0.0
    error: str = ""
    run: str = ""
    fingerprints: str = ""
    config: str = ""
    seed: int = 0
    driver: str = ""
    finished: float = 0.0

    @property
    def done(self) -> bool:
        """Whether the unit is not explained again in this stage."""
        return self.status in DONE


class Table:
    """The rows of a sweep.

    Attributes:
        folder: The folder of the sweep.
        answered: Units that the agent, or the first stage, has labelled, among the rows read so far.
    """

    def __init__(self, folder: Path, driver: str = "") -> None:
        """Opens the table of a sweep.

        Args:
            folder: The folder of the sweep.
            driver: Name of the driver, for its file of rows; empty for a reader.
        """
        self.folder = folder
        self._path = folder / ROWS / f"{driver}.jsonl"
        self._driver = driver
        self._due = 0.0
        self._ends: dict[Path, int] = {}
        self._ended: set[tuple[str, str]] = set()
        self._resumes = True
        self.answered: set[str] = set()

    def append(self, row: Row) -> Row:
        """Adds a row, whole or not at all; returns it as it is written, without secrets and lone surrogates.

        Raises:
            RecordError: the disk is full, or the folder is gone.
        """
        values = row.model_dump() | {"driver": self._driver, "finished": time.time()}
        finite = {key: None if value != value else value for key, value in values.items()}  # JSON does not have NaN.
        line = dumped(finite, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        try:
            self._path.parent.mkdir(exist_ok=True)
            with self._path.open("ab") as file:
                whole = file.seek(0, os.SEEK_END)
                try:
                    file.write(line)
                    file.flush()
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(file.fileno(), whole)
                    raise
        except OSError as error:
            raise RecordError(
                f"cannot write {self._path}: {error.strerror}; make room, then run the command again to resume"
            ) from error
        return Row.model_validate_json(line)

    def new_rows(self) -> Iterator[Row]:
        """Yields the rows that no earlier call has read, of all drivers; a torn line is left out."""
        for path in row_files(self.folder):
            with open_plain(path) as file:
                file.seek(self._ends.get(path, 0))
                for line in iter(partial(file.readline, MAX_ROW), b""):
                    if not line.endswith(b"\n"):
                        break
                    self._ends[path] = self._ends.get(path, 0) + len(line)
                    with suppress(ValueError):
                        yield Row.model_validate_json(line)

    def ended(self, stage: str) -> set[str]:
        """Returns the units that are not explained in a stage: they have a label, or any driver has just tried them.

        What failed before the first call is tried again.
        """
        for row in self.new_rows():
            if row.status == "answered":
                self.answered.add(row.unit)
            if row.done or not self._resumes:
                self._ended.add((row.stage, row.unit))
        self._resumes = False
        return {unit for at, unit in self._ended if at == stage}

    def newest(self, stage: str) -> list[Row]:
        """Returns one row per unit of a stage: the last one that has a label, or else the last one."""
        with labels(self.folder) as database:
            found = database.execute("SELECT to_json(newest) FROM newest WHERE stage = ? ORDER BY unit", [stage])
            return [Row.model_validate_json(text) for (text,) in found.fetchall()]

    def export(self, *, due: bool = True) -> None:
        """Writes `labels.csv` and `labels.parquet`, one row per unit.

        Args:
            due: Write now; else only if the last ones are old enough, so that writing stays a small part of the time.

        Raises:
            RecordError: the disk is full.
        """
        started = time.monotonic()
        if not due and started < self._due:
            return
        with labels(self.folder) as database:
            for name in (CSV, PARQUET):
                write(database, "labels", self.folder / name)
        self._due = time.monotonic() + max(SECONDS, (time.monotonic() - started) / SHARE)


def write(database: duckdb.DuckDBPyConnection, source: str, path: Path) -> None:
    """Writes a table or query to a file in one step, in the form that its suffix names.

    Raises:
        RecordError: it cannot be written.
    """
    import duckdb

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shown = _without_formulas(database, source) if path.suffix == ".csv" else f"FROM {source}"
        database.execute(f"COPY ({shown}) TO {_quoted(str(temporary))} ({COPY_OPTIONS[path.suffix]})")
        os.replace(temporary, path)
    except (OSError, duckdb.Error) as error:
        raise RecordError(f"cannot write {path}: {_reason(error)}; make room or choose another folder") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _without_formulas(database: duckdb.DuckDBPyConnection, source: str) -> str:
    """Returns a query for a table in which a spreadsheet takes no text for a formula: a backbone wrote the labels."""
    columns = database.execute(f"DESCRIBE FROM {source}").fetchall()
    safe = f"CASE WHEN regexp_matches({{0}}, {_quoted(FORMULA)}) THEN chr(39) || {{0}} ELSE {{0}} END AS {{0}}"
    names = ['"' + name.replace('"', '""') + '"' for name, *_ in columns]
    texts = [safe.format(name) for name, (_, kind, *_) in zip(names, columns, strict=True) if kind == "VARCHAR"]
    return f"SELECT * REPLACE ({', '.join(texts)}) FROM {source}" if texts else f"FROM {source}"


def labels(folder: Path) -> duckdb.DuckDBPyConnection:
    """Opens a database in memory whose view `labels` has one row per unit of a sweep.

    The agent's row counts before that of the first stage, whose label and score then stand in `first_label` and
    `first_pearson`; of several rows of one stage, the last one that has a label.
    """
    import duckdb

    database = duckdb.connect(config={"threads": 1})
    columns = ", ".join(f"{name}: {_quoted(_type(field.annotation))}" for name, field in Row.model_fields.items())
    files = row_files(folder)
    paths = ", ".join(_quoted(_escaped(file)) for file in files)
    source = f"read_json([{paths}], format = 'newline_delimited', ignore_errors = true, columns = {{{columns}}})"
    if not files:
        nothing = ", ".join(f"NULL::{_type(field.annotation)} AS {name}" for name, field in Row.model_fields.items())
        source = f"(SELECT {nothing} LIMIT 0)"
    done = ", ".join(map(_quoted, DONE))
    database.execute(
        f"""
        CREATE VIEW rows AS FROM {source} WHERE unit IS NOT NULL;
        CREATE VIEW newest AS FROM rows QUALIFY
            row_number() OVER (PARTITION BY unit, stage ORDER BY status IN ({done}) DESC, finished DESC) = 1;
        CREATE VIEW labels AS
            SELECT newest.* REPLACE (coalesce(newest.polysemy, first.polysemy) AS polysemy),
                first.label AS first_label, first.pearson AS first_pearson
            FROM newest LEFT JOIN (FROM newest WHERE stage = '{FIRST}') AS first USING (unit)
            QUALIFY row_number() OVER (PARTITION BY unit ORDER BY newest.status IN ({done}) DESC, newest.stage) = 1
            ORDER BY regexp_replace(unit, '\\d+$', ''), TRY_CAST(regexp_extract(unit, '\\d+$') AS BIGINT), unit;
        """
    )
    return database


def units_where(table: Path, where: str) -> list[str]:
    """Returns the units of the rows of a table for which a condition holds.

    Args:
        table: A `.parquet`, `.csv` or `.jsonl` file with a column `unit`, or the folder of a sweep.
        where: A condition in SQL, such as `pearson < 0.3 AND verified`; empty for all rows.

    Raises:
        UsageError: the table cannot be read, or the condition is not one.
    """
    with opened(table) as database:
        return [str(unit) for (unit,) in select(database, "SELECT unit FROM labels", where) if unit is not None]


def opened(table: Path) -> duckdb.DuckDBPyConnection:
    """Opens a database as `loaded`, in which no query can read or write a file, load code, or change that.

    Raises:
        UsageError: it is not a table of labels.
    """
    database = loaded(table)
    database.execute("SET enable_external_access = false; SET lock_configuration = true")
    return database


def loaded(table: Path) -> duckdb.DuckDBPyConnection:
    """Opens a database in memory whose table `labels` is a copy of a file, or of the table of a sweep.

    Raises:
        UsageError: it is not a table of labels.
    """
    import duckdb

    if table.is_dir():
        check_sweep(table)
        try:
            database = labels(table)
            database.execute(
                "CREATE TABLE copied AS FROM labels; DROP VIEW labels; ALTER TABLE copied RENAME TO labels"
            )
        except duckdb.Error as error:
            raise UsageError(
                f"cannot read {table / ROWS}: {_reason(error)}; remove the file that holds no rows"
            ) from error
    else:
        reader = {".parquet": "read_parquet", ".csv": "read_csv", ".jsonl": "read_json"}.get(table.suffix)
        if reader is None or not table.is_file():
            raise UsageError(f"cannot read {table}: give the folder of a sweep, or a .parquet, .csv or .jsonl file")
        database = duckdb.connect(config={"threads": 1})
        try:
            database.execute(f"CREATE TABLE labels AS FROM {reader}({_quoted(_escaped(table))})")
        except duckdb.Error as error:
            raise UsageError(f"cannot read {table}: {_reason(error)}; give a table with a column 'unit'") from error
    columns = [name for name, *_ in database.execute("DESCRIBE labels").fetchall()]
    if "unit" not in columns:
        raise UsageError(f"{table} does not have a column 'unit'; its columns are {', '.join(columns)[:200]}")
    return database


def select(database: duckdb.DuckDBPyConnection, query: str, where: str = "", order: str = "") -> list[tuple[Any, ...]]:
    """Returns the rows of a query for which a condition of the user holds.

    Raises:
        UsageError: the condition is not one of SQL on the table's columns, or `check_condition` refuses it.
    """
    import duckdb

    check_condition(where, [name for name, *_ in database.execute("DESCRIBE labels").fetchall()])
    try:
        condition = f" WHERE ({where}\n)" if where.strip() else ""
        statements = database.extract_statements(f"{query}{condition}{order}")
        if len(statements) != 1:
            raise UsageError(f"--where takes one condition, not several statements: {where[:80]}")
        return database.execute(statements[0]).fetchall()
    except duckdb.Error as error:
        raise UsageError(
            f"--where '{where[:80]}' cannot be used: {_reason(error)}; write a condition such as 'pearson < 0.3'"
        ) from error


def row_files(folder: Path) -> list[Path]:
    """Returns the files of rows of a sweep; no pipe or link, which a folder from elsewhere may hold."""
    return [path for path in sorted((folder / ROWS).glob("*.jsonl")) if path.is_file() and not path.is_symlink()]


def check_sweep(folder: Path) -> None:
    """Checks that a folder holds a sweep, or the rows of one.

    Raises:
        UsageError: it does not.
    """
    if not ((folder / PLAN).is_file() or row_files(folder)):
        run = ", but one run" if (folder / MANIFEST).exists() else f": there is no {PLAN}"
        raise UsageError(f"{folder} does not hold a sweep{run}; name the --out of `maia sweep`")


def _reason(error: Exception) -> str:
    """Returns why DuckDB cannot carry out a query, without the query; an error of the system as the system says it."""
    if number := getattr(error, "errno", None) or next(iter(re.findall(r'"errno":"(\d{1,4})"', str(error))), None):
        return os.strerror(int(number))
    return re.split(r" LINE \d+:", " ".join(str(error).split()))[0].rstrip(".")[:200]


def _type(annotation: Any) -> str:
    name = str(getattr(annotation, "__name__", annotation))
    return next(kind for part, kind in {"bool": "BOOLEAN", "float": "DOUBLE", "int": "BIGINT", "str": "VARCHAR"}.items()
                if part in name)  # fmt: skip


def _escaped(path: Path) -> str:
    """Returns a path as DuckDB takes it, which reads `*`, `?` and `[` as a pattern."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", str(path))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
