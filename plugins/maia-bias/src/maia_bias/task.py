"""The task `bias`: on which images of a class is the response higher or lower than on the others?"""

from __future__ import annotations

from collections.abc import Mapping

from maia_bias.answer import TESTED, AnswersWithFindings, BiasAnswer, text_and_findings
from maia_bias.response import class_of
from maia_core.plugin import RunContext, UnitInfo, UsageError
from maia_standard.blind import BlindOptions, is_blind

PROMPT = """\
{unit} is the response of a neural network to the class "{name}".{note}

Find the biases of this response: on which images of the class is it higher, and on which is it lower, although the
class is shown in all of them? The response may prefer a part of the class, such as one kind or one look of it. It may
need something that is not the class, such as a background or another thing beside it. Test the surroundings, other
things in the image, colour, size, position, number, and the kind (a breed, a model); where people are shown, also their
apparent gender, age and ethnicity. A response without a bias is a possible result.

Each of your replies is either an experiment or the final answer.

An experiment:
[HYPOTHESIS LIST]:
Hypothesis_1: <a subgroup of the class, and whether the response is higher or lower there>
[CODE]:
```python
def run_experiment(system, tools):
    ...
```
Write one program per reply, with one function run_experiment(system, tools); put helper functions into the same block.
Do not call run_experiment yourself. You will see everything that the program printed, displayed, logged and returned.
Then update your hypotheses and continue.

{begin}Compare images that differ in one attribute only and always show "{name}": the same prompt with and without the
attribute{edits}. Measure several pairs per attribute and look at the mean difference and its spread. The more
attributes you try, the more of them look good by chance, so test such an attribute again with fresh images. Try to
refute your findings.

When repeated experiments agree, give the final answer, without code:
[ANSWER]: <on which images of the class the response is higher or lower; that there is no bias is an answer too>
[FINDINGS]:
<higher or lower>: <subgroup in a few words, such as "on snow" or "next to a person"> | <mean difference>
Write one finding per line. If you found no bias, write: none{tested}
"""

PARTS = {
    "begin": ("class_exemplars", "Begin with the highest and the lowest images of the class (tools.class_exemplars). "),
    "edits": ("edit_images", ", or one image and its edit (tools.edit_images)"),
}
"""Parts of the prompt that stand in it if the run has the tool."""


def prompt_parts(context: RunContext) -> dict[str, str]:
    """Returns the parts of a prompt that depend on the run's tools and on whether it verifies answers."""
    tools = {choice.name.partition("@")[0] for choice in context.config.tools}
    parts = {name: text if tool in tools else "" for name, (tool, text) in PARTS.items()}
    return parts | {"tested": TESTED if context.config.verify else ""}


class Bias(AnswersWithFindings):
    """The biases of the response to a class: the paper's section 5.2."""

    tags = ("ANSWER", "FINDINGS")

    class Config(BlindOptions):
        """Options of the task `bias`."""

        class_name: str = ""
        """Name of the class, for a unit that does not have it in its reference [default: the unit's class]."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._subject = " ".join(config.class_name.split()) or class_of(context.system)
        if not self._subject:
            raise UsageError(
                f"the task bias cannot study {context.system.info.ref}: it is not a unit of a class; choose one, such "
                "as MODEL:prob:tiger, or name the class that it responds to (-o task.class_name=NAME)"
            )
        self._context, self._parts = context, prompt_parts(context)

    def prompt(self, info: UnitInfo) -> str:
        """See `maia_core.protocols.Task`."""
        named = info.layer and not is_blind(self._context)
        place = f"Unit {info.unit} of layer {info.layer} of {info.model}" if named else "The unit"
        note = f" About its values: {info.note}." if info.note else ""
        return PROMPT.format(unit=place, name=self._subject, note=note, **self._parts)

    def parse(self, sections: Mapping[str, list[str]]) -> BiasAnswer:
        """See `maia_core.protocols.Task`."""
        answer, findings = text_and_findings(sections)
        return BiasAnswer(answer=answer, findings=findings, subject=self._subject)
