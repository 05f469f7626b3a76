"""`maia view`: Show runs in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from maia_cli import config_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

DEFAULT_PORT = 7590


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[FOLDER ...]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=DEFAULT_PORT,
    help="Use this port, 0 for any free one [default: 7590].",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    help="Use this address [default: 127.0.0.1, which only this machine reaches].",
)
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="HOST",
    help="Allow requests under this host name; needed with an address such as 0.0.0.0.",
)
@click.option(
    "--remote",
    is_flag=True,
    help="Allow an address that other machines reach: they need the token, which travels unencrypted.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the default browser.")
@click.option(
    "--export",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write the pages into this folder, which opens without a server, and end.",
)
@config_options("dataset", "similarity")
def view(
    folders: tuple[Path, ...],
    port: int,
    host: str,
    names: tuple[str, ...],
    remote: bool,
    opens: bool,
    out: Path | None,
    config: RunConfig,
) -> None:
    """Show what is below each FOLDER in a browser: runs, sweeps, indexes of exemplars, evaluations [default: runs]."""
    import secrets

    from maia_view.serving import serve

    shown = folders or (Path("runs"),)
    if out is not None:
        from maia_core.plugin import printable_line
        from maia_view.export import export, lines

        for line in lines(export(shown, out, config), out):
            click.echo(printable_line(line))
        return
    token = secrets.token_urlsafe(24)
    serve(shown, host, port, names, remote=remote, opens=opens, token=token, config=config)
