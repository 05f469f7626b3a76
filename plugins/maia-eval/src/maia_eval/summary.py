"""From results to rows: means over units with intervals, by explainer, layer and kind of unit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import resources
from itertools import combinations
from typing import Any, NamedTuple

from maia_eval import metrics
from maia_eval.integrity import Integrity
from maia_eval.metrics import Estimate
from maia_eval.results import Explained, Folder, NeuronResult, Scores, UnitResult

ALL = "all"

FEW = 8
"""Units below which nothing is marked as different from 0, or as best: a bootstrap of two is just the two values."""

TOO_FEW = f"intervals of fewer than {FEW} units mean little, so nothing of them is marked"
VERDICTS = ("right", "near", "wrong", "no answer")


class Figure(NamedTuple):
    """A column of the table of a predictive evaluation.

    Attributes:
        key: Its name in files.
        title: Its name on the page.
        of: Takes it from the scores of one unit; None where it is not defined.
        chance: What a label that says nothing gets; None where that depends on the unit.
        headline: Whether it stands first in reports; a test measures such a score by NeuronEval's two checks.
        share: Whether each unit gives yes or no, so that the figure is a share with Wilson's interval.
    """

    key: str
    title: str
    of: Callable[[UnitResult, Scores], float | None]
    chance: float | None = None
    share: bool = False
    headline: bool = False


def _divided(value: Callable[[Scores], float]) -> Callable[[UnitResult, Scores], float | None]:
    return lambda unit, scores: value(scores) / unit.level if unit.state == "active" else None


def _fit(where: str, name: str) -> Callable[[UnitResult, Scores], float | None]:
    def of(unit: UnitResult, scores: Scores) -> float | None:
        fit = getattr(scores, where)
        return None if fit is None else getattr(fit, name)

    return of


FIGURES = (
    Figure("pearson", "Pearson", _fit("generated", "pearson"), 0.0, headline=True),
    Figure("auprc", "average precision", _fit("generated", "auprc"), headline=True),
    Figure("real_pearson", "Pearson, real", _fit("real", "pearson"), 0.0),
    Figure("real_auprc", "average precision, real", _fit("real", "auprc")),
    Figure("margin", "+ less −", _divided(lambda s: s.plus - s.minus), 0.0),
    Figure("plus", "+", _divided(lambda s: s.plus)),
    Figure("minus", "−", _divided(lambda s: s.minus)),
    Figure("drives_high", "drives high", lambda unit, scores: scores.drives_high, share=True),
    Figure("drives_low", "drives low", lambda unit, scores: scores.drives_low, share=True),
    Figure("auc", "AUC", _fit("generated", "auc"), 0.5),
    Figure("mad", "MAD", _fit("generated", "mad"), 0.0),
    Figure("real_auc", "AUC, real", _fit("real", "auc")),
    Figure("real_mad", "MAD, real", _fit("real", "mad")),
    Figure("plus_raw", "+, raw", lambda unit, scores: scores.plus),
    Figure("minus_raw", "−, raw", lambda unit, scores: scores.minus),
)
"""The columns, the headline first. + and - are divided by the unit's 95th percentile, raw ones are not."""


class Row(NamedTuple):
    """One explainer on one group of units.

    Attributes:
        group: `all`, or a layer.
        explainer: Its name.
        units: Units scored.
        figures: By key.
    """

    group: str
    explainer: str
    units: int
    figures: dict[str, Estimate]


class Effort(NamedTuple):
    """What an explainer took, a unit, and how often it gave an answer.

    Attributes:
        explainer: Its name.
        units: Units that it was asked to explain.
        silent: Units that it gave no label for.
        verified: Units whose label passed verification in the loop.
        failed: Units whose label did not.
        seconds: Mean wall time per unit.
        cost: Mean US dollars per unit, of what has a known price.
        tokens: Mean tokens per unit.
        unpriced: Whether some tokens have no known price.
        conduct: Faults in the records of all its runs.
    """

    explainer: str
    units: int
    silent: int
    verified: int
    failed: int
    seconds: float
    cost: float
    tokens: float
    unpriced: bool
    conduct: Integrity


def unit_results(folder: Folder) -> list[UnitResult]:
    """Returns the units that were scored so far, in order."""
    return folder.scored(UnitResult)


def neuron_results(folder: Folder) -> list[NeuronResult]:
    """Returns the synthetic neurons that were scored so far, in order."""
    found = (folder.read(NeuronResult, "results", unit) for unit in folder.units)
    return [each for each in found if each is not None]


def predictive_rows(results: Sequence[UnitResult], explainers: Sequence[str], seed: int) -> list[Row]:
    """Returns a row for each explainer over all units, then by layer."""
    scored = [result for result in results if result.scores]
    layers = list(dict.fromkeys(_layer(result) for result in scored))
    groups: list[tuple[str, list[UnitResult]]] = [(ALL, scored)]
    if len(layers) > 1:
        groups += [(layer, [r for r in scored if _layer(r) == layer]) for layer in layers]
    rows = []
    for group, members in groups:
        for name in explainers:
            own = [(result, result.scores[name]) for result in members if name in result.scores]
            values = {figure: [figure.of(unit, scores) for unit, scores in own] for figure in FIGURES}
            figures = {f.key: (_share(found) if f.share else metrics.mean(found, seed)) for f, found in values.items()}
            rows.append(Row(group, name, len(own), figures))
    return rows


