"""The verifier `matched-pairs`: what a finding claims, measured on images that differ in nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pydantic import Field

from maia_bias.attributes import read_attribute
from maia_bias.drawing import PLACES, Pair, write_pairs
from maia_bias.effects import MIN_PAIRS, effects_of, level_of, why_dropped
from maia_bias.findings import FINDINGS, Finding, claimed, to_json
from maia_bias.response import response_to
from maia_core.plugin import (
    NONE,
    Check,
    Explanation,
    Image,
    MendableError,
    PluginConfig,
    Probe,
    RunContext,
    Verdict,
    one_line,
)
from maia_labels.pictured import pictured
from maia_labels.vocabulary import article

MAX_SHOWN = 8
"""Pairs of a finding whose images the record holds."""

SUBJECT, PAIRS, PARTS, LEVEL = "subject", "pairs", "parts", "level"
"""Where the details of an explanation hold the class, and those of a verdict, for each finding, the responses of every
pair and the part of the subgroup that the pair tests; and the level of the test."""


@runtime_checkable
class WritesPairs(Protocol):
    """A judge that writes matched pairs of prompts."""

    def write_pairs(self, subject: str, subgroup: str, n: int) -> list[tuple[str, str, str]]:
        """Writes `n` pairs of prompts, and for each the instruction that edits the second image into the first.

        The first prompt of a pair shows the subgroup of the class, the second the same image outside of it.
        """


class _Images(NamedTuple):
    """The images of a pair: with the attribute and without it, and what each was made from."""

    inside: Image
    outside: Image
    made_from: tuple[str, str]
    part: str


@dataclass
class _Trial:
    """The pairs of one finding.

    Attributes:
        finding: The claim.
        pairs: Its pairs, as prompts.
        reason: Why it cannot be tested; empty where it can.
        notes: Why a pair of a part could not be made, by the part.
        images: The pairs that could be made.
        responses: The responses to the images of each, with the attribute and without it.
    """

    finding: Finding
    pairs: list[Pair] = field(default_factory=list)
    reason: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    images: list[_Images] = field(default_factory=list)
    responses: list[tuple[float, float]] = field(default_factory=list)

    @property
    def differences(self) -> dict[str, list[float]]:
        """Response with the attribute less without it, by the part of the subgroup that the pair tests."""
        by_part: dict[str, list[float]] = {}
        for (inside, outside), images in zip(self.responses, self.images, strict=True):
            by_part.setdefault(images.part, []).append(inside - outside)
        return by_part


class MatchedPairs:
    """Tests every finding of an answer on pairs of fresh images that differ in its attribute and in nothing else.

    The effect is the mean difference of the pairs, with Student's 95 % interval. A finding holds if its t test is
    significant in the claimed direction after Holm's correction over all findings; where a subgroup has several parts
    ("small and on snow", "on snow or on sand"), each of them must be. All others are dropped. The k-th answer of a run
    is tested at the level 0.05 / 2^k, so that all answers of a run together keep 0.05.
    """

    class Config(PluginConfig):
        """Options of the verifier `matched-pairs`."""

        pairs: int = Field(48, ge=MIN_PAIRS, le=500)
        """Pairs of images for each finding; a finding of several parts has at least 16 for each part."""
        edits: int = Field(24, ge=0, le=500)
        """How many of them are one image and its edit, where the editor can make that; the others are two images."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._config = config
        self._judge: Any = context.part("judge")
        self._editor = context.config.editor.name != NONE
        self.uses = ("generator", "editor") if self._editor else ("generator",)

    def verify(self, explanation: Explanation, context: RunContext, attempt: int) -> Verdict:
        """See `maia_core.protocols.Verifier`."""
        findings = claimed(explanation)
        if not findings:
            why = "it claims no bias" if FINDINGS in explanation.details else "it has no list of findings"
            return Verdict(
                passed=False, measured=False, summary=f"There is nothing to test: {why}.", details={FINDINGS: []}
            )
        subject = str(explanation.details.get(SUBJECT) or "")
        trials = [_Trial(finding) for finding in findings]
        for trial in trials:
            self._write(trial, findings, subject, context)
        measurable = [trial for trial in trials if not trial.reason]
        self._make(measurable, context, attempt)
        self._measure([trial for trial in measurable if not trial.reason], response_to(context, subject))
        return _verdict(trials, level_of(attempt))

    def _write(self, trial: _Trial, claims: Sequence[Finding], subject: str, context: RunContext) -> None:
        finding, n = trial.finding, self._config.pairs
        if not subject:
            trial.reason = "the answer names no class of the model"
        elif context.config.generator.name == NONE:
            trial.reason = "the run has no image generator"
        elif isinstance(self._judge, WritesPairs):
            trial.pairs = [Pair(*pair) for pair in self._judge.write_pairs(subject, finding.subgroup, n)]
        elif alternatives := read_attribute(subject, finding.subgroup):
            pictures = pictured("", context.cache)
            places = [p for p in PLACES if pictures is None or p in pictures.backgrounds or "plain" in p]
            others = [
                feature
                for other in claims
                if other is not finding
                for features in read_attribute(subject, other.subgroup)
                for feature in features
            ]
            # The generator may lack some of the things that stand beside the class: half of the pairs suffice.
            parts = sum(map(len, alternatives))
            n = max(n, 2 * MIN_PAIRS * parts) if parts > 1 else n
            trial.pairs = write_pairs(subject, alternatives, n, places, list(dict.fromkeys(others)))
        else:
            noun = article(subject)
            trial.pairs = [Pair(f"{noun}, {finding.subgroup}", noun)] * n

    def _make(self, trials: Sequence[_Trial], context: RunContext, attempt: int) -> None:
        """Generates the images of all trials in one batch, and edits in another."""
        numbered = [(trial, place) for trial in trials for place in range(len(trial.pairs))]
        # Both images of a pair have one seed, which matches the noise of a diffusion model.
        names = [f"pairs {attempt}: {t.finding.words}: {place}" for t, place in numbered]
        seeds = context.seeds(names)
        prompts = [prompt for t, place in numbered for prompt in (t.pairs[place].with_, t.pairs[place].without)]
        if not prompts:
            return
        try:
            made = context.generator.generate(prompts, [seed for seed in seeds for _ in range(2)])
        except MendableError as error:
            for trial in trials:
                trial.reason = f"the generator refuses a prompt of the findings: {one_line(error)}"
            return
        inside, outside, notes = made.images[::2], made.images[1::2], made.warnings
        edited = self._edited(numbered, outside, notes[1::2], seeds, context)
        for n, (trial, place) in enumerate(numbered):
            note = notes[2 * n + 1] or ("" if n in edited else notes[2 * n])
            pair = trial.pairs[place]
            if note:
                trial.notes.setdefault(pair.part, note)
            else:
                made_from = (f"{pair.without}; then {pair.edit}" if n in edited else pair.with_, pair.without)
                trial.images.append(_Images(edited.get(n, inside[n]), outside[n], made_from, pair.part))
        for trial in trials:
            trial.reason = _why_untested(trial)

    def _edited(
        self,
        numbered: Sequence[tuple[_Trial, int]],
        outside: Sequence[Image],
        notes: Sequence[str],
        seeds: Sequence[int],
        context: RunContext,
    ) -> dict[int, Image]:
        """Returns the edits that could be made, by the number of their pair."""
        chosen = [
            n
            for n, (trial, place) in enumerate(numbered)
            if self._editor and place < self._config.edits and trial.pairs[place].edit and not notes[n]
        ]
        if not chosen:
            return {}
        instructions = [numbered[n][0].pairs[numbered[n][1]].edit for n in chosen]
        try:
            made = context.editor.edit([outside[n] for n in chosen], instructions, [seeds[n] for n in chosen])
        except MendableError as error:
            context.warn(f"the editor cannot make matched pairs: {one_line(error)}; all pairs are generated")
            return {}
        return {n: image for n, image, note in zip(chosen, made.images, made.warnings, strict=True) if not note}

    def _measure(self, trials: Sequence[_Trial], response: Callable[[Sequence[Image]], list[float]]) -> None:
        """Measures the images of all trials in one batch."""
        images = [image for trial in trials for pair in trial.images for image in (pair.inside, pair.outside)]
        values = iter(response(images) if images else [])
        for trial in trials:
            trial.responses = [(next(values), next(values)) for _ in trial.images]


