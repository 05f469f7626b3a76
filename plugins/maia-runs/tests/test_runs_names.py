"""`explain` checks every name before a plugin is imported, so that a typo costs no loading of a network."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from maia_core.plugin import MaiaError, PluginRef, RunConfig
from maia_runs import explain
try:
    explain(RunConfig.model_validate({"system": {"name": "efficientnet-lite0:head:303"}} | %r))
except MaiaError as error:
    print(error)
print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"system": {"name": "efficientnet-lite9:head:303"}}, "there is no model or system 'efficientnet-lite9'"),
        ({"backbone": {"name": "herustic"}}, "there is no backbone 'herustic'"),
        ({"tools": [{"name": "text2imag"}]}, "there is no tool 'text2imag'"),
        ({"sandbox": {"name": "proces"}}, "there is no sandbox 'proces'"),
    ],
)
def test_a_wrong_name_fails_before_torch_loads(wrong, message, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % (wrong,)], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    first, loaded = done.stdout.splitlines()
    assert first.startswith(message)
    assert loaded == "False"
    assert list(tmp_path.iterdir()) == []
