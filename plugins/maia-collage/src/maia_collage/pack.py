"""The pack: a folder of named cut-outs and photographs of backgrounds, made once by `maia collage fetch`."""

from __future__ import annotations

import copy
import io
import json
import threading
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import Field, ValidationError

from maia_collage.colours import LEADING_SHARE, MAIN_SHARE
from maia_core.plugin import Data, UsageError, content_id
from maia_labels.vocabulary import vocabulary

FORMAT = 2
"""Version of the packs. Raise it whenever packs must be rebuilt: new cut-outs, other names, another layout."""

KINDS = ("photographs", "drawings")
"""Kinds of pack, the preferred one first."""

FETCH = "run `maia collage fetch`"
FETCH_AGAIN = "run `maia collage fetch --again`"
FETCH_DRAWINGS = "run `maia collage fetch --drawings`"

Part = Literal["all", "seen", "held-out"]
"""Which cut-outs are drawn: all, or one of two halves that share none where a concept has several."""

CACHED_CUTOUTS = 512


class Cutout(Data):
    """One object with transparency around it.

    Attributes:
        id: Where it comes from; stable.
        file: Its PNG file in the pack.
        concept: Name of the thing that it shows.
        width: Width in pixels.
        height: Height in pixels.
        colours: Share of its pixels by colour, measured, the largest first; under 5 % left out.
        round: It fills an ellipse about as wide as high.
        digest: Content hash of the file.
    """

    id: str
    file: str
    concept: str
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    colours: dict[str, float]
    round: bool
    digest: str

    @property
    def natural_colours(self) -> tuple[str, ...]:
        """The colours that the object has by nature: of most of its pixels, or of more than any other; at most two."""
        leading = next(iter(self.colours), "")
        return tuple(
            name for name, share in self.colours.items() if share >= (LEADING_SHARE if name == leading else MAIN_SHARE)
        )

    def has_colour(self, colour: str) -> bool:
        """Tells whether the object has this colour by nature, perhaps with another one."""
        return colour in self.natural_colours

    @property
    def aspect(self) -> float:
        """Width divided by height."""
        return self.width / self.height


class Photograph(Data):
    """A photograph of a kind of background."""

    file: str
    kind: str
    digest: str


class Manifest(Data):
    """What `pack.json` holds."""

    format: Literal[2]
    kind: Literal["photographs", "drawings"]
    licence: str
    cutouts: tuple[Cutout, ...] = Field(min_length=1)
    backgrounds: tuple[Photograph, ...]


