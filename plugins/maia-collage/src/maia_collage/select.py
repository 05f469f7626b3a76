"""Which objects of a scene a text means, for instructions and for detection."""

from __future__ import annotations

from maia_collage import colours
from maia_collage.layout import ZONES
from maia_collage.pack import Pack
from maia_collage.scene import Placed, Scene
from maia_labels.phrase import Phrase
from maia_labels.vocabulary import article, plural, vocabulary


def objects(phrase: Phrase, scene: Scene, pack: Pack) -> list[int]:
    """Returns which objects a noun phrase fits, by name at any level of the tree, colour, shape and position."""
    return [i for i, placed in enumerate(scene.objects) if _fits(phrase, placed, pack)]


def path(placed: Placed, pack: Pack) -> list[str]:
    """Returns the concept of an object and its broader ones."""
    return vocabulary().concepts.path(pack.cutout(placed.cutout).concept)


def _fits(phrase: Phrase, placed: Placed, pack: Pack) -> bool:
    cutout = pack.cutout(placed.cutout)
    if phrase.entry and (phrase.entry.background or phrase.entry.name not in path(placed, pack)):
        return False
    if any(not placed.has_colour(colours.base(colour), pack) for colour in phrase.colours):
        return False
    if phrase.round and not cutout.round:
        return False
    return all(_inside(placed, zone) for zone in phrase.zones)


def _inside(placed: Placed, zone: str) -> bool:
    low_x, high_x, low_y, high_y = ZONES[zone]
    if zone == "centre":
        return 0.33 < placed.x < 0.67 and 0.33 < placed.y < 0.67
    # A half, not the outer third that a prompt's position asks for.
    if zone in ("left", "right"):
        return (placed.x < 0.5) == (low_x < 0.5 and high_x < 0.5)
    return (placed.y < 0.5) == (low_y < 0.5 and high_y < 0.5)


def is_background(phrase: Phrase, scene: Scene) -> bool:
    """Tells whether a noun phrase fits the scene's background."""
    background = scene.background
    names = vocabulary().kinds.path(background.kind)
    own = background.colour or vocabulary().natural.get(background.kind, "")
    bases = {colours.base(own), colours.base(background.second)} if own else set()
    if any(colours.base(colour) not in bases for colour in phrase.colours):
        return False
    if phrase.entry:
        return phrase.entry.background and phrase.entry.name in names
    return phrase.generic


def sentence(scene: Scene, pack: Pack) -> str:
    """Says what a scene shows, such as "two tigers and a red car, on grass"."""
    counts: dict[str, int] = {}
    for placed in scene.objects:
        name = f"{placed.colour} {pack.cutout(placed.cutout).concept}".strip()
        counts[name] = counts.get(name, 0) + 1
    named = [article(name) if n == 1 else f"{n} {plural(name)}" for name, n in counts.items()]
    background = scene.background.names()[0]
    if not named:
        return f"nothing but {background}"
    return f"{' and '.join(filter(None, [', '.join(named[:-1]), named[-1]]))} on {background}"
