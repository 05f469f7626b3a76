"""soft-WPMI: the formula, and the explainer on units whose concept is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from maia_baselines import dissect
from maia_baselines.clip_dissect import ClipDissect
from maia_core.image import Image


def literal(scores, activations, unit, count, scale=10.0, weight=1.0):
    """The formula, one number at a time: activations has one column a unit of the layer."""
    images, concepts = scores.shape

    def p(t, x):
        return math.exp(scale * scores[x, t]) / sum(math.exp(scale * scores[x, s]) for s in range(concepts))

    def log_given(t, column):
        order = sorted(range(images), key=lambda x: (-activations[x, column], x))[:count]
        total = 0.0
        for place, x in enumerate(order):
            belongs = 0.998 - place / count * (0.998 - 0.97)
            total += math.log(1 + belongs * (p(t, x) - 1) + 1e-7)
        return total

    units = activations.shape[1]
    result = []
    for t in range(concepts):
        everywhere = math.log(sum(math.exp(log_given(t, column)) for column in range(units)) / units)
        result.append(log_given(t, unit) - weight * everywhere)
    return result


@pytest.mark.parametrize(("scale", "weight"), [(10.0, 1.0), (3.0, 0.6)])
def test_the_fast_formula_is_the_literal_one(scale, weight, monkeypatch):
    monkeypatch.setattr(dissect, "CHUNK", 3)
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.3, (12, 7)).astype(np.float32)
    activations = rng.integers(0, 4, (12, 5)).astype(np.float32)  # With ties.
    chances = dissect.probabilities(scores, scale)
    sets = dissect.ranked(activations, 4)
    likelihoods, prior = dissect.log_likelihood(chances, sets), dissect.log_prior(chances, sets)
    for unit in range(5):
        fast = dissect.soft_wpmi(likelihoods[unit], prior, weight)
        assert fast == pytest.approx(literal(scores.astype(float), activations, unit, 4, scale, weight), abs=1e-6)


def test_large_scores_and_unlikely_sets_stay_finite():
    scores = np.zeros((200, 3), np.float32)
    scores[:, 0] = 1000
    chances, sets = dissect.probabilities(scores), dissect.ranked(np.ones((200, 2)), 100)
    assert np.isfinite(dissect.log_likelihood(chances, sets)).all()
    assert np.isfinite(dissect.log_prior(chances, sets)).all()
    assert np.isfinite(dissect.average_prior(chances, 100)).all()


def test_how_many_images_count():
    assert [dissect.highest(n) for n in (5, 100, 1200, 50_000)] == [5, 15, 24, 100]


def explain(context, unit, concepts, **options):
    return ClipDissect(ClipDissect.Config(concepts=concepts, **options), context).explain(unit, context)


@pytest.mark.parametrize("colour", ["red", "yellow"])
def test_a_unit_of_a_layer_gets_its_concept(world, model, concept_file, colour):
    unit = model.unit(f"colours:{colour}")
    explanation = explain(world(unit), unit, concept_file)
    assert explanation.labels == (colour,)
    assert explanation.details["best"][0][0] == colour
    assert len(explanation.details["best"]) == 7
    assert explanation.details["images"] == 15


def test_a_unit_without_a_layer_is_compared_with_an_average_unit_whatever_the_seed(world, mixed, concept_file):
    unit = mixed({"blue": 1.0})
    first = explain(world(unit), unit, concept_file)
    assert first.labels == ("blue",)
    assert "an average unit" in first.description
    assert all(explain(world(unit, seed=seed), unit, concept_file) == first for seed in (1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["max", "mean"])
def test_the_prior_is_over_all_units_of_the_layer_for_every_seed(world, wide, tmp_path, pool):
    concepts = [f"concept {number}" for number in range(40)]
    dataset = world().dataset
    rows = np.random.default_rng(2).normal(0, 0.2, (len(dataset), len(concepts))).astype(np.float32)
    np.savez(tmp_path / "scores.npz", concepts=np.array(concepts), scores=rows)
    maps = wide.cells([dataset[index] for index in range(len(dataset))])
    published = literal(rows.astype(float), maps.max((2, 3)) if pool == "max" else maps.mean((2, 3)), 3, 15)
    for seed in (0, 7):
        unit = wide.unit("wide:3")
        context = world(unit, seed=seed)
        explained = ClipDissect(ClipDissect.Config(scores=str(tmp_path / "scores.npz"), pool=pool), context).explain(
            unit, context
        )
        assert explained.labels == (concepts[int(np.argmax(published))],)
        assert explained.details["pool"] == pool
        fits = [fit for _, fit in explained.details["best"]]
        assert fits == pytest.approx(sorted(published, reverse=True)[:10], abs=1e-3)


def test_a_unit_that_is_never_active_is_reported_as_such(world, mixed, concept_file, similarity):
    explanation = explain(world(mixed({})), mixed({}), concept_file)
    assert explanation.labels == ()
    assert explanation.details == {"never_active": True}
    assert "same activation" in explanation.description
    assert similarity.seen == 0


def test_what_was_scored_is_not_scored_again(world, mixed, concept_file, similarity):
    contexts = world(), world()
    for context, colour in zip(contexts, ("blue", "red"), strict=True):
        explain(context, mixed({colour: 1.0}), concept_file)
    assert similarity.seen == 90
    assert contexts[0].said == ["scoring 7 concepts on 90 images, once; the cache keeps the scores"]
    assert contexts[1].said == []
    similarity.fingerprint = "colours-2"
    explain(world(), mixed({"red": 1.0}), concept_file)
    assert similarity.seen == 180, "another similarity, other scores"


def test_images_that_cannot_be_read_are_left_out_and_said(world, mixed, concept_file):
    unit = mixed({"red": 1.0})
    context = world(unit, broken=(0, 6, 7))
    assert explain(context, unit, concept_file).labels == ("red",)
    assert any("3 images of discs cannot be read or measured" in line for line in context.said)


def test_another_similarity_can_be_chosen(world, mixed, concept_file, similarity):
    class Blind:
        fingerprint = "blind"

        def similarity(self, images: list[Image], texts):
            return np.tile(np.arange(len(texts), dtype=np.float32), (len(images), 1))

    unit = mixed({"red": 1.0})
    context = world(unit)
    context._parts["similarity/blind/[]"] = Blind()
    best = explain(context, unit, concept_file, similarity="blind").details["best"]
    assert {fit for _, fit in best} == {0}, "what fits all images alike fits no unit"
    assert similarity.seen == 0
