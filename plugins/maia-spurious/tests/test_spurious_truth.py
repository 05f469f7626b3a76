"""The table of a unit, the regressions, and the rows: on features whose right answer is known."""

import numpy as np
import pytest

from maia_core.errors import UsageError
from maia_spurious import protocol, regressions
from maia_spurious.rows import BALANCED, Measured, Row, difference, halves, in_halves, table
from maia_spurious.truth import unit_truth

CLASSES, PLACES = 4, 6


def cells_of(count, paired, rng):
    """Class and environment of images; `paired`: the environment follows the class in nine of ten."""
    classes = np.arange(count) % CLASSES
    places = rng.integers(PLACES, size=count)
    if paired is not None:
        own = (classes + paired) % CLASSES
        places = np.where(rng.random(count) < 0.9, own, 4 + rng.integers(2, size=count)) if paired == 0 else own
    else:
        places = np.arange(count) // CLASSES % PLACES
    return np.stack([classes, places], axis=1)


def features_of(cells, rng, noise=0.3):
    """Four weak units for the classes, four strong ones for the paired environments, and four of noise."""
    kinds = np.eye(CLASSES)[cells[:, 0]]
    places = 3 * np.eye(PLACES)[cells[:, 1]][:, :CLASSES]
    values = np.concatenate([kinds, places, np.zeros((len(cells), 4))], axis=1)
    return (values + rng.normal(0, noise, values.shape)).astype(np.float32)


def measured(count, paired, seed, name):
    rng = np.random.default_rng(seed)
    cells = cells_of(count, paired, rng)
    features = features_of(cells, rng)
    return Measured(features, features, cells[:, 1] % CLASSES, cells, [f"{name}{n}" for n in range(count)])


@pytest.fixture(scope="module")
def splits():
    return measured(960, 0, 1, "v"), measured(960, None, 2, "b"), measured(960, 1, 3, "t")


def test_truth_tells_a_class_from_an_environment_and_from_a_class_in_one_environment():
    cells = cells_of(480, None, np.random.default_rng(0))
    shape = CLASSES, PLACES
    kind, place = (cells[:, 0] == 2).astype(np.float32), (cells[:, 1] == 2).astype(np.float32)
    of_class = unit_truth(kind, cells, shape)
    assert (of_class.selective, of_class.best) == (True, 2)
    assert of_class.share == pytest.approx(1)
    assert of_class.environment == pytest.approx(0)
    of_place = unit_truth(place, cells, shape)
    assert not of_place.selective
    assert of_place.environment == pytest.approx(1)
    # One cell of 24: the class explains (1/4 * 3/4 of ...) no more than 6 * 4/3 / 36 / (1 - 1/24) of the variance.
    of_cell = unit_truth(kind * place, cells, shape)
    assert of_cell.share == pytest.approx((1 / 24 * 23 / 24) ** -1 * (1 / 6 - 1 / 24) ** 2 * 6 * 4 / 3 / 24)
    two = unit_truth(kind + (cells[:, 0] == 1), cells, shape)
    assert two.share == pytest.approx(1 / 3)
    assert not unit_truth(np.zeros(480, np.float32), cells, shape).selective
    assert not unit_truth(1 - kind, cells, shape).selective, "a class that lowers the activation does not select it"


def test_truth_refuses_tables_with_holes_and_with_one_row():
    cells = cells_of(480, None, np.random.default_rng(0))
    holes = cells[(cells != [1, 1]).any(axis=1)]
    with pytest.raises(UsageError, match="every class in every environment"):
        unit_truth(np.ones(len(holes), np.float32), holes, (CLASSES, PLACES))
    with pytest.raises(UsageError, match="two environments"):
        unit_truth(np.ones(480, np.float32), cells * [1, 0], (CLASSES, PLACES))


def test_environments_that_no_image_shows_are_left_out():
    cells = cells_of(480, None, np.random.default_rng(0))
    kind = (cells[:, 0] == 2).astype(np.float32)
    assert unit_truth(kind, cells, (CLASSES, PLACES + 3)).share == pytest.approx(1)


def test_l1_reaches_the_number_of_units_and_takes_the_environments_first(splits):
    validation = splits[0]
    fitted = regressions.l1_to(validation.features, validation.cells[:, 0], 4, seed=0)
    assert fitted.units.tolist() == [4, 5, 6, 7]
    few = np.concatenate([validation.features[:, :3], np.ones((960, 9), np.float32)], axis=1)
    with pytest.raises(UsageError, match="only 3 units change"):
        regressions.l1_to(few, validation.cells[:, 0], 4, seed=0)