def _share(values: Sequence[float | None]) -> Estimate:
    known = [value for value in values if value is not None]
    return metrics.share(sum(known), len(known))


class Difference(NamedTuple):
    """How much further one explainer is than another on the same units."""

    a: str
    b: str
    figures: dict[str, Estimate]

    def marked(self, key: str) -> bool:
        """Tells whether a figure's interval leaves out 0, over units enough to say so."""
        estimate = self.figures[key]
        return estimate.n >= FEW and (estimate.low > 0 or estimate.high < 0)


COMPARED = ("pearson", "auprc", "real_pearson", "margin")
"""Figures that explainers are compared by, unit by unit."""


def differences(results: Sequence[UnitResult], explainers: Sequence[str], seed: int) -> list[Difference]:
    """Returns the mean difference of each two explainers over the units that both were scored on.

    The intervals hold together: each has a confidence of 1 - 0.05 / comparisons (Bonferroni).
    """
    pairs = list(combinations(explainers, 2))
    level = 1 - (1 - metrics.LEVEL) / max(1, len(pairs) * len(COMPARED))
    figures = [figure for figure in FIGURES if figure.key in COMPARED]
    found = []
    for a, b in pairs:
        both = [(r, r.scores[a], r.scores[b]) for r in results if a in r.scores and b in r.scores]
        paired = {f.key: [_less(f.of(r, x), f.of(r, y)) for r, x, y in both] for f in figures}
        found.append(Difference(a, b, {key: metrics.mean(values, seed, level) for key, values in paired.items()}))
    return found


def _less(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _layer(result: UnitResult) -> str:
    return f"{result.model}:{result.layer}" if result.layer else result.model


def efforts(explained: Iterable[Explained], explainers: Sequence[str]) -> list[Effort]:
    """Returns what each explainer took."""
    everything = list(explained)
    found = []
    for name in explainers:
        own = [each for each in everything if each.explainer == name]
        n = max(1, len(own))
        found.append(
            Effort(
                explainer=name,
                units=len(own),
                silent=sum(not each.labels for each in own),
                verified=sum(each.verified is True for each in own),
                failed=sum(each.verified is False for each in own),
                seconds=sum(each.seconds for each in own) / n,
                cost=sum(each.usage.cost for each in own) / n,
                tokens=sum(each.usage.tokens for each in own) / n,
                unpriced=any(each.usage.unpriced_tokens for each in own),
                conduct=sum((each.conduct for each in own if each.conduct), Integrity()),
            )
        )
    return found


class Named(NamedTuple):
    """How often an explainer named synthetic neurons of one kind: shares of right ones, and of right or near ones."""

    group: str
    explainer: str
    counts: dict[str, int]
    right: Estimate
    near: Estimate


class Preferred(NamedTuple):
    """How often the first of two explainers was preferred, by whom; equal labels are left out."""

    judge: str
    a: str
    b: str
    share: Estimate
    same: int


def naming_rows(results: Sequence[NeuronResult], explainers: Sequence[str]) -> list[Named]:
    """Returns a row for each explainer over all neurons, then by kind."""
    kinds = list(dict.fromkeys(result.kind for result in results))
    rows = []
    for group in [ALL, *(kinds if len(kinds) > 1 else [])]:
        members = [result for result in results if group in (ALL, result.kind)]
        for name in explainers:
            said: list[str] = [result.verdicts[name] for result in members if name in result.verdicts]
            counts = {each: said.count(each) for each in VERDICTS}
            right, near = counts["right"], counts["near"]
            rows.append(
                Named(group, name, counts, metrics.share(right, len(said)), metrics.share(right + near, len(said)))
            )
    return rows


def preference_rows(results: Sequence[NeuronResult]) -> list[Preferred]:
    """Returns how often the run's judge preferred the first of each two explainers."""
    pairs = list(dict.fromkeys((p.a, p.b) for result in results for p in result.preferences))
    rows = []
    for a, b in pairs:
        said = [p.better for result in results for p in result.preferences if (p.a, p.b) == (a, b)]
        decided = said.count("a") + said.count("b")
        rows.append(Preferred("judge", a, b, metrics.share(said.count("a"), decided), said.count("same")))
    return rows


@cache
def published() -> dict[str, Any]:
    """Returns the paper's figures."""
    text = (resources.files("maia_eval") / "data" / "published.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def written(estimate: Estimate, digits: int = 2) -> str:
    """Returns an estimate with its interval, such as `1.23 [1.02, 1.44]`."""
    if math.isnan(estimate.value):
        return "–"
    text = f"{estimate.value:z.{digits}f}"
    if math.isnan(estimate.low):
        return text
    return f"{text} [{estimate.low:z.{digits}f}, {estimate.high:z.{digits}f}]"
