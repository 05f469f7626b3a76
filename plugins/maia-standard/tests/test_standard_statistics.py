from __future__ import annotations

import pytest

from maia_standard.statistics import auc, share


def test_auc_is_the_chance_that_a_positive_exceeds_a_control():
    assert auc([1, 2], [0, 1], 0.95, 0).value == 0.875
    assert auc([3] * 8, [1] * 8, 0.95, 0) == (1.0, 1.0, 1.0)
    assert auc([1] * 8, [1] * 8, 0.95, 0) == (0.5, 0.5, 0.5)


def test_interval_of_few_conditions_is_wide_and_a_higher_level_widens_it():
    positives, controls = [0.2, 0.9, 0.4, 0.8], [0.1, 0.5, 0.3, 0.6]
    narrow, wide = auc(positives, controls, 0.8, 0), auc(positives, controls, 0.99, 0)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high
    many = auc(positives * 20, controls * 20, 0.8, 0)
    assert many.high - many.low < 0.4 * (narrow.high - narrow.low)


def test_share_has_the_wilson_interval():
    found = share(8, 10, 0.95)
    assert found == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert share(0, 5, 0.95) == pytest.approx((0, 0, 0.4345), abs=1e-4)
    assert share(5, 5, 0.95) == pytest.approx((1, 0.5655, 1), abs=1e-4)
