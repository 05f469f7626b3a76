"""The task behind `maia ask`: a question over all units of a layer, answered with ranked units."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel

from maia_core.plugin import Explanation, PluginConfig, ReplyError, RunContext, UnitInfo, UsageError
from maia_layers.system import layer_of

PROMPT = """\
A question about {layer}:

{question}

Each of your replies is either an experiment or the final answer.

An experiment:
[HYPOTHESIS LIST]:
Hypothesis_1: <units that may answer the question, and why>
[CODE]:
```python
def run_experiment(system, tools):
    ...
```
Write one program per reply, with one function run_experiment(system, tools); put helper functions into the same block.
Do not call run_experiment yourself. You will see everything that the program printed, displayed, logged and returned.

Begin with many varied images of the thing that the question is about, and with controls that resemble them in
everything else{rank}. These images chose the best units, so these units look better than they are. Measure them again
on fresh images with other things, surroundings and near misses (system.layer, system.neuron){look}. Keep the units that
hold, and drop the others.

When fresh experiments agree, give the final answer, without code:
[ANSWER]: <the answer to the question in one or two sentences; that there is no such unit is an answer too>
[UNITS]:
<number>: <evidence: what you measured on fresh images and on controls>
<number>: <evidence>
Write one unit per line, the best first. If there is no such unit, write: none
"""

PARTS = {
    "rank": ("score_units", ". Rank all units with tools.score_units"),
    "look": ("unit_exemplars", ", and look at their exemplars (tools.unit_exemplars)"),
}
"""Parts of the prompt that stand in it if the run has the tool."""

_LINE = re.compile(r"^[\s>*+-]*(?:\d+[.)]\s+)?(?:unit\s*)?\**(\d+)\**\s*[:,–-]\s*(.+)$", re.IGNORECASE)


class RankedUnit(BaseModel):
    """One unit of an answer."""

    unit: int
    evidence: str


class LayerAnswer(BaseModel):
    """The answer to a question over a layer.

    Attributes:
        answer: In one or two sentences.
        units: The units that it names, the best first.
    """

    answer: str
    units: list[RankedUnit]


class LayerQuestion:
    """Which units of a layer are selective for something: the query of the paper's section 3."""

    answer = LayerAnswer
    tags = ("ANSWER", "UNITS")

    class Config(PluginConfig):
        """Options of the task."""

        question: str
        """What is asked, such as "which units are selective for forested backgrounds?"."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._question = " ".join(config.question.split())
        if not self._question:
            raise UsageError(
                'the question is empty; ask one: maia ask MODEL:LAYER "which units are selective for dogs?"'
            )
        tools = {choice.name.partition("@")[0] for choice in context.config.tools}
        self._parts = {name: text if tool in tools else "" for name, (tool, text) in PARTS.items()}
        self._units = layer_of(context.system).layer_info.units

    def prompt(self, info: UnitInfo) -> str:
        """See `maia_core.protocols.Task`."""
        layer = f"layer {info.layer} of {info.model}, {info.note}"
        return PROMPT.format(layer=layer, question=self._question, **self._parts)

    def parse(self, sections: Mapping[str, list[str]]) -> LayerAnswer:
        """See `maia_core.protocols.Task`."""
        answer = " ".join(text for text in sections.get("ANSWER", []) if text)
        lines = [line for text in sections.get("UNITS", []) for line in text.splitlines() if line.strip()]
        if not answer or not lines:
            raise ReplyError(
                f"The final answer lacks {'[UNITS]:' if answer else '[ANSWER]:'}. It needs both, with text."
            )
        if len(lines) == 1 and lines[0].strip(" .*").casefold() == "none":
            return LayerAnswer(answer=answer, units=[])
        return LayerAnswer(answer=answer, units=[self._unit(line) for line in lines])

    def _unit(self, line: str) -> RankedUnit:
        found = _LINE.match(line)
        if not found:
            raise ReplyError(
                f"Under [UNITS]: write one unit a line as `<number>: <evidence>`, not: {line.strip()[:80]}"
            )
        unit = int(found[1])
        if unit >= self._units:
            raise ReplyError(f"Unit {unit} does not exist: the layer has units 0 to {self._units - 1}.")
        return RankedUnit(unit=unit, evidence=found[2].strip())

    def explanation(self, answer: BaseModel) -> Explanation:
        """See `maia_core.protocols.Task`."""
        assert isinstance(answer, LayerAnswer)
        units = ", ".join(str(ranked.unit) for ranked in answer.units)
        label = f"unit{'s' * (len(answer.units) > 1)} {units}" if units else "no unit"
        ranking = [ranked.model_dump(mode="json") for ranked in answer.units]
        return Explanation(description=answer.answer, labels=(label,), details={"units": ranking})
