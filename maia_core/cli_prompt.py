"""`maia prompt`: Prints the first messages that the backbone gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from maia_core.cli_options import run_options

if TYPE_CHECKING:
    from maia_core.config import RunConfig


@click.command()
@run_options
def prompt(config: RunConfig) -> None:
    """Print the first messages that the backbone gets, word for word."""
    from maia_core.context import Context
    from maia_core.launch import make_session

    session = make_session(Context(config))
    session.close()
    for message in session.conversation.messages:
        click.echo(f"--- {message.role} ---\n{message.text}")
