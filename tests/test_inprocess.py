"""The sandbox `unsafe-inprocess` offers programs what the locked-down ones do."""

from __future__ import annotations

import pytest

from maia_core.context import Context
from maia_core.session import make_session
from maia_core.testing import InProcessSandbox, SandboxSuite, fake_parts
from maia_core.types import Reply

SHOWN = """[CODE]:
```python
def run_experiment(system, tools):
    activations, images = system.neuron(tools.text2image(["a red disc", "a blue disc"]))
    tools.display(images[0])
    return activations, images
```
"""


class TestInProcess(SandboxSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def sandbox(cls):
        return InProcessSandbox(None, cls.context())


def test_backbone_sees_returned_images_once():
    context = Context(parts={**fake_parts("red"), "sandbox": InProcessSandbox(None, Context())})
    session = make_session(context)
    turn = session.submit(Reply(text=SHOWN))
    shown = [part.image.title for part in turn.execution.displays if part.type == "image"]
    assert turn.execution.error == ""
    assert shown == ["a red disc", "a blue disc"], "the first was displayed by the program itself"
    assert len(session.conversation.messages[-1].images) == 2
