"""The command `maia`. At start-up it imports click and the standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from maia_core import __version__
from maia_core.errors import MaiaError, did_you_mean, one_line
from maia_core.registry import KINDS, installed

if TYPE_CHECKING:
    from maia_core.config import RunConfig
    from maia_core.protocols import Runner
    from maia_core.registry import Plugin

F = TypeVar("F", bound=Callable[..., Any])


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
        """Refuses an unknown command with the nearest ones."""
        known = self.list_commands(ctx)
        if args and args[0].partition("@")[0] not in known:
            ctx.fail(f"there is no command '{args[0]}'.{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands; those of other distributions without importing any."""
        rows = []
        for plugin in installed().of_kind("command"):
            own = plugin.distribution == "maia-core"
            text = plugin.load().get_short_help_str(80) if own else _clean(plugin.about)
            rows.append((plugin.name, text.removeprefix(f"`maia {plugin.name}`: ")))
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="maia-core")
@click.option("--traceback", is_flag=True, help="Show where an error comes from.")
def maia(traceback: bool) -> None:
    """Find out what the parts of a vision model do, by experiment."""


def main() -> None:
    """Runs the command; what goes wrong is one line and an exit code: 2 for input, 1 for a failure, 130 for Ctrl-C."""
    arguments = [a for a in sys.argv[1:] if a != "--traceback"]
    show = len(arguments) < len(sys.argv) - 1
    try:
        code = maia.main(arguments, prog_name="maia", standalone_mode=False)
        _leave(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" (`{context.command_path} --help` shows what it takes)" if context else ""
        click.echo(f"maia: {_clean(error.format_message())}{hint}", err=True)
        _leave(2)
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error.__cause__, EOFError):  # click takes both for a wish to leave.
            _fail(error.__cause__, show, 1)
        click.echo("\nmaia: interrupted", err=True)
        _leave(130)
    except MaiaError as error:
        _fail(error, show, error.exit_code)
    except OSError as error:
        _fail(error, show, 2)
    except Exception as error:
        _fail(error, show, 1)


def _leave(code: int) -> NoReturn:
    """Ends the process. A thread that is still at a tool would abort it, if Python were taken apart around it."""
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

        from maia_core.text import redacted

        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    hint = "" if show or code == 2 else " (--traceback shows where)"
    click.echo(f"maia: {_clean(one_line(error))}{hint}", err=True)
    _leave(code)


def _clean(text: str) -> str:
    from maia_core.text import printable

    return printable(" ".join(text.split()))


CHOICES = "system backbone task dataset generator editor describer sandbox judge similarity verifier".split()  # noqa: SIM905
"""What `maia run` chooses by an option of its own; a test holds it against the configuration."""


def run_options(command: F) -> F:
    """Adds the options that make a `RunConfig`; the command gets it as `config`."""
    import functools

    @functools.wraps(command)
    def with_config(config_file: Path | None, options: tuple[str, ...], seed: int | None, **arguments: Any) -> Any:
        chosen = {key: arguments.pop(key) for key in [*CHOICES, "verify"]}
        if chosen["system"] is None:  # Options of the model are set as those of the system.
            chosen["system"] = arguments["units"][0] if "units" in arguments else arguments.get("layer")
        if arguments.get("resumed"):  # The run's own configuration counts; a broken maia.toml must not be in the way.
            from maia_core.config import RunConfig

            return command(config=RunConfig(), **arguments)
        return command(config=_config(config_file, options, seed, chosen), **arguments)

    decorated: Any = with_config
    decorated = click.option("--seed", type=int, help="Seed of everything that is drawn.")(decorated)
    decorated = click.option(
        "--verify/--no-verify", default=None, help="Whether an answer is tested on fresh inputs [default: it is]."
    )(decorated)
    decorated = click.option(
        "-o",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set any key of the configuration: limits.turns=10, generator.size=256. An option of a table may stand "
        "alone (turns=10) where only one has it.",
    )(decorated)
    for key in reversed(CHOICES):
        metavar = "MODEL:LAYER:UNIT" if key == "system" else "NAME"
        text = "The unit to explain." if key == "system" else f"The {key}, by name (`maia plugins` lists them)."
        decorated = click.option(f"--{key}", metavar=metavar, help=text)(decorated)
    decorated = click.option(
        "--config", "config_file", type=click.Path(path_type=Path), help="Configuration file [default: maia.toml]."
    )(decorated)
    result: F = decorated
    return result


