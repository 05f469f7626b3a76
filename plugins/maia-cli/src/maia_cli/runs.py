"""`maia runs`: List, compare, delete and export runs."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from maia_core.plugin import RunReader

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run instead of a table.")
RUNS = click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")


@click.group()
def runs() -> None:
    """List, compare, delete and export runs; a RUN is the folder of one."""


@runs.command("list")
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[DIR]")
@AS_JSON
def list_runs(folder: Path | None, as_json: bool) -> None:
    """List the runs in DIR and in the folders below it, the oldest first [default: `runs` of the configuration]."""
    from maia_core.plugin import MANIFEST, MaiaError, RunReader, UsageError, load, one_line

    chosen = folder or Path(load().runs)
    if folder is not None and not folder.is_dir():
        raise UsageError(f"cannot list {folder}: it is not a folder; name one that holds runs")
    rows: list[dict[str, Any]] = []
    for manifest in sorted(chosen.rglob(MANIFEST)):
        try:
            rows.append(_figures(RunReader(manifest.parent)))
        except (MaiaError, OSError, ValueError, ArithmeticError) as error:
            rows.append({"run": str(manifest.parent), "status": "damaged", "label": one_line(error)})
    rows.sort(key=lambda row: row.get("created", ""))
    shown = ("run", "unit", "backbone", "status", "turns", "cost", "label", "tested")
    _print(rows, shown, as_json)
    if not rows and not as_json:
        click.echo(f"{chosen} holds no runs; `maia run` creates one there")


@runs.command()
@RUNS
@AS_JSON
def compare(runs: tuple[Path, ...], as_json: bool) -> None:
    """Compare runs: their results, what they used, and the keys of their configurations that differ."""
    from maia_cli.sources import flat
    from maia_core.plugin import MaiaError, RunReader, UsageError, one_line, printable_line

    rows, configs = [], []
    for run in runs:
        _files(run)
        try:
            reader = RunReader(run)
            rows.append(_figures(reader))
        except (MaiaError, OSError, ValueError, ArithmeticError) as error:
            click.echo(printable_line(f"{run} is left out: {one_line(error)}"), err=True)
            continue
        configs.append(dict(flat(reader.manifest.config)))
    if not rows:
        raise UsageError("there is nothing to compare: none of these runs can be read")
    keys = sorted({key for config in configs for key in config} - {"system.name", "backbone.name", "seed"})
    differing = [key for key in keys if len({json.dumps(config.get(key)) for config in configs}) > 1]
    for row, config in zip(rows, configs, strict=True):
        row |= {key: config.get(key) for key in differing}
    if as_json:
        _print(rows, (), True)
        return
    columns = [{"": key} | {str(number): row[key] for number, row in enumerate(rows)} for key in rows[0]]
    _print(columns, tuple(columns[0]), False, header=False)


@runs.command()
@RUNS
@click.option("--yes", is_flag=True, help="Delete them without asking.")
def delete(runs: tuple[Path, ...], yes: bool) -> None:
    """Delete runs, with their records and reports."""
    import shutil

    from maia_core.plugin import UsageError

    with contextlib.ExitStack() as locks:
        for run in dict.fromkeys(runs):
            if run.is_symlink():
                raise UsageError(f"cannot delete {run}: it is a link; name the folder itself")
            _files(run)
            _lock(run, locks)
        if not yes and not sys.stdin.isatty():
            raise UsageError("cannot ask whether to delete: no terminal answers; pass --yes")
        if not yes and not click.confirm(f"delete {', '.join(map(str, runs))}?", err=True):
            click.echo("nothing is deleted", err=True)
            return
        for run in dict.fromkeys(runs):
            shutil.rmtree(run)
            click.echo(f"deleted: {run}")


@runs.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Write this archive: a name that ends in .zip, .tar or .tar.gz.",
)  # fmt: skip
def export(run: Path, out: Path) -> None:
    """Export the RUN as one archive to hand on, without the secrets of this machine's environment."""
    import os

    from maia_core.plugin import UsageError

    files, partial = _files(run), out.with_name(f".{out.name}.partial")
    if out.exists():
        raise UsageError(f"cannot write {out}: it exists; choose another name")
    try:
        _archive(partial, out.name, run, files)
        os.replace(partial, out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}; choose a folder that you can write to") from error
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{out}: {len(files)} files")


