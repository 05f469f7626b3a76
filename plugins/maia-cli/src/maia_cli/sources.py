"""Where the values of a command's configuration come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click


class Sources(NamedTuple):
    """Says where the values of a command's configuration come from."""

    file: Path | None = None
    """The configuration file that the command names; `maia.toml` where it names none."""
    overrides: tuple[tuple[str, Any], ...] = ()
    """The keys that options set, and their values."""

    @classmethod
    def of_command(cls) -> Sources:
        """Returns the sources of the command that runs now."""
        sources: Sources = click.get_current_context().meta[cls.__name__]
        return sources

    def of(self, *keys: str) -> str:
        """Returns `option`, the name of the file, or `default` for a value that any of the keys sets."""
        import tomllib

        if any(key in keys for key, _ in flat(dict(self.overrides))):
            return "option"
        file = self.file or Path("maia.toml")
        text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
        return str(file) if any(key in keys for key, _ in flat(tomllib.loads(text))) else "default"


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the values of nested tables by dotted keys."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
