"""Quantiles of streams within their stated bound, whatever the values, their order and their division into parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from maia_exemplars.counting import ArrayCounter
from maia_exemplars.histogram import ABSOLUTE, RELATIVE, Histogram, Histograms, scales
from maia_exemplars.moments import Moments
from maia_exemplars.scale import scales_of

floats = st.floats(-(2.0**100), 2.0**100, width=32) | st.sampled_from([0.0, -0.0, 6.0, 1e-45, 1.0000001])
streams = hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.just(3)), elements=floats)


def counted(values: np.ndarray, parts: int = 1) -> Histograms:
    counter = ArrayCounter(Histograms.empty(scales(values.shape[1])))
    for part in np.array_split(values, parts):
        if len(part):
            counter.add(part, None, part.max(axis=0))
    return counter.fetch()


@settings(deadline=None, max_examples=200)
@given(streams, st.floats(0, 1), st.integers(1, 5))
def test_a_quantile_is_within_the_bound_of_the_value_of_its_rank(values, quantile, parts):
    found = counted(values, parts).quantile(quantile)
    ranked = np.sort(values.astype(np.float64), axis=0)[math.floor((len(values) - 1) * quantile)]
    largest = np.abs(values).max(axis=0)
    bound = np.maximum(RELATIVE * np.abs(ranked), ABSOLUTE * largest)
    assert (np.abs(found - ranked) <= bound + 1e-37).all()


@settings(deadline=None, max_examples=100)
@given(streams, st.randoms(use_true_random=False), st.integers(1, 6))
def test_counts_depend_on_the_values_alone(values, random, parts):
    order = list(range(len(values)))
    random.shuffle(order)
    one, other = counted(values), counted(values[order], parts)
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.tops, other.tops)
    merged = Histograms.empty(scales(3))
    for part in np.array_split(values[order], parts):
        merged.merge(counted(part))
    np.testing.assert_array_equal(one.counts, merged.counts)
    np.testing.assert_array_equal(one.quantile(0.3), merged.quantile(0.3))


@settings(deadline=None, max_examples=100)
@given(streams)
def test_nothing_is_lost_when_bins_are_joined(values):
    assert (counted(values, 7).counts.sum(axis=1) == len(values)).all()


def test_the_greatest_is_exact():
    values = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    found = counted(values, 9)
    np.testing.assert_array_equal(found.quantile(1), values.max(axis=0))


def test_a_unit_that_is_off_most_of_the_time_has_exact_zeros_as_quantiles():
    values = np.zeros((1000, 1), np.float32)
    values[:30, 0] = np.linspace(1, 50, 30)
    found = counted(values)
    assert found.quantile(0.95) == 0
    assert found.quantile(0.99) == pytest.approx(np.quantile(values, 0.99, method="lower"), rel=RELATIVE)


def test_nothing_counted_is_no_number():
    assert math.isnan(Histogram(np.zeros(0, np.int32), np.zeros(0, np.int32), 1, -math.inf).quantile(0.5))


def _streams():
    """Values as units give them: 2,000 of each, float32 of shape (2000, 8)."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 2000))
    massive = noise[3].copy()
    massive[::300] = 20_000  # One token of some images, as in large transformers.
    skewed = np.maximum(noise[4], 0)
    drawn = [noise[0], 1000 + 0.1 * noise[1], -250 + noise[2], massive, skewed, 100 + skewed, 300 + 0 * noise[5]]
    return np.stack([*drawn, 500 + 0.01 * massive], axis=1).astype(np.float32)


def _counted_in_scale(values: np.ndarray, chosen: np.ndarray) -> Histograms:
    counter = ArrayCounter(Histograms.empty(chosen))
    counter.add(values, None, values.max(axis=0))
    return counter.fetch()


def test_a_quantile_has_its_rank_whatever_offset_or_outliers_a_stream_has():
    values = _streams()
    chosen = scales_of(values[::7].T)
    assert (chosen["centre"] != 0).tolist() == [False, True, True, False, False, True, True, True]
    for quantile in (0.5, 0.9, 0.95, 0.99):
        found = _counted_in_scale(values, chosen).quantile(quantile)
        above, reached = (values > found).mean(axis=0), (values >= found).mean(axis=0)
        varies = values.std(axis=0) > 0
        assert (above[varies] <= 1 - quantile + 0.006).all()
        assert (reached[varies] >= 1 - quantile - 0.006).all()
    assert _counted_in_scale(values, chosen).quantile(0.9)[6] == 300


def test_parts_with_other_scales_are_merged_within_a_bin():
    """Another machine may find another centre; an index of an earlier version has none."""
    values = _streams()
    one, other = scales_of(values[::7].T), scales_of(values[3::7].T)
    merged = Histograms.empty(one)
    merged.merge(_counted_in_scale(values[:1000], one))
    merged.merge(_counted_in_scale(values[1000:], other))
    assert (merged.counts.sum(axis=1) == len(values)).all()
    spread = values.std(axis=0)
    whole = _counted_in_scale(values, one).quantile(0.9)
    np.testing.assert_array_less(np.abs(merged.quantile(0.9) - whole)[spread > 0], (0.05 * spread)[spread > 0])


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, (30, 2), elements=st.floats(-1e6, 1e6, width=32)), st.integers(1, 29))
def test_moments_of_parts_are_those_of_the_whole(values, cut):
    found = Moments.of(values[:cut])
    found.add(Moments.of(values[cut:]))
    exact = values.astype(np.float64)
    assert found.count == 30
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.std, exact.std(axis=0), rtol=1e-5, atol=1e-3)
