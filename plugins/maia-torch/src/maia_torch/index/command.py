"""`maia exemplars`: builds, merges, shows and exports indexes of exemplars."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from maia_core.context import Context
    from maia_torch.index.layer import LayerIndex, Sheet, Unit

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path)

THRESHOLDS = (0.95, 0.99, 0.995)
"""The quantiles that `show` gives as thresholds of masks."""


def dataset_options(command: F) -> F:
    """Adds the options that choose a data set."""
    decorated: Any = click.option(
        "--config", "config_file", type=FOLDER, help="Configuration file [default: maia.toml]."
    )(command)
    decorated = click.option(
        "-o",
        "options",
        multiple=True,
        metavar="KEY=VALUE",
        help="An option: dataset.path=photos of the data set, weights=FILE of the model.",
    )(decorated)
    chosen: F = click.option("--dataset", metavar="NAME", help="The data set [default: that of runs].")(decorated)
    return chosen


@click.group()
def exemplars() -> None:
    """The images on which each unit is highest: find them for all units at once, look at them, hand them on."""


@exemplars.command()
@click.argument("model")
@click.option(
    "--layers",
    default="main",
    show_default=True,
    metavar="A,B,...",
    help="Names or patterns (blocks.*); main: those that `maia systems show MODEL` shows bold.",
)
@dataset_options
@click.option("--out", type=FOLDER, help="Folder of the index [default: the cache, where runs find it].")
@click.option(
    "--shard", metavar="I/N", help="Measure the I-th of N equal parts of the data set only; `merge` joins them."
)
@click.option("--k", default=15, show_default=True, type=click.IntRange(1, 1000), help="Exemplars of each unit.")
@click.option("--resume", is_flag=True, help="Go on with an unfinished build.")
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "exact", "bfloat16"]),
    help="exact: all images run as the network is. bfloat16: it ranks them, and the finalists run as the network is. "
    "The exemplars are the same; auto takes what is expected to be faster.",
)
@click.option("--batch", type=click.IntRange(1), help="Images of one pass [default: 16; more pays on a GPU].")
@click.option("--workers", type=click.IntRange(1), help="Threads that read images [default: one a core].")
def build(
    model: str,
    layers: str,
    dataset: str | None,
    options: tuple[str, ...],
    config_file: Path | None,
    out: Path | None,
    shard: str | None,
    k: int,
    resume: bool,
    precision: str,
    batch: int | None,
    workers: int | None,
) -> None:
    """Measure all units of layers of MODEL on a data set, in one pass."""
    # Threads that wait for each other must not keep the cores from those that read images. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from maia_core.errors import UsageError
    from maia_torch.index.build import build as run
    from maia_torch.index.folder import Index, cache_folder, note_folder
    from maia_torch.index.options import Options

    if ":" in model:
        raise UsageError(f"'{model}' names a unit; give the model alone, and --layers {model.split(':')[1]}")
    context, given = _context(dataset, options, config_file)
    data = context.dataset
    span = _span(shard, len(data))
    if span is not None and out is None:
        raise UsageError("a shard needs a folder of its own: --out FOLDER")
    found: Any = context.model(model, **given)
    if not hasattr(found, "engine"):
        raise UsageError(f"'{model}' is no torch model, so maia exemplars cannot read its layers")
    chosen = _layers(layers, found)
    own = cache_folder(context.cache, found.fingerprint, data.fingerprint)
    folder = out or own
    missing = [layer for layer in chosen if not _is_there(Index(folder), layer.name, found, data, k, span)]
    for layer in chosen:
        if layer not in missing:
            click.echo(f"{_clean(layer.name)}: there already", err=True)
    settings: dict[str, Any] = {"batch": batch, "workers": workers}
    chosen_options = Options(
        k=k,
        span=span,
        precision=precision,  # type: ignore[arg-type]
        resume=resume,
        **{name: value for name, value in settings.items() if value is not None},
    )
    if missing:
        with _Line() as line:
            run(found, missing, data, folder, chosen_options, progress=line, warn=_note)
    if out is not None and span is None:
        note_folder(context.cache, found.fingerprint, data.fingerprint, folder)
    _summary(folder, [layer.name for layer in chosen])


@exemplars.command()
@click.argument("parts", nargs=-1, required=True, type=FOLDER, metavar="FOLDER...")
@click.option("--out", required=True, type=FOLDER, help="Folder of the merged index.")
def merge(parts: tuple[Path, ...], out: Path) -> None:
    """Join the indexes of shards into one."""
    from maia_core.config import cache_dir
    from maia_torch.index.folder import note_folder
    from maia_torch.index.merge import merge as run

    sheets = run(parts, out)
    first = next(iter(sheets.values()))
    if first.complete:
        note_folder(cache_dir(), first.model_fingerprint, first.dataset_fingerprint, out)
    else:
        _note(f"this covers {_ranges(first)} of {first.images:,} images; runs use it once the rest is merged, too")
    _summary(out, list(sheets))


@exemplars.command("list")
def list_indexes() -> None:
    """List the indexes that runs on this machine find."""
    from maia_core.config import cache_dir
    from maia_torch.index.folder import Index, all_folders

    for folder in all_folders(cache_dir()):
        for name in (index := Index(folder)).layers():
            sheet = index.layer(name).sheet
            click.echo(
                f"{_clean(sheet.model)}:{_clean(name)}  {sheet.units:,} units, {sheet.count:,} images of "
                f"{_clean(sheet.dataset)}  {_clean(folder)}"
            )


@exemplars.command()
@click.argument("folder", type=FOLDER)
def use(folder: Path) -> None:
    """Let runs on this machine find the index in FOLDER, such as one that was copied from another."""
    from maia_core.config import cache_dir
    from maia_core.errors import UsageError
    from maia_torch.index.folder import Index, note_folder

    index = Index(folder)
    sheets = [index.layer(name).sheet for name in index.layers()]
    if not sheets:
        raise UsageError(f"{folder} holds no exemplar index")
    for sheet in sheets:
        note_folder(cache_dir(), sheet.model_fingerprint, sheet.dataset_fingerprint, folder)
    _summary(folder, index.layers())


@exemplars.command()
@click.argument("target", metavar="INDEX|MODEL[:LAYER[:UNIT]]")
@dataset_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--images", type=FOLDER, metavar="FILE", help="Write the exemplars, masked, as one picture (PNG, JPEG).")
@click.option(
    "--quantile", default=0.99, show_default=True, type=click.FloatRange(0, 1), help="Threshold of the masks."
)
def show(
    target: str,
    dataset: str | None,
    options: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
    images: Path | None,
    quantile: float,
) -> None:
    """Show a unit's exemplars, statistics and thresholds, from an index: its folder, or the model that it is of."""
    from maia_core.errors import UsageError

    folder, layer, unit = _target(target, dataset)
    if not layer or not unit:
        if as_json or images:
            raise UsageError(f"which unit? Write {target}{'' if layer else ':LAYER'}:UNIT")
        _summary(folder, [layer] if layer else None)
        return
    found = _unit(folder, layer, unit)
    if as_json:
        click.echo(json.dumps(_facts(found), allow_nan=False))
    else:
        _print_unit(found)
    if images is not None:
        context, _ = _context(dataset, options, config_file)
        _picture(found, context, quantile, images)
        click.echo(f"written: {_clean(images)}", err=True)


