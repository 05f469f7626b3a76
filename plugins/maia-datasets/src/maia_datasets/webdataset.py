"""The data set `webdataset`: images in tar shards, read in place."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from maia_core.plugin import RunContext, UsageError, one_line
from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import existing
from maia_datasets.shards import shards
from maia_datasets.stored import Place, StoredImages
from maia_datasets.tarindex import members

IMAGE_SUFFIXES = "jpg;jpeg;png;webp;bmp;gif;tif;tiff;ppm;pgm;pbm"

LABEL_BYTES = 1 << 20
"""A longer label file is not read."""

Sample = dict[str, Place]
"""The files of one sample by what their names end with."""


class WebDataset(StoredImages):
    """Images in tar shards, in the order of the shards and of their files; an image's id is `SHARD/KEY`.

    A sample is the files that follow each other under one key: a file's path up to the first dot of its name. Shards
    are read in place, their headers once, then each image at its offset; nothing is unpacked.
    """

    class Config(ImageOptions):
        """Options of the data set `webdataset`."""

        path: str = Field(min_length=1)
        """A tar archive, a folder of them, or a pattern such as `data-{000000..000099}.tar` or `train-*.tar`."""
        image: str = IMAGE_SUFFIXES
        """What the image's file name ends with, after its first dot; of several the first that a sample has."""
        label: str = ""
        """Where a sample's label is: `cls` or `txt` for the text of such a file, `json:FIELD` for a field of a JSON
        file. Without it images have no labels."""
        classes: Path | None = None
        """A text file with the name of a class on each line, the first of class 0; for labels that are numbers."""

    def __init__(self, config: Config, context: RunContext) -> None:
        suffixes = config.image.lower().split(";")
        label, _, self._field = config.label.lower().partition(":")
        if label == "json" and not self._field:
            raise UsageError("dataset.label: name the field of the JSON files too, as in json:label")
        self._classes = _lines(config.classes) if config.classes else []
        archives = [archive.absolute() for archive in shards(config.path)]
        common = Path(os.path.commonpath([archive.parent for archive in archives]))
        ids: list[str] = []
        images: list[Place] = []
        self._labels: list[Place | None] = []
        endings: Counter[str] = Counter()
        for archive in archives:
            shard = archive.relative_to(common).with_suffix("").as_posix()
            for key, sample in samples(members(archive, context)):
                endings.update(sample.keys())
                image = next((sample[suffix] for suffix in suffixes if suffix in sample), None)
                if image is not None:
                    ids.append(f"{shard}/{key}")
                    images.append(image)
                    self._labels.append(sample.get(label))
        if not images:
            there = ", ".join(f".{ending}" for ending, _ in endings.most_common(5)) or "nothing"
            raise UsageError(f"the shards {config.path} hold {there}, and no image; set dataset.image to its ending")
        super().__init__(common.resolve().name or "shards", distinct(ids), images, config)

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the label as text, a number as the name of its class; nothing where the sample has none.

        Raises:
            UsageError: the label cannot be read, or is a number without a name.
        """
        place = self._labels[index]
        if place is None:
            return []
        try:
            if place.size > LABEL_BYTES:
                raise ValueError(f"it has {place.size:,} bytes")
            text = place.read().decode()
            label = json.loads(text)[self._field] if self._field else text
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"the label of {self.ids[index]} cannot be read: {one_line(error)}") from error
        names = [self._name(item) for item in (label if isinstance(label, list) else [label])]
        return [name for name in names if name]

    def _name(self, label: Any) -> str:
        text = "" if label is None else str(label).strip()
        if not text.isdecimal():
            return text
        if int(text) >= len(self._classes):
            raise UsageError(f"class {text} has no name; set dataset.classes to a file with a name on each line")
        return self._classes[int(text)]


def samples(files: Iterable[tuple[str, Place]]) -> Iterator[tuple[str, Sample]]:
    """Yields the samples of a shard: key and files. Names without a key or an ending are passed over."""
    key, sample = "", Sample()
    for name, place in files:
        folder, slash, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        ending = ending.lower()
        if not stem or not ending:
            continue
        if (own := folder + slash + stem) != key or ending in sample:
            if sample:
                yield key, sample
            key, sample = own, Sample()
        sample[ending] = place
    if sample:
        yield key, sample


def distinct(names: Sequence[str]) -> list[str]:
    """Returns the names in order; one that occurred before gets `#2`, `#3` ..."""
    used = set(names)
    if len(used) == len(names):
        return list(names)
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        own = name
        while own in seen or (own != name and own in used):
            counts[name] += 1
            own = f"{name}#{counts[name] + 1}"
        seen.add(own)
        found.append(own)
    return found


def _lines(path: Path) -> list[str]:
    file = existing(path, "a text file with the name of a class on each line", "dataset.classes")
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"dataset.classes: {file} cannot be read: {one_line(error)}") from error
