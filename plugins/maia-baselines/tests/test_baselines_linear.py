"""Sparse linear models: known weights are found again, and the correlation is that of images that were not fitted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maia_baselines import linear
from maia_baselines.linear_explanation import LinearExplanation
from maia_core.errors import UsageError


def data(weights, images=400, concepts=20, noise=0.05, seed=0):
    rng = np.random.default_rng(seed)
    scores = (rng.random((images, concepts)) < 0.15).astype(np.float32)
    truth = np.zeros(concepts)
    truth[: len(weights)] = weights
    return scores, scores @ truth + 0.7 + rng.normal(0, noise, images)


def test_known_weights_are_found_again():
    scores, activations = data([3, 2, 1])
    model = linear.search(scores, activations, 10, 0.02)
    assert model.columns == (0, 1, 2)
    assert model.weights == pytest.approx([3, 2, 1], abs=0.05)
    assert model.bias == pytest.approx(0.7, abs=0.05)
    assert linear.correlation(model.predict(scores), activations) > 0.99


def test_the_search_stops_where_nothing_is_gained_or_it_is_long_enough():
    scores, activations = data([3, 2, 1])
    assert len(linear.search(scores, activations, 2, 0.02).columns) == 2
    assert linear.search(scores, activations, 10, 0.5).columns == (0,)
    noise = np.random.default_rng(1).normal(size=400)
    assert len(linear.search(scores, noise, 10, 0.02).columns) < 5


def test_concepts_that_never_vary_are_left_out():
    scores, activations = data([3])
    scores[:, 5] = 0.4
    assert 5 not in linear.rank(scores, activations)
    assert linear.search(np.ones_like(scores), activations, 10, 0.02) is None


def test_one_of_two_concepts_that_are_the_same_is_enough():
    scores, activations = data([3, 2])
    scores[:, 10] = scores[:, 0]
    assert len({0, 10} & set(linear.search(scores, activations, 10, 0.02).columns)) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20), st.floats(-5, 5), st.floats(-1e3, 1e3))
def test_correlation_is_pearsons_and_never_divides_by_nothing(values, factor, shift):
    a = np.asarray(values)
    found = linear.correlation(a, factor * a + shift)
    assert -1.000001 <= found <= 1.000001
    if a.std() > 1e-3 and abs(factor) > 1e-3:
        assert found == pytest.approx(np.sign(factor), abs=1e-3)
    assert linear.correlation(a, np.full(len(a), 3.0)) == pytest.approx(0)


def explain(context, unit, concepts, **options):
    return LinearExplanation(LinearExplanation.Config(concepts=concepts, **options), context).explain(unit, context)


def test_an_or_is_found_whole_and_simulated_on_the_other_half(world, mixed, concept_file):
    unit = mixed({"red": 1.0, "blue": 0.7})
    explanation = explain(world(unit, count=240), unit, concept_file)
    assert explanation.labels == ("red", "blue")
    assert explanation.strengths[0] == 1
    assert 0.5 < explanation.strengths[1] < 0.9
    assert explain(world(unit, count=240), unit, concept_file, strengths=False).strengths == ()
    assert explanation.details["correlation"] > 0.95
    assert (explanation.details["fitted"], explanation.details["held_out"]) == (120, 120)
    assert [concept for concept, _ in explanation.details["weights"]] == ["red", "blue"]


def test_what_lowers_the_activation_is_in_the_sum_but_not_in_the_label(world, mixed, concept_file):
    unit = mixed({"red": 1.0, "green": -0.8})
    explanation = explain(world(unit, count=240), unit, concept_file)
    assert explanation.labels == ("red",)
    weights = dict(explanation.details["weights"])
    assert weights["red"] > 0
    if "green" in weights:
        assert weights["green"] < 0


def test_the_label_names_the_strongest_only(world, mixed, concept_file):
    unit = mixed({"red": 1.0, "blue": 0.7, "yellow": 0.5})
    assert explain(world(unit, count=240), unit, concept_file, named=1).labels == ("red",)


def test_a_unit_that_is_never_active_and_too_few_images_are_said(world, mixed, concept_file):
    assert explain(world(), mixed({}), concept_file).details == {"never_active": True}
    with pytest.raises(UsageError, match="needs 12 images, discs has 9"):
        explain(world(count=9), mixed({"red": 1.0}), concept_file)


def test_concepts_that_no_image_shows_make_no_label(world, mixed, tmp_path):
    path = tmp_path / "purple.txt"
    path.write_text("purple\nmauve")
    explanation = explain(world(), mixed({"red": 1.0}), str(path))
    assert explanation.labels == ()
    assert "No concept of purple.txt varies" in explanation.description
