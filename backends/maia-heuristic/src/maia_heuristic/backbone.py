"""The backbone: reads the conversation, decides the next step, writes the reply."""

from __future__ import annotations

from collections.abc import Sequence

from maia_core.plugin import BackboneInfo, CallLimits, Message, PluginConfig, Reply, RunContext
from maia_heuristic.biases import bias_step, case_of
from maia_heuristic.layers import layer_step
from maia_heuristic.reading import read_conversation
from maia_heuristic.selectivity import question_of, selectivity_step
from maia_heuristic.strategy import Step, next_step


class HeuristicBackbone:
    """A baseline scientist without a language model; a pure function of the conversation and the seed."""

    info = BackboneInfo(name="heuristic", images=False)

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        pass

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """See `maia_core.protocols.Backbone`."""
        notebook = read_conversation(messages)
        if question := question_of(messages):
            step = selectivity_step(question, notebook)
        elif case := case_of(messages):
            step = bias_step(case, notebook, limits.seed)
        elif "score_units" in notebook.tools:
            step = layer_step(messages, notebook, limits.seed)
        else:
            step = next_step(notebook, limits.seed)
        return Reply(text=reply_text(step), model="heuristic")


def reply_text(step: Step) -> str:
    """Lays out a step in the form that the task asks for."""
    if step.answer:
        return f"{step.reasoning}\n\n{step.answer}"
    hypotheses = "\n".join(f"Hypothesis_{n}: {text}" for n, text in enumerate(step.hypotheses, 1))
    return f"{step.reasoning}\n\n[HYPOTHESIS LIST]:\n{hypotheses}\n[CODE]:\n```python\n{step.program}```"
