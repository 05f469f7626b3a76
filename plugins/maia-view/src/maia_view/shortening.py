"""Takes the folders of the machine that exports out of pages that others read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import PurePosixPath

from markupsafe import escape as escaped

_EMBEDDED = re.compile(r"""(?:(?<=[\s=:,;"'(\[])|(?<=file://))~?/[^/\s:,;"')\]][^\s:,;"')\]]*""")
"""A path inside a longer text."""

_BEFORE = r"(?:(?<![\w.</~-])|(?<=file://)|(?<=\\[nrt]))"
"""Where a path begins: not inside a relative address, and not in a closing tag."""


class Shortener:
    """Reduces paths to their last part: knows the folders of all paths in the values that were added."""

    def __init__(self) -> None:
        self._folders: set[str] = set()
        self._alone: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: object) -> None:
        """Learns the folders of the absolute paths in a text, or in the texts of a nested value."""
        before = len(self._folders) + len(self._alone)
        for path in _paths(value):
            self._folders |= {str(parent) for parent in path.parents} - {"/", ".", "~", "//"}
            if len(path.parts) == 2:
                self._alone.add(str(path).strip("/~"))
        if len(self._folders) + len(self._alone) > before:
            self._pattern = None

    def add_folder(self, folder: object) -> None:
        """Learns a folder of this machine: paths below it begin behind it."""
        self.add(f"{folder}/_")
        self.add(str(folder))

    def __call__(self, text: str) -> str:
        """Returns a page or script with each path that lies in a known folder reduced to the part behind it."""
        if self._pattern is None:
            folders, alone = _spellings(self._folders), _spellings(self._alone)
            self._pattern = re.compile(
                rf"{_BEFORE}(?:(?:{folders})/+|~?/(?=(?:{alone})(?![\w/.-])))", re.IGNORECASE
            )  # A search looks at texts in lower case.
        return self._pattern.sub("", text)


def _paths(value: object) -> Iterator[PurePosixPath]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(key)
            yield from _paths(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _paths(each)
    elif isinstance(value, str):
        if re.match("~?/[^/]", value):
            yield PurePosixPath(value)
        yield from map(PurePosixPath, _EMBEDDED.findall(value))


def _spellings(texts: set[str]) -> str:
    """Returns alternatives of a pattern, the longest first, as texts stand in pages, scripts and both."""
    every = set(texts)
    for write in (escape, lambda text: str(escaped(text)), lambda text: json.dumps(text)[1:-1]):
        every |= {write(text) for text in every}
    return "|".join(map(re.escape, sorted(every, key=len, reverse=True))) or r"(?!)"
