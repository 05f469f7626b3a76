"""The options `--workers` and `--runner`, which `maia sweep` and `maia eval` share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def runner_options(command: F) -> F:
    """Adds `--workers` and `--runner`; the command gets them as `runner`, None where this process does all."""

    @functools.wraps(command)
    def with_runner(workers: int | None, runner: str | None, **arguments: Any) -> Any:
        from maia_core.plugin import Context

        options = {} if workers is None else {"workers": workers}
        built = Context().build("runner", runner or "processes", **options) if runner or (workers or 1) > 1 else None
        return command(runner=built, **arguments)

    decorated: Any = with_runner
    decorated = click.option(
        "--runner", metavar="NAME", help="Spread the units over workers with this runner [default: processes]."
    )(decorated)
    decorated = click.option(
        "--workers", type=click.IntRange(1, 256), help="Start this many workers, each with its own models [default: 1]."
    )(decorated)
    result: F = decorated
    return result