def runner_options(command: F) -> F:
    """Adds `--workers` and `--runner`; the command gets them as `runner`, None where this process does all."""
    import functools

    @functools.wraps(command)
    def with_runner(workers: int | None, runner: str | None, **arguments: Any) -> Any:
        from maia_core.context import Context

        options = {} if workers is None else {"workers": workers}
        made = Context().build("runner", runner or "processes", **options) if runner or (workers or 1) > 1 else None
        return command(runner=made, **arguments)

    decorated: Any = with_runner
    decorated = click.option(
        "--runner", metavar="NAME", help="What spreads the units over workers, by name [default: processes]."
    )(decorated)
    decorated = click.option(
        "--workers", type=click.IntRange(1, 256), help="Workers that explain, each with models of its own [default: 1]."
    )(decorated)
    result: F = decorated
    return result


def _config(file: Path | None, options: tuple[str, ...], seed: int | None, chosen: dict[str, Any]) -> RunConfig:
    from maia_core.config import RunConfig, load

    overrides: list[tuple[str, Any]] = [(key, value) for key, value in chosen.items() if value is not None]
    if seed is not None:
        overrides.append(("seed", seed))
    dotted: list[tuple[str, Any]] = []
    bare: list[tuple[str, Any]] = []
    for key, value in map(option_value, options):
        whole = "." in key or key in RunConfig.model_fields
        (dotted if whole else bare).append((key, value))
    config = load(file, overrides + dotted)
    if bare:
        named = {key for key, value in chosen.items() if value is not None}
        config = load(
            file, overrides + dotted + [(f"{_owner(config, key, named)}.{key}", value) for key, value in bare]
        )
    return config


def option_value(option: str) -> tuple[str, Any]:
    """Splits what -o was given; the value is read as TOML (numbers, booleans, lists), or as a plain string."""
    import tomllib

    key, equals, value = option.partition("=")
    if not equals or not key.strip():
        raise click.UsageError(f"-o needs KEY=VALUE, not '{option}'")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _owner(config: RunConfig, option: str, named: set[str]) -> str:
    """Returns the key of the one chosen plugin, or table of limits, that has an option of this name.

    Of several, the one that was `named` on the command line is meant.
    """
    from maia_core.config import CHOICES as keys
    from maia_core.config import PluginConfig, RunConfig

    tables = {"limits": config.limits, "experiment": config.experiment}
    offered = [f"{name}.{field}" for name, table in tables.items() for field in type(table).model_fields]
    owners = [key for key in offered if key.partition(".")[2] == option]
    for key in keys:
        choice = getattr(config, key)
        if choice is None:
            continue
        name = choice.name.partition(":")[0].partition("/")[0] if key == "system" else choice.name
        kind = "model" if key == "system" and installed().find("model", name) else key
        plugin = installed().find(kind, name)
        if plugin is None:  # Said when it is needed, which it may not be.
            continue
        fields = getattr(plugin.load(), "Config", PluginConfig).model_fields
        offered += [f"{key}.{field}" for field in fields]
        if option in fields:
            owners.append(f"{key}.{option}")
    meant = [key for key in owners if key.partition(".")[0] in named] if len(owners) > 1 else owners
    if len(meant) == 1:
        return meant[0].partition(".")[0]
    if owners:
        raise click.UsageError(f"-o {option}: several plugins have it; choose {' or '.join(owners)}")
    near = did_you_mean(option, [*RunConfig.model_fields, *offered, *(o.partition(".")[2] for o in offered)])
    raise click.UsageError(f"-o {option}: no chosen plugin has this option.{near}")


@click.command()
@run_options
@click.option("--out", type=click.Path(path_type=Path), help="Run folder, new or empty [default: a new one in runs/].")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead of text.")
@click.option(
    "--resume",
    "resumed",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on with the run in this folder, with the configuration that it began with.",
)
@click.option("--trust", is_flag=True, help="Go on with a run whose settings were not written on this machine.")
@click.option("--report/--no-report", default=True, help="Write the HTML report at the end.")
def run(config: RunConfig, out: Path | None, as_json: bool, resumed: Path | None, trust: bool, report: bool) -> int:
    """Explain a unit by experiment."""
    if resumed is not None:
        _refuse_beside_resume()
    return carry_out(config, out=out, resumed=resumed, trusted=trust, as_json=as_json, report=report)


