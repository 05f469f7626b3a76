"""Which units a sweep explains: words, files, whole layers, ranges, draws, rows of an earlier table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maia_core.plugin import (
    Context,
    Data,
    HasExemplars,
    LayerInfo,
    MaiaError,
    Model,
    System,
    UsageError,
    content_id,
    decoded,
    one_line,
)
from maia_exemplars import IndexableModel, LayerExemplars, measure_together
from maia_sweep.tables import row_files, units_where

RANGE = re.compile(r"(?P<layer>.+):(?P<first>\d{1,9})-(?P<last>\d{1,9})")


class Selection(Data):
    """Which units to explain, as the user chose them.

    Attributes:
        words: `MODEL:LAYER:UNIT`, `MODEL:LAYER` for all units of a layer, `MODEL:LAYER:0-511` for a range; `MODEL` for
            all of its layers, where `draw` chooses some.
        file: A file of such words, one per line.
        table: A table of labels, whose units are chosen.
        where: A condition on the columns of the table, in SQL.
        draw: Number of units that are drawn at random; None: all.
        inactive: Whether units that are never active are explained too.
    """

    words: tuple[str, ...] = ()
    file: str = ""
    table: str = ""
    where: str = ""
    draw: int | None = None
    inactive: bool = False

    @property
    def chosen(self) -> bool:
        """Whether the user chose any."""
        return bool(self.words or self.file or self.table)

    @property
    def key(self) -> str:
        """Returns what tells this selection, with the content of its files, from others.

        Raises:
            UsageError: a file cannot be read.
        """
        contents = [_content(Path(name)) if name else "" for name in (self.file, self.table)]
        return content_id(self.model_dump_json().encode(), *(part.encode() for part in contents))

    def all_words(self) -> Iterator[tuple[str, bool]]:
        """Yields each word, and whether the user named it on the command line.

        Raises:
            UsageError: a file cannot be read or names no unit, or the condition is wrong.
        """
        yield from ((word.strip(), True) for word in self.words)
        if self.file:
            yield from ((word, False) for word in words_in(Path(self.file)))
        if self.table:
            units = units_where(Path(self.table), self.where)
            if not units:
                fits = f"for which '{self.where[:80]}' holds" if self.where else "yet"
                raise UsageError(f"{self.table} has no row {fits}; choose others with --from and --where")
            yield from ((word, False) for word in units)


def _content(path: Path) -> str:
    """Returns a hash of a file, or of the rows in the folder of a sweep."""
    try:
        paths = row_files(path) if path.is_dir() else [path]
        return content_id(*(each.read_bytes() for each in paths))
    except OSError as error:
        raise UsageError(
            f"cannot read the units in {path}: {error.strerror}; name a file, or the folder of a sweep"
        ) from error


class Found(NamedTuple):
    """The units of a selection.

    Attributes:
        units: References of units, each once.
        inactive: Number of units that are never active, which are left out.
        missing: Words of units that do not exist, and why.
        dense: Number of dense latents of autoencoders, which are left out too.
    """

    units: list[str]
    inactive: int
    missing: dict[str, str]
    dense: int = 0


def words_in(file: Path) -> list[str]:
    """Reads words, one per line; empty lines and what follows `#` are left out.

    Raises:
        UsageError: the file cannot be read, or names none.
    """
    try:
        lines = decoded(file.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the units in {file}: {getattr(error, 'strerror', None) or 'it is not a text file'}; give a "
            "text file with one MODEL:LAYER:UNIT per line"
        ) from error
    found = [word for line in lines if (word := line.partition("#")[0].strip())]
    if not found:
        raise UsageError(f"{file} does not name a unit; write one MODEL:LAYER:UNIT per line")
    return found


def find_units(
    selection: Selection,
    context: Context,
    at: Callable[[str], Mapping[str, Any]],
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Found:
    """Finds the units of a selection. One that does not exist does not prevent the others.

    Args:
        selection: The choice of the user.
        context: Builds the models and the data set, and has the seed.
        at: Returns the options that the configuration has for the model of a word.
        progress: Called while layers are measured, with what is done, how many images are, and of how many.

    Raises:
        PluginError: a word of the command line begins with neither a model nor a system.
        UsageError: a file or a condition is wrong, there is no unit, or fewer than are to be drawn.
    """
    words = list(selection.all_words())
    for word, named in words:
        if named:  # A misspelled plugin on the command line is an error of the command, not of a unit.
            context.made_by_model(word)
    units: dict[tuple[str, str], str] = {}  # The spelling of each, by plugin and reference.
    missing: dict[str, str] = {}
    idle: dict[tuple[str, str], str] = {}
    layers: dict[LayerExemplars, Mapping[int, str]] = {}
    for word, named in words:
        try:
            several = selection.draw is not None
            if not selection.inactive:
                _measure(word, context, at(word), several, progress)
            for unit, system in _systems(word, context, at(word), several):
                name = unit.partition(":")[0], system.info.ref if system is not None else unit
                asked = selection.inactive or (named and unit == word)  # The user wants this one in any case.
                why = None
                if system is not None and not asked:
                    why = _idle(system, context, layers).get(getattr(system, "index", -1))
                if why is None:
                    units.setdefault(name, _canonical(unit, system, context, at))
                else:
                    idle[name] = why
        except MaiaError as error:
            missing[word] = one_line(error)
    found = list(units.values())
    if selection.draw is not None:
        if selection.draw > len(found):
            raise UsageError(f"cannot draw {selection.draw} units: there are {len(found)} active ones; draw fewer")
        chosen = np.random.default_rng([context.seed, len(found)]).choice(len(found), selection.draw, replace=False)
        found = [found[place] for place in sorted(chosen)]
    if not words or not (found or idle):
        reasons = list(dict.fromkeys(missing.values()))
        more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise UsageError("; ".join(reasons[:3]) + more or "no unit is chosen; name one or pass --units")
    left_out = [why for name, why in idle.items() if name not in units]
    dense = sum(why.startswith("dense") for why in left_out)
    return Found(found, len(left_out) - dense, missing, dense)


def _canonical(unit: str, system: System | None, context: Context, at: Callable[[str], Mapping[str, Any]]) -> str:
    """Returns the one spelling of a unit, whose number or layer may have several; that of the user where none is."""
    name, _, _ = unit.partition(":")
    ref = system.info.ref if system is not None else unit
    model, _, rest = ref.partition(":")
    if model == name and ref != unit:
        with suppress(MaiaError):
            if context.model(name, **at(unit)).unit(rest).info.ref == ref:
                return ref
    return unit


def _measure(
    word: str,
    context: Context,
    options: Mapping[str, Any],
    several: bool,
    progress: Callable[[str, int, int], None],
) -> None:
    """Measures the layers that a word names as a whole, in one pass, so that their inactive units are known."""
    name, _, rest = word.partition(":")
    if context.cache is None or not context.made_by_model(word):
        return
    model = context.model(name, **options)
    if not isinstance(model, IndexableModel):
        return
    if rest:
        layers = [layer.name for layer in model.layers() if rest == layer.name or _is_range(rest, layer.name)]
    else:
        layers = [layer.name for layer in model.layers() if several and layer.kind != "inner"]
    unknown = []
    for layer in layers:
        unit = model.unit(f"{layer}:0")
        source = unit.exemplar_source(context.dataset) if isinstance(unit, HasExemplars) else None
        if isinstance(source, LayerExemplars) and not source.is_known():
            unknown.append(layer)
    if unknown:
        measure_together(model, unknown, context.dataset, context.cache, progress=progress, note=context.warn)


def _is_range(rest: str, layer: str) -> bool:
    found = RANGE.fullmatch(rest)
    return found is not None and found["layer"] == layer


def _systems(
    word: str, context: Context, options: Mapping[str, Any], several: bool
) -> Iterator[tuple[str, System | None]]:
    """Yields the units that a word stands for; a synthetic neuron is not built.

    Raises:
        MaiaError: the model or a unit does not exist; those before it have been yielded.
    """
    name, _, rest = word.partition(":")
    if not context.made_by_model(word):
        yield word, None
        return
    model = context.model(name, **options)
    layers = {layer.name: layer for layer in model.layers()}
    if not rest and several:
        for layer in layers.values():
            if layer.kind != "inner":
                yield from _range(model, name, layer.name, 0, layer.units - 1)
        return
    if not rest:
        raise UsageError(f"'{word}' is a model; name a layer, {word}:LAYER, or draw units of all layers with --draw")
    if unit := _readout(model, rest):
        yield word, unit
    elif count := layers[rest].units if rest in layers else _count(model, rest):
        yield from _range(model, name, rest, 0, count - 1)
    elif found := RANGE.fullmatch(rest):
        first, last = int(found["first"]), int(found["last"])
        if first > last:
            raise UsageError(f"'{word}' is an empty range; write {name}:{found['layer']}:{last}-{first}")
        yield from _range(model, name, found["layer"], first, last)
    else:
        yield word, model.unit(rest)


def _range(model: Model, name: str, layer: str, first: int, last: int) -> Iterator[tuple[str, System]]:
    for number in range(first, last + 1):
        yield f"{name}:{layer}:{number}", model.unit(f"{layer}:{number}")


def _readout(model: Model, ref: str) -> System | None:
    """Returns the unit of a readout, such as `LAYER:direction=A.npy:0-2`, a difference and not a range; else None."""
    if "=" in ref:
        with suppress(UsageError):
            return model.unit(ref)
    return None


def _count(model: Model, layer: str) -> int:
    """Returns how many units a readout of a layer has (`LAYER:sae=FILE`); 0 where this is not one."""
    if "=" not in layer:
        return 0
    with suppress(UsageError):
        return int(getattr(getattr(model.unit(f"{layer}:0"), "layer", None), "info", LayerInfo(name="", units=0)).units)
    return 0


def _idle(system: System, context: Context, layers: dict[LayerExemplars, Mapping[int, str]]) -> Mapping[int, str]:
    """Returns the layer's units that never change over the data set, and dead and dense latents, each with the reason.

    A layer's index is built once.
    """
    source = system.exemplar_source(context.dataset) if isinstance(system, HasExemplars) else None
    if not isinstance(source, LayerExemplars):
        return {}
    if source not in layers:
        never = dict.fromkeys(np.flatnonzero(source.inactive()).tolist(), "never active")
        layers[source] = never | dict(getattr(system, "idle", {}))
    return layers[source]
