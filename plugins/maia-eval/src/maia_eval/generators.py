"""`maia eval generator`: Measures how often a generator draws what its prompts ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maia_core.plugin import Context, RunConfig
    from maia_eval.faithful import Case, Judge, Rate

MAX_CASES = 10
"""How many of the images that do not show their content are named."""

MAX_LINE = 160
"""Maximum characters of one description."""


@click.command()
@click.argument("name")
@click.option("--describer", metavar="NAME", help="Judge the images with this describer [default: the run's].")
@click.option("--detector", metavar="NAME", help="Judge the images with this detector instead of a describer.")
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="Set an option of the generator (size=512), "
              "the describer (describer.model=...) or the detector (detector.box_threshold=0.4).")  # fmt: skip
@click.option("--each", default=2, show_default=True, type=click.IntRange(1, 100), help="Images per prompt.")
@click.option("--prompts", "file", type=click.Path(path_type=Path), help="Read prompts from a JSON file.")
@click.option("--seed", type=int, help="Random seed.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Read this configuration file.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the page of all images to this file [default: check-NAME.html].",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of a table.")
def generator(
    name: str,
    describer: str | None,
    detector: str | None,
    options: tuple[str, ...],
    each: int,
    file: Path | None,
    seed: int | None,
    config_file: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure how often the generator NAME draws the things, counts, colours and backgrounds that its prompts ask for.

    A describer or a detector, which sees only the pixels, looks for these in the images. The table also counts how
    often it finds a thing that only another prompt asks for: such findings are its errors.
    """
    from maia_core.plugin import Context, UsageError, write_atomically
    from maia_eval.faithful import check as run
    from maia_eval.faithful import prompts

    if describer and detector:
        raise UsageError("one of them looks at the images: leave out --describer or --detector")
    config, looking = _config(name, describer, options, seed, config_file)
    wanted = prompts(file)
    if detector is None:
        config = _apart(config)
    context = Context(config)
    context.warn_to(lambda line: click.echo(f"note: {_clean(line)}", err=True))
    judge, judged_by = _judge(context, detector, looking)
    made_by = context.generator
    click.echo(f"{len(wanted) * each} images of {len(wanted)} prompts by {name}, judged by {judged_by}", err=True)
    cases = run(made_by, judge, wanted, context.seeds, each, lambda line: click.echo(line, err=True))
    table = _table(cases)
    for line in _rows(cases) if as_json else [table, *_missing(cases)]:
        click.echo(line)
    from maia_eval.faithful_page import page

    place = out or Path(f"check-{name.partition('@')[0]}.html")
    write_atomically(place, page(f"{name}, judged by {judged_by}", table, cases).encode())
    click.echo(f"every image: {place}", err=True)


def _config(
    name: str, describer: str | None, options: tuple[str, ...], seed: int | None, file: Path | None
) -> tuple[RunConfig, dict[str, Any]]:
    """Reads the configuration with the generator and the describer; returns it, and the options of a detector."""
    from maia_cli import option_value
    from maia_core.plugin import load

    overrides: list[tuple[str, Any]] = [("generator", name)]
    overrides += [("describer", describer)] if describer else []
    overrides += [("seed", seed)] if seed is not None else []
    looking = {}
    for key, value in map(option_value, options):
        if key.startswith("detector."):
            looking[key.removeprefix("detector.")] = value
        else:
            overrides.append((key if "." in key else f"generator.{key}", value))
    return load(file, overrides), looking


def _apart(config: RunConfig) -> RunConfig:
    """Has the generator draw with other cut-outs than the describer was taught with, where both can be parted."""
    from maia_core.plugin import PluginRef, installed, plugin_config
    from maia_exemplars.splits import with_option

    registry, describer = installed(), config.describer
    options = plugin_config(
        registry.get("describer", describer.name).load(), describer.options, f"options of describer '{describer.name}'"
    )
    library = getattr(options, "library", None)
    if not isinstance(library, PluginRef):
        return config
    taught = with_option("dataset", library, "cutouts", "seen", registry)
    drawn = with_option("generator", config.generator, "cutouts", "held-out", registry)
    if taught == library or drawn == config.generator:
        return config
    click.echo("the describer knows the cut-outs `seen`, `held-out` are drawn (-o cutouts=all draws any)", err=True)
    taught_so = PluginRef.model_validate({**describer.model_dump(), "library": taught.model_dump()})
    return config.model_copy(update={"describer": taught_so, "generator": drawn})


def _judge(context: Context, detector: str | None, options: dict[str, Any]) -> tuple[Judge, str]:
    """Returns who looks at the images, and what it is called."""
    from maia_core.plugin import UsageError
    from maia_eval.faithful import DescriberJudge, DetectorJudge

    if detector is None:
        if options:
            raise UsageError("options of a detector need --detector NAME")
        return DescriberJudge(context.describer), f"the describer {context.config.describer.name}"
    maker = context.registry.get("generator", context.config.generator.name)
    if context.registry.get("detector", detector).distribution == maker.distribution:
        raise UsageError(
            f"the detector '{detector}' belongs to the generator ({maker.distribution}) and may know how its images "
            "were made; choose another one, or a describer"
        )
    return DetectorJudge(context.build("detector", detector, **options)), f"the detector {detector}"


def _groups(cases: Sequence[Case]) -> dict[str, list[Case]]:
    from maia_eval.faithful import KINDS

    found = {kind: [case for case in cases if case.wanted.kind == kind] for kind in KINDS}
    return {kind: some for kind, some in found.items() if some} | {"all": list(cases)}


def _table(cases: Sequence[Case]) -> str:
    from maia_eval.faithful import rates
    from maia_eval.tables import aligned

    rows = [("", "images", "there", "95 % interval", "seen unasked", "warned of")]
    for kind, some in _groups(cases).items():
        there, other, warned = rates(some)
        low, high = there.interval
        interval = f"{100 * low:.0f} to {100 * high:.0f} %"
        rows.append((kind, str(len(some)), _percent(there), interval, _percent(other), str(warned.hits)))
    quiet, loud = ([case for case in cases if bool(case.warning) is warned] for warned in (False, True))
    lines = aligned(rows)
    if quiet and loud:
        lines.append(
            f"of the images without a warning {_percent(rates(quiet)[0])} show their content, of those with one "
            f"{_percent(rates(loud)[0])}"
        )
    return "\n".join(lines)


def _rows(cases: Sequence[Case]) -> list[str]:
    import json

    from maia_eval.faithful import rates

    rows = []
    for kind, some in _groups(cases).items():
        there, other, warned = rates(some)
        row = {"kind": kind, "images": len(some), "there": there.hits, "interval": there.interval}
        rows.append(json.dumps(row | {"unasked": other.hits, "compared": other.cases, "warned": warned.hits}))
    return rows


def _missing(cases: Sequence[Case]) -> list[str]:
    missed = [case for case in cases if not case.decision.there]
    lines = (
        [f"\nnot seen in {len(missed)} images" + (", such as:" if len(missed) > MAX_CASES else ":")] if missed else []
    )
    # One of every n-th, so that all kinds are among them.
    for case in missed[:: -(-len(missed) // MAX_CASES) or 1]:
        said = f"{case.warning}; {case.decision.said}" if case.warning else case.decision.said
        lines.append(_clean(f"  {case.wanted.prompt}: {said}")[:MAX_LINE])
    return lines


def _percent(rate: Rate) -> str:
    return f"{100 * rate.hits / rate.cases:.0f} %" if rate.cases else "-"


def _clean(text: str) -> str:
    from maia_core.plugin import printable

    return printable(" ".join(text.split(" ")))
