"""One label out of a describer's summary."""

from __future__ import annotations

import pytest

from maia_baselines import summaries
from maia_baselines.exemplar_summary import ExemplarSummary


def unasked():
    raise AssertionError("the summary alone is enough")


@pytest.mark.parametrize(
    ("summary", "label"),
    [
        ("common to 15 images: names: tiger (9), leopard (3); kind: animal (13); colours: orange (9)", "tiger"),
        ("common to 15 images: names: rat (4), mouse (3); kind: animal (13), rodent (9); on: grass (4)", "rodent"),
        ("common to 15 images: names: rat (2); colours: white (14); on: white (9), snow (8), green (2)", "snow"),
        ("common to 15 images: kind: food (3); colours: red (12), brown (3); texture: fine (14)", "red things"),
        ("common to 15 images: names: lemon (4), lime (3), fork (2); colours: yellow (5)", "lemon OR lime"),
        ("common to 15 images: names: fork (2); kind: food (4)", "food"),
        ("common to 15 images: kind: food (4), ball (2); colours: grey (3)", "food"),
        ("common to 15 images: colours: grey (6); on: plain (12), grey (12)", "grey things"),
        ("common to 1 image: names: hot-air balloon (1)", "hot-air balloon"),
        ("common to 15 images: nothing was found in two of them", ""),
        ("common to 15 images: nothing stands out (15)", ""),
        ("All of the images show striped cats. Some sit on grass.", "striped cats"),
        ("Most images contain dogs with leashes.", "dogs with leashes"),
        ("What these regions have in common: the wheels of old cars", "wheels of old cars"),
        ("all show: a red disc", "a red disc"),
        ("Bow ties.", "Bow ties"),
        ("nothing that could be described", ""),
        ("", ""),
        ("Many " + "very " * 60 + "long labels", ("very " * 24).strip()),
    ],
)
def test_one_label_is_taken_from_a_summary(summary, label):
    assert summaries.label(summary, unasked) == label


def test_of_two_kinds_in_equally_many_images_descriptions_tell_the_more_specific():
    described = [
        "lion (0.40), cat (0.30), dog (0.10); kind: cat family (0.80), mammal (0.95), animal (0.99); texture: fine",
        "trout (0.90); kind: fish (0.90), animal (0.93)",
    ]
    asked = []

    def describe():
        asked.append(1)
        return described

    summary = "common to 15 images: kind: animal (12), cat family (12), mammal (12)"
    assert summaries.label(summary, describe) == "cat family"
    assert asked == [1]


def test_the_describer_sees_masked_exemplars_without_names(world):
    class Describer:
        fingerprint = "x"

        def summarize(self, images):
            self.images = images
            return "All show red discs."

    context = world()
    context._parts["describer"] = describer = Describer()
    explanation = ExemplarSummary(ExemplarSummary.Config(), context).explain(context.system, context)
    assert explanation.labels == ("red discs",)
    assert explanation.details == {"summary": "All show red discs."}
    assert len(describer.images) == len(explanation.evidence[0].activations) == 15
    assert all(image.clean is not None and not image.title and not image.provenance for image in describer.images)
    assert sorted(explanation.evidence[0].activations, reverse=True) == list(explanation.evidence[0].activations)


def test_the_offline_world_is_named(world):
    context = world()
    assert ExemplarSummary(ExemplarSummary.Config(exemplars=5), context).explain(context.system, context).labels == (
        "a red disc",
    )


def test_a_unit_that_is_never_active_is_not_described(world, mixed):
    context = world(mixed({}))
    explanation = ExemplarSummary(ExemplarSummary.Config(), context).explain(context.system, context)
    assert explanation.labels == ()
    assert explanation.details == {"never_active": True}
