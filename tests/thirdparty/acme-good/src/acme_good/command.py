"""A command."""

import click


@click.command()
def acme() -> None:
    """Say hello."""
    click.echo("hello from acme")
