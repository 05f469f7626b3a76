"""The types of the folders that the commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class FolderToWrite(click.Path):
    """A folder that there is, or that can be made: none of its path is a file."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        folder = Path(value)
        there = next(part for part in (folder, *folder.parents) if part.exists())
        if not there.is_dir():
            self.fail(f"{there} is a file; name a folder", parameter, context)
        return super().convert(value, parameter, context)


FOLDER, OUT = click.Path(path_type=Path), FolderToWrite()
