"""The promises of every `maia_core.plugin.Judge`."""

from __future__ import annotations

from typing import ClassVar

import pytest

from maia_core.plugin import Image, Judge
from maia_core.testing.fakes import disc
from maia_core.testing.suites.samples import frozen


class JudgeSuite:
    """Subclass it and return the judge from the fixture `judge`.

    Attributes:
        label: A label that the first of `images` fits.
        other: A label that the second of `images` fits.
    """

    label: ClassVar[str] = "a red disc"
    other: ClassVar[str] = "a blue disc"

    @pytest.fixture
    def judge(self) -> Judge:
        """The judge under test."""
        raise NotImplementedError("override the fixture `judge`: it returns the judge under test")

    @pytest.fixture
    def images(self) -> list[Image]:
        """Two images: the first fits `label`, the second fits `other`."""
        return [disc("red", 1).retitled("a blue disc"), disc("blue", 2).retitled("a red disc")]

    def test_writes_as_many_different_prompts_as_asked(self, judge: Judge) -> None:
        prompts = judge.write_prompts(self.label, 4)
        assert len(set(prompts)) == len(prompts) == 4
        assert all(isinstance(prompt, str) and prompt.strip() for prompt in prompts)

    def test_ranks_every_prompt_with_the_best_first(self, judge: Judge) -> None:
        order = judge.select(self.label, [self.other, self.label, self.other])
        assert sorted(order) == [0, 1, 2]
        assert order[0] == 1

    def test_compares_in_both_orders(self, judge: Judge) -> None:
        """A judge that prefers the first label, whichever it is, decides nothing."""
        assert judge.compare(self.label, self.label, self.other) == 0
        assert judge.compare(self.label, self.other, self.label) == 1

    def test_predicts_from_pixels_between_zero_and_one(self, judge: Judge, images: list[Image]) -> None:
        """The titles of `images` name the wrong colour."""
        fits, differs = judge.predict(self.label, images)
        assert 0 <= differs < fits <= 1

    def test_nothing_to_judge_gives_nothing(self, judge: Judge) -> None:
        assert list(judge.write_prompts(self.label, 0)) == []
        assert list(judge.select(self.label, [])) == []
        assert list(judge.predict(self.label, [])) == []

    def test_images_are_left_as_they_were(self, judge: Judge, images: list[Image]) -> None:
        before = frozen(images)
        judge.predict(self.label, images)
        assert frozen(images) == before
