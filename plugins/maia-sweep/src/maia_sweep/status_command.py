"""`maia sweep status`: how far a sweep is."""

from __future__ import annotations

import click


@click.command()
def status() -> None:
    """Show how far a sweep is."""
