"""The promises of every `maia_core.plugin.Explainer`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from maia_core.plugin import Context, Explainer, Explanation, Registry
from maia_core.testing.fakes import FakeSystem, fake_parts


class ExplainerSuite:
    """Subclass it and return the explainer from the fixture `explainer`, made with the fixture `context`.

    Attributes:
        finds_colour: Whether it can find the colour of a unit on fakes. One that needs real models cannot.
        repeats: Whether it gives the same explanation again.
    """

    finds_colour: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    @pytest.fixture
    def explainer(self, context: Context) -> Explainer:
        """The explainer under test."""
        raise NotImplementedError("override the fixture `explainer`: it returns the explainer under test")

    @pytest.fixture
    def context(self, tmp_path: Path) -> Context:
        """A run on fakes whose own unit responds to red."""
        return Context(registry=Registry([]), parts=fake_parts(), cache=tmp_path / "cache")

    def test_explanation_has_what_reports_compare(self, explainer: Explainer, context: Context) -> None:
        explanation = explainer.explain(context.system, context)
        assert isinstance(explanation, Explanation)
        assert explanation.description.strip()
        assert explanation.labels
        assert all(label.strip() for label in explanation.labels)
        assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation

    def test_explains_the_unit_that_it_is_given(self, explainer: Explainer, context: Context) -> None:
        """An evaluation gives many units in turn; `context.system` is not one of them."""
        if not self.finds_colour:
            pytest.skip("it cannot find a colour on fakes")
        for colour in ("blue", "green"):
            unit = FakeSystem(FakeSystem.Config(ref=colour))
            assert colour in " ".join(explainer.explain(unit, context).labels)

    def test_same_unit_again_gives_the_same(self, explainer: Explainer, context: Context) -> None:
        if not self.repeats:
            pytest.skip("its explanations are drawn")
        first = explainer.explain(context.system, context)
        assert explainer.explain(context.system, context).labels == first.labels