def carry_out(
    config: RunConfig, *, out: Path | None, resumed: Path | None = None, trusted: bool = False, as_json: bool = False,
    report: bool = True,
) -> int:  # fmt: skip
    """Makes one run (or goes on with the one in `resumed`), shows how it gets on and ends; returns the exit code."""
    from maia_core.launch import explain, resume
    from maia_core.progress import JsonProgress, Progress

    progress = JsonProgress() if as_json else Progress(live=sys.stderr.isatty())
    observers = [progress]
    if resumed is not None:
        finished = resume(resumed, trusted=trusted, observers=observers)
    else:
        finished = explain(config, out=out, observers=observers)
    outcome = finished.outcome
    page = _report(finished.folder) if report else None
    if as_json:
        click.echo(
            json.dumps({"event": "record", "folder": str(finished.folder), "report": str(page) if page else None})
        )
    else:
        if outcome.explanation is not None:
            click.echo(f"\n{' OR '.join(map(_clean, outcome.explanation.labels))}")
            click.echo(_clean(outcome.explanation.description))
            if outcome.verdict is not None:
                click.echo(_clean(outcome.verdict.line))
        click.echo(f"\nrecord: {finished.folder}")
        if page:
            click.echo(f"report: {page}")
    return 0 if outcome.status == "answered" else 1


def _refuse_beside_resume() -> None:
    """A run goes on with the configuration that it began with; an option that would be ignored is refused."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    given = [name for name in context.params if context.get_parameter_source(name) is source]
    beside = [name for name in given if name not in ("resumed", "trust", "as_json", "report")]
    if beside:
        options = ", ".join(option.opts[0] for option in context.command.params if option.name in beside)
        raise click.UsageError(f"--resume goes on with the configuration that the run began with; leave out {options}")


def _report(folder: Path) -> Path | None:
    """Writes the report where a distribution that makes reports is installed."""
    plugin = next((plugin for plugin in installed().of_kind("command") if plugin.name == "report"), None)
    if plugin is None:
        click.echo("no report: pip install maia-report, then `maia report RUN`", err=True)
        return None
    page = folder / "report.html"
    try:
        plugin.load().main([str(folder), "--out", str(page), "--quiet"], standalone_mode=False)
    except Exception as error:
        # The answer must not be lost over it.
        click.echo(f"maia: no report was made: {_clean(one_line(error))}", err=True)
        return None
    return page


@click.command()
@click.argument("units", nargs=-1, required=True, metavar="MODEL:LAYER:UNIT...")
@run_options
@runner_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder in which every unit gets its run.")
def sweep(config: RunConfig, units: tuple[str, ...], out: Path, runner: Runner | None) -> int:
    """Explain several units; again with the same --out, go on where it stopped."""
    from maia_core import launch
    from maia_core.context import Context
    from maia_core.progress import Progress

    context = click.get_current_context()
    if context.get_parameter_source("system") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("name the units as arguments of `maia sweep`, not with --system")
    parts = Context(config)
    for unit in units:  # A wrong name is said before the first unit is explained, which takes minutes.
        parts.made_by_model(unit)
    failed = done = 0
    observers = [Progress(live=sys.stderr.isatty())]
    for unit, result in launch.sweep(config, units, out, runner=runner, observers=observers):
        done += 1
        if isinstance(result, MaiaError):
            line = f"not run: {one_line(result)}"
        else:
            _report(result.folder)
            explanation = result.outcome.explanation
            line = (
                " OR ".join(explanation.labels) if explanation else f"{result.outcome.status}: {result.outcome.reason}"
            )
        failed += isinstance(result, MaiaError) or result.outcome.status != "answered"
        click.echo(f"{_clean(unit)}  {_clean(line)}")
    click.echo(f"{done - failed} of {done} answered; runs and reports in {out}")
    return 1 if failed else 0


@click.command()
@run_options
def prompt(config: RunConfig) -> None:
    """Print exactly what the backbone sees first."""
    from maia_core.context import Context
    from maia_core.launch import make_session

    session = make_session(Context(config))
    session.close()
    for message in session.conversation.messages:
        click.echo(f"--- {message.role} ---\n{message.text}")


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """List, show and check the installed plugins."""
    if context.invoked_subcommand is None:
        context.invoke(list_plugins)


@plugins.command("list")
@click.argument("kind", required=False, metavar="[KIND]", type=click.Choice(KINDS))
def list_plugins(kind: str | None = None) -> None:
    """List the installed plugins, of one KIND or all."""
    found = installed().of_kind(kind) if kind else installed().plugins
    if not found:
        click.echo(f"no {kind or 'plugin'} is installed; `pip install maia-standard` is a start")
        return
    width = max(len(_clean(plugin.name)) for plugin in found)
    last = ""
    for plugin in found:
        if plugin.kind != last:
            click.echo(("\n" if last else "") + click.style(plugin.kind, bold=True))
            last = plugin.kind
        click.echo(f"  {_clean(plugin.name):{width}}  {_clean(plugin.origin)}")
    click.echo("\n" + click.style("distributions", bold=True))
    for origin, summary in sorted({(plugin.origin, plugin.summary) for plugin in found}):
        click.echo(f"  {_clean(origin)}: {_clean(summary)}")


@plugins.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what the plugin NAME is and which options it takes (imports it)."""
    found = [plugin for kind in KINDS for plugin in installed().of_kind(kind) if name in _spellings(plugin)]
    if not found:
        raise click.UsageError(
            f"there is no plugin '{name}'.{did_you_mean(name, {p.name for p in installed().plugins})}"
        )
    for plugin in found:
        _show(plugin)


