"""The changes that an instruction can make to a scene: replace, add, remove, recolour, resize, move and more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from maia_collage import colours, select
from maia_collage.compose import SCALES, background_for, choose
from maia_collage.edited_scene import CannotEdit, EditedScene, short
from maia_collage.instruction import UNDERSTOOD, Edit
from maia_collage.layout import ZONES, Link, Spot, Want, arrange, overlap
from maia_collage.scene import Placed
from maia_labels.parsed import Place
from maia_labels.phrase import parse_phrase
from maia_labels.prompt import parse
from maia_labels.vocabulary import PLAIN
from maia_labels.words import SIZES

SMALLER, LARGER = 0.6, 1.5
"""Factors of "smaller" and "larger"."""


def apply(edited: EditedScene, edit: Edit | str) -> None:
    """Makes one change, or adds a warning that says why it cannot be made."""
    if isinstance(edit, str):
        edited.warnings.append(f"unchanged: '{edit}' is not understood. Understood are: {UNDERSTOOD}")
        return
    try:
        CHANGES[edit.change](edited, edit)
    except CannotEdit as error:
        edited.warnings.append(f"unchanged: {error}")


def _replace(edited: EditedScene, edit: Edit) -> None:
    phrase = edited.phrase(edit.what)
    if edited.means_background(phrase, edit.what):
        _background(edited, edit)
        return
    target = parse_phrase(edit.to)
    if target.blank and target.colours:
        _recolour(edited, edit)
        return
    thing = edited.thing(edit.to)
    chosen = edited.matching(phrase, edit.what)
    cutouts = choose(replace(thing, count=len(chosen)), edited.pack, edited.rng, (), edited.warnings)
    if not cutouts:
        return
    for index, (cutout, colour) in zip(chosen, cutouts, strict=True):
        old = edited.scene.objects[index]
        scale = SCALES.get(thing.size, old.scale)
        placed = Placed(cutout=cutout.id, x=old.x, y=old.y, scale=scale, flip=old.flip, colour=colour)
        edited.replace(index, edited.fitted(placed, index, cutout))


def _add(edited: EditedScene, edit: Edit) -> None:
    parsed = parse(edit.to)
    if not parsed.things:
        raise CannotEdit(f"'{edit.to}' names nothing that can be added")
    taken = [edited.spot(placed) for placed in edited.scene.objects]
    thing = parsed.things[0]
    chosen = choose(thing, edited.pack, edited.rng, (), edited.warnings)
    if not chosen:
        return
    links: list[Link] = []
    for a, relation, b in parsed.links:
        if a == 0 and (near := edited.reference(parsed.things[b])) is not None:
            links += [(i, relation, len(chosen) + near) for i in range(len(chosen))]
    usual = 0.6 / (len(taken) + len(chosen)) ** 0.5
    wants = [Want(one.cutout.aspect, SCALES.get(thing.size, usual), thing.zones) for one in chosen]
    spots = arrange(wants, links, edited.rng, taken)
    if spots is None:
        raise CannotEdit(f"there is no room for '{edit.to}'")
    new = [
        Placed(
            cutout=cutout.id, x=short(spot.x), y=short(spot.y), scale=short(spot.scale),
            flip=bool(edited.rng.random() < 0.5), colour=colour,
        )
        for (cutout, colour), spot in zip(chosen, spots, strict=True)
    ]  # fmt: skip
    edited.scene = edited.scene.with_objects(*edited.scene.objects, *new)


def _remove(edited: EditedScene, edit: Edit) -> None:
    phrase = edited.phrase(edit.what)
    if edited.means_background(phrase, edit.what):
        _background(edited, edit._replace(to=""))
        return
    gone = set(edited.matching(phrase, edit.what))
    edited.scene = edited.scene.with_objects(*(p for i, p in enumerate(edited.scene.objects) if i not in gone))


def _recolour(edited: EditedScene, edit: Edit) -> None:
    named = parse_phrase(edit.to)
    if not named.colours:
        raise CannotEdit(f"'{edit.to}' is not a colour; there are {', '.join(colours.RGB)}, dark or light")
    colour = named.colours[0]
    phrase = edited.phrase(edit.what)
    if edited.means_background(phrase, edit.what):
        behind = edited.scene.background.model_copy(update={"colour": colour})
        edited.scene = edited.scene.model_copy(update={"background": behind})
        return
    for index in edited.matching(phrase, edit.what):
        placed = edited.scene.objects[index]
        if " " in colour or not placed.has_only(colour, edited.pack):
            edited.replace(index, placed.model_copy(update={"colour": colour}))


def _resize(edited: EditedScene, edit: Edit) -> None:
    word = edit.to.split()[-1]
    factor = SMALLER if word in ("smaller", "shrink", "reduce", "halve") else LARGER
    absolute = None if word in ("smaller", "larger", "bigger") else SCALES.get(SIZES.get(word, ""))
    for index in edited.matching(edited.phrase(edit.what), edit.what):
        placed = edited.scene.objects[index]
        cutout = edited.pack.cutout(placed.cutout)
        fitted = edited.fitted(
            placed.model_copy(update={"scale": min(1.0, absolute or placed.scale * factor)}), index, cutout
        )
        if abs(fitted.scale - placed.scale) < 0.01 * placed.scale:
            raise CannotEdit(f"there is no room to make '{edit.what}' larger")
        edited.replace(index, fitted)


def _move(edited: EditedScene, edit: Edit) -> None:
    for index in edited.matching(edited.phrase(edit.what), edit.what):
        placed = edited.scene.objects[index]
        cutout = edited.pack.cutout(placed.cutout)
        others = [edited.spot(p) for i, p in enumerate(edited.scene.objects) if i != index]
        zones, links = edited.where(edit.to, index)
        spot = _nearest_in(edited.spot(placed), zones)
        if links or any(overlap(spot, other) for other in others):
            spots = arrange([Want(cutout.aspect, placed.scale, zones)], links, edited.rng, others)
            if spots is None:
                raise CannotEdit(f"there is no room for '{edit.what}' {edit.to}")
            spot = spots[0]
        scale = placed.scale if abs(spot.scale - placed.scale) < 0.005 else short(spot.scale)
        if scale < placed.scale:
            edited.warnings.append(f"made '{edit.what}' smaller to fit")
        edited.replace(index, placed.model_copy(update={"x": short(spot.x), "y": short(spot.y), "scale": scale}))


def _background(edited: EditedScene, edit: Edit) -> None:
    if not edit.to:
        place: Place | None = Place(PLAIN, ("white",))
    else:
        parsed = parse(edit.to)
        place = parsed.place
        if place is None and parsed.things:
            place = Place(None, (), edit.to, known=False)
    if place is None:
        raise CannotEdit(f"'{edit.to}' names no background")
    behind, warnings = background_for(place, edited.pack, edited.rng)
    edited.warnings += warnings
    if behind is not None:
        edited.scene = edited.scene.model_copy(update={"background": behind})


def _flip(edited: EditedScene, edit: Edit) -> None:
    phrase = parse_phrase(edit.what)
    everything = edit.what.removeprefix("the ") in ("", "it", "image", "picture", "photo", "scene")
    chosen = range(len(edited.scene.objects)) if everything else edited.matching(phrase, edit.what)
    if not chosen:
        raise CannotEdit("there is nothing to flip in the image")
    for index in chosen:
        placed = edited.scene.objects[index]
        edited.replace(index, placed.model_copy(update={"flip": not placed.flip}))


def _put(edited: EditedScene, edit: Edit) -> None:
    """Reads "put": "put the tiger on snow" changes the background, "put a hat on the tiger" adds a hat."""
    named = parse_phrase(edit.what)
    place = parse(edit.to).place
    known = not named.blank and (select.objects(named, edited.scene, edited.pack) if not named.unknown else [])
    if place is not None and (known or edit.what in ("it", "everything", "them")):
        _background(edited, edit._replace(change="background"))
    else:
        _add(edited, edit._replace(change="add", to=f"{edit.what} {edit.to}"))


def _nearest_in(spot: Spot, zones: Sequence[str]) -> Spot:
    """Returns the spot moved into the zones along each axis that they bind, and no further than needed."""
    x, y = spot.x, spot.y
    for zone in zones:
        low_x, high_x, low_y, high_y = ZONES[zone]
        x, y = min(max(x, low_x), high_x), min(max(y, low_y), high_y)
        if zone in ("left", "right"):
            x = spot.width / 2 + 0.02 if zone == "left" else 1 - spot.width / 2 - 0.02
        if zone in ("top", "bottom"):
            y = spot.height / 2 + 0.02 if zone == "top" else 1 - spot.height / 2 - 0.02
    x = min(max(x, spot.width / 2), 1 - spot.width / 2)
    y = min(max(y, spot.height / 2), 1 - spot.height / 2)
    return spot._replace(x=x, y=y)


CHANGES: dict[str, Callable[[EditedScene, Edit], None]] = {
    "replace": _replace,
    "add": _add,
    "remove": _remove,
    "recolour": _recolour,
    "resize": _resize,
    "move": _move,
    "background": _background,
    "flip": _flip,
    "put": _put,
}
"""The function of each change, by the name that `maia_collage.instruction` gives it."""
