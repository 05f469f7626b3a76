"""The highest values of many streams, and which images and positions are drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maia_exemplars.maps import decoded, encoded
from maia_exemplars.sampling import MIN_POSITIONS, drawn_positions, positions_counted, rank_error, sample_images
from maia_exemplars.topk import NOWHERE, TopK

few_values = hnp.arrays(np.float32, (23, 4), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]))


@settings(deadline=None, max_examples=200)
@given(few_values, st.integers(1, 30), st.integers(1, 9), st.permutations(range(23)))
def test_the_best_are_those_of_a_stable_sort_whatever_the_order_and_the_batches(values, k, parts, order):
    top, kept = TopK.empty(4, k), np.full((4, k), -1)
    for batch in np.array_split(np.array(order), parts):
        rows, units, slots = top.offer(batch.astype(np.int64), values[batch])
        kept[units, slots] = batch[rows]
    expected = np.argsort(-values, axis=0, kind="stable")[:k].T
    found = np.take_along_axis(top.places, top.order(), 1)[:, : expected.shape[1]]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.where(top.places == NOWHERE, -1, top.places), kept, "what lies beside the slots")


def test_slots_can_be_gone_on_with():
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    whole, part = TopK.empty(3, 5), TopK.empty(3, 5)
    whole.offer(np.arange(40), values)
    part.offer(np.arange(20), values[:20])
    again = TopK(part.values.copy(), part.places.copy())
    again.offer(np.arange(20, 40), values[20:])
    np.testing.assert_array_equal(
        np.take_along_axis(whole.places, whole.order(), 1), np.take_along_axis(again.places, again.order(), 1)
    )


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_a_stored_map_is_what_it_was_within_a_step(maps):
    for code, original in zip(encoded(maps), maps, strict=True):
        low, high = original.min(), original.max()
        back = decoded(code, low, high)
        step = (float(high) - float(low)) / 65535
        np.testing.assert_allclose(back, original, atol=step * 0.51 + abs(float(high)) * 1e-6, rtol=1e-6)
        assert back.ravel()[original.argmax()] == pytest.approx(high, rel=1e-6, abs=step * 0.01)


def test_the_sample_is_uniform_and_the_same_in_every_part():
    chosen = sample_images("fingerprint", 50_000, 2048)
    assert len(np.unique(chosen)) == 2048
    assert (np.diff(chosen) > 0).all()
    parts, _ = np.histogram(chosen, 10, (0, 50_000))
    assert abs(parts - 204.8).max() < 6 * np.sqrt(204.8)
    assert not np.array_equal(chosen, sample_images("another", 50_000, 2048))
    np.testing.assert_array_equal(sample_images("fingerprint", 30, 2048), np.arange(30))


@pytest.mark.parametrize(("positions", "looked"), [(100, 16), (17, 16), (12544, 128)])
def test_every_position_is_drawn_as_often_as_any_other(positions, looked):
    places = np.arange(40_000 * 16 // looked * max(1, positions // 200))[: 2_000_000 // looked]
    drawn = drawn_positions(places, positions, looked)
    assert drawn.min() >= 0
    assert drawn.max() < positions
    counts = np.bincount(drawn.ravel(), minlength=positions)
    expected = drawn.size / positions
    assert abs(counts - expected).max() < 6 * np.sqrt(expected)
    np.testing.assert_array_equal(drawn[5:9], drawn_positions(places[5:9], positions, looked))


def test_a_sampled_quantile_keeps_its_bound():
    """Maps whose bright positions cluster, which sampling finds harder than noise."""
    noise = np.random.default_rng(1)
    images, positions = 2000, 784
    looked = positions_counted(images, positions, units=64)
    assert MIN_POSITIONS <= looked < positions
    maps = noise.gamma(0.3, size=(images, 1)) * np.exp(
        -((np.arange(positions) - noise.integers(0, positions, (images, 1))) ** 2) / 500
    )
    drawn = np.take_along_axis(maps, drawn_positions(np.arange(images), positions, looked), 1)
    for quantile in (0.5, 0.95, 0.99, 0.995):
        rank = (maps <= np.quantile(drawn, quantile)).mean()
        assert abs(rank - quantile) <= rank_error(images, positions, looked, quantile)
    assert rank_error(images, 49, 49, 0.99) == 0
    assert rank_error(50_000, 784, 16, 0.99) < 0.001
