"""The task `spurious-feature`: does a unit respond to one class only, wherever that is?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from maia_core.plugin import Explanation, ReplyError, RunContext, UnitInfo, UsageError
from maia_standard.blind import BlindOptions, HidesNames, is_blind

PROMPT = """\
{unit} is part of a network that classifies {domain} as one of:
{classes}

Decide whether the unit is SELECTIVE or SPURIOUS.

SELECTIVE: the unit responds to exactly one of these classes. It responds to that class in every environment, and to no
other class, not even weakly.
SPURIOUS: the unit responds to several classes, or to a class in some environments only, or to an environment, a colour
or anything else that is not the class itself.

A unit responds to an image if its mask shows a region and its activation is clearly above that of images without the
class. The network has seen these environments only: {environments}. Do not generate images that differ much from what
it has seen{avoid}.

Each of your replies is either an experiment or the final answer.

An experiment:
[HYPOTHESIS LIST]:
Hypothesis_1: <what the unit may respond to>
[CODE]:
```python
def run_experiment(system, tools):
    ...
    tools.log_experiment(activations, images, titles, notes)
```
Write one program per reply, with one function run_experiment(system, tools); put helper functions into the same block.
End each experiment with tools.log_experiment. Do not call run_experiment yourself. You will see everything that the
program printed, displayed, logged and returned. Then update your hypotheses and continue.

Begin with the exemplars. If they share an environment, test whether it is the cause. Measure every class in every
environment, with several images each, because a table of class by environment shows both effects at once. Use edits
that change the environment and keep the object. Try to refute that the unit is SELECTIVE.

When repeated experiments agree, give the final answer, without code. If you have any doubt, the unit is SPURIOUS.
[REASONING]: <the evidence for and against>
[DECISION]: <SELECTIVE or SPURIOUS>
[CLASS]: <the class, if SELECTIVE; otherwise leave this section out>
"""


class SpuriousFeatureAnswer(BaseModel):
    """Whether a unit responds to one class only.

    Attributes:
        reasoning: The evidence.
        decision: What the unit is.
        selected: The class that a selective unit responds to; empty for a spurious one.
    """

    reasoning: str
    decision: Literal["SELECTIVE", "SPURIOUS"]
    selected: str = ""


class SpuriousFeature(HidesNames):
    """The paper's task of section 5.1; the prompt holds no pairing of classes and environments."""

    answer = SpuriousFeatureAnswer
    tags = ("REASONING", "DECISION", "CLASS")

    class Config(BlindOptions):
        """What the network was trained on."""

        domain: str = "images"
        """What the images show, such as "photographs of dogs"."""
        classes: tuple[str, ...] = ()
        """Names of the classes."""
        environments: tuple[str, ...] = ()
        """Environments in which the network has seen them."""
        avoid: tuple[str, ...] = ()
        """Images that must not be generated, such as "close-ups"."""

    def __init__(self, config: Config, context: RunContext) -> None:
        if len(config.classes) < 2 or len(config.environments) < 2:
            raise UsageError(
                "the task spurious-feature needs at least two classes and two environments: set task.classes and "
                "task.environments"
            )
        self._config, self._context = config, context

    def prompt(self, info: UnitInfo) -> str:
        """See `maia_core.protocols.Task`. Classes and environments stand in alphabetical order."""
        config = self._config
        unit = "The unit" if is_blind(self._context) else f"Unit {info.unit} of layer {info.layer}"
        return PROMPT.format(
            unit=f"{unit} of a neural network",
            domain=config.domain,
            classes="\n".join(f"- {name}" for name in sorted(config.classes)),
            environments=", ".join(sorted(config.environments)),
            avoid=f" (no {', no '.join(config.avoid)})" if config.avoid else "",
        )

    def parse(self, sections: Mapping[str, list[str]]) -> SpuriousFeatureAnswer:
        """See `maia_core.protocols.Task`."""
        reasoning, decision, selected = (" ".join(" ".join(sections.get(tag, [])).split()) for tag in self.tags)
        word = decision.strip(" .*_`").upper()
        if word not in ("SELECTIVE", "SPURIOUS") or not reasoning:
            wrong = f"'{decision[:60]}' is neither" if decision else "[DECISION]: is missing"
            raise ReplyError(
                f"The final answer needs [REASONING]: with text, and [DECISION]: SELECTIVE or SPURIOUS; {wrong}."
                if reasoning
                else "The final answer lacks [REASONING]: with text."
            )
        if word == "SPURIOUS":
            return SpuriousFeatureAnswer(reasoning=reasoning, decision="SPURIOUS")
        named = {name.casefold(): name for name in self._config.classes}
        found = named.get(selected.strip(" .*_`\"'").casefold())
        if found is None:
            classes = ", ".join(sorted(named.values()))
            raise ReplyError(f"A SELECTIVE unit needs [CLASS]: with one of {classes}, not '{selected[:60]}'.")
        return SpuriousFeatureAnswer(reasoning=reasoning, decision="SELECTIVE", selected=found)

    def explanation(self, answer: BaseModel) -> Explanation:
        """See `maia_core.protocols.Task`."""
        assert isinstance(answer, SpuriousFeatureAnswer)
        label = f"SELECTIVE for {answer.selected}" if answer.selected else answer.decision
        return Explanation(
            description=answer.reasoning,
            labels=(label,),
            details={"decision": answer.decision, "class": answer.selected or None},
        )
