"""`maia report`: Write the page of a run again, or its picture sheets."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the page to this file [default: report.html in the run folder].",
)
@click.option(
    "--sheets",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write one picture sheet per experiment into this folder instead: PNG, images numbered, with activations.",
)
@click.option("--quiet", is_flag=True, help="Leave out the lines that name the written files.")
def report(run: Path, out: Path | None, sheets: Path | None, quiet: bool) -> None:
    """Make one self-contained HTML page of the run in folder RUN."""
    from maia_report import write_report, write_sheets

    if sheets and out:
        raise click.UsageError("cannot use --out with --sheets: each writes other files; choose one of them")
    written = write_sheets(run, sheets) if sheets else [write_report(run, out)]
    if not written:
        click.echo(f"no sheet is written: {run} has no experiment with images", err=True)
    if not quiet:
        for file in written:
            click.echo(file)