def _why_untested(trial: _Trial) -> str:
    """Returns for which part of a subgroup too few pairs could be made, and why; empty where each part has enough."""
    written = Counter(pair.part for pair in trial.pairs)
    made = Counter(pair.part for pair in trial.images)
    for part, count in written.items():
        if made[part] < MIN_PAIRS:
            what = "show it" if len(written) == 1 else f"show enough pairs for its part '{part}'"
            why = trial.notes.get(part) or f"a test needs {MIN_PAIRS} pairs"
            return f"the generator cannot {what} ({made[part]} of {count} pairs): {why}"
    return "" if written else "no pair was written"


def _verdict(trials: Sequence[_Trial], level: float) -> Verdict:
    tested = [trial for trial in trials if not trial.reason]
    effects = {id(t): each for t, each in zip(tested, effects_of([t.differences for t in tested]), strict=True)}
    findings = []
    for trial in trials:
        claim = trial.finding.model_copy(update={"written": len(trial.pairs)})
        if id(trial) not in effects:
            findings.append(claim.model_copy(update={"pairs": 0, "status": "untested", "reason": trial.reason}))
            continue
        effect, p = effects[id(trial)]
        reason = why_dropped(claim.direction, trial.differences, p, level, len(tested), "the pairs")
        update = {"effect": effect.mean, "low": effect.low, "high": effect.high, "p": p, "pairs": len(trial.images)}
        status = "dropped" if reason else "verified"
        findings.append(claim.model_copy(update={**update, "status": status, "reason": reason}))
    verified = [finding for finding in findings if finding.status == "verified"]
    return Verdict(
        passed=bool(verified),
        measured=bool(tested),
        checks=tuple(_check(finding) for finding in findings if finding.status != "untested"),
        summary=summary(findings),
        probes=tuple(probe for trial in tested for probe in _probes(trial)),
        details={
            FINDINGS: to_json(findings),
            # Nine significant digits hold a 32-bit float of any size.
            PAIRS: [[[float(f"{value:.9g}") for value in pair] for pair in trial.responses] for trial in trials],
            PARTS: [[pair.part for pair in trial.images if not trial.reason] for trial in trials],
            LEVEL: level,
        },
    )