def _spellings(plugin: Plugin) -> set[str]:
    return {plugin.name, f"{plugin.name}@{plugin.distribution}", f"{plugin.kind}:{plugin.name}"}


def _show(plugin: Plugin) -> None:
    import inspect

    click.echo(click.style(f"{plugin.kind} {_clean(plugin.name)}", bold=True))
    click.echo(f"  from {_clean(plugin.origin)}: {_clean(plugin.summary)}")
    click.echo(f"  at {_clean(plugin.entry_point.value)}")
    try:
        factory = plugin.load()
    except MaiaError as error:
        click.echo(f"  broken: {_clean(one_line(error))}")
        return
    doc = inspect.getdoc(factory) or ""
    click.echo(f"  {_clean(doc.partition(chr(10) * 2)[0])}")
    click.echo(f"  {_how_to_choose(plugin)}")
    config = getattr(factory, "Config", None)
    for name, field in config.model_fields.items() if config else ():
        default = "required" if field.is_required() else f"default {field.default!r}"
        kind = inspect.formatannotation(field.annotation)
        click.echo(f"  {name}: {kind}, {default}. {_clean(field.description or '')}")


def _how_to_choose(plugin: Plugin) -> str:
    name = _clean(plugin.name)
    if plugin.kind == "model":
        return f"choose with --system {name}:LAYER:UNIT, options with -o system.OPTION=VALUE"
    if plugin.kind == "tool":
        return f'choose in maia.toml: tools = ["{name}", ...], with options: {{ name = "{name}", OPTION = VALUE }}'
    if plugin.kind in CHOICES:
        return f"choose with --{plugin.kind} {name}, options with -o {plugin.kind}.OPTION=VALUE"
    return {
        "command": f"called as `maia {name}`",
        "detector": f"choose with -o system.detector.name={name}, where the system takes a detector",
        "explainer": f"choose with `maia eval ... --explainer {name}:OPTION=VALUE`",
        "runner": f"choose with `maia sweep ... --runner {name}`",
    }.get(plugin.kind, "in force when it is installed")


@plugins.command()
def doctor() -> int:
    """Import every plugin and name what is wrong with each."""
    problems = installed().problems()
    for problem in problems:
        click.echo(f"{_clean(problem.plugin)}: {_clean(problem.cause)}")
    click.echo(f"{len(installed().plugins)} plugins, {len(problems)} problems")
    return 1 if problems else 0
