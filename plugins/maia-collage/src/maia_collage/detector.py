"""The ground truth of collages: finds what a text names by the scene that an image was drawn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maia_collage import select
from maia_collage.pack import find
from maia_collage.scene import VERSION, object_masks, scene_of
from maia_core.plugin import Detection, Image, Mask, PluginConfig, RunContext, UsageError, content_id, did_you_mean
from maia_labels.phrase import Phrase, parse_phrase, tokens
from maia_labels.vocabulary import vocabulary


class CollageDetector:
    """Finds concepts at any level, colours and backgrounds in collages, exactly: every score is 1."""

    class Config(PluginConfig):
        """Options of the detector `collage`."""

        pack: str = ""
        """A pack's folder or kind (`photographs`, `drawings`); empty: the first that was fetched."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.pack = find(config.pack, context.cache)
        self.fingerprint = content_id(f"detector/{VERSION}/{self.pack.fingerprint}".encode())

    def detect(self, images: Sequence[Image], text: str) -> list[list[Detection]]:
        """Finds what a text names: "tiger", "mammal", "red thing", "red apple", "red", "grass", "background".

        A colour alone finds objects of that colour, and a background of that colour.

        Raises:
            UsageError: an image is not a collage drawn with this pack, or the text names nothing that a pack may hold.
        """
        phrase = query(text)
        return [self._in(picture, phrase) for picture in images]

    def _in(self, picture: Image, phrase: Phrase) -> list[Detection]:
        scene = scene_of(picture, self.pack)
        if scene is None:
            raise UsageError(
                f"image {picture.id} is not a collage of this pack, so its truth is not known; use another detector"
            )
        masks = object_masks(scene, self.pack, picture.width)
        found: list[Mask] = []
        colour_alone = not (phrase.entry or phrase.generic or phrase.wildcard)
        if colour_alone or phrase.wildcard or (phrase.entry and not phrase.entry.background):
            found = [masks[i] for i in select.objects(phrase, scene, self.pack)]
        if colour_alone:
            phrase = Phrase(colours=phrase.colours, generic=True)
        if not phrase.wildcard and select.is_background(phrase, scene):
            behind = np.ones((picture.height, picture.width), np.bool_)
            for mask in masks:
                behind &= ~mask
            found.append(behind)
        return [Detection(_box(mask), 1.0, mask) for mask in found if mask.any()]


def query(text: str) -> Phrase:
    """Reads a detector's text.

    Raises:
        UsageError: it names nothing that is known; the message lists near names.
    """
    phrase = parse_phrase(text)
    exact = phrase.entry is None or phrase.entry.exact
    rest = phrase.unknown + phrase.after
    if phrase.generic and phrase.entry and not phrase.entry.background:
        exact = False
    if not exact or rest or (phrase.blank and not phrase.colours and not phrase.round):
        words = vocabulary()
        hint = did_you_mean(" ".join(tokens(text)), [*words.concepts, *words.kinds])
        raise UsageError(f"the collage detector does not know '{text}'.{hint or ' It knows the concepts of the pack.'}")
    return phrase


def _box(mask: Mask) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
