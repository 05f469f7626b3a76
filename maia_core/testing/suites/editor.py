"""What every `maia_core.protocols.ImageEditor` does."""

from __future__ import annotations

from typing import ClassVar

import pytest

from maia_core.errors import MendableError
from maia_core.image import Image
from maia_core.protocols import ImageEditor
from maia_core.testing.fakes import disc
from maia_core.testing.suites.samples import HOSTILE_TEXTS, REFUSALS, farthest, frozen, half_masks
from maia_core.types import GeneratedImages


class EditorSuite:
    """Subclass it and return the editor from the fixture `editor`, and from `images` three images that it can edit.

    Attributes:
        instructions: Two instructions that change each of `images`, each in its own way.
        nonsense: An instruction that it cannot follow, about which it must warn; None for one that follows anything.
        keeps_size: Whether an edited image has the size of its original.
        tolerance: How far a pixel (0 to 255) may depend on the batch; 0 where that is exact.
    """

    instructions: ClassVar[tuple[str, str]] = ("change the colour to yellow", "change the colour to white")
    nonsense: ClassVar[str | None] = "xqvzk wbfrt"
    keeps_size: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0

    @pytest.fixture
    def editor(self) -> ImageEditor:
        """The editor under test."""
        raise NotImplementedError("override the fixture `editor`: it returns the editor under test")

    @pytest.fixture
    def images(self) -> list[Image]:
        """Three different images that `instructions` change."""
        return [disc("red", 1).retitled("one"), disc("blue", 2, 48), disc("green", 3)]

    def test_makes_one_image_and_one_warning_per_image(self, editor: ImageEditor, images: list[Image]) -> None:
        made = editor.edit(images, [self.instructions[0]] * 3, [1, 2, 3])
        assert isinstance(made, GeneratedImages)
        assert len(made.images) == len(made.warnings) == 3
        assert made.warnings == ["", "", ""], "there is nothing to warn of in instructions that it follows"
        for image, edited in zip(images, made.images, strict=True):
            assert edited.clean is None
            if self.keeps_size:
                assert (edited.width, edited.height) == (image.width, image.height)

    def test_instruction_decides(self, editor: ImageEditor, images: list[Image]) -> None:
        first, second = editor.edit([images[0]] * 2, self.instructions, [1, 1]).images
        assert farthest(first, images[0]) > self.tolerance
        assert farthest(second, images[0]) > self.tolerance
        assert farthest(first, second) > self.tolerance

    def test_same_edit_again_gives_the_same_pixels(self, editor: ImageEditor, images: list[Image]) -> None:
        first = editor.edit(images[:1], self.instructions[:1], [7]).images[0]
        again = editor.edit(images[:1], self.instructions[:1], [7]).images[0]
        assert farthest(first, again) <= self.tolerance

    def test_batch_and_order_change_nothing(self, editor: ImageEditor, images: list[Image]) -> None:
        asked = [self.instructions[n % 2] for n in range(3)]
        together = editor.edit(images, asked, [1, 2, 3]).images
        backwards = editor.edit(images[::-1], asked[::-1], [3, 2, 1]).images[::-1]
        for n, image in enumerate(images):
            alone = editor.edit([image], [asked[n]], [n + 1]).images[0]
            assert farthest(together[n], backwards[n]) <= self.tolerance
            assert farthest(together[n], alone) <= self.tolerance

    def test_masked_image_is_edited_on_its_clean_pixels(self, editor: ImageEditor, images: list[Image]) -> None:
        expected = editor.edit(images, [self.instructions[0]] * 3, [1, 2, 3]).images
        masked = [half_masks(image)[1] for image in images]
        for image, edited in zip(
            expected, editor.edit(masked, [self.instructions[0]] * 3, [1, 2, 3]).images, strict=True
        ):
            assert edited.clean is None
            assert farthest(image, edited) <= self.tolerance

    def test_originals_are_left_as_they_were(self, editor: ImageEditor, images: list[Image]) -> None:
        before = frozen(images)
        editor.edit(images, [self.instructions[0]] * 3, [1, 2, 3])
        assert frozen(images) == before

    def test_edited_image_can_be_edited(self, editor: ImageEditor, images: list[Image]) -> None:
        once = editor.edit(images, [self.instructions[0]] * 3, [1, 2, 3]).images
        twice = editor.edit(once, [self.instructions[1]] * 3, [1, 2, 3]).images
        assert all(farthest(a, b) > self.tolerance for a, b in zip(once, twice, strict=True))

    def test_no_images_give_nothing(self, editor: ImageEditor) -> None:
        made = editor.edit([], [], [])
        assert (list(made.images), list(made.warnings)) == ([], [])

    def test_images_without_instructions_are_refused(self, editor: ImageEditor, images: list[Image]) -> None:
        with pytest.raises(REFUSALS):
            editor.edit(images, [self.instructions[0]], [1, 2, 3])

    def test_instruction_that_it_cannot_follow_is_warned_of(self, editor: ImageEditor, images: list[Image]) -> None:
        if self.nonsense is None:
            pytest.skip("it follows anything")
        _, [quiet, warning] = editor.edit(images[:2], [self.instructions[0], self.nonsense], [1, 1])
        assert quiet == ""
        assert warning.strip()

    @pytest.mark.parametrize("instruction", HOSTILE_TEXTS, ids=lambda text: ascii(text[:12]))
    def test_odd_instruction_is_followed_or_refused(
        self, editor: ImageEditor, images: list[Image], instruction: str
    ) -> None:
        try:
            made = editor.edit(images[:1], [instruction], [1])
        except MendableError:
            return
        assert len(made.images) == len(made.warnings) == 1
        made.images[0].model_dump_json().encode()
        made.warnings[0].encode()

    def test_fingerprint_is_stable(self, editor: ImageEditor, images: list[Image]) -> None:
        before = editor.fingerprint
        editor.edit(images[:1], self.instructions[:1], [1])
        assert isinstance(before, str)
        assert before.strip()
        assert editor.fingerprint == before