@exemplars.command()
@click.argument("target", metavar="INDEX|MODEL[:LAYER]")
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice(["parquet", "milan", "clip-dissect"]),
    help="parquet: tables of units and of exemplars. milan: images, masks and activations, as MILAN and the MAIA "
    "paper's code read them. clip-dissect: activations on the uniform sample.",
)
@click.option("--out", required=True, type=FOLDER, help="Folder to write into.")
@click.option("--units", help="milan: numbers of the units, with commas [default: all; 2 MB each].")
@click.option("--quantile", default=0.99, show_default=True, type=click.FloatRange(0, 1), help="milan: of the masks.")
@dataset_options
def export(
    target: str,
    form: str,
    out: Path,
    units: str | None,
    quantile: float,
    dataset: str | None,
    options: tuple[str, ...],
    config_file: Path | None,
) -> None:
    """Write an index in a form that other tools read."""
    from maia_core.errors import UsageError
    from maia_torch.index import export as forms
    from maia_torch.index.folder import Index

    folder, layer, unit = _target(target, dataset)
    if unit:
        raise UsageError("whole layers are exported; leave out the unit (milan takes --units)")
    index = Index(folder)
    layers = [index.layer(name) for name in ([layer] if layer else index.layers())]
    if form == "parquet":
        written = forms.to_parquet(layers, out)
    elif form == "clip-dissect":
        written = [forms.to_clip_dissect(one, out) for one in layers]
    else:
        context, _ = _context(dataset, options, config_file)
        written = [forms.to_milan(one, context.dataset, out, _numbers(units, one), quantile) for one in layers]
    for path in written:
        click.echo(_clean(path))


