from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest

from maia_core.plugin import RecordError, UsageError
from maia_sweep.drivers import Driver
from maia_sweep.leases import Leases
from maia_sweep.tables import CSV, FIRST, PARQUET, ROWS, Row, Table, opened, write

UNITS = [f"m:l:{number}" for number in range(6)]


def answer(unit: str) -> Row:
    return Row(unit=unit, status="answered", label=f"label of {unit}")


def fail(unit: str) -> Row:
    return Row(unit=unit, status="failed", error="why")


class Backwards:
    """A runner that yields items in another order than it takes them, two at a time."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        source = iter(items)
        while pair := list(islice(source, 2)):
            for item in reversed(pair):
                yield item, function(item)


def explained(folder: Path, worker: Callable[[str], Row] = answer, **options: Any) -> list[str]:
    with Leases(folder) as leases:
        return [row.unit for row in Driver(folder, leases).explain(UNITS, worker, **options)]


def test_rows_come_as_they_end_and_the_next_driver_skips_them(tmp_path: Path) -> None:
    first = explained(tmp_path, runner=Backwards())
    assert sorted(first) == UNITS
    assert first != UNITS
    assert explained(tmp_path) == []


def test_a_unit_that_failed_is_tried_again_by_the_next_command_only(tmp_path: Path) -> None:
    assert explained(tmp_path, fail) == UNITS
    assert explained(tmp_path, fail) == UNITS
    assert explained(tmp_path) == UNITS
    assert explained(tmp_path) == []


def test_two_drivers_share_the_units_and_run_none_twice(tmp_path: Path) -> None:
    with Leases(tmp_path) as one, Leases(tmp_path) as two:
        first = Driver(tmp_path, one).explain(UNITS, answer)
        second = Driver(tmp_path, two).explain(UNITS, fail, wait=lambda count: taken.append(next(first).unit))
        taken: list[str] = []
        ran = []
        for rows in (first, second, first):
            ran.append(next(rows).unit)
        ran += [row.unit for row in second]
    assert sorted(ran + taken) == UNITS


def test_units_of_a_driver_that_died_are_taken_over(tmp_path: Path) -> None:
    with Leases(tmp_path) as one, Leases(tmp_path) as two:
        assert one.take(UNITS[1])
        waits = []

        def wait(count: int) -> None:
            waits.append(count)
            one.release(UNITS[1])

        ran = [row.unit for row in Driver(tmp_path, two).explain(UNITS, answer, wait=wait)]
    assert ran == [UNITS[0], *UNITS[2:], UNITS[1]]
    assert waits == [1]


def test_a_driver_that_slept_writes_no_second_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it slept, another driver took its unit over, and explained it or still does."""
    monkeypatch.setattr("maia_sweep.leases._lives", lambda process, started: True)
    with Leases(tmp_path) as asleep, Leases(tmp_path) as other:

        def taken_over(unit: str) -> Row:
            if unit == UNITS[0]:
                for path in asleep.folder.iterdir():
                    os.utime(path, (0, 0))
                assert other.take(unit)
            return answer(unit)

        def wait(count: int) -> None:
            Table(tmp_path, other.owner).append(Row(unit=UNITS[0], status="answered", label="its own"))
            other.release(UNITS[0])

        ran = [row.unit for row in Driver(tmp_path, asleep).explain(UNITS, taken_over, wait=wait)]
    assert ran == UNITS[1:]
    rows = list(Table(tmp_path).new_rows())
    assert sorted(row.unit for row in rows) == UNITS
    assert {row.label for row in rows if row.unit == UNITS[0]} == {"its own"}


