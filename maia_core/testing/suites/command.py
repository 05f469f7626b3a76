"""The promises of every subcommand of `maia`."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner


class CommandSuite:
    """Subclass it and return the command from the fixture `command`."""

    @pytest.fixture
    def command(self) -> click.Command:
        """The command under test."""
        raise NotImplementedError("override the fixture `command`: it returns the click command under test")

    def test_help_says_what_it_does(self, command: click.Command) -> None:
        """`maia --help` lists the first line, and `--help` must not fail."""
        assert (command.help or "").strip()
        shown = CliRunner().invoke(command, ["--help"])
        assert shown.exit_code == 0, shown.output

    def test_every_option_has_a_help_text(self, command: click.Command) -> None:
        commands = [command]
        for one in commands:
            commands += getattr(one, "commands", {}).values()
            options = [parameter for parameter in one.params if isinstance(parameter, click.Option)]
            silent = [option.name for option in options if not (option.help or option.hidden)]
            assert not silent, f"'{one.name}': a help text is missing for {silent}"

    def test_unknown_option_ends_with_code_two(self, command: click.Command) -> None:
        assert CliRunner().invoke(command, ["--no-such-option"]).exit_code == 2
