"""The attributes that a planted model may depend on, how a scene shows them, and the words that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from maia_collage import select
from maia_collage.pack import Pack
from maia_collage.scene import Placed, Scene
from maia_core.plugin import Data
from maia_labels.phrase import parse_phrase
from maia_labels.vocabulary import article, plural

Kind = Literal["colour", "background", "size", "position", "neighbour", "count"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SMALL = 0.245
"""Scale up to which an object counts as small; a prompt's "small" is drawn at 0.24."""

VALUES: dict[Kind, tuple[str, ...]] = {
    "colour": ("red", "blue", "green", "yellow"),
    "background": ("snow", "sand", "grass", "forest", "brick", "asphalt"),
    "size": ("large", "small"),
    "position": ("left", "right", "top", "bottom"),
    "neighbour": ("car", "flower", "apple", "traffic light"),
    "count": ("several", "single"),
}
"""The values of each attribute."""

WORDS = {
    "red": ("red", "scarlet", "crimson"),
    "blue": ("blue",),
    "green": ("green",),
    "yellow": ("yellow",),
    "snow": ("snow", "snowy", "snowfield"),
    "sand": ("sand", "sandy", "beach", "desert"),
    "grass": ("grass", "grassy", "lawn", "meadow"),
    "forest": ("forest", "forests", "woods", "woodland"),
    "brick": ("brick", "bricks"),
    "asphalt": ("asphalt", "tarmac"),
    "large": ("large", "big", "bigger", "larger", "huge", "close-up"),
    "small": ("small", "little", "smaller", "tiny", "distant"),
    "left": ("left", "left-hand"),
    "right": ("right", "right-hand"),
    "top": ("top", "upper"),
    "bottom": ("bottom", "lower"),
    "car": ("car", "cars"),
    "flower": ("flower", "flowers"),
    "apple": ("apple", "apples"),
    "traffic light": ("traffic light", "traffic lights"),
    "several": (
        *("several", "two", "three", "2", "3", "multiple", "many", "group", "groups", "pair", "pairs", "herd", "flock"),
        "more than one",
    ),
    "single": ("single", "only one", "just one", "1 at once", "lone", "solitary"),
}  # fmt: skip
"""The words that name a value: the strict list that an answer is compared with."""

OPPOSITE = {
    one: other
    for pair in (("large", "small"), ("left", "right"), ("top", "bottom"), ("several", "single"))
    for one, other in (pair, pair[::-1])
}
"""Values that exclude each other and leave no third: a high score with one is a low score with the other."""

PLACES = {"forest": "in a forest", "top": "at the top", "bottom": "at the bottom"}
"""Values that "on VALUE" and "on the VALUE" do not name well."""


class Attribute(Data):
    """One attribute of a class in an image.

    Attributes:
        kind: What it is an attribute of.
        value: One of `VALUES[kind]`.
    """

    kind: Kind
    value: str

    def shown(self, placed: Placed, scene: Scene, concept: str, pack: Pack) -> bool:
        """Tells whether an object of the class `concept` has the attribute in its scene."""
        if self.kind == "colour":
            return placed.has_colour(self.value, pack)
        if self.kind == "background":
            return select.is_background(parse_phrase(self.value), scene)
        if self.kind == "size":
            return (placed.scale <= SMALL) == (self.value == "small")
        if self.kind == "position":
            place = placed.x if self.value in ("left", "right") else placed.y
            return (place < 0.5) == (self.value in ("left", "top"))
        if self.kind == "neighbour":
            return bool(select.objects(parse_phrase(self.value), scene, pack))
        return (len(of_class(scene, concept, pack)) > 1) == (self.value == "several")

    def phrase(self, concept: str) -> str:
        """Returns the attribute with its class in words, such as "red rabbit"."""
        value = self.value
        if self.kind == "background":
            return f"{concept} {PLACES.get(value, f'on {value}')}"
        if self.kind == "position":
            return f"{concept} {PLACES.get(value, f'on the {value}')}"
        if self.kind == "neighbour":
            return f"{concept} beside {article(value)}"
        return f"{value} {plural(concept) if value == 'several' else concept}"


def of_class(scene: Scene, concept: str, pack: Pack) -> Sequence[Placed]:
    """Returns the objects of a scene that are of a class."""
    return [placed for placed in scene.objects if concept in select.path(placed, pack)]
