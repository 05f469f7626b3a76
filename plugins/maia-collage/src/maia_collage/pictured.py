"""The concepts of a pack, for judges: see `maia_labels.pictured`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from maia_collage.backgrounds import drawable
from maia_collage.pack import Pack, find
from maia_core.plugin import UsageError


class PackConcepts:
    """The concepts that a pack has pictures of.

    Attributes:
        fingerprint: The pack's.
        things: Concepts of its cut-outs.
        backgrounds: Kinds of background that can be drawn with it.
    """

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self.fingerprint = pack.fingerprint
        self.things = frozenset(cutout.concept for cutout in pack.members(None))
        self.backgrounds = frozenset(drawable(pack))

    def looks(self, concept: str, colours: Collection[str], round: bool) -> bool:
        """Tells whether a cut-out of the concept itself has all these colours by nature and, if asked, is round."""
        return any(
            all(map(cutout.has_colour, colours)) and (cutout.round or not round)
            for cutout in self._pack.members(concept)
            if cutout.concept == concept
        )


def opened(pack: str, cache: Path) -> PackConcepts | None:
    """Returns the concepts of a pack (empty: the first that was fetched); None where none was fetched.

    Raises:
        UsageError: the named pack cannot be opened.
    """
    try:
        return PackConcepts(find(pack, cache))
    except UsageError:
        if pack:
            raise
        return None
