"""Groups of logged results that share a title."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from maia_core.plugin import Image, Logged

EXEMPLARS = "Exemplars"
"""The condition that the highest images of the data set make."""


@dataclass(frozen=True)
class Condition:
    """Results that share a title.

    Attributes:
        title: The title; `EXEMPLARS` for the data set's exemplars, which are numbered.
        results: One result an image: an image that was logged again under the same title counts once.
        exemplars: True for the data set's exemplars.
        expected: What the explanation says that the condition should do, where it says so.
        stated: Activations that the explanation states without their images.
    """

    title: str
    results: tuple[Logged, ...]
    exemplars: bool = False
    expected: str = ""
    stated: tuple[float, ...] = ()

    @cached_property
    def activations(self) -> list[float]:
        """The activations, in the order in which they were logged."""
        return [result.activation for result in self.results] or list(self.stated)

    @cached_property
    def mean(self) -> float:
        """Mean activation; of numbers too large to add up, or none, it is not a number."""
        try:
            return statistics.fmean(self.activations)
        except (OverflowError, ValueError, statistics.StatisticsError):
            return float("nan")

    @property
    def extremes(self) -> list[Logged]:
        """The results with the highest and the lowest activation; one, if there is one."""
        ranked = sorted(self.results, key=lambda result: -result.activation)
        return [ranked[0], ranked[-1]] if len(ranked) > 1 else ranked


def grouped(results: Iterable[Logged], exemplars: Collection[tuple[str, str]]) -> list[Condition]:
    """Groups results by title, highest mean first; `exemplars` are titles and images that are the data set's."""
    groups: dict[tuple[bool, str], dict[str, Logged]] = {}
    for result in results:
        is_exemplar = (result.title, clean_id(result.image)) in exemplars
        key = (is_exemplar, EXEMPLARS if is_exemplar else result.title)
        groups.setdefault(key, {}).setdefault(result.image.id, result)
    conditions = [Condition(title, tuple(group.values()), is_ex) for (is_ex, title), group in groups.items()]
    return sorted(conditions, key=_by_mean)


def clean_id(image: Image) -> str:
    """Returns the id of an image before it was masked, if it was."""
    return image.clean.id if image.clean else image.id


def _by_mean(condition: Condition) -> tuple[bool, float]:
    mean = condition.mean
    return (mean != mean, -mean if mean == mean else 0.0)