@pytest.mark.slow
def test_the_selective_units_beat_l1_and_random_ones_where_the_pairing_is_switched(splits):
    kept = {"agent": [0, 1, 2, 3]}
    rows = {(row.name, row.training): row for row in table(*splits, list(range(12)), kept, "agent", 3, lambda *_: None)}
    agent, same = rows["agent", "unbalanced"], rows["l1, 4 units", "unbalanced"]
    assert agent.interval()[0] > 0.9
    assert agent.units == 4
    assert difference(agent, same)[1] > 0
    assert rows["all units, original network", "unbalanced"].interval()[0] < 0.1
    assert rows["l1, 4 units", "balanced"].interval()[0] > 0.9
    assert agent.interval()[0] > rows["random, 4 of the 12", "unbalanced"].interval()[0]
    assert [len(row.accuracy) for row in rows.values()] == [3] * len(rows)
    assert all(min(row.worst) <= min(row.accuracy) for row in rows.values())


@pytest.mark.slow
def test_without_a_pairing_nothing_is_gained(splits):
    _, balanced, test = splits
    unpaired = measured(960, None, 4, "v")
    found = table(unpaired, balanced, test, list(range(12)), {"agent": [0, 1, 2, 3]}, "agent", 3, lambda *_: None)
    rows = {(row.name, row.training): row for row in found}
    assert difference(rows["agent", "unbalanced"], rows["l1, 12 units", "unbalanced"])[0] < 0.03


def test_a_method_that_keeps_nothing_has_no_row_and_breaks_no_other(splits):
    rows = table(*splits, list(range(12)), {"agent": [], "factorial": [0, 1, 2, 3]}, "agent", 2, lambda *_: None)
    assert [row.name for row in rows] == ["all units, original network", "l1, 12 units", "factorial"]


def test_halves_share_no_image_between_fit_and_test_and_balance_the_cells():
    pool = measured(960, None, 2, "same")
    split = halves(measured(100, 0, 1, "v"), pool, pool, seed=5)
    assert not set(split.balanced.ids) & set(split.test.ids)
    assert len(split.balanced.ids) == BALANCED
    counts = np.unique(split.balanced.cells, axis=0, return_counts=True)[1]
    assert counts.max() - counts.min() <= 1
    assert len(split.unbalanced.ids) == 50


@pytest.mark.slow
def test_an_agent_that_keeps_every_unit_leaves_one_l1_row(splits):
    found = table(*splits, [0, 1, 2, 3], {"agent": [0, 1, 2, 3]}, "agent", 2, lambda *_: None)
    assert [len(row.accuracy) for row in found] == [2] * len(found)
    assert [row.name for row in found if row.training == "unbalanced" and row.name.startswith("l1")] == ["l1, 4 units"]


@pytest.mark.slow
def test_the_interval_is_students_and_the_random_row_tells_the_spread_of_its_sets(splits):
    row = Row(name="r", training="unbalanced", units=1, accuracy=(0.4, 0.5, 0.6), worst=(0.4, 0.5, 0.6))
    # Student's 97.5 % quantile at two degrees of freedom is 4.303.
    assert row.interval() == pytest.approx((0.5, 0.5 - 4.303 * 0.1, 0.5 + 4.303 * 0.1), abs=1e-3)
    rows = {row.name: row for row in table(*splits, list(range(12)), {"agent": [0, 1]}, "agent", 2, lambda *_: None)}
    assert rows["random, 2 of the 12"].draws > 0.05
    assert rows["agent"].draws == 0


def test_the_halves_of_balanced_images_share_none_and_have_every_cell(splits):
    first, second = in_halves(splits[1])
    assert not set(first.ids) & set(second.ids)
    assert len(first.ids) + len(second.ids) == 960
    for half in (first, second):
        assert set(np.unique(half.cells, axis=0, return_counts=True)[1]) == {20}


def test_a_folder_of_another_network_is_refused_by_name(tmp_path):
    parts = {"network": "a" * 32, "test images": "b" * 32}
    protocol._check_parts(parts, tmp_path)
    protocol._check_parts(parts, tmp_path)
    with pytest.raises(UsageError, match="holds a study of other parts: network changed; choose another --out"):
        protocol._check_parts({**parts, "network": "c" * 32}, tmp_path)
    (tmp_path / protocol.PARTS).write_text("[]")
    with pytest.raises(UsageError, match="is not readable"):
        protocol._check_parts(parts, tmp_path)
