from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest

from maia_collage import colours
from maia_collage.dataset import CollageDataset
from maia_collage.editor import CollageEditor
from maia_collage.generator import CollageGenerator
from maia_collage.instruction import Edit, read
from maia_collage.pack import Pack
from maia_collage.scene import Scene, render, scene_of
from maia_core.context import Context
from maia_core.image import Image
from maia_core.testing import EditorSuite

Draw = Callable[..., tuple[Image, str]]


class TestCollageEditor(EditorSuite):
    instructions: ClassVar[tuple[str, str]] = ("change the background to bricks", "make the tiger blue")

    @pytest.fixture
    def editor(self, context: Context) -> CollageEditor:
        return CollageEditor(CollageEditor.Config(), context)

    @pytest.fixture
    def images(self, generator: CollageGenerator) -> list[Image]:
        return generator.generate(
            ["a tiger on grass", "a tiger and a dog on snow", "two tigers on sand"], [1, 2, 3]
        ).images

    def test_edited_image_can_be_edited(self, editor: CollageEditor, images: list[Image]) -> None:
        once = editor.edit(images[:1], ["make the tiger blue"], [1]).images
        twice = editor.edit(once, ["replace the blue tiger with a dog"], [1])
        assert twice.warnings == [""]

    def test_makes_one_image_and_one_warning_per_image(self, editor: CollageEditor, images: list[Image]) -> None:
        made = editor.edit(images, ["make all the tigers blue"] * 3, [1, 2, 3])
        assert made.warnings == ["", "", ""]
        assert all((image.width, image.height, image.clean) == (96, 96, None) for image in made.images)


@pytest.fixture
def edit(editor: CollageEditor, pack: Pack) -> Callable[[Image, str], tuple[Scene, Image, str]]:
    def one(picture: Image, instruction: str) -> tuple[Scene, Image, str]:
        made = editor.edit([picture], [instruction], [4])
        scene = scene_of(made.images[0], pack)
        assert scene is not None
        return scene, made.images[0], made.warnings[0]

    return one


LOCAL = [
    "replace the tiger with a camel",
    "replace the dog with a red car",
    "change the tiger into an apple",
    "add a crow",
    "add two small bananas",
    "make the dog smaller",
    "make the dog larger",
    "make the tiger huge",
    "change the colour of the tiger to green",
    "make the dog purple",
    "move the dog to the top",
    "move the tiger to the left of the dog",
    "flip the tiger",
    "remove the dog",
]


@pytest.mark.parametrize("instruction", LOCAL)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_else_stays_pixel_identical(
    draw: Draw, edit: Callable[..., tuple[Scene, Image, str]], pack: Pack, instruction: str, seed: int
) -> None:
    before, _ = draw("a small tiger and a small dog on gravel", seed)
    old = scene_of(before, pack)
    assert old is not None
    new, after, warning = edit(before, instruction)
    assert "unchanged" not in warning
    assert new != old
    touched = np.zeros((96, 96), bool)
    for scene, other in ((old, new), (new, old)):
        for placed, mask in zip(scene.objects, render(scene, pack, 96).masks, strict=True):
            if placed not in other.objects:
                touched |= mask
    same = (before.pixels() == after.pixels()).all(2)
    assert same[~touched].all()
    assert not same.all()
    assert 0.02 < touched.mean() < 0.98


@pytest.mark.parametrize(
    "instruction", ["change the background to snow", "replace the gravel with snow", "put the tiger on snow"]
)
def test_background_changes_and_objects_stay(
    draw: Draw, edit: Callable[..., tuple[Scene, Image, str]], pack: Pack, instruction: str
) -> None:
    before, _ = draw("a tiger and a dog on gravel")
    old = scene_of(before, pack)
    new, after, warning = edit(before, instruction)
    assert warning == ""
    assert old is not None
    assert (new.objects, new.background.kind) == (old.objects, "snow")
    alpha = np.any(render(new, pack, 96).masks, axis=0)
    inner = alpha & np.roll(alpha, 3, 0) & np.roll(alpha, -3, 0) & np.roll(alpha, 3, 1) & np.roll(alpha, -3, 1)
    assert (before.pixels() == after.pixels()).all(2)[inner].all()


def test_edit_does_what_it_says(draw: Draw, edit: Callable[..., tuple[Scene, Image, str]], pack: Pack) -> None:
    picture, _ = draw("a tiger on grass")
    [placed] = edit(picture, "replace the tiger with a camel")[0].objects
    assert pack.cutout(placed.cutout).concept == "dromedary"
    scene, after, _ = edit(picture, "paint the animal blue")
    assert next(iter(colours.shares(after.pixels(), render(scene, pack, 96).masks[0]))) == "blue"
    before = scene_of(picture, pack)
    assert before is not None
    assert edit(picture, "make it smaller")[0].objects[0].scale < before.objects[0].scale
    assert edit(picture, "move it to the right")[0].objects[0].x > 0.5
    scene, _, warning = edit(picture, "add a dog to the right of the tiger, then make the dog red and flip the tiger")
    tiger, dog = scene.objects
    assert dog.x > tiger.x
    assert dog.colour == "red"
    assert tiger.flip != before.objects[0].flip
    assert warning == ""


