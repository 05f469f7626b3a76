import pytest

from maia_core.context import Context
from maia_core.registry import installed
from maia_core.testing import COLOURS, FakeModel, fake_parts
from maia_layers.system import LayerSystem

NUMBER = {colour: number for number, colour in enumerate(COLOURS)}


@pytest.fixture
def number():
    """The number of the unit that responds to a colour."""
    return NUMBER


@pytest.fixture
def context(tmp_path):
    """A run that studies a layer with one unit a colour."""
    made = Context(registry=installed(), parts=fake_parts() | {"model/discs/[]": FakeModel()}, cache=tmp_path / "cache")
    made._parts["system"] = LayerSystem(LayerSystem.Config(ref="discs:colours"), made)
    return made
