"""The neuron description task: what does this unit respond to?"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, Field

from maia_core.plugin import Explanation, PluginConfig, ReplyError, RunContext, UnitInfo
from maia_labels import MIN_MAIN, is_strength_unread, listed, split_strength
from maia_labels.canonical import canonical
from maia_labels.parts import joins_strengths
from maia_standard.blind import BlindOptions, HidesNames, is_blind

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])|\n")

PROMPT = """\
Describe the visual concept, or concepts, that activate {unit}.

A unit may respond to one very specific thing, to a general kind, to several unrelated things (A OR B), to one thing
only if another is present (A given B), or to a colour, a texture, a part or a background. Consider all of these.
{begin}

Each of your replies is either an experiment or the final answer.

An experiment:
[HYPOTHESIS LIST]:
Hypothesis_1: <what the unit may respond to>
Hypothesis_2: <something else that would explain what you have seen>
[CODE]:
```python
def run_experiment(system, tools):
    ...{log}
```
Write one program per reply, with one function run_experiment(system, tools); put helper functions into the same block.
Do not call run_experiment yourself.{end}
You will see everything that the program printed, displayed, logged and returned. Then update your hypotheses and
continue.

Test hypotheses at several levels of abstraction, with several images per condition and with controls that lack the
property.{edits} Try to refute your own hypotheses.

Distinguish a result from noise.
Compare each activation with controls{distribution}.
Two images of one prompt can differ as much as two conditions.
Trust the mean of several prompts{compare}, not a single high image.
The more conditions you try, the more of them look good by chance.
Test such a condition again with fresh prompts.{tested}

When repeated experiments agree, give the final answer, without code:
[DESCRIPTION]: <first one sentence for people that unites the labels, then details: specific, and complete>
[LABEL]: <a short label, such as "dogs", "red fruit" or "snow behind animals">
If the unit responds to several distinct concepts, give [LABEL 1]: ..., [LABEL 2]: ... instead, one for each, with its
strength in parentheses: (main), (weak), or the activation of its images in percent of the exemplars' activation, such
as "snow (40 %)".
"""


TESTED = """

MAIA tests your answer on images that you have not seen. If it fails, you continue your experiments."""


FIRST = """

Your first reply is an experiment. It can be:
[CODE]:
```python
def run_experiment(system, tools):
    activations, images = tools.dataset_exemplars(system){see}
```"""
"""Stands last: a small model continues with what it has read last, and would answer at once if that were the answer."""

SEE = """
    titles = [image.title for image in images]
    tools.log_experiment(activations, images, titles, tools.summarize_images(images))"""
"""The rest of the first experiment, where there are the tools."""

PARTS = {
    "first": ("dataset_exemplars", FIRST),
    "begin": (
        "dataset_exemplars",
        "Begin with the exemplars. Then find out by experiment which of their properties is the cause.",
    ),
    "log": ("log_experiment", "\n    tools.log_experiment(activations, images, titles, notes)"),
    "end": ("log_experiment", " End each experiment with tools.log_experiment."),
    "edits": ("edit_images", " Edit images to change one thing only."),
    "distribution": ("dataset_exemplars", " and with the distribution that tools.dataset_exemplars displays"),
    "compare": ("compare_prompts", " with its interval (tools.compare_prompts)"),
}
"""Parts of the prompt that stand in it if the run has the tool."""


class NeuronDescriptionAnswer(BaseModel):
    """What a unit responds to.

    Attributes:
        description: Specific and complete: one sentence for people, then details.
        labels: One short label for each distinct concept.
        strengths: How strongly each label drives the unit, as a share of the exemplars' activation; empty where the
            answer states none.
    """

    description: str
    labels: list[str]
    strengths: list[float] = Field(default_factory=list)


class NeuronDescription(HidesNames):
    """The paper's task of section 4: describe what maximally activates a unit."""

    answer = NeuronDescriptionAnswer
    tags = ("DESCRIPTION", "LABEL")
    verifiable = True

    class Config(BlindOptions):
        """Options of the task."""

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context, self._blind = context, is_blind(context)
        tools = {choice.name.partition("@")[0] for choice in context.config.tools}
        self._parts = {name: text if tool in tools else "" for name, (tool, text) in PARTS.items()}
        logged = {"log_experiment", "summarize_images"} <= tools
        self._parts["first"] = self._parts["first"].replace("{see}", SEE if logged else "\n    return images")
        self._parts["tested"] = TESTED if context.config.verify else ""

    def prompt(self, info: UnitInfo) -> str:
        """See `maia_core.protocols.Task`. The unit is named by its place in the model, as in the paper."""
        named = info.layer and not self._blind
        place = f"unit {info.unit} of layer {info.layer} of {info.model}" if named else "the unit"
        note = f"\nAbout the unit's activation: {info.note}" if info.note else ""
        return PROMPT.format(unit=place, **self._parts).rstrip() + note + self._parts["first"]

    def parse(self, sections: Mapping[str, list[str]]) -> NeuronDescriptionAnswer:
        """See `maia_core.protocols.Task`."""
        description = " ".join(text for text in sections.get("DESCRIPTION", []) if text)
        texts = [" ".join(text.split()) for text in sections.get("LABEL", []) if text]
        labels, strengths = _with_strengths(texts)
        if not description or not labels:
            missing = "[DESCRIPTION]:" if not description else "[LABEL]: (or [LABEL 1]:, [LABEL 2]:, ...)"
            raise ReplyError(f"The final answer lacks {missing}. It needs both [DESCRIPTION]: and [LABEL]: with text.")
        return NeuronDescriptionAnswer(description=description, labels=labels, strengths=strengths)

    def explanation(self, answer: BaseModel) -> Explanation:
        """See `maia_core.protocols.Task`."""
        assert isinstance(answer, NeuronDescriptionAnswer)
        return Explanation(
            description=answer.description,
            labels=tuple(answer.labels),
            strengths=tuple(answer.strengths),
            sentence=_SENTENCE_END.split(answer.description, maxsplit=1)[0],
        )