def test_several_of_a_kind_are_replaced_together(
    draw: Draw, edit: Callable[..., tuple[Scene, Image, str]], pack: Pack
) -> None:
    picture, _ = draw("three tigers and a dog on snow")
    scene, _, warning = edit(picture, "replace the tigers with zebras")
    assert [pack.cutout(o.cutout).concept for o in scene.objects] == ["zebra", "zebra", "zebra", "husky"]
    assert warning == ""
    assert "fits 3 objects" in edit(picture, "remove the tiger")[2]


def test_an_edit_of_a_data_set_image_does_not_tell_what_it_shows(
    draw: Draw, editor: CollageEditor, context: Context
) -> None:
    """Programs edited exemplars with nonsense, and the warning named the class and the environment of each."""
    image = CollageDataset(CollageDataset.Config(count=3), context)[1]
    made = editor.edit([image] * 2, ["change the background to snow", "replace the zorbaq with a dog"], [0, 0])
    assert [picture.shows for picture in made.images] == ["", ""]
    assert made.warnings[1] == "unchanged: there is no 'the zorbaq' in the image"
    own = editor.edit([draw("a tiger on grass")[0]], ["change the background to snow"], [0]).images[0]
    assert own.shows == "a tiger on snow"
    assert editor.edit([own], ["change the background to sand"], [0]).images[0].shows == "a tiger on sand"


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        ("replace the crow with a dog", "there is no 'the crow' in the image; it shows a tiger on grass"),
        ("replace the snow with sand", "there is no 'the snow' in the image"),
        ("make the tiger happy", "'happy' is not a colour"),
        ("move the tiger to the moon", "unchanged"),
        ("do something nice", "replace X with Y"),
        ("", "the instruction is empty"),
        ("replace the tiger with a zyzzyva", "'zyzzyva' is not in the collage pack"),
        ("change the background to a zyzzyva", "zyzzyva"),
        ("make the apple red", "like that already"),
    ],
)
def test_what_cannot_be_done_leaves_the_image_and_is_said(
    draw: Draw, editor: CollageEditor, instruction: str, said: str
) -> None:
    picture, _ = draw("a tiger on grass" if "apple" not in instruction else "a red apple")
    made = editor.edit([picture], [instruction], [0])
    assert said in made.warnings[0]
    assert made.images[0].id == picture.id


def test_foreign_image_comes_back_with_a_warning(editor: CollageEditor, draw: Draw) -> None:
    foreign = Image.from_pixels(np.zeros((40, 60, 3), np.uint8))
    for picture in (foreign, draw("a tiger")[0].anonymous()):
        made = editor.edit([picture], ["replace the tiger with a dog"], [0])
        assert made.images[0] == picture
        assert "only images that the collage laboratory drew" in made.warnings[0]


def test_forged_scene_is_no_scene(editor: CollageEditor, pack: Pack) -> None:
    record = {"pack": pack.fingerprint, "scene": {"background": {"kind": "grass"}, "objects": [{"x": 7}]}}
    picture = Image.from_pixels(np.zeros((40, 40, 3), np.uint8), collage=record)
    assert "unchanged" in editor.edit([picture], ["make it red"], [0]).warnings[0]


@pytest.mark.parametrize(
    ("instruction", "edits"),
    [
        ("Replace the tiger with a camel.", [Edit("replace", "the tiger", "a camel")]),
        ("change the colour of the car to dark blue", [Edit("recolour", "the car", "dark blue")]),
        ("change the car's color to red", [Edit("recolour", "the car", "red")]),
        ("turn the dog into a cat", [Edit("replace", "the dog", "a cat")]),
        ("change the background from grass to snow", [Edit("background", "", "snow")]),
        ("make the background red", [Edit("background", "", "red")]),
        ("make the dog bigger", [Edit("resize", "the dog", "bigger")]),
        ("please shrink the dog", [Edit("resize", "the dog", "shrink")]),
        ("move the dog up", [Edit("move", "the dog", "up")]),
        ("add a hat and remove the dog", [Edit("add", "", "a hat"), Edit("remove", "the dog")]),
        ("add a cat and a dog", [Edit("add", "", "a cat and a dog")]),
        ("flip the image horizontally", [Edit("flip", "the image")]),
        ("sing", ["sing"]),
    ],
)
def test_instruction_is_read(instruction: str, edits: list[Edit | str]) -> None:
    assert read(instruction) == edits
