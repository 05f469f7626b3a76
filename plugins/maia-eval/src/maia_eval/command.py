"""`maia eval`: Measure explanations, as the paper does and with intervals.

One subcommand an evaluation, each imported when it is called.
"""

from __future__ import annotations

from importlib import import_module

import click

from maia_cli import summary

SUBCOMMANDS = {
    "predictive": "maia_eval.commands:predictive",
    "synthetic": "maia_eval.commands:synthetic",
    "bias": "maia_eval.commands:bias",
    "set-choice": "maia_eval.choosing:set_choice",
    "ablate": "maia_eval.ablate:command",
    "generator": "maia_eval.generators:generator",
    "forms": "maia_eval.forms:forms",
    "answers": "maia_eval.forms:answers",
    "report": "maia_eval.report:report",
}
"""Name of a subcommand to `module:command`, in the order of the help. A new evaluation is one line here."""


class Subcommands(click.Group):
    """The evaluations."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names the subcommands, in order."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a subcommand."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, name = SUBCOMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        command.short_help = summary(command)
        return command


@click.group(cls=Subcommands)
def evaluate() -> None:
    """Measure explanations: how well labels predict activations, and how often they name a known truth."""
