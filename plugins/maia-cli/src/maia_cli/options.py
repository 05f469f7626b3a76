"""Options that commands share: those that make a configuration, and those that say what is written and printed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maia_cli.sources import Sources
from maia_core.plugin import KINDS, did_you_mean

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

F = TypeVar("F", bound=Callable[..., Any])

TABLES = ("limits", "experiment", "context_policy")
"""Tables of a configuration that belong to no plugin."""


def config_options(
    *kinds: str, named_by: Mapping[str, str] | None = None, bare: str | None = None, of_run: bool = False
) -> Callable[[F], F]:
    """Returns a decorator that adds options that make a `RunConfig`, which the command gets as `config`.

    Every command that builds a part uses it, so that all of them read the same tables of `maia.toml`.

    Args:
        kinds: Kinds of plugins that get an option `--KIND NAME`.
        named_by: Kinds that a parameter of the command names, such as `{"system": "model"}`. The options of the
            table `[system]` hold for it, if the table names the same model.
        bare: Kind that a key without a table belongs to: `-o weights=FILE` is then `-o system.weights=FILE`.
        of_run: Whether the command makes runs: adds `--verify` and `--seed`.
    """

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_config(config_file: Path | None, options: tuple[str, ...], **arguments: Any) -> Any:
            chosen = {key: arguments.pop(key) for key in [*kinds, *(("verify", "seed") if of_run else ())]}
            for kind, parameter in (named_by or {}).items():
                named = arguments[parameter]
                chosen[kind] = named if isinstance(named, str) else next(iter(named or ()), None)
            if arguments.get("resumed"):  # The run's own configuration counts; a broken maia.toml must not matter.
                from maia_core.plugin import RunConfig

                config = RunConfig()
                arguments["limits"] = _limits(options)
            else:
                config = _config(config_file, options, chosen, bare)
                if of_run:  # Before anything is loaded or created.
                    from maia_cli.chosen import check_names_and_options

                    check_names_and_options(config, one_unit="system" in kinds)
            process_started()
            return command(config=config, **arguments)

        untyped: Any = with_config
        decorated: F = _with(_options(kinds, bare, of_run), untyped)
        return decorated

    return decorate


def _limits(options: tuple[str, ...]) -> dict[str, Any]:
    """Returns the limits that `-o` sets beside `--resume`, by name."""
    limits = {}
    for key, value in map(option_value, options):
        table, _, name = key.partition(".")
        if table != "limits" or not name:
            raise click.UsageError(f"--resume uses the configuration that the run started with; leave out -o {key}")
        limits[name] = value
    return limits


def _options(kinds: Sequence[str], bare: str | None, of_run: bool) -> list[Callable[[Any], Any]]:
    example = f"{bare or 'generator'}.KEY=VALUE" + (f" or KEY=VALUE for an option of the {bare}" if bare else "")
    added = [
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path),
            help="Read the configuration from this file [default: maia.toml].",
        ),
        *(
            click.option("--system", metavar="MODEL:LAYER:UNIT", help="Explain this unit.")
            if kind == "system"
            else click.option(f"--{kind}", metavar="NAME", help=f"Choose the {kind} (`maia plugins list {kind}`).")
            for kind in kinds
        ),
        click.option(
            "-o", "options", multiple=True, metavar="KEY=VALUE",
            help="Set a key of the configuration (`maia config`): "
            + ("limits.turns=10, generator.size=256." if of_run else f"{example}."),
        ),
    ]  # fmt: skip
    if of_run:
        added += [
            click.option("--verify/--no-verify", default=None, help="Test the answer on fresh inputs [default: on]."),
            click.option("--seed", type=int, help="Set the random seed [default: 0]."),
        ]
    return added


PARTS = tuple(kind.name for kind in KINDS.values() if kind.has_option)
"""Kinds of plugins that a run has one of."""

run_options = config_options(*PARTS, of_run=True)
"""Adds every option that makes the `RunConfig` of a run; the command gets it as `config`."""


def result_options(command: F) -> F:
    """Adds `--out`, `--json` and `--without` of a command that makes one run, as `out`, `as_json` and `without`."""
    added = [
        click.option(
            "--out", type=click.Path(path_type=Path),
            help="Write the run into this folder, new or empty [default: a new one in runs/].",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text."),
        without_option,
    ]  # fmt: skip
    return _with(added, command)


without_option = click.option(
    "--without", multiple=True, metavar="OBSERVER", help="Leave out an installed observer: --without report."
)
"""Leaves observers out, by name; the command gets the names as `without`."""


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def _config(file: Path | None, options: tuple[str, ...], chosen: dict[str, Any], bare: str | None = None) -> RunConfig:
    from maia_core.plugin import RunConfig, load

    overrides = [(key, value) for key, value in chosen.items() if value is not None]
    for key, value in map(option_value, options):
        if "." not in key and key not in RunConfig.model_fields:
            if bare is None:
                raise click.UsageError(f"-o {key}: {_meant(key)}")
            key = f"{bare}.{key}"
        kind, _, name = key.partition(".")
        overrides.append((kind if name == "name" and kind in PARTS else key, value))
    overrides.sort(key=lambda override: override[0] not in PARTS)  # A choice, then the options of its plugin.
    config = load(file, overrides)
    _check_is_no_file(config)
    if context := click.get_current_context(silent=True):
        context.meta[Sources.__name__] = Sources(file, tuple(overrides))
    return config


def _check_is_no_file(config: RunConfig) -> None:
    """Checks that the system is not a file of Python code.

    Raises:
        UsageError: it is one; the message says how to name the network in it.
    """
    from maia_core.plugin import UsageError

    name = config.system.name.partition(":")[0] if config.system else ""
    if name.endswith(".py"):
        path = name.removesuffix(".py").removeprefix("module/").removeprefix("./").strip("/").replace("/", ".")
        raise UsageError(f"'{name}' is a file; name the network in it as Python imports it: module/{path}.NAME")


def _meant(key: str) -> str:
    """Returns what a bare key that the configuration does not have may mean; imports no plugin."""
    from maia_core.plugin import RunConfig

    defaults = RunConfig()
    fields = {f"{table}.{field}" for table in TABLES for field in type(getattr(defaults, table)).model_fields}
    if same := sorted(field for field in fields if field.partition(".")[2] == key):
        return f"the configuration has no such key; write {' or '.join(same)}"
    near = did_you_mean(key, [*RunConfig.model_fields, *fields])
    return f"the configuration has no such key; write generator.{key} for an option of the generator.{near}"


def option_value(option: str) -> tuple[str, Any]:
    """Splits the KEY=VALUE of `-o`; reads the value as TOML (numbers, booleans, lists), or else as a plain string.

    Raises:
        click.UsageError: there is no key or no `=`.
    """
    import tomllib

    key, equals, value = option.partition("=")
    if not equals or not key.strip():
        raise click.UsageError(f"-o needs KEY=VALUE, not '{option}'")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key.strip(), value


def process_started() -> None:
    """Tells the installed observers that this process is MAIA's own and is about to compute (`process_started`)."""
    from maia_core.plugin import Observers, installed

    observers = Observers(installed())
    observers.take_problems()  # The run's record and `maia doctor` name an observer that cannot be loaded.
    observers.tell("process_started")
    for problem in observers.take_problems():
        click.echo(f"note: {problem}", err=True)
