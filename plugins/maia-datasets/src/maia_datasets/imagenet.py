"""The data set `imagenet`: the images of ILSVRC 2012, in whichever of the usual layouts they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from maia_core.plugin import RunContext, UsageError
from maia_datasets import imagenet_labels
from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import existing, is_inside, printable
from maia_datasets.imagenet_labels import WNID
from maia_datasets.stored import FilePart, StoredImages
from maia_datasets.tarindex import members

FOLDERS = ("val", "ILSVRC2012_img_val", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val.tar")
"""Where the validation images lie in the folders that people have: torchvision's, the original, Kaggle's."""

SUFFIXES = (".jpeg", ".jpg", ".png")


class Found(NamedTuple):
    """An image: the stem of its file's name, where it lies, and its class (a WordNet id) if its folder names it."""

    stem: str
    part: FilePart
    wnid: str


class ImageNetDataset(StoredImages):
    """ImageNet in the order of the files' names; the stem of its file's name is an image's id.

    So ids, order and fingerprint are the same in every layout: the archive as it was downloaded, a flat folder, one
    folder a class.
    """

    class Config(ImageOptions):
        """Options of the data set `imagenet`."""

        path: Path
        """The folder that holds `val` (or the archive's or Kaggle's folders), the folder of the images themselves, or
        `ILSVRC2012_img_val.tar`."""
        labels: Path | None = None
        """Kaggle's `LOC_val_solution.csv`, or the development kit's `ILSVRC2012_validation_ground_truth.txt`. Found by
        itself near the images; not needed where each class has a folder."""

    def __init__(self, config: Config, context: RunContext) -> None:
        root = existing(config.path, "the folder of ImageNet's validation images")
        images = root if root.is_file() else next((root / f for f in FOLDERS if (root / f).exists()), root)
        out: list[str] = []
        found = sorted(_in_archive(images, context, out) if images.is_file() else _in_folder(images, out))
        if out:
            context.warn(
                f"{len(out):,} files in {images} are links or no regular files and are not in the data set; the first "
                f"is {printable(out[0])}: copy them into it, or set dataset.path to their own folder"
            )
        if not found:
            raise UsageError(
                f"{images} holds neither images nor class folders such as n01440764; set dataset.path to the folder "
                "that holds val, or use the data set 'folder'"
            )
        for one, other in pairwise(found):
            if one.stem == other.stem:
                raise UsageError(f"two images in {images} are named {one.stem}; use the data set 'folder' for them")
        self._wnids = [image.wnid for image in found]
        self._remark, self._warn = "", context.warn
        if not all(self._wnids):
            labels = imagenet_labels.find(config.labels, [root, *images.absolute().parents[:4]])
            known, self._remark = imagenet_labels.read(labels)
            self._wnids = [image.wnid or known.get(image.stem, "") for image in found]
        super().__init__("imagenet", [printable(i.stem) for i in found], [i.part for i in found], config)

    def concepts(self, index: int) -> Sequence[str]:
        """Names the class, then what is broader (tench, cyprinid, ... fish, ... animal); nothing if it is unknown."""
        if self._remark:
            self._warn(self._remark)
            self._remark = ""
        return imagenet_labels.concepts(self._wnids[index])


def _in_folder(folder: Path, left_out: list[str]) -> Iterator[Found]:
    """Yields the images of a folder and of its class folders; a link that leads out of it is left out."""
    root = os.path.realpath(folder)
    with os.scandir(folder) as entries:
        classes = [(entry.path, entry.name) for entry in entries if WNID.fullmatch(entry.name) and entry.is_dir()]
    for path, wnid in [*classes, (str(folder), "")]:
        if not is_inside(path, root):
            left_out.append(path)
            continue
        with os.scandir(path) as entries:
            for entry in entries:
                stem, suffix = os.path.splitext(entry.name)
                if not _is_image(stem, suffix) or entry.is_dir():
                    continue
                if entry.is_file() and (not entry.is_symlink() or is_inside(entry.path, root)):
                    yield Found(stem, FilePart(entry.path, 0, entry.stat().st_size), wnid)
                else:
                    left_out.append(entry.path)


def _in_archive(archive: Path, context: RunContext, left_out: list[str]) -> Iterator[Found]:
    for name, part in members(archive, context):
        folder, base = os.path.split(name)
        stem, suffix = os.path.splitext(base)
        wnid = os.path.basename(folder)
        if part is None:
            left_out.append(name)
        elif _is_image(stem, suffix):
            yield Found(stem, part, wnid if WNID.fullmatch(wnid) else "")


def _is_image(stem: str, suffix: str) -> bool:
    return suffix.lower() in SUFFIXES and not stem.startswith(".")
