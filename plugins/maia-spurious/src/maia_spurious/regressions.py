"""Logistic regressions on a layer's units: the l1 path to a number of units, and the fit on chosen units.

As in the paper (appendix F2): units are standardised, l1 regressions use the solver `saga`, fits without a penalty use
`lbfgs`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from maia_core.plugin import UsageError

STEPS = 24
"""Halvings of the range of C, on a logarithmic scale, in the search for a number of units."""

WEAKEST, STRONGEST = 1e-5, 1e2
"""Range of C, the inverse of the penalty's weight."""

PASSES, TOLERANCE = 400, 1e-3
"""Most passes of the solver over the images, and the change of the weights at which it stops."""


class Fitted(NamedTuple):
    """A regression and the units that it reads.

    Attributes:
        model: Predicts classes from the units `kept`.
        kept: Columns of the features that the model gets, in ascending order.
        units: Those of them with a weight other than 0 for any class.
    """

    model: Pipeline
    kept: NDArray[np.int64]
    units: NDArray[np.int64]

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the class of each row of `features`, shape (images, all units)."""
        predicted: NDArray[np.int64] = self.model.predict(features[:, self.kept])
        return predicted


def check_informative(features: NDArray[np.float32], units: int) -> None:
    """Checks that at least `units` units change over the images.

    Raises:
        UsageError: fewer do.
    """
    informative = int((np.ptp(features, axis=0) > 0).sum())
    if informative < units:
        raise UsageError(
            f"only {informative} units change over {len(features)} images, fewer than the {units} that are asked for; "
            "set a smaller number of units"
        )


def l1(features: NDArray[np.float32], classes: NDArray[np.int64], strength: float, seed: int) -> Fitted:
    """Fits an l1 regression on all units with one `strength` (C of scikit-learn)."""
    model = LogisticRegression(C=strength, l1_ratio=1, solver="saga", max_iter=PASSES, tol=TOLERANCE, random_state=seed)
    return _fit(model, features, classes, np.arange(features.shape[1]))


def l1_to(features: NDArray[np.float32], classes: NDArray[np.int64], units: int, seed: int) -> Fitted:
    """Fits an l1 regression with C such that `units` units have a weight, or as near to that as C allows.

    Args:
        features: float32 of shape (images, all units).
        classes: Class of each image, shape (images,).
        units: Wanted number of units.
        seed: Random seed of the solver.

    Raises:
        UsageError: fewer than `units` units change over the images.
    """
    check_informative(features, units)
    low, high = np.log(WEAKEST), np.log(STRONGEST)
    best: Fitted | None = None
    for _ in range(STEPS):
        middle = (low + high) / 2
        fitted = l1(features, classes, float(np.exp(middle)), seed)
        count = len(fitted.units)
        if best is None or abs(count - units) < abs(len(best.units) - units):
            best = fitted
        if count == units:
            break
        low, high = (middle, high) if count < units else (low, middle)
    assert best is not None
    return best


def refit(features: NDArray[np.float32], classes: NDArray[np.int64], kept: Sequence[int]) -> Fitted:
    """Fits a regression without a penalty on the units `kept`, at least one."""
    columns = np.sort(np.asarray(kept, np.int64))
    return _fit(LogisticRegression(C=np.inf, solver="lbfgs", max_iter=1000), features, classes, columns)


def _fit(
    model: LogisticRegression, features: NDArray[np.float32], classes: NDArray[np.int64], kept: NDArray[np.int64]
) -> Fitted:
    pipeline = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        # Separable classes have no finite optimum without a penalty: the solver's limit is the published behaviour.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(features[:, kept].astype(np.float64), classes)
    used = np.abs(model.coef_).max(axis=0) > 0
    return Fitted(pipeline, kept, kept[used])
