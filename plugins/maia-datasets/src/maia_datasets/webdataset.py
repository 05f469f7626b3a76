"""The data set `webdataset`: images in tar shards, read in place."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from maia_core.plugin import RunContext, UsageError, decoded, one_line
from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import existing
from maia_datasets.shards import shards
from maia_datasets.stored import FilePart, StoredImages
from maia_datasets.tarindex import members

IMAGE_SUFFIXES = "jpg;jpeg;png;webp;bmp;gif;tif;tiff;ppm;pgm;pbm"

LABEL_BYTES = 1 << 20
"""A longer label file is not read."""

Sample = dict[str, FilePart | None]
"""The files of one sample by what their names end with."""


class WebDataset(StoredImages):
    """Images in tar shards, in the order of the shards and of their files; an image's id is `SHARD/KEY`.

    A sample is the files that follow each other under one key: a file's path up to the first dot of its name. A sample
    has one image, or, where no ending is an image's (`22.05.png`), all that look like images. Files that are left out
    are counted. Shards are read in place, their headers once, then each image at its offset; nothing is unpacked.
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
        images: list[FilePart] = []
        self._labels: list[FilePart | None] = []
        endings: Counter[str] = Counter()
        left_out: list[str] = []
        for archive in archives:
            shard = archive.relative_to(common).with_suffix("").as_posix()
            for key, sample in samples(members(archive, context)):
                endings.update(sample.keys())
                pictures = images_of(sample, suffixes, whole=config.image == IMAGE_SUFFIXES)
                for ending, part in pictures.items():
                    ids.append(f"{shard}/{key}.{ending.rpartition('.')[0]}".rstrip("."))
                    images.append(part)
                    self._labels.append(sample.get(label))
                left = [ending for ending in sample if ending not in pictures and is_image(ending)]
                if not pictures:
                    left_out.append(f"{shard}/{key}.{next(iter(left or sample))}")
                elif config.image == IMAGE_SUFFIXES:  # Else the user chose among several.
                    left_out += [f"{shard}/{key}.{ending}" for ending in left]
        if not images:
            there = ", ".join(f".{ending}" for ending, _ in endings.most_common(5)) or "nothing"
            raise UsageError(f"the shards {config.path} hold {there}, and no image; set dataset.image to its ending")
        if left_out:
            context.warn(
                f"{len(left_out):,} files in {config.path} are not in the data set: links, second images of a sample, "
                f"or samples without an image. The first is {left_out[0]}; dataset.image chooses other endings"
            )
        if label and (unlabelled := self._labels.count(None)):
            context.warn(f"{unlabelled:,} of {len(images):,} samples in {config.path} have no .{label}, so no label")
        super().__init__(common.resolve().name or "shards", distinct(ids), images, config)

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the label as text, a number as the name of its class; nothing where the sample has none.

        Raises:
            UsageError: the label cannot be read, or is a number without a name.
        """
        part = self._labels[index]
        if part is None:
            return []
        try:
            if part.size > LABEL_BYTES:
                raise ValueError(f"it has {part.size:,} bytes")
            text = decoded(part.read())
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


def samples(files: Iterable[tuple[str, FilePart | None]]) -> Iterator[tuple[str, Sample]]:
    """Yields the samples of a shard: key and files. A file without key or ending is a sample of its own."""
    key, sample = "", Sample()
    for name, part in files:
        folder, slash, base = name.rpartition("/")
        stem, _, ending = base.partition(".")
        ending = ending.lower()
        own = folder + slash + stem if stem and ending else name
        if own != key or ending in sample:
            if sample:
                yield key, sample
            key, sample = own, Sample()
        sample[ending if own != name else ""] = part
    if sample:
        yield key, sample


def images_of(sample: Sample, suffixes: Sequence[str], whole: bool) -> dict[str, FilePart]:
    """Returns the images of a sample by their endings: the first of the suffixes that it has.

    Args:
        sample: Its files.
        suffixes: Endings of images, in order of preference.
        whole: Whether a sample without any of them is all its images, as where names hold dots (`22.05.png`).
    """
    there = {ending: part for ending, part in sample.items() if part is not None}
    chosen = [suffix for suffix in suffixes if suffix in there][:1]
    return {ending: there[ending] for ending in chosen or filter(is_image, there if whole else ())}


def is_image(ending: str) -> bool:
    """Returns whether a file with this ending looks like an image: `left.png` does."""
    return ending.rpartition(".")[2] in IMAGE_SUFFIXES.split(";")


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
        return [line.strip() for line in re.split("\r\n|\r|\n", decoded(file.read_bytes()))]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"dataset.classes: {file} cannot be read: {one_line(error)}") from error