# --- what the arguments mean ---


def _context(dataset: str | None, options: tuple[str, ...], file: Path | None) -> tuple[Context, dict[str, Any]]:
    """Returns a context with the chosen data set, and the options of the model."""
    from maia_core.cli import option_value
    from maia_core.config import load
    from maia_core.context import Context

    overrides: list[tuple[str, Any]] = [] if dataset is None else [("dataset", dataset)]
    model: dict[str, Any] = {}
    for key, value in map(option_value, options):
        if key.startswith("dataset."):
            overrides.append((key, value))
        else:
            model[key.removeprefix("system.").removeprefix("model.")] = value
    context = Context(load(file, overrides))
    context.warn_to(_note)
    return context, model


def _layers(text: str, model: Any) -> list[Any]:
    """Returns the layers that names and patterns stand for, each once.

    Raises:
        UsageError: one stands for none.
    """
    from fnmatch import fnmatchcase

    from maia_core.errors import UsageError

    chosen: dict[str, Any] = {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name == "main":
            fits = [layer for layer in model.engine.layers if layer.info.kind == "main"]
        elif any(letter in name for letter in "*?["):
            fits = [layer for layer in model.engine.layers if fnmatchcase(layer.name, name)]
        else:
            fits = [model.layer(name)]
        if not fits:
            raise UsageError(f"no layer of {model.name} is '{name}'; `maia systems show {model.name}` shows all")
        chosen |= {layer.name: layer for layer in fits}
    if not chosen:
        raise UsageError("--layers names no layer")
    return list(chosen.values())


def _span(shard: str | None, images: int) -> tuple[int, int] | None:
    if shard is None:
        return None
    first, _, of = shard.partition("/")
    if not (first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of) <= images):
        raise click.UsageError(f"--shard is I/N with I from 1 to N, and no more shards than images, not '{shard}'")
    number, parts = int(first), int(of)
    return (number - 1) * images // parts, number * images // parts


def _is_there(index: Any, layer: str, model: Any, data: Any, k: int, span: tuple[int, int] | None) -> bool:
    """Says whether an index has a layer already.

    Raises:
        UsageError: the folder holds something else's.
    """
    from maia_core.errors import UsageError

    for name in index.layers():
        sheet = index.layer(name).sheet
        for fits, what in (
            (
                sheet.model_fingerprint == model.fingerprint,
                f"another model, other weights or preprocessing ({sheet.model})",
            ),
            (sheet.dataset_fingerprint == data.fingerprint, f"another data set ({sheet.dataset})"),
            (sheet.ranges == (span or (0, len(data)),), "another part of the data set"),
        ):
            if not fits:
                raise UsageError(f"{index.folder} is the index of {what}; choose another --out")
    return layer in index.layers() and index.layer(layer).sheet.k >= min(k, len(data))


