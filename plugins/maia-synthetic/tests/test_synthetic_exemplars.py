from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from maia_collage.colours import RGB
from maia_collage.dataset import BackgroundsDataset, CollageDataset
from maia_collage.detector import CollageDetector
from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.testing import FakeDataset
from maia_exemplars import BruteForce
from maia_labels.vocabulary import vocabulary
from maia_synthetic.collages import known_scores, presence
from maia_synthetic.exemplars import score_of
from maia_synthetic.system import MIN_SEARCHES, SyntheticNeuron


def test_what_scenes_say_is_what_the_detector_finds_in_the_drawn_images(
    collages: CollageDataset, detector: CollageDetector
) -> None:
    """For every kind of text, colours and backgrounds too; otherwise exemplars and experiments would disagree."""
    texts = [*vocabulary().kinds, *(f"{colour} thing" for colour in RGB), "red", "white", "thing", "background"]
    texts += ["tiger", "cat family", "mammal", "animal", "apple", "red fruit", "round thing", "red car", "green lion"]
    texts += ["violin", "white background", "blue stripes"]
    images = [collages[n] for n in range(60)]
    for text in texts:
        expected = [score_of(found, "mean") for found in detector.detect(images, text)]
        assert presence(collages, text)[:60].tolist() == expected, text


@pytest.mark.parametrize(
    "ref", ["mammal", "tiger OR red thing", "animal | grass", "fruit but not red thing", "NOT animal"]
)
def test_exemplars_are_those_of_brute_force(
    ref: str, collages: CollageDataset, neuron: Callable[..., SyntheticNeuron]
) -> None:
    system = neuron(ref)
    found, statistics = system.exemplar_source(collages).exemplars(system, 15)
    expected, expected_statistics = BruteForce(collages).exemplars(system, 15)
    assert [(e.activation, e.image.id) for e in found] == [(e.activation, e.image.id) for e in expected]
    assert statistics == expected_statistics


@pytest.mark.parametrize(("ref", "said"), [("tiger | crow", True), ("tiger", False)])
def test_a_unit_that_no_image_activates_is_said(
    ref: str, said: bool, context: Context, neuron: Callable[..., SyntheticNeuron]
) -> None:
    """A run about it would end with a guess and nobody would know why."""
    notes: list[str] = []
    context.warn_to(notes.append)
    dataset = CollageDataset(CollageDataset.Config(count=20, size=32), context)
    neuron(ref).exemplar_source(dataset).exemplars(neuron(ref), 5)
    assert any("activates the unit" in note and "dataset.count=20000" in note for note in notes) == said
    assert not any("tiger" in note for note in notes)


