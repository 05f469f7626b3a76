"""The options `--workers`, `--runner` and `-o runner.KEY=VALUE`, which `maia sweep` and `maia eval` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from maia_cli import option_value

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig, Runner

F = TypeVar("F", bound=Callable[..., Any])

_CHOICE = "maia_sweep.runner"
"""Where click's context holds the name of the runner, None if none was given, and its options."""


def runner_options(command: F) -> F:
    """Adds `--workers` and `--runner`; the command gets them as `runner`, None where this process does all.

    It stands above `config_options`, and takes those of the command's `-o` that are options of the runner.
    """

    @functools.wraps(command)
    def with_runner(workers: int | None, runner: str | None, options: tuple[str, ...] = (), **arguments: Any) -> Any:
        from maia_core.plugin import Context

        own = [option for option in options if option.partition("=")[0].strip().startswith("runner.")]
        settings = {key.removeprefix("runner."): value for key, value in map(option_value, own)}
        if workers is not None:
            settings["workers"] = workers
        click.get_current_context().meta[_CHOICE] = runner, settings
        several = runner or own or (workers or 1) > 1
        built = Context().build("runner", runner or "processes", **settings) if several else None
        return command(runner=built, options=tuple(o for o in options if o not in own), **arguments)

    decorated: Any = with_runner
    decorated = click.option(
        "--runner", metavar="NAME",
        help="Spread the units over workers with this runner, and set its options by -o runner.KEY=VALUE "
        "[default: processes; `maia sweep` takes threads if the backbone is a service].",
    )(decorated)  # fmt: skip
    decorated = click.option(
        "--workers", type=click.IntRange(1, 256),
        help="Start this many workers; processes load their own models, threads share them "
        "[default: 1; threads: 8].",
    )(decorated)  # fmt: skip
    result: F = decorated
    return result


def runner_for(config: RunConfig, runner: Runner | None) -> Runner | None:
    """Returns the runner of a command with `runner_options`: `threads` if none was named and the backbone is a service.

    A session that waits for a service leaves this machine idle, so others measure meanwhile, with the same weights.
    """
    from maia_core.plugin import Context, installed

    name, settings = click.get_current_context().meta[_CHOICE]
    plugin = installed().find("backbone", config.backbone.name)
    if name or plugin is None or not getattr(plugin.load(), "is_service", False):
        return runner
    threads: Runner = Context().build("runner", "threads", **settings)
    return threads
