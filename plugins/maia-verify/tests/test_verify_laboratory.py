"""The verifier on synthetic neurons, whose truth is known: true claims hold, every kind of false one fails."""

from __future__ import annotations

import pytest

from maia_core.types import Explanation
from maia_verify.verifier import HeldOut

pytestmark = [pytest.mark.pack, pytest.mark.slow]


def _verdict(laboratory, expression, *labels):
    context = laboratory(expression)
    return HeldOut(HeldOut.Config(), context).verify(Explanation(description="", labels=labels), context, 1)


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("tiger OR snow", ("tiger", "snow")),
        ("dog | grass", ("dog given grass",)),
        ("cat family", ("cat family",)),
        ("grass", ("grass",)),
        ("dog | leash", ("dog given leash",)),
    ],
)
def test_true_claims_hold(laboratory, expression, labels):
    verdict = _verdict(laboratory, expression, *labels)
    assert verdict.passed, verdict.summary


@pytest.mark.parametrize(
    ("expression", "labels", "why"),
    [
        ("tiger", ("guitar",), "more than other things"),
        ("tiger", ("animal",), "different pictures of 'animal'"),
        ("tiger OR snow", ("snow",), "what else the real images show"),
        ("tiger OR snow", ("tiger",), "predict the real images"),
        ("tiger OR snow", ("cat family", "snow"), "different pictures of 'cat family'"),
        ("dog | grass", ("dog",), "different pictures of 'dog'"),
        ("dog | grass", ("grass",), "different pictures of 'grass'"),
        ("dog | grass", ("animal given grass",), "different pictures"),
        ("tiger", ("tiger given grass",), "more than 'tiger' alone"),
        ("tiger", ("images",), "more than other things"),
        ("tiger", ("tiger", "guitar"), "'guitar' activates"),
    ],
    ids=lambda value: " OR ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_over_broad_and_half_true_claims_fail(laboratory, expression, labels, why):
    verdict = _verdict(laboratory, expression, *labels)
    assert verdict.measured
    assert not verdict.passed
    assert any(why in check.claim for check in verdict.checks if not check.passed), verdict.summary
