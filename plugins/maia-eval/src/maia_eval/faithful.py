"""How often a generated image shows what its prompt says, in the eyes of a describer or a detector."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from pydantic import Field, model_validator

from maia_core.plugin import Data, Describer, Detector, Image, ImageGenerator, ToolError, UsageError, validated
from maia_eval.files import read_text
from maia_stats import wilson

Kind = Literal["thing", "count", "colour", "background"]
KINDS: tuple[Kind, ...] = ("thing", "count", "colour", "background")

MIN_CONFIDENCE = 0.3
"""Confidence that a describer must state, where it states any ("tiger (0.99)"), for what it names to count."""

MIN_SHARE = 20
"""Share of an image in per cent that a describer must state, where it states any ("red 60%"), likewise."""

NUMBERS = {2: "two|2|pair of|couple of", 3: "three|3|trio of", 4: "four|4", 5: "five|5", 6: "six|6"}
"""How a description may say how many there are."""

MIN_STEP, MAX_STEPS = 16, 10
"""Images between two lines of progress, at least, and such lines of one kind, at most."""


class Wanted(Data):
    """A prompt with known content.

    Attributes:
        prompt: What the image should show.
        kind: What of it is looked for: a thing, how many there are, their colour, or the background.
        words: The words of a description that say that it is there.
        query: What a detector is asked for.
        count: How many of it there are; for the kind `count` only.
    """

    prompt: str = Field(min_length=1)
    kind: Kind
    words: tuple[str, ...] = Field(min_length=1)
    query: str = Field(min_length=1)
    count: int | None = Field(None, ge=2, le=6)

    @model_validator(mode="after")
    def _counted(self) -> Wanted:
        if (self.kind == "count") != (self.count is not None):
            raise ValueError("'count' belongs to prompts of the kind 'count', and to no others")
        return self

    def apart(self, other: Wanted) -> bool:
        """Whether an image that shows one need not show the other."""
        if self.kind != other.kind or self.query == other.query:
            return False
        return self.kind == "count" or not set(self.words) & set(other.words)


def prompts(file: Path | None = None) -> list[Wanted]:
    """Reads prompts from a file, or those that come with the package.

    Raises:
        UsageError: the file cannot be read, or an entry is not what it should be; names it.
    """
    if file is None:
        text = (resources.files("maia_eval") / "data" / "prompts.json").read_text(encoding="utf-8")
    else:
        text = read_text(file, "the prompts")
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise UsageError(f"{file} must hold a list of tables, one per prompt")
    found = [validated(Wanted, entry, f"{file}: entry {number}") for number, entry in enumerate(entries)]
    if not found:
        raise UsageError(f"{file} holds no prompts")
    return found


class Judge(Protocol):
    """Looks whether images show something."""

    def decide(self, images: Sequence[Image], wanted: Sequence[Wanted]) -> list[Decision]:
        """Says of each image whether it shows what is wanted of it."""


class Decision(NamedTuple):
    """Whether something is there, and what the judge said."""

    there: bool
    said: str


class DescriberJudge:
    """Believes a describer, which does not know what is looked for: the content is there if it is named."""

    def __init__(self, describer: Describer) -> None:
        """Takes the describer."""
        self._describer = describer
        self._known: dict[str, str] = {}

    def decide(self, images: Sequence[Image], wanted: Sequence[Wanted]) -> list[Decision]:
        """See `Judge`."""
        new = {image.id: image.anonymous() for image in images if image.id not in self._known}
        self._known |= zip(new, self._describer.describe(list(new.values())), strict=True)
        texts = [self._known[image.id] for image in images]
        return [Decision(says(text, one), text) for text, one in zip(texts, wanted, strict=True)]


class DetectorJudge:
    """Believes a detector, which is asked for the content and nothing else."""

    def __init__(self, detector: Detector) -> None:
        """Takes the detector."""
        self._detector = detector

    def decide(self, images: Sequence[Image], wanted: Sequence[Wanted]) -> list[Decision]:
        """See `Judge`."""
        decisions: dict[int, Decision] = {}
        for query in dict.fromkeys(one.query for one in wanted):
            places = [place for place, one in enumerate(wanted) if one.query == query]
            found = self._detector.detect([images[place] for place in places], query)
            for place, detections in zip(places, found, strict=True):
                count = wanted[place].count
                there = len(detections) == count if count else bool(detections)
                scores = ", ".join(f"{detection.score:.2f}" for detection in detections[:5])
                decisions[place] = Decision(there, f"{len(detections)} x '{query}'" + f" ({scores})" * bool(scores))
        return [decisions[place] for place in range(len(images))]


def says(text: str, wanted: Wanted) -> bool:
    """Returns whether a description names the content.

    How many there are is read from a number before the word ("three red apples"); where there is none, the things that
    are named one by one are counted ("apple (0.9) ...; also: apple (0.8) left").
    """
    names = _names(wanted.words)
    if wanted.count is None:
        return any(map(_counts, names.finditer(text)))
    number = "|".join(NUMBERS.values())
    # Adjectives may stand between ("two small red apples"), another thing may not.
    told = re.search(
        rf"\b({number})\b(\W+(?!(?:{number}|and|with)\b)\w+){{0,3}}?\W+{names.pattern}", text, re.IGNORECASE
    )
    if told:
        return bool(re.fullmatch(NUMBERS[wanted.count], told[1], re.IGNORECASE))
    return sum(map(_counts, names.finditer(text))) == wanted.count


def _names(words: Sequence[str]) -> re.Pattern[str]:
    """Matches any of the words, in the singular or the plural, and the confidence or share behind it.

    "cat family" is not a cat: a tiger is of it too.
    """
    forms = [form for word in words for form in (word, *_plurals(word))]
    one = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rf"\b(?:{one})\b(?! famil)(?: \((?P<sure>[01]\.\d+)\)| (?P<share>\d+)%)?", re.IGNORECASE)


def _plurals(word: str) -> tuple[str, ...]:
    return (f"{word}s", f"{word}es", f"{word[:-1]}ies") if word.endswith("y") else (f"{word}s", f"{word}es")


def _counts(found: re.Match[str]) -> bool:
    if found["sure"]:
        return float(found["sure"]) >= MIN_CONFIDENCE
    return not found["share"] or int(found["share"]) >= MIN_SHARE


@dataclass(frozen=True)
class Case:
    """One generated image.

    Attributes:
        wanted: Its prompt.
        image: The image; None if the generator refused the prompt.
        warning: What the generator said; the refusal, where there is no image.
        decision: What the judge saw of its content.
        other: What the judge saw of the content of another prompt, which the image need not show; None: there is none.
    """

    wanted: Wanted
    image: Image | None
    warning: str
    decision: Decision
    other: Decision | None = None


class Rate(NamedTuple):
    """How often something is so."""

    hits: int
    cases: int

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson score interval of 95 %: where the true rate lies, for as few as one case."""
        return wilson(self.hits, self.cases, 0.95)[1:] if self.cases else (0.0, 1.0)


