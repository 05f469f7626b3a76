"""`maia new`: Write the files of a new plugin."""

from __future__ import annotations

import click


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option("--distribution", default="", help="Name the distribution [default: maia-NAME].")
@click.option("--author", default="", help="Name the author in the metadata and the licence [default: none].")
@click.option("--description", default="", help="Describe the plugin in one line [default: made from KIND and NAME].")
def new(kind: str, name: str, distribution: str, author: str, description: str) -> int:
    """Write the files of a new plugin NAME of a KIND, such as `system my-unit`.

    The files are written to a new folder that is named like the distribution.
    """
    from pathlib import Path

    from maia_new.project import answers, write

    given = answers(kind, name, distribution=distribution, author=author, description=description)
    folder = Path(given["distribution"])
    write(folder, given)
    click.echo(f"wrote {folder}. Next: pip install -e './{folder}[test]' && pytest {folder}")
    return 0
