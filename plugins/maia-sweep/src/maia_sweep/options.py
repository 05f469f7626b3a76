"""The options `--workers`, `--runner` and `-o runner.KEY=VALUE`, which `maia sweep` and `maia eval` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from maia_cli import option_value

F = TypeVar("F", bound=Callable[..., Any])


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
        several = runner or own or (workers or 1) > 1
        built = Context().build("runner", runner or "processes", **settings) if several else None
        return command(runner=built, options=tuple(o for o in options if o not in own), **arguments)

    decorated: Any = with_runner
    decorated = click.option(
        "--runner", metavar="NAME",
        help="Spread the units over workers with this runner, and set its options by -o runner.KEY=VALUE "
        "[default: processes].",
    )(decorated)  # fmt: skip
    decorated = click.option(
        "--workers", type=click.IntRange(1, 256), help="Start this many workers, each with its own models [default: 1]."
    )(decorated)
    result: F = decorated
    return result
