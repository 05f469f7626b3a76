"""What the arguments of `maia exemplars` stand for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from maia_core.plugin import Context, Dataset, MaiaError, Model, RunConfig, RunContext, UsageError, cache_dir
from maia_exemplars.folder import Index, all_folders
from maia_exemplars.info import IndexInfo, Range
from maia_exemplars.layer import LayerIndex, Unit
from maia_exemplars.measured import Measurer
from maia_exemplars.printing import FINGERPRINT_DIGITS, note, options_of, ranges
from maia_exemplars.recheck import disagreement
from maia_exemplars.units import find_unit, split_ref

EARLIER = "of an earlier model"
"""Marks an index of a model that has other weights today."""

MAX_ADVISED = 3
"""Models that the advice on a reference without its model names."""

CHECKED_UNITS = 8
"""Units of a layer whose exemplars are measured again before a build leaves the layer as it is."""


def context_of(config: RunConfig) -> Context:
    """Returns the context of a command, whose warnings are printed."""
    context = Context(config)
    context.warn_to(note)
    return context


def model_of(context: RunContext, model: str) -> Model:
    """Returns a model, with the options that the configuration has for it."""
    system = context.config.system
    return context.model(model, **(system.options if system else {}))


def layers_of(text: str, model: Any) -> list[str]:
    """Returns the names of layers that a list of names and patterns stands for.

    Raises:
        UsageError: one stands for none.
    """
    chosen: list[str] = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name == "main":
            fits = [layer.name for layer in model.layers() if layer.kind == "main"]
        elif any(letter in name for letter in "*?["):
            fits = [layer.name for layer in model.layers() if fnmatchcase(layer.name, name)]
        else:
            fits = [name]
        if not fits:
            raise UsageError(f"no layer of {model.name} is '{name}'; `maia systems show {model.name}` shows all")
        chosen += fits
    if not chosen:
        raise UsageError("--layers names no layer")
    return chosen


def span_of(shard: str | None, images: int) -> Range | None:
    """Returns the images of a shard `I/N`: the first and the one after the last."""
    if shard is None:
        return None
    first, _, of = shard.partition("/")
    if not (first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of) <= images):
        raise click.UsageError(f"--shard is I/N with I from 1 to N, and no more shards than images, not '{shard}'")
    number, parts = int(first), int(of)
    return (number - 1) * images // parts, number * images // parts


def is_built(index: Index, measurer: Measurer, data: Dataset, k: int, span: Range | None) -> bool:
    """Returns whether an index has a measurer's layer already, with the values that the model gives today.

    Raises:
        UsageError: the folder holds the index of something else.
    """
    (layer,) = measurer.layers
    for name in index.layers():
        info = index.layer(name).info
        for fits, what in (
            (
                info.model_fingerprint == layer.model_fingerprint,
                f"another model, other weights or preprocessing ({info.model})",
            ),
            (info.dataset_fingerprint == data.fingerprint, f"another data set ({info.dataset})"),
            (info.ranges == (span or (0, len(data)),), "another part of the data set"),
        ):
            if not fits:
                raise UsageError(f"{index.folder} is the index of {what}; choose another --out")
    if layer.layer not in index.layers():
        return False
    built = index.layer(layer.layer)
    fits = (built.info.key, built.info.shape) == (layer.key, layer.shape) and built.info.k >= min(k, len(data))
    if not fits or not built.info.count:
        return fits
    units = sorted({number * (layer.units - 1) // (CHECKED_UNITS - 1) for number in range(CHECKED_UNITS)})
    if fault := disagreement(built, measurer, data, units):
        note(f"{index.folder} holds {layer.layer} of another network with this fingerprint: {fault}; measured again")
    return not fault


def target_of(target: str, config: RunConfig | None = None) -> tuple[Path, str, str]:
    """Splits INDEX:LAYER:UNIT or MODEL:LAYER:UNIT into the folder of an index, a layer and a unit ('' where missing).

    Where options of the model are given it is made, and its index is meant and no other; else one of the model without
    options is preferred, and one on the run's data set. An index that is not what was asked for is named in a note. Of
    several indexes of the same model and data set it is the first.

    Args:
        target: The argument as the user wrote it.
        config: Chooses the data set, and as `system` the model's options; the defaults where it is None.

    Raises:
        UsageError: no index is meant, or several are.
    """
    cuts = [place for place, letter in enumerate(target) if letter == ":"]
    for cut in [len(target), *reversed(cuts)]:
        if Path(target[:cut]).is_dir():
            return Path(target[:cut]), *_split(target[cut + 1 :], Index(Path(target[:cut])).layers())
    model, _, rest = target.partition(":")
    layers = {info.layer for infos in _infos(model).values() for info in infos}
    layer, unit = _split(rest, layers)
    indexes = _known(model, layer)
    indexes, asked = _nearest(indexes, model, context_of(config or RunConfig()))
    if len({_identity(info) for info in indexes.values()}) > 1:
        raise UsageError(_ambiguous(target, indexes))
    folder, info = next(iter(indexes.items()))
    if asked:
        note(f"this is the index of {model} with {options_of(info)} on {_data_of(info)}; {asked}")
    return folder, layer, unit


def _known(model: str, layer: str) -> dict[Path, IndexInfo]:
    """Returns the indexes of a model that this machine knows, with one of their layers: the named one if it has a name.

    Raises:
        UsageError: there are none.
    """
    fits = {folder: [info for info in infos if layer in ("", info.layer)] for folder, infos in _infos(model).items()}
    by_folder = {folder: infos[0] for folder, infos in fits.items() if infos}
    if not by_folder:
        target = f"{model}:{layer}" if layer else model
        of_layer = [info.model for infos in _infos().values() for info in infos if split_ref(target, {info.layer})]
        if of_layer:
            several = " or ".join(f"{name}:{target}" for name in sorted(set(of_layer))[:MAX_ADVISED])
            raise UsageError(f"'{target}' lacks its model; give the full reference MODEL:LAYER:UNIT, here {several}")
        registry, plugin = Context(RunConfig()).registry, model.partition("/")[0]
        if registry.find("model", plugin) is None:
            missing = registry.missing(plugin, "model")
            raise UsageError(f"'{target}' is not a reference MODEL:LAYER:UNIT of an index known here; {missing}")
        build = f"maia exemplars build {model}" + (f" --layers {layer}" if layer else "")
        raise UsageError(
            f"no index of {target} is known here; `{build}` makes one, `maia exemplars list` lists what there is"
        )
    return by_folder


def _infos(model: str = "") -> dict[Path, list[IndexInfo]]:
    """Returns what the indexes that this machine knows hold of a model (of all if it is empty), by folder."""
    indexes = {folder: Index(folder) for folder in all_folders(cache_dir())}
    infos = {folder: [index.layer(name).info for name in index.layers()] for folder, index in indexes.items()}
    return {folder: [info for info in of_all if model in ("", info.model)] for folder, of_all in infos.items()}


def to_remove(target: str) -> tuple[Path, str]:
    """Returns the folder and the layer ('': all) that INDEX[:LAYER] or MODEL[:LAYER] stands for.

    Raises:
        UsageError: a model has no index, or several: what is deleted must be named.
    """
    cuts = [place for place, letter in enumerate(target) if letter == ":"]
    for cut in [len(target), *reversed(cuts)]:
        if Path(target[:cut]).is_dir():
            return Path(target[:cut]), target[cut + 1 :]
    model, _, layer = target.partition(":")
    indexes = _known(model, layer)
    if len(indexes) > 1:
        which = "; ".join(f"{folder} ({_data_of(info)}, {options_of(info)})" for folder, info in indexes.items())
        raise UsageError(f"several indexes of {target} are known; name the folder to remove: {which}")
    return next(iter(indexes)), layer


def versions(infos: Iterable[IndexInfo]) -> dict[str, str]:
    """Tells indexes of the same model with the same options apart: "current" or "of an earlier model", by fingerprint.

    A model is made only where several fingerprints have its name and options.
    """
    same: dict[str, dict[str, IndexInfo]] = {}
    for info in infos:
        same.setdefault(f"{info.model} {info.options}", {})[info.model_fingerprint] = info
    words: dict[str, str] = {}
    for several in same.values():
        if len(several) > 1:
            first = next(iter(several.values()))
            try:
                current = context_of(RunConfig()).model(first.model, **(first.options or {})).fingerprint
            except MaiaError:  # Its file is gone, for example.
                continue
            words |= {one: "current" if one == current else EARLIER for one in several}
    return words


def _nearest(indexes: dict[Path, IndexInfo], model: str, context: RunContext) -> tuple[dict[Path, IndexInfo], str]:
    """Returns the indexes that are nearest to what is asked for, and what they are not of all that, in words.

    Raises:
        UsageError: options of the model were given, and no index is of such a model.
    """
    indexes = {folder: info for folder, info in indexes.items() if info.complete} or indexes
    lacks = ""
    if context.config.system and context.config.system.options:
        fingerprint = model_of(context, model).fingerprint
        indexes = {folder: info for folder, info in indexes.items() if info.model_fingerprint == fingerprint}
        if not indexes:
            raise UsageError(
                f"no index of {model} with these options is known here; `maia exemplars build` with them makes one"
            )
    else:
        # Where one says that it is of the default model, that tells of those that do not say, too.
        default = {info.model_fingerprint for info in indexes.values() if info.options == {}}
        plain = {folder: info for folder, info in indexes.items() if info.model_fingerprint in default}
        unsure = any(info.options is None for info in indexes.values())
        lack = (
            "whether the model had its default options is not known" if unsure else "none with default options is known"
        )
        indexes, lacks = plain or indexes, "" if plain else lack
        words = versions(indexes.values())
        indexes = {
            folder: info for folder, info in indexes.items() if words.get(info.model_fingerprint) != EARLIER
        } or indexes
    try:
        data = context.dataset
        same = {folder: info for folder, info in indexes.items() if info.dataset_fingerprint == data.fingerprint}
        data_lack = (
            "" if same else f"none on the data set that is asked for ({data.name}, {len(data):,} images) is known"
        )
    except MaiaError:  # Looking at an index needs no data set.
        same, data_lack = {}, f"the data set that is asked for ({context.config.dataset.name}) cannot be compared"
    return same or indexes, "; ".join(filter(None, (lacks, data_lack)))


def _ambiguous(target: str, indexes: Mapping[Path, IndexInfo]) -> str:
    """Says what tells several indexes apart, and how one of them is chosen."""
    infos = indexes.values()
    ways = []
    if len({info.dataset for info in infos}) > 1:
        ways.append("choose --dataset")
    elif len({info.dataset_fingerprint for info in infos}) > 1:
        ways.append("give the data set's options (-o dataset.KEY=VALUE)")
    if len({info.model_fingerprint for info in infos}) > 1:
        ways.append("give the model's options (-o)")
    which = "; ".join(
        f"{folder} ({_data_of(info)}, model {info.model_fingerprint[:FINGERPRINT_DIGITS]} with {options_of(info)})"
        for folder, info in indexes.items()
    )
    return f"several indexes of {target} are known; {', '.join(ways)}, or give the folder: {which}"


def _data_of(info: IndexInfo) -> str:
    part = "" if info.complete else f", of which it holds {ranges(info)}"
    return f"{info.images:,} images of {info.dataset}{part}"


def _identity(info: IndexInfo) -> tuple[str, str]:
    return info.model_fingerprint, info.dataset_fingerprint


def _split(rest: str, layers: Collection[str]) -> tuple[str, str]:
    """Splits LAYER:UNIT after one of these layers; else at the last colon that no readout (LAYER:sae=FILE) follows."""
    if split := split_ref(rest, layers):
        return split
    layer, colon, unit = rest.rpartition(":")
    return (layer, unit) if colon and "=" not in unit else (rest, "")


def unit_of(folder: Path, layer: str, text: str) -> Unit:
    """Opens a unit of an index by number or by name."""
    index = Index(folder).layer(layer)
    return index.unit(find_unit(text, index.info.layer, index.info.units, index.info.labels))


def numbers_of(text: str | None, layer: LayerIndex) -> list[int]:
    """Returns the numbers of units in a list such as `3,5`; None: all of the layer."""
    if text is None:
        return list(range(layer.info.units))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--units are numbers with commas, not '{text}'") from error
    return [layer.unit(number).number for number in numbers]
