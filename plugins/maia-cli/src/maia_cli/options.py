"""Options that commands share: those that make a configuration, and those that say what is written and printed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maia_core.plugin import KINDS, did_you_mean

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

F = TypeVar("F", bound=Callable[..., Any])

TABLES = ("limits", "experiment", "context_policy")
"""Tables of a configuration that belong to no plugin."""


def run_options(command: F) -> F:
    """Adds the options that make a `RunConfig`; the command gets it as `config`."""
    choices = [kind.name for kind in KINDS.values() if kind.has_option]

    @functools.wraps(command)
    def with_config(config_file: Path | None, options: tuple[str, ...], seed: int | None, **arguments: Any) -> Any:
        chosen = {key: arguments.pop(key) for key in [*choices, "verify"]} | {"seed": seed}
        if chosen["system"] is None:  # Options of the model are set as those of the system.
            chosen["system"] = arguments["units"][0] if "units" in arguments else arguments.get("layer")
        process_started()
        if arguments.get("resumed"):  # The run's own configuration counts; a broken maia.toml must not be in the way.
            from maia_core.plugin import RunConfig

            return command(config=RunConfig(), **arguments)
        return command(config=_config(config_file, options, chosen), **arguments)

    added = [
        click.option(
            "--config", "config_file", type=click.Path(path_type=Path),
            help="Read the configuration from this file [default: maia.toml].",
        ),
        click.option("--system", metavar="MODEL:LAYER:UNIT", help="Explain this unit."),
        *(
            click.option(f"--{key}", metavar="NAME", help=f"Choose the {key} (`maia plugins list {key}`).")
            for key in choices
            if key != "system"
        ),
        click.option(
            "-o", "options", multiple=True, metavar="KEY=VALUE",
            help="Set a key of the configuration: limits.turns=10, generator.size=256.",
        ),
        click.option(
            "--verify/--no-verify", default=None, help="Test the answer on fresh inputs [default: on]."
        ),
        click.option("--seed", type=int, help="Set the random seed [default: 0]."),
    ]  # fmt: skip
    untyped: Any = with_config
    decorated: F = _with(added, untyped)
    return decorated


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


def _config(file: Path | None, options: tuple[str, ...], chosen: dict[str, Any]) -> RunConfig:
    from maia_core.plugin import RunConfig, load

    overrides = [(key, value) for key, value in chosen.items() if value is not None]
    for key, value in map(option_value, options):
        if "." not in key and key not in RunConfig.model_fields:
            raise click.UsageError(f"-o {key}: {_meant(key)}")
        overrides.append((key, value))
    return load(file, overrides)


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
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def process_started() -> None:
    """Tells the installed observers that this process is MAIA's own and is about to compute (`process_started`)."""
    from maia_core.plugin import Observers, installed

    observers = Observers(installed())
    observers.take_problems()  # The run's record and `maia plugins doctor` name an observer that cannot be loaded.
    observers.tell("process_started")
    for problem in observers.take_problems():
        click.echo(f"note: {problem}", err=True)
