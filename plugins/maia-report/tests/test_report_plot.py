"""Where the marks of a plot go."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maia_report.plot import LANES, MARGIN, Scale, interval, scale, strip


def test_positions_are_percent_of_the_width_between_the_margins() -> None:
    on = Scale(0, 10)
    assert [on.x(value) for value in (0, 5, 10)] == [MARGIN, 50, 100 - MARGIN]
    assert on.x(12) == 100 - MARGIN
    assert on.x(-3) == MARGIN


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([1, 2, 8], 0, 8),  # zero is near: it belongs to the picture
        ([90, 95, 100], 90, 100),  # zero is far
        ([-2, 3], -2, 3),
        ([-8, -1], -8, 0),
        ([2, 2], 1, 3),
        ([0, 0], 0, 1),
        ([], 0, 1),
        ([math.nan, math.inf, 1e300, 4, 0], 0, 4),
    ],
)
def test_a_scale_holds_its_values(values: list[float], low: float, high: float) -> None:
    assert scale(values) == Scale(low, high)


def test_a_bar_of_the_lowest_value_is_empty_and_of_the_highest_full() -> None:
    assert [scale([0, 2, 4]).level(value) for value in (0, 2, 4)] == [0, 50, 100]
    assert scale([0, 0]).level(0) == 0


def test_ticks_are_round_and_within_the_scale() -> None:
    assert Scale(0, 37).ticks() == [0, 10, 20, 30]
    assert Scale(0, 1).ticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert Scale(-2, 3).ticks() == [-2, -1, 0, 1, 2, 3]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_any_numbers_can_be_laid_out(values: list[float]) -> None:
    on = scale(values)
    laid = strip(values, on)
    marks = [dot.x for dot in laid.dots] + list(laid.interval or ()) + ([] if laid.mean is None else [laid.mean])
    assert all(MARGIN <= x <= 100 - MARGIN for x in marks)
    assert {dot.lane for dot in laid.dots} <= set(LANES)
    assert 0 < len(on.ticks()) <= 8


def test_dots_that_would_cover_each_other_take_other_lanes() -> None:
    laid = strip([1.0, 1.0, 1.0, 9.0], Scale(0, 10))
    assert [dot.lane for dot in laid.dots] == [0, -1, 1, 0]


def test_the_mean_and_its_interval_are_students() -> None:
    # t(0.975, 3) = 3.182; mean 5, standard deviation 2.582 of 2, 4, 6, 8
    low, high = interval([2, 4, 6, 8]) or (0, 0)
    assert (low, high) == pytest.approx((5 - 3.182 * 2.581989 / 2, 5 + 3.182 * 2.581989 / 2))
    assert interval([1, 2]) is None
    assert strip([2, 4, 6, 8], Scale(0, 10)).mean == Scale(0, 10).x(5)
