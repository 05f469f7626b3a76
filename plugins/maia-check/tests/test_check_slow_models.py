"""A local model on a slow processor reads a prompt over several calls."""

import pytest

from maia_check.probes import _reply
from maia_core.errors import BackboneBusy
from maia_core.types import BackboneInfo, CallLimits, Reply


class SlowReader:
    """A local model that needs several calls to read the prompt."""

    def __init__(self, calls, retry_after=0.0):
        self.info = BackboneInfo(name="slow", images=False)
        self.left, self.retry_after = calls, retry_after

    def complete(self, messages, limits):
        self.left -= 1
        if self.left >= 0:
            raise BackboneBusy("the conversation takes long to read", retry_after=self.retry_after)
        return Reply(text="red")


def test_a_local_model_may_read_on_until_it_knows_the_prompt():
    assert _reply(SlowReader(5), [], CallLimits()).text == "red"
    for backbone in (SlowReader(99), SlowReader(5, retry_after=30.0)):
        with pytest.raises(BackboneBusy):
            _reply(backbone, [], CallLimits())
