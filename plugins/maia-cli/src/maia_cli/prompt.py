"""`maia prompt`: Print the first messages that the backbone gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from maia_cli.options import run_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig


@click.command()
@run_options
def prompt(config: RunConfig) -> None:
    """Print the first messages that the backbone gets, word for word."""
    from maia_core.plugin import Context, make_session

    session = make_session(Context(config))
    session.close()
    for message in session.conversation.messages:
        click.echo(f"--- {message.role} ---\n{message.text}")