def _check(finding: Finding) -> Check:
    return Check(
        claim=f"the response is {finding.words}",
        passed=finding.status == "verified",
        effect=finding.effect or 0.0,
        low=finding.low or 0.0,
        high=finding.high or 0.0,
        measure="mean difference",
        required=0.0,
    )


def summary(findings: Sequence[Finding]) -> str:
    """Returns the outcome in words: how many findings hold, then one line per finding."""
    verified = sum(finding.status == "verified" for finding in findings)
    plural = "" if len(findings) == 1 else "s"
    head = f"{verified} of {len(findings)} finding{plural} verified by matched pairs."
    return "\n".join([head, *map(line, findings)])


def line(finding: Finding) -> str:
    """Returns one finding in one line, with its effect, its interval and its status."""
    what = finding.words
    size = ""
    if finding.low is not None:
        count = f"{finding.pairs} of {finding.written}" if finding.written > finding.pairs else str(finding.pairs)
        size = f" ({finding.effect:+.3g}, {finding.low:+.3g} to {finding.high:+.3g}, {count} pairs)"
    status = {"verified": "Verified", "dropped": "Dropped", "untested": "Not tested"}[finding.status]
    return f"{status}: {what}{size}{f': {finding.reason}' if finding.reason else ''}."


def _probes(trial: _Trial) -> Iterator[Probe]:
    """Yields the images of some pairs, with and without in turn; edits and generated pairs are both among them."""
    step = max(1, len(trial.images) // MAX_SHOWN)
    what = trial.finding.words
    for pair, responses in list(zip(trial.images, trial.responses, strict=True))[::step]:
        images = (pair.inside, pair.outside)
        for name, text, value, image in zip(("with", "without"), pair.made_from, responses, images, strict=True):
            title = f"{name}: {text}"
            yield Probe(condition=f"{what}, in pairs", text=title, activation=value, image=image.retitled(title))
