"""The images that a person is shown, as numbered PNG files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from maia_core.plugin import Image


@dataclass(frozen=True)
class Picture:
    """One image of the conversation.

    Attributes:
        number: What the person calls it; from 1, in the order of the conversation.
        image: The image; masked ones are darkened outside of their mask.
        path: Its file.
    """

    number: int
    image: Image
    path: Path


class Gallery:
    """Writes each image once, into one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pictures: dict[tuple[str, str], Picture] = {}

    def add(self, images: Iterable[Image]) -> list[Picture]:
        """Returns the pictures of images, and writes those that are new.

        Raises:
            OSError: a file cannot be written.
        """
        return [self._picture(image) for image in images]

    @property
    def pictures(self) -> list[Picture]:
        """All pictures so far, in order."""
        return list(self._pictures.values())

    def _picture(self, image: Image) -> Picture:
        key = (image.id, image.title)
        if key not in self._pictures:
            number = len(self._pictures) + 1
            # A title comes from a program: of its characters, only letters and digits reach the file system.
            slug = re.sub(r"[^a-z0-9]+", "-", image.title.lower()[:60]).strip("-")
            path = self.folder / ("-".join(filter(None, [f"{number:03}", slug])) + ".png")
            image.pil().save(path)
            self._pictures[key] = Picture(number, image, path)
        return self._pictures[key]
