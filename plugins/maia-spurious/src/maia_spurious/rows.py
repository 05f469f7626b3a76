"""The rows of the paper's table 2, each with its spread over seeds of split and fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats
from threadpoolctl import threadpool_limits

from maia_spurious import regressions
from maia_spurious.regressions import Fitted

DRAWS = 100
"""Random sets of units per seed."""

BALANCED = 320
"""Images of a balanced set, as in the paper."""

STRENGTHS = tuple(float(c) for c in np.logspace(-3, 1, 9))
"""Values of C among which the balanced row chooses."""

FOLDS = 5
"""Splits into halves that choose C."""


class Measured(NamedTuple):
    """A layer over one split of a data set.

    Attributes:
        features: Mean of every unit's map, float32 of shape (images, units): what the last layer reads.
        activations: Spatial maximum of every unit's map, float32 of the same shape.
        predicted: The network's own class of each image, shape (images,).
        cells: Class and environment of each image, shape (images, 2).
        ids: The images' ids.
    """

    features: NDArray[np.float32]
    activations: NDArray[np.float32]
    predicted: NDArray[np.int64]
    cells: NDArray[np.int64]
    ids: Sequence[str]

    def take(self, rows: NDArray[np.int64]) -> Measured:
        """Returns some of the images."""
        ids = [self.ids[row] for row in rows]
        return Measured(self.features[rows], self.activations[rows], self.predicted[rows], self.cells[rows], ids)


class Row(BaseModel):
    """One row of the table.

    Attributes:
        name: What the row is.
        training: `unbalanced` or `balanced`: which images the regression was fitted on.
        units: Mean number of units over the seeds.
        accuracy: Accuracy on the test images, one value per seed.
        worst: Accuracy in the worst cell of class and environment, likewise.
        draws: Standard deviation of the accuracy over the random sets of one seed; 0 for a row without such sets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    training: str
    units: float
    accuracy: tuple[float, ...]
    worst: tuple[float, ...]
    draws: float = 0.0

    def interval(self, values: Sequence[float] | None = None) -> tuple[float, float, float]:
        """Returns mean, lower and upper end of the 95 % interval of the accuracy, or of other shares per seed.

        Every seed fits and tests on a random half of the images. The standard deviation over such halves estimates
        the standard error of the figure on all images (the delete-half jackknife; Shao and Wu 1989), so it is not
        divided by the number of seeds; the quantile is Student's, for as many seeds. A balanced row is fitted on 320
        images of the pool and not on a half, so its interval is that of sets of 320.
        """
        mean, low, high = _interval(self.accuracy if values is None else values)
        return mean, max(low, 0.0), min(high, 1.0)


def difference(row: Row, other: Row) -> tuple[float, float, float]:
    """Returns the difference of two rows' accuracies with its 95 % interval, paired by seed."""
    return _interval([a - b for a, b in zip(row.accuracy, other.accuracy, strict=True)])


class Comparison(NamedTuple):
    """A figure that compares rows, with its 95 % interval: its name, mean, lower and upper end."""

    name: str
    mean: float
    low: float
    high: float


def comparisons(rows: Sequence[Row], matched: str) -> list[Comparison]:
    """Compares a row with every other, paired by seed.

    Args:
        rows: The table.
        matched: Name of the row; its number of units is that of the balanced row.

    Returns:
        The differences of the row's accuracy to the others', then how much of the gap to the balanced row of the same
        size it closes, from the original network and from l1 of the same size. A gap that is not positive is left out;
        nothing is returned where there is no such row.
    """
    own = next((row for row in rows if row.name == matched), None)
    if own is None:
        return []
    found = [
        Comparison(f"{matched} minus {row.name} ({row.training})", *difference(own, row))
        for row in rows
        if row is not own
    ]
    same = {row.training: row for row in rows if row.name == f"l1, {own.units:.0f} units"}
    for name, base in (("all units, original network", rows[0]), ("l1 of the same size", same.get("unbalanced"))):
        if base is None or "balanced" not in same:
            continue
        gain, gap = (np.subtract(row.accuracy, base.accuracy) for row in (own, same["balanced"]))
        if gap.mean() > 0:
            share = gain.mean() / gap.mean()
            # The deviations of a ratio of means, to first order (Cochran 1977, section 6.3).
            spread = _interval(((gain - share * gap) / gap.mean()).tolist())
            title = f"share of the gap from {name} to balanced, same size"
            found.append(Comparison(title, float(share), *(float(share) + end for end in spread[1:])))
    return found


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    found = np.asarray(values)
    mean, half = float(found.mean()), 0.0
    if len(found) > 1:
        half = float(stats.t.ppf(0.975, len(found) - 1)) * float(found.std(ddof=1))
    return mean, mean - half, mean + half


class Halves(NamedTuple):
    """The images of one seed.

    Attributes:
        unbalanced: A random half of the validation images, which pair classes and environments.
        balanced: Images with every class in every environment.
        test: A random half of the test images, without those in `balanced`.
    """

    unbalanced: Measured
    balanced: Measured
    test: Measured


