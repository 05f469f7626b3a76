"""Indexes as folders of layers, and where a run finds them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from maia_core.plugin import UsageError, content_id, did_you_mean, write_atomically
from maia_exemplars.layer import INFO, LayerIndex, folder_name

CACHE = Path("torch", "exemplars")
"""Folder of the indexes in the cache: one folder per pair of a model and a data set."""

REGISTERED = ".elsewhere"
"""End of the name of a file in the cache that lists folders outside of it."""


class Index:
    """A folder with the indexes of some layers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def layers(self) -> list[str]:
        """Returns the names of the layers that are there; broken ones are left out."""
        try:
            paths = sorted(entry.path for entry in os.scandir(self.folder) if entry.is_dir(follow_symlinks=False))
        except OSError:
            return []
        names = []
        for path in paths:
            with contextlib.suppress(UsageError):
                names.append(LayerIndex(Path(path)).info.layer)
        return names

    def layer(self, name: str) -> LayerIndex:
        """Opens a layer.

        Raises:
            UsageError: it is not there, or broken.
        """
        folder = self.folder / folder_name(name)
        if folder.is_dir():
            return LayerIndex(folder)
        if not (known := self.layers()):
            raise UsageError(f"{self.folder} holds no exemplar index; `maia exemplars build` makes one")
        hint = did_you_mean(name, known) or f" It has {', '.join(known[:10])}."
        raise UsageError(f"the index {self.folder} has no layer '{name}'.{hint}")


def check_is_index(folder: Path) -> None:
    """Makes sure that a folder to build in is new, empty, or an index, finished or not.

    Raises:
        UsageError: it holds something else.
    """
    try:
        entries = list(os.scandir(folder)) if folder.exists() else []
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}") from error
    ours = any((Path(entry) / INFO).is_file() or entry.name.startswith((".building", ".merging")) for entry in entries)
    if entries and not ours:
        raise UsageError(
            f"{folder} holds {entries[0].name} and no exemplar index; name a new or an empty folder with --out"
        )


def remove(folder: Path, layer: str) -> list[str]:
    """Deletes layers of an index from the disk, all if `layer` is empty, and returns their names.

    Nothing else in the folder is touched; the folder goes when it is empty.

    Raises:
        UsageError: there is no such layer.
        OSError: they cannot be deleted.
    """
    index = Index(folder)
    names = [index.layer(layer).info.layer] if layer else index.layers()
    for name in names:
        shutil.rmtree(folder / folder_name(name))
    if not index.layers():
        for work in folder.glob(".building*"):
            shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()
    return names


def cache_folder(cache: Path, model: str, dataset: str) -> Path:
    """Returns where a run keeps the index of a model on a data set, both given by their fingerprints."""
    return cache / CACHE / content_id(model.encode(), dataset.encode())


def register_folder(cache: Path, model: str, dataset: str, folder: Path) -> None:
    """Registers an index outside of the cache, so that later runs find it.

    Raises:
        OSError: the cache cannot be written.
    """
    folders = [folder.resolve(), *_registered(cache_folder(cache, model, dataset))]
    lines = dict.fromkeys(str(path) for path in folders if path.is_dir())
    write_atomically(_registry_of(cache_folder(cache, model, dataset)), "".join(f"{line}\n" for line in lines).encode())


def folders(cache: Path, model: str, dataset: str) -> Iterator[Path]:
    """Yields the folders in which a model's index on a data set may be, those outside of the cache first."""
    own = cache_folder(cache, model, dataset)
    yield from _registered(own)
    yield own


def all_folders(cache: Path) -> Iterator[Path]:
    """Yields every folder with an index that the cache holds or lists."""
    seen = set()
    try:
        entries = sorted(os.scandir(cache / CACHE), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = Path(entry.path)
        folders = [path] if entry.is_dir() else _registered(path.with_suffix("")) if path.suffix == REGISTERED else []
        for folder in folders:
            if folder not in seen:
                seen.add(folder)
                yield folder


def _registry_of(own: Path) -> Path:
    return own.with_name(own.name + REGISTERED)


def _registered(own: Path) -> list[Path]:
    try:
        return [Path(line) for line in _registry_of(own).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return []