def test_what_a_worker_raises_is_the_unit_s_row(tmp_path: Path) -> None:
    class Broken:
        def map(self, function: Any, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            return ((item, RuntimeError("its worker was killed")) for item in items)

    explained(tmp_path, runner=Broken())
    rows = list(Table(tmp_path).new_rows())
    assert {(row.status, row.error) for row in rows} == {("failed", "RuntimeError: its worker was killed")}


def test_no_further_unit_starts_at_a_limit(tmp_path: Path) -> None:
    done: list[str] = []
    with Leases(tmp_path) as leases:
        for row in Driver(tmp_path, leases).explain(UNITS, answer, may_start=lambda: len(done) < 2):
            done.append(row.unit)
        assert leases.all() == []
    assert done == UNITS[:2]


def test_a_table_for_which_the_disk_has_no_room_is_refused_in_the_words_of_the_system(tmp_path: Path) -> None:
    """DuckDB reports what its threads could not write as JSON."""

    class Full:
        def execute(self, query: str) -> None:
            raise duckdb.IOException(
                'IO Error: Async write failed for range [offset=0, size=276]: {"exception_type":"IO",'
                '"exception_message":"Could not write file \\".labels\\": No space left on device","errno":"28"}'
            )

    with pytest.raises(RecordError) as refused:
        write(cast("Any", Full()), "labels", tmp_path / "labels.parquet")
    path = tmp_path / "labels.parquet"
    assert str(refused.value) == f"cannot write {path}: No space left on device; make room or choose another folder"


def test_a_full_disk_ends_the_sweep_and_loses_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Leases(tmp_path) as leases:
        driver = Driver(tmp_path, leases)
        rows = driver.explain(UNITS, answer)
        next(rows)
        real = Path.open

        class Full:
            """A file that takes half of a line."""

            def __init__(self, file: Any) -> None:
                self.file = file

            def __enter__(self) -> Full:
                return self

            def __exit__(self, *error: object) -> None:
                self.file.close()

            def __getattr__(self, name: str) -> Any:
                return getattr(self.file, name)

            def write(self, line: bytes) -> int:
                self.file.write(line[: len(line) // 2])
                self.file.flush()
                raise OSError(errno.ENOSPC, "No space left on device")

        def open_full(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
            file = real(path, mode, *rest, **more)
            return Full(file) if mode == "ab" else file

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", open_full)
            with pytest.raises(RecordError, match="No space left on device; make room"):
                next(rows)
    assert explained(tmp_path) == UNITS[1:]
    assert sorted(row.unit for row in Table(tmp_path).new_rows()) == UNITS


def test_a_torn_row_is_not_read_and_does_not_hide_others(tmp_path: Path) -> None:
    explained(tmp_path)
    file = next((tmp_path / ROWS).iterdir())
    file.write_bytes(file.read_bytes()[:-20])
    assert explained(tmp_path) == UNITS[-1:]
    table = Table(tmp_path)
    table.export()
    with (tmp_path / CSV).open(newline="") as text:
        assert [row["unit"] for row in csv.DictReader(text)] == UNITS


def test_a_row_without_an_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of rows from elsewhere, of 100 GB without a line end, took all memory."""
    Table(tmp_path, "one").append(Row(unit="m:l:10", status="answered", label="cat"))
    (tmp_path / ROWS / "other.jsonl").write_bytes(bytes(20 << 20))
    monkeypatch.setattr("maia_sweep.tables.MAX_ROW", 1000)
    assert [row.unit for row in Table(tmp_path).new_rows()] == ["m:l:10"]
    with pytest.raises(UsageError, match=r"cannot read .*rows: .* remove the file that holds no rows"):
        opened(tmp_path)


def test_the_table_has_one_row_per_unit_the_agent_s_before_the_first_stage_s(tmp_path: Path) -> None:
    table = Table(tmp_path, "one")
    table.append(Row(unit="m:l:10", stage=FIRST, status="answered", label="cat", pearson=0.1, polysemy=0.5))
    table.append(Row(unit="m:l:9", stage=FIRST, status="answered", label='a "dog",\nor 100 %', pearson=0.2))
    table.append(Row(unit="m:l:10", status="answered", label="tiger", verified=True))
    table.append(Row(unit="m:l:10", status="failed", error="later"))
    table.append(Row(unit="m:l:9", status="failed", error="why"))
    table.export()
    for name in (CSV, PARQUET):
        with opened(tmp_path / name) as database:
            rows = database.execute("SELECT unit, label, first_label, first_pearson, polysemy FROM labels").fetchall()
        dog = 'a "dog",\nor 100 %'
        assert rows == [("m:l:9", dog, dog, 0.2, None), ("m:l:10", "tiger", "cat", 0.1, 0.5)], name


def test_an_empty_sweep_has_an_empty_table(tmp_path: Path) -> None:
    Table(tmp_path).export()
    with opened(tmp_path / PARQUET) as database:
        assert database.execute("SELECT count(*) FROM labels").fetchall() == [(0,)]
