"""A backbone that always does the same."""

from collections.abc import Sequence
from typing import ClassVar

from maia_core.plugin import BackboneInfo, CallLimits, Message, PluginConfig, Reply, RunContext

PROGRAM = """[HYPOTHESIS LIST]:
Hypothesis_1: bright things
[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a white disc", "a black disc"]
    images = tools.text2image(prompts)
    activations, masked = system.neuron(images)
    print("contrasts", tools.acme_contrast(images))
    tools.log_experiment(activations, masked, prompts)
```"""
ANSWER = "[DESCRIPTION]: Bright pixels activate the unit.\n[LABEL]: {label}"


class Scripted:
    """Runs one experiment, then answers."""

    class Config(PluginConfig):
        """Options of the scripted backbone."""

        label: str = "brightness"
        """What it answers."""

    info: ClassVar[BackboneInfo] = BackboneInfo(name="acme-scripted")

    def __init__(self, config: Config, context: RunContext) -> None:
        self._label = config.label

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """Runs one experiment, then answers."""
        return Reply(
            text=PROGRAM if messages[-1].role == "user" and len(messages) == 2 else ANSWER.format(label=self._label)
        )