def rates(cases: Sequence[Case]) -> tuple[Rate, Rate, Rate]:
    """Returns how often the content is there, how often that of another prompt, and how often there was a warning."""
    others = [case.other.there for case in cases if case.other is not None]
    return (
        Rate(sum(case.decision.there for case in cases), len(cases)),
        Rate(sum(others), len(others)),
        Rate(sum(bool(case.warning) for case in cases), len(cases)),
    )


def check(
    generator: ImageGenerator,
    judge: Judge,
    wanted: Sequence[Wanted],
    seeds: Callable[[list[str]], list[int]],
    each: int,
    log: Callable[[str], None] = lambda line: None,
) -> list[Case]:
    """Generates images and has them judged.

    Args:
        generator: The generator.
        judge: Looks at the images; it must not know how they were made.
        wanted: The prompts.
        seeds: Derives the seeds of prompts, replicates among them.
        each: Images per prompt.
        log: Takes lines of progress.
    """
    asked = [one for one in wanted for _ in range(each)]
    made = _generated(generator, [one.prompt for one in asked], seeds, log)
    drawn = [(one, image, warning) for one, (image, warning) in zip(asked, made, strict=True)]
    images = [image for _, image, _ in drawn if image is not None]
    shown = [one for one, image, _ in drawn if image is not None]
    decisions = iter(_decided(judge, images, shown, "looked at", log))
    compared = [_other(one, wanted) for one in shown]
    pairs = [(image, other) for image, other in zip(images, compared, strict=True) if other is not None]
    others_wanted = [other for _, other in pairs]
    seen = iter(_decided(judge, [image for image, _ in pairs], others_wanted, "looked for what is not asked in", log))
    others = iter([next(seen) if other is not None else None for other in compared])
    refused = Decision(False, "there is no image")
    return [
        Case(one, image, warning, next(decisions), next(others))
        if image is not None
        else Case(one, None, warning, refused)
        for one, image, warning in drawn
    ]


def _steps(total: int) -> list[slice]:
    """Cuts so many images into parts: each is large enough for a batch, and they are few enough to tell of each."""
    size = max(MIN_STEP, -(-total // MAX_STEPS))
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def _decided(
    judge: Judge, images: Sequence[Image], wanted: Sequence[Wanted], doing: str, log: Callable[[str], None]
) -> list[Decision]:
    decisions: list[Decision] = []
    for step in _steps(len(images)):
        decisions += judge.decide(images[step], wanted[step])
        log(f"{doing} {len(decisions):,} of {len(images):,} images")
    return decisions


def _generated(
    generator: ImageGenerator,
    texts: list[str],
    seeds: Callable[[list[str]], list[int]],
    log: Callable[[str], None],
) -> list[tuple[Image | None, str]]:
    chosen = seeds(texts)
    made: list[tuple[Image | None, str]] = []
    for step in _steps(len(texts)):
        made += _some(generator, texts[step], chosen[step])
        log(f"drew {len(made):,} of {len(texts):,} images")
    return made


def _some(generator: ImageGenerator, texts: list[str], chosen: list[int]) -> list[tuple[Image | None, str]]:
    """Generates all at once; where some prompts are refused, one by one."""
    try:
        return list(zip(*generator.generate(texts, chosen), strict=True))
    except ToolError:
        made: list[tuple[Image | None, str]] = []
        for text, seed in zip(texts, chosen, strict=True):
            try:
                made += zip(*generator.generate([text], [seed]), strict=True)
            except ToolError as error:
                made.append((None, str(error)))
        return made


def _other(one: Wanted, wanted: Sequence[Wanted]) -> Wanted | None:
    """Returns the next prompt whose content an image of this one need not show."""
    place = wanted.index(one)
    return next((other for other in (*wanted[place + 1 :], *wanted[:place]) if one.apart(other)), None)
