"""`maia eval ablate`: the agent without one of its means after another, in one table, as the paper's Figure 7."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli import run_options
from maia_core.plugin import UsageError
from maia_eval.choices import plugin_ref
from maia_eval.commands import predictive

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig
    from maia_eval.results import Folder

AGENT = "agent"

WITHOUT = {
    "exemplars-only": ("text2image", "edit_images"),
    "generated-only": ("dataset_exemplars",),
    "no-descriptions": ("describe_images", "summarize_images"),
}
"""Variants of the agent by the tools that they lack."""

UNVERIFIED = ("exemplars-only", "generated-only")
"""Variants that are not verified: verification generates and looks at real images, and so would bring back what was
taken away. They compare with `no-verification`."""

VARIANTS = ("full", *WITHOUT, "no-verification", "other-generator", "other-backbone")

TABLE, PAGE = "ablation.csv", "ablation.md"

SCORES = {"plus": "+", "minus": "−", "margin": "+ less −", "pearson": "Pearson", "auprc": "AUPRC"}
"""Figures of the Markdown table, by their names in the CSV."""

COUNTED = (
    "no label", "failed verification", "invented results", "copied examples", "broken programs", "programs", "seconds",
    "cost",
)  # fmt: skip

PUBLISHED = (
    ("ResNet-152", (3.53, 1.54), (3.56, 1.33), (4.64, 1.53)),
    ("DINO-ViT", (1.48, -0.37), (1.98, -0.23), (1.88, -0.27)),
    ("CLIP-RN50", (2.34, 1.90), (3.62, 1.75), (4.34, 1.90)),
)
"""Table A5 of the paper: model, and + and - with exemplars only, generated images only, and all tools with DALL-E 3."""


def ablate(
    out: Path, only: tuple[str, ...], other_generator: str | None, other_backbone: str | None, quiet: bool, **given: Any
) -> None:
    """Measure how much each part of the agent adds: explain the same units with one part removed at a time.

    Variants: full, exemplars-only, generated-only, no-descriptions, no-verification, and, if they are named,
    other-generator and other-backbone. The scores are those of `maia eval predictive`. The table also counts
    activations that replies invented, examples of the API that programs copied, and programs that failed.
    """
    from maia_eval.results import Folder

    config: RunConfig = run_options(lambda config, **_: config)(**given)
    chosen = variants(config, only, other_generator, other_backbone)
    explainers = tuple(f"{name}={AGENT}{options}" for name, options in chosen.items())
    evaluate: Any = predictive.callback
    evaluate(out=out, explainers=explainers, quiet=quiet, **given)
    text = write_table(Folder(out))
    if not quiet:
        click.echo(text)


_shared = [param for param in predictive.params if param.name != "explainers"]
ablate_options = [
    click.Option(
        ["--only"], multiple=True, metavar="VARIANT", type=click.Choice(VARIANTS), help="Run only this variant."
    ),
    click.Option(
        ["--other-generator"], metavar="NAME[:KEY=VALUE,...]", help="Add an agent that uses this generator."
    ),
    click.Option(
        ["--other-backbone"], metavar="NAME[:KEY=VALUE,...]", help="Add an agent that uses this backbone."
    ),
]  # fmt: skip
command = click.Command("ablate", callback=ablate, params=[*_shared, *ablate_options], help=ablate.__doc__)


def variants(
    config: RunConfig, only: tuple[str, ...], other_generator: str | None, other_backbone: str | None
) -> dict[str, str]:
    """Returns each variant's options, as `maia eval predictive` takes them.

    Raises:
        UsageError: a variant is chosen that needs the name of another part.
    """
    others = {"other-generator": ("generator", other_generator), "other-backbone": ("backbone", other_backbone)}
    wanted = only or tuple(name for name in VARIANTS if name not in others or others[name][1])
    found = {}
    for name in dict.fromkeys(wanted):
        settings: dict[str, Any] = {}
        if name in WITHOUT:
            tools = [choice for choice in config.tools if choice.name.partition("@")[0] not in WITHOUT[name]]
            if len(tools) == len(config.tools):
                raise UsageError(f"'{name}' takes nothing away: the configuration has no {' or '.join(WITHOUT[name])}")
            settings["tools"] = [tool.model_dump(mode="json") for tool in tools]
        if name == "no-verification" or name in UNVERIFIED:
            settings["verify"] = False
        if name in others:
            kind, text = others[name]
            if not text:
                raise UsageError(f"'{name}' needs --{name} NAME")
            settings[kind] = plugin_ref(text).model_dump(mode="json")
        found[name] = "".join(f"{',' if n else ':'}run.{k}={_toml(v)}" for n, (k, v) in enumerate(settings.items()))
    return found


def _toml(value: Any) -> str:
    """Writes a value as inline TOML, with a blank after every comma."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def write_table(folder: Folder) -> str:
    """Writes the table of an ablation into its folder, as Markdown and CSV.

    Returns:
        The Markdown.

    Raises:
        UsageError: the folder cannot be written.
    """
    from maia_eval.files import write
    from maia_eval.tables import csv_of

    rows = table(folder)
    page = markdown(rows)
    write(folder.path / PAGE, page)
    write(folder.path / TABLE, csv_of(rows))
    return page