def test_no_collage_is_drawn_but_the_exemplars(
    context: Context, neuron: Callable[..., SyntheticNeuron], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = CollageDataset(CollageDataset.Config(count=300, size=32), context)
    drawn: list[int] = []
    draw = dataset._draw
    monkeypatch.setattr(dataset, "_draw", lambda index: [drawn.append(index), draw(index)][1])
    system = neuron("tiger OR grass")
    system.exemplar_source(dataset).exemplars(system, 5)
    assert len(drawn) == 5


def test_other_data_sets_of_the_laboratory_are_searched(
    context: Context, neuron: Callable[..., SyntheticNeuron]
) -> None:
    dataset = BackgroundsDataset(BackgroundsDataset.Config(size=32, each=1), context)
    system = neuron("grass")
    assert known_scores(system.detector, dataset, "grass") is None
    [best, *_], _ = system.exemplar_source(dataset).exemplars(system, 3)
    assert best.activation == 1.0


# --- any data set, any detector ---


def test_searched_once_for_all_neurons_and_processes(
    over_discs: Callable[..., SyntheticNeuron], discs: Context, words, tmp_path: Path
) -> None:
    dataset = FakeDataset(FakeDataset.Config(count=70))
    system = over_discs("zorbaq OR quuxle")
    first = system.exemplar_source(dataset).exemplars(system, 4)
    assert sum(count for _, count in words.asked) == 2 * 70 + MIN_SEARCHES * 4, (
        "each image once per concept, and the exemplars"
    )
    words.asked.clear()
    again = over_discs("quuxle OR green")
    again.exemplar_source(dataset).exemplars(again, 4)
    searched = {text: sum(n for t, n in words.asked if t == text) for text in ("quuxle", "green")}
    assert searched == {"quuxle": 8, "green": 78}, "what the disk holds is not searched again"
    repeated, statistics = system.exemplar_source(dataset).exemplars(system, 4)
    assert [e.image.id for e in repeated] == [e.image.id for e in first[0]]
    assert statistics == first[1]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage", b"x" * 100])
def test_damaged_cache_is_searched_again(
    damage: bytes, over_discs: Callable[..., SyntheticNeuron], discs: Context
) -> None:
    dataset, system = FakeDataset(), over_discs("zorbaq")
    expected, _ = system.exemplar_source(dataset).exemplars(system, 3)
    files = list((discs.cache / "synthetic" / "scores").glob("*.npy"))
    assert len(files) == 1
    files[0].write_bytes(damage)
    found, _ = system.exemplar_source(dataset).exemplars(system, 3)
    assert [e.image.id for e in found] == [e.image.id for e in expected]


def test_cache_of_another_shape_or_of_objects_is_not_trusted(
    over_discs: Callable[..., SyntheticNeuron], discs: Context
) -> None:
    dataset, system = FakeDataset(), over_discs("zorbaq")
    expected, _ = system.exemplar_source(dataset).exemplars(system, 3)
    [file] = (discs.cache / "synthetic" / "scores").glob("*.npy")
    for wrong in (np.ones(3), np.ones(24, np.float32), np.array([{"a": 1}], object)):
        np.save(file, wrong, allow_pickle=True)
        found, _ = system.exemplar_source(dataset).exemplars(system, 3)
        assert [e.image.id for e in found] == [e.image.id for e in expected]


def test_cache_that_cannot_be_written_is_done_without(
    over_discs: Callable[..., SyntheticNeuron], discs: Context
) -> None:
    system = over_discs("zorbaq")
    (discs.cache / "synthetic").mkdir(parents=True, exist_ok=True)
    (discs.cache / "synthetic" / "scores").write_text("a file where a folder should be")
    found, _ = system.exemplar_source(FakeDataset()).exemplars(system, 3)
    assert found[0].activation == 1.0


def test_unreadable_images_are_counted_and_named(over_discs: Callable[..., SyntheticNeuron], discs: Context) -> None:
    warnings: list[str] = []
    discs.warn_to(warnings.append)
    system = over_discs("NOT zorbaq")
    dataset = FakeDataset(FakeDataset.Config(count=12, broken=(3, 7)))
    for _ in range(2):  # searched, and read from the cache
        found, statistics = system.exemplar_source(dataset).exemplars(system, 100)
        assert (statistics.count, statistics.skipped, len(found)) == (10, 2, 10)
    assert "disc-3, disc-7" in warnings[0]


def test_empty_data_set_is_refused(over_discs: Callable[..., SyntheticNeuron]) -> None:
    system = over_discs("zorbaq")
    for dataset in (FakeDataset(FakeDataset.Config(count=0)), FakeDataset(FakeDataset.Config(count=2, broken=(0, 1)))):
        with pytest.raises(UsageError, match="no readable image"):
            system.exemplar_source(dataset).exemplars(system, 3)


def test_exemplars_are_masked_images_with_their_activations(over_discs: Callable[..., SyntheticNeuron]) -> None:
    system = over_discs("zorbaq", dilation=0)
    found, _ = system.exemplar_source(FakeDataset()).exemplars(system, 6)
    images: list[Image] = [exemplar.image for exemplar in found]
    assert [e.activation for e in found] == [1.0] * 4 + [0.0] * 2
    assert [e.activation for e in found] == system.neuron(images)[0]
    assert [bool(image.mask().any()) for image in images] == [True] * 4 + [False] * 2
