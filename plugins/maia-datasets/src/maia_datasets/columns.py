"""Which columns of a Hugging Face data set hold images, labels and ids, and what is in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute
from datasets import ClassLabel, Dataset, Image, Value

from maia_core.plugin import UsageError, did_you_mean, one_line
from maia_datasets.encoded import is_inside, printable

BATCH = 10_000
"""Rows whose sizes are read at once."""

USUAL = ("image", "img")
"""What the column of the images is called where there are several: the others are masks and the like."""


def choose(splits: Mapping[str, Dataset], split: str | None, path: str) -> str:
    """Returns the name of the split that is asked for, or of the only one.

    Raises:
        UsageError: there is no such split, or there are several to choose from; the message lists them.
    """
    if split is None and len(splits) == 1:
        return next(iter(splits))
    if split is None or split not in splits:
        listed = f"{path} has the splits {', '.join(splits)}; choose one with dataset.split"
        raise UsageError(
            listed if split is None else f"there is no split '{split}': {listed}.{did_you_mean(split, splits)}"
        )
    return split


def images(rows: Dataset, column: str | None) -> Dataset:
    """Returns the column of the images alone, undecoded: `rows[i]` is an Arrow table of one row.

    Raises:
        UsageError: there is no such column, none with images, or several; the message lists the columns.
    """
    if column is None:
        found = [name for name, feature in rows.features.items() if isinstance(feature, Image)]
        column = next((name for name in USUAL if name in found), found[0] if len(found) == 1 else None)
        if column is None:
            count = "several columns hold" if found else "no column holds"
            raise UsageError(f"{count} images; choose one of {_listed(rows)} with dataset.image_column")
    _check(rows, column, "image_column")
    try:
        return rows.select_columns([column]).cast_column(column, Image(decode=False)).with_format("arrow")
    except (TypeError, ValueError, NotImplementedError) as error:  # Arrow's own errors are among these.
        raise UsageError(f"dataset.image_column: {column} holds no images ({one_line(error)[:200]})") from error


def content(rows: Dataset, index: int) -> tuple[bytes | None, str | None]:
    """Returns the encoded image in a row of `images`, or the path of its file, or neither."""
    (column,) = rows.column_names
    row: dict[str, Any] = rows[index][column][0].as_py() or {}
    return row.get("bytes"), row.get("path")


def sizes(rows: Dataset, folders: Sequence[str]) -> tuple[list[int], list[str]]:
    """Returns the bytes of each image in `images`, and the paths that lead out of the data set's folders.

    No image is read. The size of a file that is missing, or lies outside, is -1.
    """
    (column,) = rows.column_names
    lengths: list[int] = []
    outside: list[str] = []
    for table in rows.iter(batch_size=BATCH):
        stored = pyarrow.compute.binary_length(pyarrow.compute.struct_field(table[column], "bytes"))
        paths = pyarrow.compute.struct_field(table[column], "path")
        for length, path in zip(stored.to_pylist(), paths.to_pylist(), strict=True):
            if length is None and path and not _is_in(path, folders):
                outside.append(path)
            lengths.append(size_of_file(path, folders) if length is None else length)
    return lengths, outside


def size_of_file(path: str | None, folders: Sequence[str]) -> int:
    """Returns the size of a regular file in one of the folders; -1 where there is none."""
    try:
        status = os.stat(path or "")
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) and path and _is_in(path, folders) else -1


def _is_in(path: str, folders: Sequence[str]) -> bool:
    try:
        return any(is_inside(path, folder) for folder in folders)
    except ValueError:  # A name that no file can have.
        return False


def ids(rows: Dataset, column: str) -> list[str]:
    """Returns the texts or numbers of a column as ids.

    Raises:
        UsageError: there is no such column, or one occurs twice.
    """
    _check(rows, column, "id_column")
    found: dict[str, None] = {}
    for value in rows.select_columns([column]).with_format(None)[:][column]:
        name = printable(str(value))
        if name in found:
            raise UsageError(f"dataset.id_column: '{name}' occurs twice in {column}; choose a column of distinct names")
        found[name] = None
    return list(found)


class Labels:
    """The labels of a data set: the names of its classes, or texts."""

    def __init__(self, rows: Dataset, column: str | None) -> None:
        """Finds the column: the one that is asked for, else the first whose type is a class label, else none.

        Raises:
            UsageError: there is no such column, or it holds neither class labels nor texts.
        """
        if column is None:
            column = next((name for name, feature in rows.features.items() if _classes(feature)), None)
        else:
            _check(rows, column, "label_column")
            inner = getattr(rows.features[column], "feature", rows.features[column])
            if not _classes(inner) and not (isinstance(inner, Value) and "string" in inner.dtype):
                raise UsageError(
                    f"dataset.label_column: {column} holds neither class labels nor texts: {_listed(rows)}"
                )
        self._column = column
        self._names = _classes(rows.features[column]) if column else ()
        self._rows = rows.select_columns([column]).with_format(None) if column else None

    def __getitem__(self, index: int) -> list[str]:
        """Returns what a row is labelled with; of a class with several names the first."""
        if self._rows is None:
            return []
        found = self._rows[index][self._column]
        names = map(self._name, found if isinstance(found, list) else [found])
        return [name for name in names if name]

    def _name(self, label: Any) -> str:
        if isinstance(label, int):
            return self._names[label].split(",")[0].strip() if 0 <= label < len(self._names) else ""
        return (label or "").strip()


def _classes(feature: Any) -> Sequence[str]:
    """Returns the names of a class label, or of a list of such; nothing for another type."""
    inner = getattr(feature, "feature", feature)
    return tuple(inner.names) if isinstance(inner, ClassLabel) else ()


def _check(rows: Dataset, column: str, option: str) -> None:
    if column not in rows.features:
        hint = did_you_mean(column, rows.features)
        raise UsageError(f"dataset.{option}: there is no column '{column}' among {_listed(rows)}.{hint}")


def _listed(rows: Dataset) -> str:
    kinds = {name: getattr(feature, "dtype", type(feature).__name__) for name, feature in rows.features.items()}
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
