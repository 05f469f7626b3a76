"""What the arguments of `maia exemplars` stand for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_torch.index.printing import SHORT, note, options_of, ranges

if TYPE_CHECKING:
    from maia_core.plugin import RunContext
    from maia_torch.index.layer import LayerIndex, Sheet, Unit
    from maia_torch.layers import Layer


class FolderToWrite(click.Path):
    """A folder that there is, or that can be made: none of its path is a file."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        folder = Path(value)
        there = next(part for part in (folder, *folder.parents) if part.exists())
        if not there.is_dir():
            self.fail(f"{there} is a file; name a folder", parameter, context)
        return super().convert(value, parameter, context)


def context_of(dataset: str | None, options: tuple[str, ...], file: Path | None) -> tuple[RunContext, dict[str, Any]]:
    """Returns a context with the chosen data set, and the options of the model."""
    from maia_core.plugin import Context, load, option_value

    overrides: list[tuple[str, Any]] = [] if dataset is None else [("dataset", dataset)]
    model: dict[str, Any] = {}
    for key, value in map(option_value, options):
        if key.startswith("dataset."):
            overrides.append((key, value))
        else:
            model[key.removeprefix("system.").removeprefix("model.")] = value
    context = Context(load(file, overrides))
    context.warn_to(note)
    return context, model


def layers_of(text: str, model: Any) -> list[Any]:
    """Returns the layers that names and patterns stand for, each once.

    Raises:
        UsageError: one stands for none.
    """
    from fnmatch import fnmatchcase

    from maia_core.plugin import UsageError

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


def span_of(shard: str | None, images: int) -> tuple[int, int] | None:
    if shard is None:
        return None
    first, _, of = shard.partition("/")
    if not (first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of) <= images):
        raise click.UsageError(f"--shard is I/N with I from 1 to N, and no more shards than images, not '{shard}'")
    number, parts = int(first), int(of)
    return (number - 1) * images // parts, number * images // parts


def is_there(index: Any, layer: Layer, model: Any, data: Any, k: int, span: tuple[int, int] | None) -> bool:
    """Says whether an index has a layer already; one that was read in another order of axes is none.

    Raises:
        UsageError: the folder holds something else's.
    """
    from maia_core.plugin import UsageError

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
    if layer.name not in index.layers():
        return False
    sheet = index.layer(layer.name).sheet
    return (sheet.key, sheet.shape) == (layer.key, layer.info.shape) and sheet.k >= min(k, len(data))


def target_of(
    target: str, dataset: str | None = None, options: tuple[str, ...] = (), file: Path | None = None
) -> tuple[Path, str, str]:
    """Splits INDEX:LAYER:UNIT or MODEL:LAYER:UNIT into the folder of an index, a layer and a unit ('' where missing).

    Where options of the model are given it is made, and its index is meant and no other; else one of the model without
    options is preferred, and one on the run's data set. An index that is not what was asked for is named in a note. Of
    several indexes of the same model and data set it is the first.

    Args:
        target: What was written.
        dataset: Name of the data set, where the user chose one.
        options: Of the data set and the model, as given to -o.
        file: The configuration file.

    Raises:
        UsageError: no index is meant, or several are.
    """
    from maia_core.plugin import UsageError, cache_dir
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
        fits = [sheet for sheet in sheets if sheet.model == model and layer in ("", sheet.layer)]
        if fits:
            known[folder] = fits[0]
    if not known:
        build = f"maia exemplars build {model}" + (f" --layers {layer}" if layer else "")
        raise UsageError(
            f"no index of {target} is known here; `{build}` makes one, `maia exemplars list` lists what there is"
        )
    known, asked = _asked_for(known, model, context_of(dataset, options, file))
    if len({_identity(sheet) for sheet in known.values()}) > 1:
        raise UsageError(_several(target, known))
    folder, sheet = next(iter(known.items()))
    if asked:
        note(f"this is the index of {model} with {options_of(sheet)} on {_data_of(sheet)}; {asked}")
    return folder, layer, unit