def _target(target: str, dataset: str | None) -> tuple[Path, str, str]:
    """Splits INDEX:LAYER:UNIT or MODEL:LAYER:UNIT into the folder of an index, a layer and a unit ('' where missing).

    Raises:
        UsageError: no index is meant, or several are.
    """
    from maia_core.config import cache_dir
    from maia_core.errors import UsageError
    from maia_torch.index.folder import Index, all_folders

    cuts = [place for place, letter in enumerate(target) if letter == ":"]
    for cut in [len(target), *reversed(cuts)]:
        if Path(target[:cut]).is_dir():
            return Path(target[:cut]), *_split(target[cut + 1 :])
    model, _, rest = target.partition(":")
    layer, unit = _split(rest)
    known: dict[Path, Sheet] = {}
    for folder in all_folders(cache_dir()):
        index = Index(folder)
        sheets = [index.layer(name).sheet for name in index.layers()]
        fits = [
            one for one in sheets if one.model == model and dataset in (None, one.dataset) and layer in ("", one.layer)
        ]
        if fits:
            known[folder] = fits[0]
    if not known:
        raise UsageError(
            f"no index of {target} is known here; `maia exemplars build {model}{f' --layers {layer}' if layer else ''}` "
            "makes one, `maia exemplars list` lists what there is"
        )
    if len(known) > 1:
        which = "; ".join(f"{folder} ({sheet.images:,} images of {sheet.dataset})" for folder, sheet in known.items())
        raise UsageError(f"several indexes of {target} are known; give the folder instead of the model: {which}")
    return next(iter(known)), layer, unit


def _split(rest: str) -> tuple[str, str]:
    """Splits LAYER:UNIT; a layer's name may hold a colon (LAYER:sae=FILE)."""
    layer, colon, unit = rest.rpartition(":")
    return (layer, unit) if colon and "=" not in unit else (rest, "")


def _unit(folder: Path, layer: str, text: str) -> Unit:
    from maia_core.types import LayerInfo
    from maia_torch.index.folder import Index
    from maia_torch.layers import Layer, find_unit

    index = Index(folder).layer(layer)
    sheet = index.sheet
    info = LayerInfo(name=sheet.layer, units=sheet.units, shape=sheet.shape, kind=sheet.kind)
    return index.unit(find_unit(text, Layer(info, "", 1), sheet.labels))


def _numbers(text: str | None, layer: LayerIndex) -> list[int]:
    if text is None:
        return list(range(layer.sheet.units))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--units are numbers with commas, not '{text}'") from error
    return [layer.unit(number).number for number in numbers]


# --- what is printed ---


def _summary(folder: Path, layers: Sequence[str] | None) -> None:
    from maia_core.errors import UsageError
    from maia_torch.index.folder import Index

    index = Index(folder)
    names = index.layers() if layers is None else layers
    if not names:
        raise UsageError(f"{folder} holds no exemplar index; `maia exemplars build MODEL` makes one")
    sheets = [index.layer(name).sheet for name in names]
    first = sheets[0]
    part = "" if first.complete else f" ({_ranges(first)})"
    unread = f", {first.skipped:,} unreadable" if first.skipped else ""
    click.echo(f"{_clean(first.model)} on {_clean(first.dataset)}: {first.count:,} images{part}{unread}")
    width = max(len(_clean(sheet.layer)) for sheet in sheets)
    for sheet in sheets:
        size = "   {} x {}".format(*sheet.shape[1:]) if sheet.has_map else ""
        ranked = f"   ranked in {_clean(sheet.fast)}" if sheet.fast else ""
        click.echo(f"  {_clean(sheet.layer):{width}}  {sheet.units:6,} units, {sheet.k} exemplars each{size}{ranked}")
    if first.skipped:
        layer = index.layer(names[0])
        named = ", ".join(layer.ids(layer.skipped[:5].tolist()))
        click.echo(f"unreadable: {_clean(named)}{', ...' if first.skipped > 5 else ''}")
    click.echo(f"{_clean(folder)}\n`maia exemplars show {_clean(folder)}:{_clean(names[-1])}:0` shows a unit")


def _facts(unit: Unit) -> dict[str, Any]:
    sheet, positions = unit.layer.sheet, unit.positions
    known = unit.statistics(THRESHOLDS[1])
    best = zip(
        unit.values.tolist(), unit.places.tolist(), unit.ids(), positions or [None] * len(unit.places), strict=True
    )
    return {
        **{"model": sheet.model, "layer": sheet.layer, "unit": unit.number, "label": unit.label},
        "statistics": known.model_dump(mode="json"),
        "thresholds": {f"{quantile:g}": unit.threshold(quantile) for quantile in THRESHOLDS} if sheet.has_map else {},
        "exemplars": [
            {"activation": value, "image": image, "place": place, "position": position}
            for value, place, image, position in best
        ],
    }


