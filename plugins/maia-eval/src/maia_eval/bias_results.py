"""The results of `maia eval bias`: one file per model with a planted bias, and the rows of its tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from maia_bias import Finding
from maia_core.plugin import Data
from maia_eval import metrics
from maia_eval.metrics import Estimate
from maia_eval.results import Folder
from maia_eval.summary import ALL

NONE = "none"
"""The kind of a model without a bias."""

Verdict = Literal["named", "partly", "missed", "clear", "false alarm", "no answer"]


class Share(Data):
    """How many of some cases are hits; a tie counts half."""

    hits: float = 0.0
    of: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(hits=self.hits + other.hits, of=self.of + other.of)


class Failures(Data):
    """One row of the failure table: a subgroup of the held-out images of the class.

    Attributes:
        subgroup: What a finding names, or the class itself.
        direction: What the finding claims of the response; empty in the row of the whole class.
        inside: Right predictions on the images of the subgroup.
        outside: Right predictions on the other images of the class.
        precision: Wrong predictions among the ten images that are most surely on the finding's low side; of
            equally sure ones the model's worst.
    """

    subgroup: str
    direction: Literal["higher", "lower", ""] = ""
    inside: Share
    outside: Share = Share()
    precision: Share = Share()


class BiasScores(Data):
    """How the answer of one explainer does on one model.

    Attributes:
        findings: All findings, as they were claimed and tested.
        reported: Numbers of those that the answer stands by: the verified ones, or all where nothing was tested.
        verdict: `named` (all planted attributes), `partly` (one of two, both joined wrongly, or beside another value of
            the same attribute) or `missed`; of a model without a bias `clear` (it reports none) or `false alarm`; `no
            answer`.
        wrong: Number of reported findings that name nothing that was planted, or join or add attributes wrongly.
        only: Whether the answer names all that was planted, and nothing else; None: scored by an older version.
        sides: Fresh prompts whose score is on the predicted side, out of ten that should be high and ten low.
        choices: Comparisons in which the judge finds the answer nearer to the truth than to another model's.
        failures: The failure table.
    """

    findings: tuple[Finding, ...] = ()
    reported: tuple[int, ...] = ()
    verdict: Verdict
    wrong: int = 0
    only: bool | None = None
    sides: Share = Share()
    choices: Share = Share()
    failures: tuple[Failures, ...] = ()


class BiasResult(Data):
    """One planted model: its truth, and how the answers do.

    Attributes:
        unit: The model's reference.
        form: `detector` or `head`.
        kind: What was planted: see `maia_planted.subjects.Subject.kind`.
        truth: The planted dependence in one sentence.
        scores: By explainer.
        accuracy: Right predictions on all held-out images, of the class and of others.
    """

    unit: str
    form: Literal["detector", "head"]
    kind: str
    truth: str
    scores: dict[str, BiasScores]
    accuracy: Share
    seconds: float = 0.0
    seed: int = 0
    fingerprints: dict[str, str] = Field(default_factory=dict)


class BiasRow(NamedTuple):
    """One explainer on the models of one kind.

    Attributes:
        group: A kind of attribute, `A and B`, `A or B`, `none`, or all with one attribute, with a bias, ...
        explainer: Its name.
        models: Number of models.
        named: Share of biased models whose planted attributes are all named.
        only: Share of biased models of which the answer names the planted attributes, and nothing else.
        false_alarms: Share of unbiased models with a reported finding, among those with an answer.
        wrong: Wrong findings (see `BiasScores.wrong`), of all reported findings.
        sides: Mean over models of the share of fresh prompts on the predicted side.
        choices: Mean over models of the share of comparisons that the truth wins.
    """

    group: str
    explainer: str
    models: int
    named: Estimate
    only: Estimate
    false_alarms: Estimate
    wrong: Estimate
    sides: Estimate
    choices: Estimate


def bias_results(folder: Folder) -> list[BiasResult]:
    """Returns the models that were scored so far, in order."""
    return folder.scored(BiasResult)


def bias_rows(results: Sequence[BiasResult], explainers: Sequence[str], seed: int) -> list[BiasRow]:
    """Returns a row for each explainer over all models, over those with one attribute, by form, then by kind."""
    kinds = sorted({result.kind for result in results}, key=lambda kind: (kind == NONE, " " in kind, kind))
    groups: list[tuple[str, Callable[[BiasResult], bool]]] = [
        (ALL, lambda result: True),
        ("one attribute", lambda result: result.kind != NONE and " " not in result.kind),
        ("one attribute, detectors", lambda r: r.kind != NONE and " " not in r.kind and r.form == "detector"),
        ("one attribute, heads", lambda r: r.kind != NONE and " " not in r.kind and r.form == "head"),
        ("without a bias, detectors", lambda r: r.kind == NONE and r.form == "detector"),
        ("without a bias, heads", lambda r: r.kind == NONE and r.form == "head"),
        *((kind, lambda result, kind=kind: result.kind == kind) for kind in kinds),
    ]
    return [
        _row(group, name, [r for r in results if belongs(r) and name in r.scores], seed)
        for group, belongs in groups
        if any(map(belongs, results))
        for name in explainers
    ]


def _row(group: str, name: str, results: Sequence[BiasResult], seed: int) -> BiasRow:
    biased = [result.scores[name] for result in results if result.kind != NONE]
    answers = [result.scores[name] for result in results if result.kind == NONE]
    clear = [scores for scores in answers if scores.verdict != "no answer"]
    every = [*biased, *clear]
    reported = sum(len(scores.reported) for scores in every)
    only = [scores.only for scores in biased if scores.only is not None]
    return BiasRow(
        group,
        name,
        len(results),
        metrics.share(sum(scores.verdict == "named" for scores in biased), len(biased)),
        metrics.share(sum(map(bool, only)), len(only)),
        metrics.share(sum(scores.verdict == "false alarm" for scores in clear), len(clear)),
        metrics.share(sum(scores.wrong for scores in every), reported),
        metrics.mean([_mean(scores.sides) for scores in biased], seed),
        metrics.mean([_mean(scores.choices) for scores in biased], seed),
    )


def _mean(share: Share) -> float | None:
    return share.hits / share.of if share.of else None
