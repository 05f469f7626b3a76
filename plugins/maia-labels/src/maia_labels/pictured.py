"""Which concepts a distribution has pictures of, so that prompts can name those first.

A distribution with pictures (such as maia-collage) names an `Opener` in the entry-point group `maia_labels.pictured`.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from maia_core.plugin import UsageError

GROUP = "maia_labels.pictured"


class Pictured(Protocol):
    """The concepts that there are pictures of.

    Attributes:
        fingerprint: Changes with the pictures.
        things: Concepts of objects.
        backgrounds: Kinds of background.
    """

    @property
    def fingerprint(self) -> str: ...

    @property
    def things(self) -> Set[str]: ...

    @property
    def backgrounds(self) -> Set[str]: ...

    def looks(self, concept: str, colours: Collection[str], round: bool) -> bool:
        """Tells whether a picture of a concept has all these basic colours by nature and, where asked, is round."""
        ...


class Opener(Protocol):
    """Opens the pictures of a distribution."""

    def __call__(self, pack: str, cache: Path) -> Pictured | None:
        """Returns the pictures of a pack (empty: the first in the cache), or None where the cache holds none.

        Raises:
            UsageError: the named pack cannot be opened.
        """
        ...


def pictured(pack: str, cache: Path) -> Pictured | None:
    """Returns the concepts that the installed distributions have pictures of; None without pictures.

    Args:
        pack: A folder or kind of a pack; empty: the first that was fetched.
        cache: The cache folder.

    Raises:
        UsageError: a pack is named, and it cannot be opened or no installed distribution has packs.
    """
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        opener: Opener = point.load()
        if (pictures := opener(pack, cache)) is not None:
            return pictures
    if pack:
        raise UsageError(f"cannot open the pack '{pack}': no installed distribution has packs; install maia-collage")
    return None