def _figures(reader: RunReader) -> dict[str, Any]:
    """Returns a run's results and what it used, by name."""
    manifest, outcome = reader.manifest, reader.outcome
    label = outcome.explanation.line if outcome and outcome.explanation else ""
    verdict = outcome.verdict.line if outcome and outcome.verdict else ""
    backbone: Any = manifest.config.get("backbone") or {}
    return {
        "run": str(reader.folder),
        "created": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created)),
        "unit": manifest.system.ref,
        "backbone": ":".join(filter(None, (backbone.get("name", ""), backbone.get("client", ""))))
        if isinstance(backbone, dict)
        else str(backbone),
        "seed": manifest.seed,
        "status": outcome.status if outcome else "unfinished",
        "reason": outcome.reason if outcome else "",
        "label": label,
        "tested": verdict.partition(":")[0],
        "verdict": verdict,
        "turns": outcome.turns if outcome else None,
        "seconds": round(outcome.seconds, 1) if outcome else None,
        "tokens": outcome.usage.tokens if outcome else None,
        "cost": outcome.usage.cost if outcome else None,
    }


def _print(rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool, header: bool = True) -> None:
    """Prints rows as JSON, or the columns as a table."""
    from maia_core.plugin import printable_line, redacted

    if as_json:
        for row in rows:
            click.echo(json.dumps(redacted(row)))
        return
    cells = [["" if row.get(name) is None else printable_line(str(row[name])) for name in columns] for row in rows]
    cells = [list(columns), *cells] if header and cells else cells
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, line in enumerate(cells):
        text = "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        click.echo(click.style(text, bold=header and number == 0))


def _files(run: Path) -> list[Path]:
    """Returns the plain files of a run folder.

    Raises:
        UsageError: it is not a run folder, so nothing in it is deleted or handed on.
    """
    from maia_core.plugin import MANIFEST, UsageError

    if not (run / MANIFEST).is_file():
        raise UsageError(f"{run} is not a run folder: it has no {MANIFEST}; `maia runs list DIR` lists runs")
    return sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())


def _lock(run: Path, locks: contextlib.ExitStack) -> None:
    """Holds the lock of a run's journal until `locks` is closed, so that no process begins to work on the run.

    Raises:
        UsageError: a process is working on the run.
        OSError: the journal is a link or no plain file, so it is not opened.
    """
    import fcntl

    from maia_core.plugin import JOURNAL, UsageError, open_plain

    try:
        file = locks.enter_context(open_plain(run / JOURNAL))
    except FileNotFoundError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UsageError(f"cannot delete {run}: a process is working on it; wait for its end") from error


def _archive(partial: Path, name: str, run: Path, files: list[Path]) -> None:
    """Writes files into an archive of the kind that a name ends in.

    Raises:
        UsageError: the name ends in none of them.
        OSError: the archive cannot be written.
    """
    import io
    import tarfile
    import zipfile

    from maia_core.plugin import UsageError

    if name.endswith(".zip"):
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, data in _without_secrets(run, files):
                archive.writestr(path, data)
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        with tarfile.open(partial, "w" if name.endswith(".tar") else "w:gz") as tar:
            for path, data in _without_secrets(run, files):
                member = tarfile.TarInfo(path)
                member.size, member.mtime = len(data), int(time.time())
                tar.addfile(member, io.BytesIO(data))
    else:
        raise UsageError(f"cannot write {name}: the kind of archive is unknown; name it .zip, .tar or .tar.gz")


def _without_secrets(run: Path, files: list[Path]) -> Iterator[tuple[str, bytes]]:
    from maia_core.plugin import redacted

    for path in files:
        data = path.read_bytes()
        with contextlib.suppress(UnicodeDecodeError):  # An image is not text.
            data = redacted(data.decode("utf-8")).encode("utf-8")
        yield f"{run.absolute().name}/{path.relative_to(run).as_posix()}", data
