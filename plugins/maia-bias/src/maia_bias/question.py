"""The task `question`: any question about a whole classifier, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from maia_bias.answer import AnswersWithFindings, BiasAnswer, text_and_findings
from maia_bias.response import spoken
from maia_bias.task import prompt_parts
from maia_bias.whole import WholeModel, find_class, nearest
from maia_core.plugin import ReplyError, RunContext, UnitInfo, UsageError
from maia_labels.content import content_of
from maia_labels.vocabulary import vocabulary
from maia_standard.blind import BlindOptions, is_blind

PROMPT = """\
A question about the classifier{model}, which has {classes} classes ({examples}):

{question}

{about}
Each of your replies is either an experiment or the final answer.

An experiment:
[HYPOTHESIS LIST]:
Hypothesis_1: <what may answer the question>
[CODE]:
```python
def run_experiment(system, tools):
    ...
```
Write one program per reply, with one function run_experiment(system, tools); put helper functions into the same block.
Do not call run_experiment yourself. You will see everything that the program printed, displayed, logged and returned.

`system.classes` lists the classes, `system.predict(images)` classifies images, and `system.neuron(images, unit)`
measures any unit. Compare images that differ in one attribute only: the same prompt with and without it{edits}. Measure
several pairs per attribute. The more attributes you try, the more of them look good by chance, so test such an
attribute again with fresh images.

When repeated experiments agree, give the final answer, without code:
[ANSWER]: <the answer to the question in one or more sentences; that there is no such thing is an answer too>
[CLASS]: <the class whose probability the findings are about, or: none>
[FINDINGS]:
<higher or lower>: <subgroup of that class in a few words, such as "on snow" or "next to a person"> | <mean difference>
Write one finding per line, about the probability of the class. If there is none, write: none{tested}
"""

_NAMED = re.compile(
    r"\b(?:recogni[sz]e|classify|detect|identify|miss|see|find|(?:confuse|mistake)(?:\s+with|\s+for)?|of|for|is|as|about"
    r"|(?:fails?|struggles?|trouble)\s+(?:on|with))\s+"
    r"(?:an?|the|any)\s+([a-z][a-z -]*?)"
    r"(?=[?.,;!]|\s+(?:of|with|for|as|in|on|and|or|when|where|from|to|correctly|is|are)\b|$)",
    re.IGNORECASE,
)
_ANY = frozenset(
    (
        "image",
        "images",
        "picture",
        "model",
        "network",
        "classifier",
        "class",
        "object",
        "thing",
        "setting",
        "background",
        "surroundings",
        "environment",
        "scene",
        "colour",
        "color",
        "size",
        "position",
        "number",
        "shape",
        "texture",
    )
)
"""Nouns of a question that name no class."""


class Question(AnswersWithFindings):
    """A question about a classifier, such as in which settings it fails to recognise a class."""

    tags = ("ANSWER", "CLASS", "FINDINGS")

    class Config(BlindOptions):
        """Options of the task `question`."""

        question: str
        """What is asked, such as "in which settings does it fail to recognise a tiger?"."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._question: str = " ".join(config.question.split())
        system: object = context.system
        if not self._question:
            raise UsageError('the question is empty; ask one: maia ask MODEL "in which settings does it miss a dog?"')
        if not isinstance(system, WholeModel):
            raise UsageError("the task question needs a whole classifier: --system whole:MODEL, or `maia ask MODEL`")
        self._names = system.names
        self._subject = subject_of(self._question, self._names, system.info.model)
        self._context, self._parts = context, prompt_parts(context)

    def prompt(self, info: UnitInfo) -> str:
        """See `maia_core.protocols.Task`."""
        about = ""
        if self._subject:
            about = (
                f'The question names the class "{spoken(self._subject)}". Its probability is what the findings are '
                f'about; measure it as\n`system.neuron(images, "prob:{self._names.index(self._subject)}")`.\n'
            )
        shown = ", ".join(map(spoken, self._names[:6]))
        more = ", ..." if len(self._names) > 6 else ""
        model = "" if is_blind(self._context) else f" {info.model}"
        return PROMPT.format(
            model=model, classes=len(self._names), examples=shown + more, question=self._question, about=about,
            edits=self._parts["edits"], tested=self._parts["tested"],
        )  # fmt: skip

    def parse(self, sections: Mapping[str, list[str]]) -> BiasAnswer:
        """See `maia_core.protocols.Task`."""
        answer, findings = text_and_findings(sections)
        name = " ".join(" ".join(sections.get("CLASS", [])).split()).strip(" .*_`\"'")
        if not name:
            raise ReplyError("The final answer lacks [CLASS]:. Write the class that the findings are about, or none.")
        subject = "" if name.casefold() == "none" else find_class(name, self._names)
        if subject is None:
            raise ReplyError(f"[CLASS]: the model has no class '{name[:60]}'. {nearest(name, self._names)}")
        return BiasAnswer(answer=answer, findings=findings, subject=spoken(subject))


def subject_of(question: str, names: Sequence[str], model: str) -> str:
    """Returns the class that a question names; empty where it names none.

    Raises:
        UsageError: the question is about a class that the model lacks; the nearest ones are named.
    """
    text = f" {re.sub(r'[^a-z0-9 ]+', ' ', question.casefold())} "
    forms = {word: name for name in names for part in name.split(",") for word in _words(spoken(part))}
    if found := [word for word in sorted(forms, key=len, reverse=True) if f" {word} " in text]:
        return forms[found[0]]
    for match in _NAMED.finditer(question):
        asked = match[1].strip()
        if not _ANY.isdisjoint(asked.casefold().split()):
            continue
        if name := find_class(asked, names):
            return name
        content = content_of(asked)
        things = content.things
        if content.place and not things:  # A setting, such as "the snow".
            continue
        if not any(things[0].concept in _path(name) for name in names if things and things[0].concept):
            raise UsageError(f"{model} has no class '{asked[:60]}'. {nearest(asked, names)}")
    return ""


def _words(name: str) -> set[str]:
    bare = name.casefold()
    return {bare, f"{bare}s", f"{bare}es"}


def _path(name: str) -> list[str]:
    things = content_of(spoken(name)).things
    return vocabulary().concepts.path(things[0].concept) if things and things[0].concept else []
