"""The files of a pipeline: which ones its folder must hold, and which ones are fetched and used."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from maia_core.plugin import UsageError
from maia_hub.weights import PICKLED, SAFE, fetch_file
from maia_hub.weights import locate as locate_weights

INDEX = "model_index.json"
READ = (".json", ".txt", ".model", ".jinja")
"""Suffixes of the small files that a pipeline is made from."""

WEIGHTLESS = re.compile(r"(Scheduler|Tokenizer(Fast)?|Processor(Fast)?|FeatureExtractor|Solver)$")
"""Classes of components that have no weights."""

WEIGHTS = re.compile(
    r"(?P<stem>(diffusion_pytorch_)?model)(\.(?P<variant>[\w-]+?))?(-(?P<part>\d+)-of-(?P<parts>\d+))?"
    r"(\.(?P<old>[\w-]+))?\.safetensors"
)
"""Names of weight files: `model.fp16-00001-of-00002.safetensors`, in old folders `model-00001-of-00002.fp16...`."""


class Component(NamedTuple):
    """One part of a pipeline, as its index names it."""

    name: str
    library: str
    kind: str


class Index(NamedTuple):
    """A pipeline's index: the class of the pipeline, and its parts."""

    pipeline: str
    components: tuple[Component, ...]


def locate(model: str, revision: str | None, variant: str, safety: bool, warn: Callable[[str], None]) -> Path:
    """Returns the checked folder of a pipeline; a pipeline of the Hub is fetched if the cache lacks it.

    Args:
        model: A folder, or a name on the Hub.
        revision: Branch, tag or commit on the Hub.
        variant: The set of weights; empty: the plain one.
        safety: Whether its safety checker is used.
        warn: Takes a line that names the download and its size.

    Raises:
        UsageError: there is no such folder or model, or it cannot be loaded safely.
        RunError: the Hub cannot be reached.
    """

    def check(folder: Path, name: str) -> None:
        files(folder, name, variant, safety=safety)

    def select(sizes: Mapping[str, int], name: str) -> list[str]:
        if INDEX not in sizes:
            raise UsageError(f"{name} is not a diffusion pipeline: it has no {INDEX}; choose another model")
        names = [INDEX]
        for part in used_parts(read_index(fetch_file(model, INDEX, revision).parent, model), safety=safety):
            prefix = f"{part.name}/"
            own = [file.removeprefix(prefix) for file in sizes if file.startswith(prefix)]
            names += [prefix + file for file in own if file.endswith(READ) and "/" not in file]
            if not WEIGHTLESS.search(part.kind):
                names += [prefix + file for file in weights(own, f"{model}, {part.name}", variant)]
        return names

    # `check` knows the parts that are used; the Hub's library counts all variants of the weights.
    return locate_weights(model, revision, warn, check=check, select=select, cached=[INDEX])


def read_index(folder: Path, name: str) -> Index:
    """Reads a pipeline's index.

    Raises:
        UsageError: there is none, it is broken, or it asks for code that comes with the model.
    """
    try:
        written = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{name} is not a diffusion pipeline: it has no {INDEX}{_instead(folder)}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{name}: {INDEX} cannot be read; fetch or save the model again") from error
    if not isinstance(written, dict) or not written.get("_class_name"):
        raise UsageError(f"{name}: {INDEX} does not say which pipeline it is; fetch or save the model again")
    kind = written["_class_name"]
    if not isinstance(kind, str):
        raise UsageError(f"{name} needs code that comes with it, which is never run; choose another model")
    parts = {key: value for key, value in written.items() if not key.startswith("_") and isinstance(value, list)}
    if not all(len(value) == 2 for value in parts.values()):
        raise UsageError(f"{name}: {INDEX} cannot be read; fetch or save the model again")
    named = [Component(key, *value) for key, value in parts.items() if value[0] is not None]
    return Index(kind, tuple(part for part in named if isinstance(part.library, str) and isinstance(part.kind, str)))


def files(folder: Path, name: str, variant: str, *, safety: bool) -> list[Path]:
    """Returns the files that a pipeline is made from.

    Args:
        folder: The pipeline's folder.
        name: What the user calls it.
        variant: The set of weights; empty: the plain one.
        safety: Whether its safety checker is wanted.

    Raises:
        UsageError: says what is missing.
    """
    index = read_index(folder, name)
    found = [folder / INDEX]
    varied = not variant
    for part in used_parts(index, safety=safety):
        place = folder / part.name
        if not place.is_dir():
            raise UsageError(f"{name} lacks its folder {part.name}; fetch or save the model again")
        names = sorted(file.name for file in place.iterdir() if file.is_file())
        found += [place / file for file in names if file.endswith(READ)]
        if not WEIGHTLESS.search(part.kind):
            chosen = weights(names, f"{name}, {part.name}", variant)
            varied |= any(_variant(file) for file in chosen)
            found += [place / file for file in chosen]
    if not varied:
        raise UsageError(f"{name} has no weights of variant '{variant}'; leave `variant` out, or choose another")
    return found


def used_parts(index: Index, *, safety: bool) -> list[Component]:
    """Returns the parts that are loaded."""
    return [part for part in index.components if safety or part.name != "safety_checker"]


def weights(names: Iterable[str], where: str, variant: str) -> list[str]:
    """Returns the weight files of one component: those of the variant where it has any, else the plain ones.

    Raises:
        UsageError: there are none that can be loaded safely, or some are missing.
    """
    names = list(names)
    by_variant: dict[str, list[str]] = {}
    for file in names:
        if WEIGHTS.fullmatch(file):
            by_variant.setdefault(_variant(file), []).append(file)
    chosen = by_variant.get(variant) or by_variant.get("")
    if not chosen:
        if by_variant:
            others = ", ".join(sorted(by_variant))
            raise UsageError(f"{where} has no plain weights; set variant to one of: {others}")
        if any(file.endswith(PICKLED) for file in names):
            raise UsageError(
                f"{where} has its weights as pickle files only, which run code when they are loaded; choose a revision "
                "with safetensors, or convert them (`save_pretrained` writes safetensors)"
            )
        raise UsageError(f"{where} has no weights in safetensors; fetch or save the model again")
    parts = [found["parts"] for file in chosen if (found := WEIGHTS.fullmatch(file)) and found["parts"]]
    if parts and len(parts) != int(parts[0]):
        raise UsageError(f"{where} has {len(parts)} of the {int(parts[0])} files of its weights; fetch it again")
    return sorted(chosen)


def _variant(file: str) -> str:
    found = WEIGHTS.fullmatch(file)
    return (found["variant"] or found["old"] or "") if found else ""


def _instead(folder: Path) -> str:
    """Says what a folder without an index holds."""
    if (folder / "config.json").is_file():
        return " (it is one model alone; name the folder of the whole pipeline)"
    if any(file.suffix in (SAFE, ".ckpt") for file in folder.iterdir()):
        return " (it is a checkpoint in one file; load it with diffusers' `from_single_file`, and `save_pretrained` it)"
    return "; name the folder that `save_pretrained` wrote"
