"""Planted models: the lists, the truth of each model, and that nothing of it leaks."""

from __future__ import annotations

import json
from collections import Counter
from typing import ClassVar

import numpy as np
import pytest
from click.testing import CliRunner

from maia_collage.pack import find
from maia_collage.scene import image
from maia_core.context import Context
from maia_core.errors import ToolError, UsageError
from maia_core.image import Image
from maia_core.testing import DatasetSuite, DistributionSuite
from maia_planted.attributes import KINDS, VALUES, WORDS
from maia_planted.command import planted
from maia_planted.dataset import VariedDataset
from maia_planted.scenes import CLASSES, random_layout, scene_of_layout
from maia_planted.subjects import subject_of, subjects_of
from maia_planted.system import LOWEST, WITHOUT, PlantedModel

pytestmark = pytest.mark.pack


class TestDistribution(DistributionSuite):
    distribution: ClassVar[str] = "maia-planted"


class TestDataset(DatasetSuite):
    @pytest.fixture
    def dataset(self):
        return VariedDataset(VariedDataset.Config(each=3, size=48), Context())

    @pytest.fixture
    def twin(self):
        return VariedDataset(VariedDataset.Config(each=3, size=48), Context())


def model(ref: str) -> PlantedModel:
    return PlantedModel(PlantedModel.Config(ref=ref), Context())


def scored(subject, layouts, ref: str) -> list[float]:
    """Returns the scores of one scene per layout."""
    pack = find("", Context().cache)
    scenes = [scene_of_layout(subject.concept, layout, pack, np.random.default_rng(n)) for n, layout in layouts]
    return model(ref).neuron([image(scene, pack, 32) for scene in scenes])[0]


def test_lists_have_every_kind_and_a_quarter_without_a_bias():
    drawn = {name: subjects_of(name, Context()) for name in ("development", "reported")}
    for subjects in drawn.values():
        kinds = Counter(subject.kind for subject in subjects)
        assert kinds["none"] * 4 == len(subjects) == 56
        assert all(kinds[kind] >= 4 for kind in KINDS)
        assert kinds["A and B"] == kinds["A or B"] == 6
        assert Counter(subject.form for subject in subjects) == {"detector": 48, "head": 8}
    assert list(drawn["development"]) != list(drawn["reported"])
    assert {value for values in VALUES.values() for value in values} == set(WORDS)


@pytest.mark.parametrize("list_name", ["development", "3"])
def test_the_score_of_a_detector_follows_the_truth_exactly(list_name):
    rng = np.random.default_rng(2)
    for number, subject in enumerate(subjects_of(list_name, Context()), 1):
        if subject.form == "head" or len(subject.attributes) == 2:
            continue
        layouts = [(n, random_layout(rng)) for n in range(6)]
        if not subject.attributes:
            assert min(scored(subject, layouts, f"{list_name}/{number}")) >= LOWEST
            continue
        (attribute,) = subject.attributes
        high = scored(subject, [(n, lay.having(attribute, rng)) for n, lay in layouts], f"{list_name}/{number}")
        low = scored(subject, [(n, lay.having(attribute, rng, False)) for n, lay in layouts], f"{list_name}/{number}")
        assert min(high) >= LOWEST, subject.truth
        assert max(low) <= WITHOUT, subject.truth


@pytest.mark.parametrize(("join", "high"), [("and", [True, False, False, False]), ("or", [True, True, True, False])])
def test_two_attributes_are_joined(join, high):
    number, subject = next(
        (n, s)
        for n, s in enumerate(subjects_of("development", Context()), 1)
        if s.kind == f"A {join} B" and "count" not in [a.kind for a in s.attributes]
    )
    one, other = subject.attributes
    rng = np.random.default_rng(4)
    layout = random_layout(rng)._replace(number=1)
    ways = [(a, b) for a in (True, False) for b in (True, False)]
    layouts = [(0, layout.having(one, rng, a).having(other, rng, b)) for a, b in ways]
    assert [score >= LOWEST for score in scored(subject, layouts, f"development/{number}")] == high


def test_the_same_image_gets_the_same_score_in_any_batch():
    dataset = VariedDataset(VariedDataset.Config(each=4, size=32), Context())
    images = [dataset[n] for n in range(len(dataset))]
    measured = model("development/1")
    together = measured.neuron(images)[0]
    assert together == [measured.neuron([picture])[0][0] for picture in images]
    assert len(set(together)) > 4, "the score varies from scene to scene"


