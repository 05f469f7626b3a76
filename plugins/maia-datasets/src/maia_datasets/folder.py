"""The data set `folder`: a folder of image files, with or without class folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from maia_core.plugin import RunContext, UnreadableImage, UsageError, did_you_mean, open_plain
from maia_datasets.decode import MAX_BYTES, ImageOptions
from maia_datasets.encoded import EncodedImages, natural, printable


class FolderDataset(EncodedImages):
    """Image files below a folder, in natural order (`2.png` before `10.png`); a file's own folder names its class.

    Every file counts: one that is not an image, or is broken, raises `UnreadableImage` when it is read, so that it is
    skipped and named. Hidden files are left out, and links, unless the option says otherwise.
    """

    class Config(ImageOptions):
        """Options of the data set `folder`."""

        path: Path
        """The folder."""
        follow_links: bool = False
        """Read files and folders that are links, too. A link may lead anywhere, so not those of a stranger's folder."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._root = _existing(config.path)
        self._follow_links, left_out = config.follow_links, list[str]()
        found = list(files(self._root, config.follow_links, context.warn, left_out))
        if left_out and found:
            context.warn(
                f"{len(left_out):,} files or folders in {self._root} are links or no regular files and are left out, "
                f"{printable(min(left_out, key=natural))} first; set dataset.follow_links=true to read links"
            )
        if not found:
            raise UsageError(
                f"the data set folder {self._root} is empty; put images into it, or choose another "
                "(if it holds links, set dataset.follow_links=true)"
            )
        self._files = [name for name, _ in found]
        name = self._root.resolve().name or "folder"
        super().__init__(name, [printable(name) for name in self._files], [size for _, size in found], config)

    def encoded(self, index: int) -> bytes:
        """See `EncodedImages`."""
        path = self._root / self._files[index]
        with open_plain(path.resolve() if self._follow_links else path) as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:  # It may have grown.
                raise UnreadableImage(f"{self.ids[index]}: {size:,} bytes are more than an image may have")
            return file.read()

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the name of the file's folder as its class; nothing for files directly in the data set's folder."""
        parent = Path(self.ids[index]).parent.name
        return [parent] if parent else []


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if not path.is_dir():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        fault = "is a file" if path.exists() else "does not exist"
        hint = "" if path.exists() else did_you_mean(path.name, beside)
        raise UsageError(f"the data set folder {path} {fault}; set dataset.path to a folder of images.{hint}")
    return path


def files(
    root: Path, follow_links: bool, warn: Callable[[str], None], left_out: list[str]
) -> Iterator[tuple[str, int]]:
    """Yields path below `root` and size of each regular file, in natural order; a folder is entered once only.

    Hidden files are passed over. Links that are not to be followed, pipes and devices are added to `left_out`.
    """
    entered: set[tuple[int, int]] = set()
    waiting: list[tuple[str, int | None]] = [("", None)]  # Without a size: a folder.
    while waiting:
        path, size = waiting.pop()
        if size is not None:
            yield path, size
            continue
        try:
            stat = os.stat(root / path)
            if (stat.st_dev, stat.st_ino) in entered:
                continue
            entered.add((stat.st_dev, stat.st_ino))
            with os.scandir(root / path) as entries:
                seen = sorted((entry for entry in entries if not entry.name.startswith(".")), key=_order, reverse=True)
        except OSError as error:
            warn(f"the folder {printable(path) or root} cannot be read and was left out: {error.strerror}")
            continue
        for entry in seen:
            below = f"{path}/{entry.name}" if path else entry.name
            if entry.is_dir(follow_symlinks=follow_links):
                waiting.append((below, None))
            elif entry.is_file(follow_symlinks=follow_links):
                waiting.append((below, entry.stat().st_size))
            else:  # Reading a pipe or a device may never end.
                left_out.append(below)


def _order(entry: os.DirEntry[str]) -> tuple[list[tuple[int, str]], str]:
    return natural(entry.name)
