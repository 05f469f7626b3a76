"""`maia report`: Write the page of a run again."""

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
@click.option("--quiet", is_flag=True, help="Leave out the line that names the page.")
def report(run: Path, out: Path | None, quiet: bool) -> None:
    """Make one self-contained HTML page of the run in folder RUN."""
    from maia_report import write_report

    page = write_report(run, out)
    if not quiet:
        click.echo(page)
