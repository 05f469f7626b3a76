"""The command `maia`: its start-up imports click, the core and the standard library only."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import NoReturn

import click

from maia_core import __version__
from maia_core.plugin import MaiaError, did_you_mean, distribution_of, installed, one_line, printable_line, redacted


class Commands(click.Group):
    """The installed commands; one is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names every installed command."""
        return sorted({plugin.name for plugin in installed().of_kind("command")})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Imports one command."""
        plugin = installed().find("command", name)
        return plugin.load() if plugin else None

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
        rows = [
            (plugin.name, printable_line(plugin.about).removeprefix(f"`maia {plugin.name}`: ")) for plugin in plugins
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
    try:
        code = maia.main(prog_name="maia", standalone_mode=False, obj=settings)
        _leave(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" (`{context.command_path} --help` lists its options)" if context else ""
        click.echo(f"maia: {printable_line(error.format_message())}{hint}", err=True)
        _leave(2)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # click takes both for a wish to leave.
            _fail(error.__cause__, settings["traceback"], 1)
        click.echo("\nmaia: interrupted", err=True)
        _leave(130)
    except MaiaError as error:
        _fail(error, settings["traceback"], error.exit_code)
    except OSError as error:
        _fail(error, settings["traceback"], 2)
    except Exception as error:
        _fail(error, settings["traceback"], 1)


def _leave(code: int) -> NoReturn:
    """Ends the process. While a thread still runs a tool, it skips the clean-up of Python, which would abort."""
    host = sys.modules.get("maia_core.host")
    if host is not None and any(isinstance(thread, host.ToolThread) for thread in threading.enumerate()):
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
