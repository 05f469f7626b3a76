"""Concept sets, files of scores, and measured activations: what is shared, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from maia_baselines.activations import measure
from maia_baselines.concepts import concept_set
from maia_baselines.scores import ConceptOptions, concept_scores, read
from maia_core.errors import UsageError
from maia_core.testing import COLOURS


def write(path, text):
    path.write_text(text, encoding="utf-8") if isinstance(text, str) else path.write_bytes(text)
    return str(path)


# --- concept sets ---


def test_a_file_is_read_line_by_line(world, tmp_path):
    found = concept_set(write(tmp_path / "set.txt", "\ufeff# animals\r\ntiger\n\n  polar bear \n"), world())
    assert found.concepts == ("tiger", "polar bear")
    assert found.name == "set.txt"


def test_duplicates_are_merged_with_one_line(world, tmp_path):
    context = world()
    lines = "tiger\nTiger\nsnow\nsnow\npolar  bear\nPolar Bear\nTIGER\nfox\nFOX"
    found = concept_set(write(tmp_path / "set.txt", lines), context)
    assert found.concepts == ("tiger", "snow", "polar  bear", "fox")
    [line] = context.said
    assert "'Tiger' in lines 1 and 2" in line
    assert line.endswith("and 2 more")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no concept"),
        ("# nothing\n\n", "holds no concept"),
        ("tiger\n" + "x" * 300, "line 2"),
        ("tiger\n\x1b[31mred", "line 2"),
        (b"\xe9\x00tiger", "text file in UTF-8"),
    ],
)
def test_a_file_that_is_no_concept_set_is_refused(world, tmp_path, content, says):
    with pytest.raises(UsageError, match=says) as raised:
        concept_set(write(tmp_path / "set.txt", content), world())
    assert "\n" not in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_a_name_that_nobody_knows_is_refused(world):
    with pytest.raises(UsageError, match=r"no concept set 'colage'\. Did you mean 'collage'"):
        concept_set("colage", world())


def test_the_laboratory_has_names_kinds_backgrounds_and_colours(world):
    context = world()

    class Names:
        def __init__(self, *rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def concepts(self, index):
            return self.rows[index]

    context._parts["dataset/collage-cutouts/[]"] = Names(("tiger", "cat family", "animal"), ("dog", "animal"))
    context._parts["dataset/collage-backgrounds/[]"] = Names(("snow",), ("blue sky", "sky"))
    found = concept_set("collage", context).concepts
    assert found[:7] == ("tiger", "cat family", "animal", "dog", "snow", "blue sky", "sky")
    assert "red things" in found
    assert len(set(found)) == len(found) == 19


# --- files of scores ---


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


SCORES = np.arange(12, dtype=np.float32).reshape(6, 2)


def test_scores_come_from_a_file_in_the_order_of_the_data_set(world, tmp_path):
    context = world(count=6)
    plain = read(npz(tmp_path / "a.npz", concepts=["red", "blue"], scores=SCORES), context.dataset, context)
    assert plain.concepts == ("red", "blue")
    assert (plain.scores == SCORES).all()
    ids = [*context.dataset.ids[::-1], "another"]
    more = np.concatenate([SCORES[::-1], [[9, 9]]])
    named = read(npz(tmp_path / "b.npz", concepts=["red", "blue"], scores=more, ids=ids), context.dataset, context)
    assert (named.scores == SCORES).all()


def test_scores_come_from_parquet(world, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    context = world(count=6)
    table = pyarrow.table({"id": context.dataset.ids[::-1], "red": SCORES[::-1, 0], "blue": SCORES[::-1, 1]})
    parquet.write_table(table, tmp_path / "scores.parquet")
    found = concept_scores(ConceptOptions(scores=str(tmp_path / "scores.parquet")), context)
    assert found.concepts == ("red", "blue")
    assert (found.scores == SCORES).all()


def test_duplicates_in_a_file_of_scores_are_merged(world, tmp_path):
    context = world(count=6)
    path = npz(tmp_path / "a.npz", concepts=["red", "blue", "Red"], scores=np.eye(6, 3))
    found = read(path, context.dataset, context)
    assert found.concepts == ("red", "blue")
    assert found.scores.shape == (6, 2)
    assert "'Red' in columns 1 and 3" in context.said[0]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"scores": SCORES}, "no array 'concepts'"),
        ({"concepts": ["a", "b"]}, "no array 'scores'"),
        ({"concepts": ["a"], "scores": SCORES}, "1 concepts, but scores of the shape"),
        ({"concepts": ["a", " "], "scores": SCORES}, "a concept without a name"),
        ({"concepts": ["a", "b"], "scores": SCORES[:4]}, "4 rows and no ids, but discs has 6"),
        ({"concepts": ["a", "b"], "scores": SCORES, "ids": ["x"] * 6}, "no scores for 6 of the 6"),
        ({"concepts": ["a", "b"], "scores": SCORES, "ids": ["x"] * 5}, "5 ids, but 6 rows"),
        ({"concepts": ["a", "b"], "scores": SCORES + np.array([np.inf, 1])}, "not finite"),
        ({"concepts": ["a", "b"], "scores": np.array([["x", "y"]] * 6)}, "cannot read"),
        ({"concepts": ["a", "b"], "scores": np.array([[{}, {}]] * 6, object)}, "cannot read"),
    ],
)
def test_a_file_of_scores_that_does_not_fit_is_refused(world, tmp_path, arrays, says):
    context = world(count=6)
    with pytest.raises(UsageError, match=says) as raised:
        read(npz(tmp_path / "a.npz", **arrays), context.dataset, context)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("a.npz", b"PK\x03\x04broken", "cannot read"), ("a.parquet", b"PAR1", "cannot read"), ("a.txt", b"", "ends in")],
)
def test_a_broken_file_of_scores_is_refused(world, tmp_path, name, content, says):
    context = world(count=6)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read(tmp_path / name, context.dataset, context)
    with pytest.raises(UsageError, match=r"no file|ends in"):
        read(tmp_path / f"no-{name}", context.dataset, context)


# --- activations ---


def test_a_layer_is_measured_once_for_all_its_units(world, model):
    for colour in COLOURS:
        unit = model.unit(f"colours:{colour}")
        context = world(unit, count=70)
        measured = measure(unit, context, "mean")
        expected = [unit.neuron([context.dataset[i]])[0][0] for i in range(70)]
        assert measured.values == pytest.approx(expected, abs=1e-5), "each unit has its own column"
        assert measured.layer.shape == (70, len(COLOURS))
    assert model.measured == 70


def test_a_unit_that_is_not_a_column_of_its_layer_is_measured_alone(world, model, mixed):
    unit = mixed({"red": 1.0, "blue": 0.3})
    unit.model = model
    unit.info = unit.info.model_copy(update={"layer": "colours"})
    measured = measure(unit, world(unit), "mean")
    assert measured.layer is None
    assert len(measured.values) == 90


def test_a_unit_with_a_fingerprint_is_measured_once(world, mixed):
    unit = mixed({"red": 1.0})
    first = measure(unit, world(unit), "mean")
    second = measure(unit, world(unit), "mean")
    assert unit.measured == 90
    assert (first.values == second.values).all()
    measure(unit, world(unit, count=91), "mean")
    assert unit.measured == 181, "another data set is measured again"


def test_a_unit_without_a_fingerprint_is_never_taken_for_another(world):
    context = world()
    reds = measure(context.system, context, "mean").values
    context = world(unit=type(context.system)(type(context.system).Config(ref="blue")))
    assert (measure(context.system, context, "mean").values != reds).any()


def test_unreadable_images_have_no_place(world, mixed):
    context = world(count=10, broken=(0, 4))
    measured = measure(mixed({"red": 1.0}), context, "mean")
    assert measured.places.tolist() == [1, 2, 3, 5, 6, 7, 8, 9]
    with pytest.raises(UsageError, match="no readable image"):
        measure(mixed({"blue": 1.0}), world(count=2, broken=(0, 1)), "mean")


def test_a_damaged_cache_is_computed_again(world, mixed, tmp_path):
    unit = mixed({"red": 1.0})
    before = measure(unit, world(unit), "mean").values.copy()
    for file in (tmp_path / "cache").rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:40])
    assert (measure(unit, world(unit), "mean").values == before).all()