def _print_unit(unit: Unit) -> None:
    from maia_core.types import QUANTILES
    from maia_torch.index.histogram import RELATIVE

    sheet, known = unit.layer.sheet, unit.statistics(THRESHOLDS[1])
    label = "" if unit.label == str(unit.number) else f" ({unit.number})"
    click.echo(click.style(f"{_clean(sheet.model)}:{_clean(sheet.layer)}:{_clean(unit.label)}{label}", bold=True))
    part = "" if sheet.complete else f", of {sheet.images:,}"
    click.echo(f"{known.count:,} images of {_clean(known.dataset)}{part}, {known.skipped:,} unreadable")
    spread = "  ".join(f"{q:g}: {value:.4g}" for q, value in zip(QUANTILES, known.quantiles, strict=True))
    click.echo(f"activation  mean {known.mean:.4g}, standard deviation {known.std:.4g}\nquantiles   {spread}")
    if sheet.has_map:
        values = "  ".join(f"{q:g}: {unit.threshold(q):.4g}" for q in THRESHOLDS)
        rank = max(unit.threshold_error(q)[1] for q in THRESHOLDS)
        looked = f", and rank within {rank:.2g}" if rank else ""
        click.echo(f"threshold   {values}   (within {RELATIVE:.1%} of the value{looked})")
    if sheet.fast:
        click.echo(
            f"            statistics in {_clean(sheet.fast)}: activations within {float(unit.row['error']):.2g} (rms)"
        )
    positions = unit.positions or [None] * len(unit.places)
    for rank, (value, image, place) in enumerate(zip(unit.values, unit.ids(), positions, strict=True), 1):
        where = "" if place is None else f"   row {place[0]}, column {place[1]}"
        click.echo(f"{rank:3}  {value:10.5g}  {_clean(image)}{where}")


def _picture(unit: Unit, context: Context, quantile: float, path: Path) -> None:
    from maia_core.errors import UsageError
    from maia_torch.index.pictures import contact_sheet, masked, preprocessing, same_data

    same_data(unit.layer, context.dataset)
    sheet = unit.layer.sheet
    images = [context.dataset[place] for place in unit.places.tolist()]
    shown = masked(unit, images, preprocessing(sheet), quantile)
    title = f"{sheet.model}:{sheet.layer}:{unit.label}   masks: {quantile:g} quantile"
    if shown is None:
        title = f"{sheet.model}:{sheet.layer}:{unit.label}   not masked: no maps are kept"
    captions = [f"{rank}. {value:.4g}" for rank, value in enumerate(unit.values, 1)]
    try:
        contact_sheet(title, shown or images, captions).save(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be written: {error}") from error


class _Line:
    """One line on standard error that says how far a build is; in a log file, a line now and then."""

    def __init__(self) -> None:
        import time

        self._clock = time.monotonic
        self._started = self._told = self._clock()
        self._doing, self._first = "", 0

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *error: object) -> None:
        if sys.stderr.isatty() and self._doing:
            click.echo(err=True)

    def __call__(self, what: str, done: int, of: int) -> None:
        now = self._clock()
        if what != self._doing:
            self._doing, self._started, self._first = what, now, done
        live = sys.stderr.isatty()
        if done < of and now - self._told < (0.2 if live else 30):
            return
        self._told = now
        rate = (done - self._first) / max(now - self._started, 1e-9)
        left = f", {_duration((of - done) / rate)} left" if rate and done < of else ""
        speed = f"   {rate:.1f} a second{left}" if rate else ""
        text = f"{what}: {done:,} of {of:,} images{speed}"
        click.echo(f"\r\x1b[K{text}" if live else text, nl=not live, err=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _ranges(sheet: Sheet) -> str:
    return ", ".join(f"{first:,} to {last - 1:,}" for first, last in sheet.ranges)


def _note(line: str) -> None:
    click.echo(f"note: {_clean(line)}", err=True)


def _clean(text: object) -> str:
    from maia_core.text import printable

    return printable(" ".join(str(text).split()))
