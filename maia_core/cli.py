"""The start of the command `maia`, which the distribution maia-cli carries out."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Runs the command; without maia-cli, it prints what to install."""
    try:
        command = importlib.import_module("maia_cli.main")
    except ModuleNotFoundError as error:
        if error.name not in ("maia_cli", "maia_cli.main"):
            raise
        sys.exit("maia: the command line is not installed; install it: pip install maia-cli")
    command.main()
