"""Which class an ImageNet image shows: label files, names of classes, and what is broader."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path

from maia_core.plugin import UsageError, decoded, one_line
from maia_datasets.encoded import existing

LABELS = "Kaggle's LOC_val_solution.csv or the development kit's ILSVRC2012_validation_ground_truth.txt"

PATTERNS = (
    "LOC_val_solution.csv",
    "*validation_ground_truth.txt",
    "data/*validation_ground_truth.txt",
    "*devkit*/data/*validation_ground_truth.txt",
)
"""Where label files lie in a folder near the images."""

WNID = re.compile(r"n[0-9]{8}")


def find(given: Path | None, folders: Iterable[Path]) -> Path | None:
    """Returns the label file that the user named, else the first that lies in one of the folders, else None."""
    if given is not None:
        return existing(given, LABELS, "dataset.labels")
    return next((file for folder in folders for pattern in PATTERNS for file in sorted(folder.glob(pattern))), None)


def read(file: Path | None) -> tuple[dict[str, str], str]:
    """Returns the class (a WordNet id) of each image by the stem of its name, and a line if there are no labels.

    Raises:
        UsageError: the file is not what it should be; names the line.
    """
    if file is None:
        return {}, f"ImageNet's labels were not found: set dataset.labels to {LABELS}"
    try:
        lines = decoded(file.read_bytes()).splitlines()
        return (_kaggle(lines), "") if file.suffix.lower() == ".csv" else _ground_truth(lines, file)
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"dataset.labels: {file} is not {LABELS}: {one_line(error)}") from error


def _kaggle(lines: list[str]) -> dict[str, str]:
    """Reads `ImageId,PredictionString`, the latter a class and a box, or several of them."""
    found = {}
    for number, row in enumerate(csv.reader(lines), start=1):
        stem, wnid = (row[0], row[1][:9]) if len(row) == 2 else ("", "")
        if number > 1 and not WNID.fullmatch(wnid):
            raise ValueError(f"line {number} has no class such as n01440764")
        found[stem] = wnid
    return found


def _ground_truth(lines: list[str], file: Path) -> tuple[dict[str, str], str]:
    """Reads the development kit's numbers: line 1 has the class of image 1, as the kit counts its classes."""
    wnids, remark = _numbering(file.parent)
    if remark:
        return {}, remark
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip().isdecimal() or int(line) not in wnids:
            raise ValueError(f"line {number} has no class number of the development kit")
        found[f"ILSVRC2012_val_{number:08d}"] = wnids[int(line)]
    return found, ""


def _numbering(data: Path) -> tuple[dict[int, str], str]:
    """Returns how the development kit numbers its classes, and a line if that cannot be read."""
    text, matlab = data / "map_clsloc.txt", data / "meta.mat"
    if text.exists():
        rows = (line.split() for line in decoded(text.read_bytes()).splitlines() if line.strip())
        return {int(number): wnid for wnid, number, *_ in rows}, ""
    if not matlab.exists():
        return {}, f"the class numbers in {data} mean nothing without the development kit's meta.mat beside them"
    try:
        from scipy.io import loadmat
    except ImportError:
        return {}, f"the labels in {data} need scipy to be read: pip install 'maia-datasets[devkit]'"
    try:
        synsets = loadmat(matlab, squeeze_me=True)["synsets"]
        return dict(zip(synsets["ILSVRC2012_ID"].tolist(), synsets["WNID"].tolist(), strict=True)), ""
    except Exception as error:  # A broken file makes it raise more than its own errors.
        raise ValueError(f"{matlab.name} beside it is broken ({one_line(error)})") from error


def concepts(wnid: str) -> list[str]:
    """Returns the name of a class and of what is broader, step by step; nothing for one beyond the 1,000."""
    names = []
    while wnid in _table():
        name, wnid = _table()[wnid]
        names.append(name)
    return names


@cache
def _table() -> dict[str, tuple[str, str]]:
    """Reads the name of each class and broader concept, and the id of the next broader one, by WordNet id."""
    text = resources.files("maia_datasets").joinpath("data/imagenet.tsv").read_text(encoding="ascii")
    rows = (line.split("\t") for line in text.splitlines())
    return {wnid: (name, above) for wnid, above, name in rows}