class Pack:
    """An opened pack; decodes a picture when it is first used. Safe to use from several threads.

    Attributes:
        folder: Where it is.
        kind: `photographs` or `drawings`.
        fingerprint: Content hash of the manifest, which holds the content hash of every file.
        cutouts: By id, in the order of the manifest.
        photographs: Files of backgrounds by kind.
    """

    def __init__(self, folder: Path) -> None:
        """Reads a pack's manifest.

        Raises:
            UsageError: `folder` holds no pack, or one that cannot be used.
        """
        self.folder = folder
        try:
            text = (folder / "pack.json").read_bytes()
            manifest = Manifest.model_validate_json(text)
        except OSError as error:
            raise UsageError(f"no pack in {folder} ({error.strerror}); {FETCH}") from error
        except ValidationError as error:
            raise UsageError(f"the pack in {folder} is damaged or of another version; {FETCH_AGAIN}") from error
        words = vocabulary()
        unknown = [c.concept for c in manifest.cutouts if c.concept not in words.concepts]
        unknown += [b.kind for b in manifest.backgrounds if b.kind not in words.kinds]
        if unknown:
            raise UsageError(
                f"the pack in {folder} names '{unknown[0]}', which this version does not know; {FETCH_AGAIN}"
            )
        self.kind = manifest.kind
        self.fingerprint = f"{manifest.kind}-{content_id(text)}"
        self.cutouts = {cutout.id: cutout for cutout in manifest.cutouts}
        self.photographs: dict[str, list[Photograph]] = {}
        for photograph in manifest.backgrounds:
            self.photographs.setdefault(photograph.kind, []).append(photograph)
        self._all = manifest.cutouts
        self._members = _by_concept(manifest.cutouts)
        self._parts: dict[str, Pack] = {"all": self}
        self._decoded: OrderedDict[str, PILImage.Image] = OrderedDict()
        self._lock = threading.Lock()

    def part(self, name: Part) -> Pack:
        """Returns the same pack with a part of its cut-outs to draw from; scenes of the whole are drawn as ever.

        Where a concept has several cut-outs, `seen` and `held-out` share none of them; where it has one, both have it.
        So what is explained with `seen` is tested with cut-outs that were never seen, as far as there are any.
        """
        with self._lock:
            if name not in self._parts:
                own: dict[str, list[Cutout]] = {}
                for cutout in self._all:
                    own.setdefault(cutout.concept, []).append(cutout)
                first = ("seen", "held-out").index(name)
                ids = set()
                for cutouts in own.values():
                    ordered = sorted(cutouts, key=lambda c: content_id(c.id.encode()))
                    ids |= {c.id for c in (ordered[first::2] if len(ordered) > 1 else ordered)}
                part = copy.copy(self)
                part._all = tuple(c for c in self._all if c.id in ids)
                part._members = _by_concept(part._all)
                self._parts[name] = part
            return self._parts[name]

    def members(self, concept: str | None) -> tuple[Cutout, ...]:
        """Returns the cut-outs of a concept and all narrower ones; all cut-outs for None."""
        return self._all if concept is None else self._members[concept]

    def cutout(self, cutout_id: str) -> Cutout:
        """Returns a cut-out by id.

        Raises:
            UsageError: this pack has no such cut-out: the scene was made with another one.
        """
        try:
            return self.cutouts[cutout_id]
        except KeyError:
            raise UsageError(
                f"the {self.kind} pack has no cut-out '{cutout_id}'; the scene was made with another pack"
            ) from None

    def picture(self, cutout: Cutout) -> PILImage.Image:
        """Returns a cut-out's pixels, mode RGBa (colour premultiplied by alpha)."""
        with self._lock:
            if cutout.id in self._decoded:
                self._decoded.move_to_end(cutout.id)
                return self._decoded[cutout.id]
        picture = self._open(cutout.file, cutout.digest).convert("RGBA").convert("RGBa")
        with self._lock:
            self._decoded[cutout.id] = picture
            if len(self._decoded) > CACHED_CUTOUTS:
                self._decoded.popitem(last=False)
        return picture

    def photograph(self, photograph: Photograph) -> NDArray[np.uint8]:
        """Returns a background's pixels: RGB, shape (height, width, 3)."""
        return np.asarray(self._open(photograph.file, photograph.digest).convert("RGB"))

    def _open(self, file: str, digest: str) -> PILImage.Image:
        try:
            data = (self.folder / file).read_bytes()
            if content_id(data) != digest:
                raise OSError("its content is not what the manifest says")
            picture = PILImage.open(io.BytesIO(data))
            picture.load()
        except OSError as error:
            raise UsageError(f"the pack in {self.folder} is damaged ({file}: {error}); {FETCH_AGAIN}") from error
        return picture


def part_of(name: Part) -> str:
    """Returns what a fingerprint adds for a part of the cut-outs; nothing for all."""
    return "" if name == "all" else f"/{name}"


def _by_concept(cutouts: tuple[Cutout, ...]) -> dict[str, tuple[Cutout, ...]]:
    """Returns the cut-outs of every concept and all narrower ones."""
    tree = vocabulary().concepts
    below = {concept: set(tree.below(concept)) for concept in tree}
    return {concept: tuple(c for c in cutouts if c.concept in names) for concept, names in below.items()}


def folder_of(kind: str, cache: Path) -> Path:
    """Returns where the pack of a kind belongs in a cache folder."""
    return cache / "collage" / f"{kind}-{FORMAT}"


def find(option: str, cache: Path) -> Pack:
    """Opens the pack that a configuration chooses.

    Args:
        option: A folder, a kind (`photographs`, `drawings`), or empty: the first kind that has been fetched.
        cache: The cache folder.

    Raises:
        UsageError: there is no such pack; the message says how to get one.
    """
    if option and option not in KINDS:
        return _opened(Path(option).expanduser().resolve())
    for kind in [option] if option else KINDS:
        if (folder := folder_of(kind, cache)).exists():
            return _opened(folder.resolve())
    hint = FETCH_DRAWINGS if option == "drawings" else FETCH
    raise UsageError(f"the collage laboratory has no pack of {option or 'cut-outs'} yet; {hint}")


@cache
def _opened(folder: Path) -> Pack:
    return Pack(folder)


def manifest_text(kind: str, licence: str, cutouts: list[Cutout], backgrounds: list[Photograph]) -> str:
    """Returns the text of `pack.json`, one cut-out a line."""
    rows = ",\n".join(json.dumps(c.model_dump()) for c in cutouts)
    places = ",\n".join(json.dumps(b.model_dump()) for b in backgrounds)
    return (
        f'{{"format": {FORMAT}, "kind": {json.dumps(kind)}, "licence": {json.dumps(licence)},\n'
        f'"cutouts": [\n{rows}\n],\n"backgrounds": [\n{places}\n]}}\n'
    )