def halves(validation: Measured, balanced: Measured, test: Measured, seed: int) -> Halves:
    """Draws the images of one seed."""
    rng = np.random.default_rng([seed, 17])
    drawn = balanced.take(_each_cell(balanced.cells, min(BALANCED, len(balanced.ids)), rng))
    taken = set(drawn.ids)
    free = np.array([place for place, name in enumerate(test.ids) if name not in taken])
    return Halves(
        validation.take(np.sort(rng.permutation(len(validation.ids))[: len(validation.ids) // 2])),
        drawn,
        test.take(np.sort(rng.permutation(free)[: len(free) // 2])),
    )


def in_halves(balanced: Measured) -> tuple[Measured, Measured]:
    """Splits balanced images into two halves that share no image and have every cell equally often."""
    seen: dict[tuple[int, ...], int] = {}
    turns = []
    for cell in map(tuple, balanced.cells.tolist()):
        turns.append(seen.setdefault(cell, 0) % 2)
        seen[cell] += 1
    second = np.array(turns, np.bool_)
    return balanced.take(np.flatnonzero(~second)), balanced.take(np.flatnonzero(second))


def _each_cell(cells: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draws `count` images, from every cell equally often, up to one."""
    order = rng.permutation(len(cells))
    seen: dict[tuple[int, ...], int] = {}
    turns = []
    for place in order:
        cell = tuple(cells[place].tolist())
        turns.append(seen.setdefault(cell, 0))
        seen[cell] += 1
    return np.sort(order[np.argsort(turns, kind="stable")[:count]])


def table(
    validation: Measured,
    balanced: Measured,
    test: Measured,
    top: Sequence[int],
    kept: Mapping[str, Sequence[int]],
    matched: str,
    seeds: int,
    tell: Callable[[int, int], None],
) -> list[Row]:
    """Computes all rows.

    Args:
        validation: Images that pair classes and environments; the network was not trained on them.
        balanced: Images of every class in every environment.
        test: Images with the pairing switched.
        top: The units of the l1 regression on all of `validation`. The l1 rows select units again on every half.
        kept: Units that a method keeps of `top`, by the method's name; refitted without a penalty.
        matched: The method whose number of units the random, the l1 and the balanced rows match.
        seeds: Number of splits and fits.
        tell: Is told how many seeds of all are done.
    """
    found: dict[tuple[str, str], list[Scores]] = {}
    with threadpool_limits(1):  # The matrices are small: threads would wait for each other.
        for seed in range(seeds):
            tell(seed, seeds)
            split = halves(validation, balanced, test, seed)
            for name, training, scores in _seed(split, top, kept, len(kept[matched]), seed):
                found.setdefault((name, training), []).append(scores)
    tell(seeds, seeds)
    return [
        Row(
            name=name,
            training=training,
            units=float(np.mean([score.units for score in scores])),
            accuracy=tuple(score.accuracy for score in scores),
            worst=tuple(score.worst for score in scores),
            draws=float(np.mean([score.draws for score in scores])),
        )
        for (name, training), scores in found.items()
    ]


class Scores(NamedTuple):
    """One row for one seed: number of units, accuracy, accuracy in the worst cell, deviation over random sets."""

    units: float
    accuracy: float
    worst: float
    draws: float = 0.0


def _seed(
    split: Halves, top: Sequence[int], kept: Mapping[str, Sequence[int]], size: int, seed: int
) -> Iterator[tuple[str, str, Scores]]:
    """Yields the scores of every row for one seed, in the order of the paper's table."""
    unbalanced, balanced, test = split
    features, classes = unbalanced.features, unbalanced.cells[:, 0]
    every = features.shape[1]
    yield "all units, original network", "unbalanced", Scores(every, *_accuracies(test.predicted, test))
    fitted = regressions.l1_to(features, classes, len(top), seed)
    yield f"l1, {len(top)} units", "unbalanced", _scores(fitted, test)
    for name, units in kept.items():
        if units:
            yield name, "unbalanced", _scores(regressions.refit(features, classes, units), test)
    if not size:
        return
    rng = np.random.default_rng([seed, 19])
    draws = [
        _scores(regressions.refit(features, classes, rng.choice(np.asarray(top), size, replace=False).tolist()), test)
        for _ in range(DRAWS)
    ]
    accuracies = [draw.accuracy for draw in draws]
    worst = float(np.mean([draw.worst for draw in draws]))
    random = Scores(size, float(np.mean(accuracies)), worst, float(np.std(accuracies, ddof=1)))
    yield f"random, {size} of the {len(top)}", "unbalanced", random
    if size != len(top):  # It is the l1 row above otherwise.
        yield f"l1, {size} units", "unbalanced", _scores(regressions.l1_to(features, classes, size, seed), test)
    features, classes = balanced.features, balanced.cells[:, 0]
    yield "l1, tuned", "balanced", _scores(regressions.l1(features, classes, _tuned(balanced, seed), seed), test)
    yield f"l1, {size} units", "balanced", _scores(regressions.l1_to(features, classes, size, seed), test)


def _scores(fitted: Fitted, test: Measured) -> Scores:
    return Scores(len(fitted.units), *_accuracies(fitted.predict(test.features), test))


def _accuracies(predicted: NDArray[np.int64], test: Measured) -> tuple[float, float]:
    """Returns the accuracy, and that in the worst cell of class and environment."""
    right = predicted == test.cells[:, 0]
    cells = np.unique(test.cells, axis=0)
    return float(right.mean()), min(float(right[(test.cells == cell).all(axis=1)].mean()) for cell in cells)


def _tuned(balanced: Measured, seed: int) -> float:
    """Chooses C by the accuracy on the other half, over `FOLDS` random splits into halves."""
    rng = np.random.default_rng([seed, 23])
    count = len(balanced.ids)
    sums = np.zeros(len(STRENGTHS))
    for _ in range(FOLDS):
        order = rng.permutation(count)
        fit, other = balanced.take(order[: count // 2]), balanced.take(order[count // 2 :])
        for place, strength in enumerate(STRENGTHS):
            fitted = regressions.l1(fit.features, fit.cells[:, 0], strength, seed)
            sums[place] += float((fitted.predict(other.features) == other.cells[:, 0]).mean())
    return STRENGTHS[int(sums.argmax())]