def _asked_for(
    known: dict[Path, Sheet], model: str, chosen: tuple[RunContext, dict[str, Any]]
) -> tuple[dict[Path, Sheet], str]:
    """Returns the indexes that are nearest to what is asked for, and what they are not of all that, in words.

    Raises:
        UsageError: options of the model were given, and no index is of such a model.
    """
    from maia_core.plugin import MaiaError, UsageError

    context, given = chosen
    known = {folder: sheet for folder, sheet in known.items() if sheet.complete} or known
    lacks = ""
    if given:
        made = context.model(model, **given).fingerprint
        known = {folder: sheet for folder, sheet in known.items() if sheet.model_fingerprint == made}
        if not known:
            raise UsageError(
                f"no index of {model} with these options is known here; `maia exemplars build` with them makes one"
            )
    else:
        # Where one says that it is of the default model, that tells of those that do not say, too.
        default = {sheet.model_fingerprint for sheet in known.values() if sheet.options == {}}
        plain = {folder: sheet for folder, sheet in known.items() if sheet.model_fingerprint in default}
        unsure = any(sheet.options is None for sheet in known.values())
        lack = (
            "whether the model had its default options is not known" if unsure else "none with default options is known"
        )
        known, lacks = plain or known, "" if plain else lack
    try:
        data = context.dataset
        same = {folder: sheet for folder, sheet in known.items() if sheet.dataset_fingerprint == data.fingerprint}
        data_lack = (
            "" if same else f"none on the data set that is asked for ({data.name}, {len(data):,} images) is known"
        )
    except MaiaError:  # Looking at an index needs no data set.
        same, data_lack = {}, f"the data set that is asked for ({context.config.dataset.name}) cannot be compared"
    return same or known, "; ".join(filter(None, (lacks, data_lack)))


def _several(target: str, known: Mapping[Path, Sheet]) -> str:
    """Says what tells several indexes apart, and how one of them is chosen."""
    sheets = known.values()
    ways = []
    if len({sheet.dataset for sheet in sheets}) > 1:
        ways.append("choose --dataset")
    elif len({sheet.dataset_fingerprint for sheet in sheets}) > 1:
        ways.append("give the data set's options (-o dataset.KEY=VALUE)")
    if len({sheet.model_fingerprint for sheet in sheets}) > 1:
        ways.append("give the model's options (-o)")
    which = "; ".join(
        f"{folder} ({_data_of(sheet)}, model {sheet.model_fingerprint[:SHORT]} with {options_of(sheet)})"
        for folder, sheet in known.items()
    )
    return f"several indexes of {target} are known; {', '.join(ways)}, or give the folder: {which}"


def _data_of(sheet: Sheet) -> str:
    part = "" if sheet.complete else f", of which it holds {ranges(sheet)}"
    return f"{sheet.images:,} images of {sheet.dataset}{part}"


def _identity(sheet: Sheet) -> tuple[str, str]:
    return sheet.model_fingerprint, sheet.dataset_fingerprint


def _split(rest: str) -> tuple[str, str]:
    """Splits LAYER:UNIT; a layer's name may hold a colon (LAYER:sae=FILE)."""
    layer, colon, unit = rest.rpartition(":")
    return (layer, unit) if colon and "=" not in unit else (rest, "")


def unit_of(folder: Path, layer: str, text: str) -> Unit:
    from maia_core.plugin import LayerInfo
    from maia_torch.index.folder import Index
    from maia_torch.layers import Layer, find_unit

    index = Index(folder).layer(layer)
    sheet = index.sheet
    info = LayerInfo(name=sheet.layer, units=sheet.units, shape=sheet.shape, kind=sheet.kind)
    return index.unit(find_unit(text, Layer(info, "", 1), sheet.labels))


def numbers_of(text: str | None, layer: LayerIndex) -> list[int]:
    if text is None:
        return list(range(layer.sheet.units))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--units are numbers with commas, not '{text}'") from error
    return [layer.unit(number).number for number in numbers]