def _with_strengths(texts: list[str]) -> tuple[list[str], list[float]]:
    """Returns labels and their strengths; a label without one counts in full if others have one.

    Raises:
        ReplyError: a strength contradicts itself, is not a share, or stands behind no label.
    """
    labels, shares = [], []
    for text in _separate(texts):
        label, strength = split_strength(text)
        if joins_strengths(label):
            raise ReplyError(f"'{text}' joins concepts with strengths; give each its own line [LABEL 1]:, [LABEL 2]:.")
        if strength is not None:
            _check(text, label, *strength)
        if is_strength_unread(label):
            raise ReplyError(
                f"The strength at the end of '{text}' cannot be read; write main, weak or one percentage, such as "
                "'snow (40 %)'."
            )
        labels.append(label)
        shares.append(strength.share if strength else None)
    if all(share is None for share in shares):
        return labels, []
    known: dict[str, tuple[str, float]] = {}
    for label, share in zip(labels, (1.0 if share is None else share for share in shares), strict=True):
        first, other = known.setdefault(canonical(label).casefold(), (label, share))
        if other != share:
            same = "" if first.casefold() == label.casefold() else f" (it says the same as '{first}')"
            raise ReplyError(f"'{label}' has two strengths, {other:.0%} and {share:.0%}{same}; write the label once.")
    return [label for label, _ in known.values()], [share for _, share in known.values()]


def _separate(texts: list[str]) -> list[str]:
    """Returns the labels, with those that list several concepts taken apart; repeated ones are left out.

    Raises:
        ReplyError: it is not clear whether a label is a list.
    """
    separate: list[str] = []
    for text in texts:
        if (labels := listed(text)) is None:
            raise ReplyError(
                f"It is not clear whether the label '{text}' is a list; give each concept its own line [LABEL 1]:, "
                "[LABEL 2]:, or write one concept without commas."
            )
        separate += labels
    return list(dict.fromkeys(separate))


def _check(text: str, label: str, word: str, share: float) -> None:
    """Refuses a strength that cannot be: one clear sentence for the backbone.

    Raises:
        ReplyError: see `_with_strengths`.
    """
    percent = f"{share * 100:.4g} %"
    if not label:
        raise ReplyError(f"The strength '{text}' has no label; write the label before it, such as 'snow (40 %)'.")
    if not 0 < share <= 1:
        raise ReplyError(
            f"The strength of '{label}' is {percent}; it is a share of the exemplars' activation, above 0 % and at "
            "most 100 %, so correct it or leave the label out."
        )
    if (word == "main" and share < MIN_MAIN) or (word == "weak" and share >= MIN_MAIN):
        raise ReplyError(
            f"'{label}' cannot be {word} with {percent} of the exemplars' activation: main is {MIN_MAIN:.0%} or more, "
            "weak is less; correct the word or the number."
        )
