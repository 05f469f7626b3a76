"""What `maia exemplars` prints and draws."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import click

from maia_core.plugin import QUANTILES, RunContext, UsageError, printable_line
from maia_exemplars.folder import Index
from maia_exemplars.histogram import RELATIVE
from maia_exemplars.info import IndexInfo
from maia_exemplars.layer import Unit
from maia_exemplars.pictures import contact_sheet, masked, preprocessing, same_data

THRESHOLDS = (0.95, 0.99, 0.995)
"""The quantiles of a unit's map that are shown as thresholds of its masks."""


FINGERPRINT_DIGITS = 12
"""Digits of a fingerprint that are shown."""


MAX_SHARDS = 64
"""Shards of one data set that an incomplete index is recognised as some of."""


def print_summary(folder: Path, layers: Sequence[str] | None) -> None:
    index = Index(folder)
    names = index.layers() if layers is None else layers
    if not names:
        raise UsageError(f"{folder} holds no exemplar index; `maia exemplars build MODEL` makes one")
    infos = [index.layer(name).info for name in names]
    first = infos[0]
    part = "" if first.complete else f" ({ranges(first)})"
    unread = f", {first.skipped:,} unreadable" if first.skipped else ""
    chosen = f"{options_of(first)}; " if first.options else ""
    model = f"{printable_line(first.model)} ({chosen}{printable_line(first.model_fingerprint[:FINGERPRINT_DIGITS])})"
    click.echo(f"{model} on {printable_line(first.dataset)}: {first.count:,} images{part}{unread}")
    width = max(len(printable_line(info.layer)) for info in infos)
    for info in infos:
        size = "   {} x {}".format(*info.shape[1:]) if info.has_map else ""
        ranked = f"   ranked in {printable_line(info.fast)}" if info.fast else ""
        count = min(info.k, info.count)
        click.echo(
            f"  {printable_line(info.layer):{width}}  {info.units:6,} units, {count} exemplars each{size}{ranked}"
        )
    if first.skipped:
        layer = index.layer(names[0])
        named = ", ".join(layer.ids(layer.skipped[:5].tolist()))
        click.echo(f"unreadable: {printable_line(named)}{', ...' if first.skipped > 5 else ''}")
    click.echo(printable_line(str(folder)))
    click.echo(printable_line(f"`maia exemplars show {folder}:{names[-1]}:0` shows a unit"))


def facts(unit: Unit, k: int) -> dict[str, Any]:
    info = unit.layer.info
    statistics = unit.statistics(THRESHOLDS[1])
    best = zip(unit.values.tolist(), unit.places.tolist(), unit.ids(), unit.positions, strict=True)
    return {
        "model": info.model,
        "model_options": info.options,
        "model_fingerprint": info.model_fingerprint,
        "layer": info.layer,
        "unit": unit.number,
        "label": unit.label,
        "statistics": statistics.model_dump(mode="json"),
        "thresholds": {f"{quantile:g}": unit.threshold(quantile) for quantile in THRESHOLDS} if info.has_map else {},
        "exemplars": [
            {"activation": value, "image": image, "place": place, "position": position}
            for value, place, image, position in islice(best, k)
        ],
    }


def print_unit(unit: Unit, k: int) -> None:
    info, statistics = unit.layer.info, unit.statistics(THRESHOLDS[1])
    label = "" if unit.label == str(unit.number) else f" ({unit.number})"
    click.echo(click.style(printable_line(f"{info.model}:{info.layer}:{unit.label}{label}"), bold=True))
    part = "" if info.complete else f", of {info.images:,}"
    if info.options:
        click.echo(f"model with {options_of(info)}")
    click.echo(
        f"{statistics.count:,} images of {printable_line(statistics.dataset)}{part}, {statistics.skipped:,} unreadable"
    )
    spread = "  ".join(f"{q:g}: {value:.4g}" for q, value in zip(QUANTILES, statistics.quantiles, strict=True))
    click.echo(f"activation  mean {statistics.mean:.4g}, standard deviation {statistics.std:.4g}\nquantiles   {spread}")
    if info.has_map:
        values = "  ".join(f"{q:g}: {unit.threshold(q):.4g}" for q in THRESHOLDS)
        rank = max(unit.threshold_error(q)[1] for q in THRESHOLDS)
        looked = f", and rank within {rank:.2g}" if rank else ""
        click.echo(f"threshold   {values}   (within {RELATIVE:.1%} of the value{looked})")
    if info.fast:
        error = float(unit.row["error"])
        click.echo(f"            statistics in {printable_line(info.fast)}: activations within {error:.2g} (rms)")
    best = zip(unit.values, unit.ids(), unit.positions, strict=True)
    for rank, (value, image, place) in enumerate(islice(best, k), 1):
        where = "" if place is None else f"   row {place[0]}, column {place[1]}"
        click.echo(f"{rank:3}  {value:10.5g}  {printable_line(image)}{where}")


def write_picture(unit: Unit, context: RunContext, k: int, quantile: float, path: Path) -> None:
    same_data(unit.layer, context.dataset)
    info = unit.layer.info
    images = [context.dataset[place] for place in unit.places[: min(k, info.mapped or k)].tolist()]
    shown = masked(unit, images, preprocessing(info), quantile)
    title = f"{info.model}:{info.layer}:{unit.label}   masks: {quantile:g} quantile"
    if not shown:
        title = f"{info.model}:{info.layer}:{unit.label}   not masked: no maps are kept"
    captions = [f"{rank}. {value:.4g}" for rank, value in enumerate(unit.values[: len(images)], 1)]
    try:
        contact_sheet(title, shown or images, captions).save(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def ranges(info: IndexInfo) -> str:
    return ", ".join(f"{first:,} to {last - 1:,}" for first, last in info.ranges)


def options_of(info: IndexInfo) -> str:
    """Says with which options the model of an index was made."""
    if info.options is None:
        return "options that were not recorded"
    return printable_line(", ".join(f"{key}={value}" for key, value in info.options.items())) or "default options"


def missing_part(info: IndexInfo) -> str:
    """Says what an incomplete index lacks: shards where its ranges are those of some `--shard I/N`, else images."""
    cuts = {place for span in info.ranges for place in span}
    for parts in range(2, MAX_SHARDS + 1):
        ends = [number * info.images // parts for number in range(parts + 1)]
        if cuts <= set(ends):
            spans = enumerate(pairwise(ends), 1)
            lack = [f"{i}/{parts}" for i, (a, b) in spans if not any(x <= a and b <= y for x, y in info.ranges)]
            return f"shard{'s' if len(lack) > 1 else ''} {', '.join(lack)}"
    ends = [0, *(place for span in info.ranges for place in span), info.images]
    gaps = [f"{a:,} to {b - 1:,}" for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]
    return f"images {', '.join(gaps)}"


def note(line: str) -> None:
    click.echo(f"note: {printable_line(line)}", err=True)
