"""`maia run`: Explain a unit by experiment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli.options import result_options, run_options
from maia_core.plugin import Registry, installed, printable_line

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig


@click.command()
@run_options
@result_options
@click.option(
    "--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN",
    help="Resume the run in this folder, with the configuration that it started with; -o limits.turns=60 raises a "
    "limit.",
)  # fmt: skip
@click.option(
    "--times", type=click.IntRange(1), metavar="N",
    help="Run N times with other seeds and merge the answers; the same --out resumes [default: once].",
)  # fmt: skip
@click.option("--trust", is_flag=True, help="Resume a run that was created on another machine.")
def run(
    config: RunConfig, out: Path | None, as_json: bool, without: tuple[str, ...], resumed: Path | None, trust: bool,
    times: int | None = None, limits: Mapping[str, Any] | None = None,
) -> int:  # fmt: skip
    """Explain a unit by experiment."""
    if resumed is not None:
        _refuse_beside_resume()
    if times is not None:
        return repeat_and_print(config, times, out=out, as_json=as_json, without=without)
    return run_and_print(
        config, out=out, resumed=resumed, trusted=trust, limits=limits, as_json=as_json, without=without
    )


def run_and_print(
    config: RunConfig, *, out: Path | None, resumed: Path | None = None, trusted: bool = False,
    limits: Mapping[str, Any] | None = None, as_json: bool = False, without: Sequence[str] = (),
) -> int:  # fmt: skip
    """Makes one run (or resumes the one in `resumed`), prints its progress and its result; returns the exit code.

    Args:
        config: What to run.
        out: The run folder; a new one in `config.runs` where it is None.
        resumed: The folder of a run to resume; its own configuration counts.
        trusted: Whether to resume a run that was created on another machine.
        limits: New limits of the resumed run, by name.
        as_json: Whether to print JSON objects instead of text.
        without: Names of installed observers to leave out.
    """
    from maia_cli.progress import JsonProgress, Progress
    from maia_runs import explain, resume

    registry = without_observers(without)
    with JsonProgress() if as_json else Progress(live=sys.stderr.isatty()) as progress:
        if resumed is not None:
            finished = resume(resumed, trusted=trusted, limits=limits, observers=[progress], registry=registry)
        else:
            finished = explain(config, out=out, observers=[progress], registry=registry)
    outcome = finished.outcome
    if as_json:
        click.echo(json.dumps({"event": "record", "folder": str(finished.folder), "lines": finished.lines}))
    else:
        if outcome.explanation is not None:
            click.echo(f"\n{printable_line(outcome.explanation.line)}")
            click.echo(printable_line(outcome.explanation.description))
            if outcome.verdict is not None:
                click.echo(printable_line(outcome.verdict.line))
                table = outcome.verdict.summary.partition("\n\n")[0] if outcome.verdict.checks else ""
                for line in table.splitlines():
                    if line != outcome.verdict.line:
                        click.echo(f"  {printable_line(line)}")
        click.echo("\n".join(["", f"record: {finished.folder}", *map(printable_line, finished.lines)]))
    return 0 if outcome.status == "answered" else 1


def repeat_and_print(
    config: RunConfig, times: int, *, out: Path | None, as_json: bool = False, without: Sequence[str] = ()
) -> int:
    """Makes several runs with other seeds, prints their progress and the merged result; returns the exit code.

    Args:
        config: What to run.
        times: Number of runs.
        out: Folder of the runs; a new one in `config.runs` where it is None.
        as_json: Whether to print JSON objects instead of text.
        without: Names of installed observers to leave out.
    """
    from maia_cli.progress import JsonProgress, Progress
    from maia_runs import repeat

    with JsonProgress() if as_json else Progress(live=sys.stderr.isatty()) as progress:
        found = repeat(config, times, out=out, observers=[progress], registry=without_observers(without))
    merged = found.merged
    answered = [each for each in found.runs if each.outcome.status == "answered"]
    if as_json:
        said = merged.model_dump(mode="json")
        click.echo(json.dumps({"event": "merged", "folder": str(found.folder), "runs": times, **said}))
    else:
        lines = [" OR ".join(merged.labels), *merged.description.splitlines(), f"{times} runs: {found.folder}"]
        click.echo("\n".join(["", *map(printable_line, filter(None, lines))]))
    return 0 if len(answered) == times else 1


def without_observers(names: Sequence[str]) -> Registry:
    """Returns the installed plugins without the observers of these names.

    Raises:
        PluginError: no installed observer has one of the names.
    """
    registry = installed()
    for name in names:
        if all(plugin.name != name for plugin in registry.of_kind("observer")):
            raise registry.missing(name, "observer")
    return registry.without_observers(names)


def _refuse_beside_resume() -> None:
    """Refuses options beside --resume that would be ignored: a run resumes with its own configuration."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    named = [name for name in context.params if context.get_parameter_source(name) is source]
    beside = [name for name in named if name not in ("resumed", "trust", "as_json", "without", "options")]
    if beside:
        options = ", ".join(option.opts[0] for option in context.command.params if option.name in beside)
        raise click.UsageError(f"--resume uses the configuration that the run started with; leave out {options}")