def table(folder: Folder) -> list[dict[str, Any]]:
    """Returns a row a variant: its figures with the ends of their intervals, what it took, and its faults."""
    from maia_eval.summary import ALL, FIGURES, efforts, predictive_rows, unit_results

    found = predictive_rows(unit_results(folder), folder.explainers, folder.seed)
    scored = {row.explainer: row for row in found if row.group == ALL}
    spent = {effort.explainer: effort for effort in efforts(folder.explained().values(), folder.explainers)}
    rows = []
    for name, effort in spent.items():
        row: dict[str, Any] = {
            "variant": name,
            "units": effort.units,
            "no label": effort.silent,
            "failed verification": effort.failed,
            "invented results": effort.conduct.invented,
            "copied examples": effort.conduct.copied,
            "broken programs": effort.conduct.broken,
            "programs": effort.conduct.programs,
            "seconds": round(effort.seconds, 1),
            "cost": None if effort.unpriced else round(effort.cost, 4),
        }
        for figure in FIGURES:
            estimate = scored[name].figures[figure.key] if name in scored else None
            for part in ("value", "low", "high"):
                key = figure.key if part == "value" else f"{figure.key} {part}"
                row[key] = None if estimate is None else getattr(estimate, part)
        rows.append(row)
    return rows


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the table of an ablation for a reader, with the published figures below it."""
    columns = [*SCORES, *COUNTED]
    lines = ["| variant | " + " | ".join([*SCORES.values(), *COUNTED]) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        figures = [_figure(row[key], row[f"{key} low"], row[f"{key} high"]) for key in SCORES]
        counts = ["unknown" if row[key] is None else f"{row[key]:g}" for key in COUNTED]
        lines.append(f"| {row['variant']} | " + " | ".join([*figures, *counts]) + " |")
    published = (
        f"{model}: exemplars only {_pair(a)}, generated only {_pair(b)}, all with DALL-E 3 {_pair(c)}"
        for model, a, b, c in PUBLISHED
    )
    return "\n".join(
        [
            *lines,
            "",
            "+ and − are divided by the unit's 95th percentile; seconds and cost are those of a unit, the other counts "
            "those of all runs. Variants that lack a kind of image are not verified, for verification would bring it "
            "back: they compare with no-verification.",
            "",
            f"Published (Table A5, + / −; other units, images and generators): {'; '.join(published)}.",
            "",
        ]
    )


def _figure(value: float | None, low: float, high: float) -> str:
    from maia_eval.metrics import Estimate
    from maia_eval.summary import written

    return "–" if value is None else written(Estimate(value, low, high, 0))


def _pair(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.2f} / {pair[1]:.2f}"
