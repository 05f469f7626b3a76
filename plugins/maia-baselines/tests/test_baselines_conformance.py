"""The distribution and its explainers keep the promises of their kind."""

from __future__ import annotations

import pytest

from maia_core.protocols import Explainer
from maia_core.registry import installed
from maia_core.testing import DistributionSuite
from maia_core.types import Explanation

MEASURING = ("clip-dissect", "exemplar-summary", "linear-explanation")


class TestDistribution(DistributionSuite):
    distribution = "maia-baselines"


@pytest.mark.parametrize("name", MEASURING)
def test_explainers_say_the_same_twice_and_only_what_can_be_recorded(world, model, concept_file, name):
    options = {} if name == "exemplar-summary" else {"concepts": concept_file}
    unit = model.unit("colours:red")
    found = []
    for _ in range(2):
        context = world(unit)
        explainer = installed().build("explainer", name, options, context)
        assert isinstance(explainer, Explainer)
        found.append(explainer.explain(unit, context))
    assert found[0] == found[1]
    assert "red" in found[0].labels[0]
    assert Explanation.model_validate_json(found[0].model_dump_json()) == found[0]
