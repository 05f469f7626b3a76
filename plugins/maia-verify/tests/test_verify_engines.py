"""What the verifier needs of a run."""

import pytest

from maia_core.context import Context
from maia_core.plugin import PluginRef, RunConfig
from maia_core.testing import fake_parts
from maia_verify.verifier import HeldOut


@pytest.mark.parametrize(
    ("chosen", "uses"),
    [
        ({}, ("generator", "editor", "describer")),
        ({"editor": PluginRef(name="none")}, ("generator", "describer")),
        ({"editor": PluginRef(name="none"), "describer": PluginRef(name="none")}, ("generator",)),
    ],
)
def test_a_check_without_its_engine_is_left_out(chosen, uses):
    parts = {**fake_parts(), "judge": object()}
    context = Context(RunConfig(**chosen), parts=parts)
    assert HeldOut(HeldOut.Config(), context).uses == uses