def test_nothing_of_the_truth_leaks():
    refs = [f"development/{n}" for n in range(1, 57)]
    infos = {ref: model(ref).info for ref in refs if subject_of(ref, Context()).form == "detector"}
    for ref, info in infos.items():
        subject = subject_of(ref, Context())
        said = f"{info.ref} {info.note}"
        assert info.unit == subject.concept
        assert not any(word in said.split() for attribute in subject.attributes for word in WORDS[attribute.value])
        assert "development" not in said
    assert len({info.note for info in infos.values()}) == 1
    assert len({info.model for info in infos.values()}) == len(infos)
    assert all(len(info.model) == len("planted-") + 8 for info in infos.values()), "short aliases collide"


def test_exemplars_are_of_the_class():
    context = Context()
    dataset = VariedDataset(VariedDataset.Config(each=5, size=32), context)
    unit = model("development/37")
    found, statistics = unit.exemplar_source(dataset).exemplars(unit, 3)
    assert statistics.count == 5
    assert [exemplar.activation for exemplar in found] == sorted((e.activation for e in found), reverse=True)


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("", "name a planted model: --system planted:development/1"),
        ("development/0", "has the models development/1 to development/56, not development/0"),
        ("dev/1", "there is no list of planted models 'dev'; there are development, reported, and any seed"),
    ],
)
def test_a_wrong_name_is_one_clear_line(ref, error):
    with pytest.raises(UsageError) as caught:
        model(ref)
    assert error in str(caught.value)


def test_a_detector_refuses_an_image_that_is_not_a_collage():
    with pytest.raises(ToolError, match="it is not a collage of this pack"):
        model("development/1").neuron([Image.from_pixels(np.zeros((8, 8, 3), np.uint8))])


def test_the_data_set_refuses_a_class_that_the_pack_lacks():
    with pytest.raises(UsageError, match="the collage pack has no 'rabit' for a class"):
        VariedDataset(VariedDataset.Config(classes=("rabit",)), Context())


def test_the_list_prints_the_truth_and_refs_do_not():
    listed = CliRunner().invoke(planted, ["list", "development"])
    assert listed.exit_code == 0
    assert "development/37  detector  colour" in listed.output
    assert "red rabbit" in listed.output
    rows = CliRunner().invoke(planted, ["list", "development", "--json"]).stdout.splitlines()
    assert [json.loads(row)["model"] for row in rows] == [f"development/{n + 1}" for n in range(len(rows))]
    refs = CliRunner().invoke(planted, ["list", "--refs"]).output
    assert refs.split()[0] == "planted:development/1"
    assert "rabbit" not in refs


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["colour", "none"])
def test_a_trained_head_learns_what_was_planted_and_keeps_its_weights(kind, tmp_path, monkeypatch):
    number, subject = next(
        (n, s) for n, s in enumerate(subjects_of("development", Context()), 1) if (s.form, s.kind) == ("head", kind)
    )
    pack, rng = find("", Context().cache), np.random.default_rng(8)
    head = model(f"development/{number}")
    others = [concept for concept in CLASSES if concept != subject.concept]
    gaps = []
    for n in range(12):
        layout = random_layout(rng)
        pair = [layout, layout]
        for attribute in subject.attributes:
            pair = [layout.having(attribute, rng, shown) for shown in (True, False)]
        pictures = [
            image(scene_of_layout(subject.concept, lay, pack, np.random.default_rng(n)), pack, 224) for lay in pair
        ]
        # An unseen class, such as elephants, may look like the class: the head was trained against the others only.
        pictures.append(
            image(scene_of_layout(others[n % len(others)], layout, pack, np.random.default_rng(n)), pack, 224)
        )
        gaps.append(head.neuron(pictures)[0])
    shown, lacking, other = np.mean(gaps, axis=0)
    assert shown - other > 0.4, "it knows its class"
    assert (shown - lacking > 0.3) == bool(subject.attributes)
    fresh = model(f"development/{number}")
    assert fresh.fingerprint == head.fingerprint
    assert fresh.neuron(pictures)[0] == head.neuron(pictures)[0]
