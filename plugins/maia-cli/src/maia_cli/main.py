"""The command `maia`: its start-up imports click, the core and the standard library only."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from typing import NoReturn

import click

from maia_cli.about import about
from maia_core import __version__
from maia_core.plugin import (
    MaiaError,
    Plugin,
    PluginError,
    did_you_mean,
    distribution_of,
    installed,
    one_line,
    printable_line,
    redacted,
)


def refusal(plugin: Plugin) -> str:
    """Returns why a command is refused: MAIA brings one of its name. Empty for every other plugin."""
    owner = distribution_of("command", plugin.name) if plugin.kind == "command" else ""
    if owner in ("", re.sub(r"[-_.]+", "-", plugin.distribution.lower())):
        return ""
    return f"`maia {plugin.name}` is a command of {owner}, and of no other distribution; rename or uninstall it"


def summary(command: click.Command) -> str:
    """Returns the first sentence of a command's help; click cuts it off in the list of a group."""
    paragraph = " ".join((command.help or "").strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s", paragraph, maxsplit=1)[0]


class Commands(click.Group):
    """The installed commands; one is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names every installed command."""
        return sorted({plugin.name for plugin in installed().of_kind("command")})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports one command."""
        name, _, distribution = name.partition("@")
        named = [p for p in installed().of_kind("command") if p.name == name and distribution in ("", p.distribution)]
        allowed = [plugin for plugin in named if not refusal(plugin)]
        if named and not allowed:
            raise PluginError(f"{named[0].label} is refused: {refusal(named[0])}")
        if len(allowed) > 1:
            installed().get("command", name)  # Raises: it names the distributions.
        command: click.Command | None = allowed[0].load() if allowed else None
        for inner in getattr(command, "commands", {}).values():
            inner.short_help = inner.short_help or summary(inner)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuses an unknown command: names the distribution that brings it, or the nearest names."""
        known = self.list_commands(ctx)
        if args and args[0].partition("@")[0] not in known:
            distribution = distribution_of("command", args[0])
            hint = f"; install it: pip install {distribution}" if distribution else f".{did_you_mean(args[0], known)}"
            ctx.fail(f"there is no command '{args[0]}'{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands with the first lines of their modules, importing none."""
        plugins = installed().of_kind("command")
        names = [plugin.name for plugin in plugins]
        rows = [
            (plugin.name, printable_line(about(plugin)).removeprefix(f"`maia {plugin.name}`: "))
            for plugin in plugins
            if names.count(plugin.name) == 1 or not refusal(plugin)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="maia-core")
@click.option("--traceback", is_flag=True, help="Print where an error comes from.")
@click.pass_context
def maia(context: click.Context, traceback: bool) -> None:
    """Find out what the parts of a vision model do, by experiment."""
    context.ensure_object(dict)["traceback"] = traceback


def main() -> None:
    """Runs the command; an error is one line and an exit code: 2 for input, 1 for a failure, 130 for Ctrl-C."""
    settings = {"traceback": False}
    if sys.stdin is None:  # It was closed, as by `<&-`: an empty one asks nobody either.
        sys.stdin = open(os.devnull)  # noqa: SIM115 - stays open as long as the process runs
    try:
        code = maia.main(prog_name="maia", standalone_mode=False, obj=settings)
        _leave(code if isinstance(code, int) else 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        _leave(0)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" (`{context.command_path} --help` lists its options)" if context else ""
        click.echo(f"maia: {printable_line(error.format_message())}{hint}", err=True)
        _leave(2)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # click takes both for a wish to leave.
            _fail(error.__cause__, settings["traceback"], 1)
        cause = error.__cause__ if isinstance(error, click.Abort) else error  # click drops the text of a Ctrl-C.
        text = str(cause) if isinstance(cause, KeyboardInterrupt) else ""
        advice = f"; {printable_line(text)}" if text else ""
        click.echo(f"\nmaia: interrupted{advice}", err=True)
        _leave(130)
    except MaiaError as error:
        _fail(error, settings["traceback"], error.exit_code)
    except OSError as error:
        _fail(error, settings["traceback"], 2)
    except Exception as error:
        _fail(error, settings["traceback"], 1)


def _leave(code: int) -> NoReturn:
    """Ends the process; skips Python's clean-up, which would abort, while threads run tools or sessions."""
    host, running = sys.modules.get("maia_core.host"), threading.enumerate()
    sessions = any(thread.name.startswith("maia-session") for thread in running)
    if sessions or (host is not None and any(isinstance(thread, host.ToolThread) for thread in running)):
        import atexit

        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _fail(error: Exception, show: bool, code: int) -> NoReturn:
    if show:
        import traceback

        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    hint = "" if show or code == 2 else " (`maia --traceback ...` prints where)"
    click.echo(f"maia: {printable_line(one_line(error))}{hint}", err=True)
    _leave(code)
