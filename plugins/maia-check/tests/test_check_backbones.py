"""`maia backbones`, as a user runs it, with backbones of another distribution."""

import json
import os
import subprocess
import sys

import pytest

PLUGIN = '''
from maia_core.config import PluginConfig
from maia_core.errors import BackboneError
from maia_core.types import BackboneInfo, ModelOption, Reply, Usage

PROGRAM = """[CODE]:
```python
def run_experiment(system, tools):
    activations, _ = system.neuron(tools.text2image(["a red disc", "a blue disc"]))
    return activations
```"""


class Toy:
    class Config(PluginConfig):
        says: str = "Red."
        writes: str = PROGRAM
        fails: str = ""
        breaks: str = ""

    def __init__(self, config, context):
        self.config = config
        self.info = BackboneInfo(name="toy", model="toy-1")

    def complete(self, messages, limits):
        if self.config.breaks:
            raise ValueError(self.config.breaks)
        if self.config.fails:
            raise BackboneError(self.config.fails)
        looks = any(message.images for message in messages)
        return Reply(text=self.config.says if looks else self.config.writes, usage=Usage(input_tokens=9, cost=0.01))

    @staticmethod
    def models():
        info = BackboneInfo(name="toy", max_images=20, context_tokens=128_000)
        return [ModelOption(model="toy-1", key="TOY_API_KEY", ready=False, info=info, input_price=2.5)]
'''


@pytest.fixture
def maia(tmp_path):
    """Runs the command with the distribution `acme-toy` installed, and a broken one."""
    metadata = tmp_path / "acme_toy-1.0.dist-info"
    metadata.mkdir()
    (tmp_path / "acme_toy.py").write_text(PLUGIN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-toy\nVersion: 1.0\nSummary: a toy\n")
    (metadata / "entry_points.txt").write_text("[maia.backbones]\ntoy = acme_toy:Toy\nbroken = acme_toy:Nothing\n")

    def run(*arguments):
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "MAIA_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", "from maia_core.cli import main; main()", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)

    return run


@pytest.mark.slow
def test_list_says_which_key_is_missing_and_what_a_model_can_do(maia):
    listed = maia("backbones")
    assert listed.returncode == 0
    [toy] = [line for line in listed.stdout.splitlines() if line.startswith("toy")]
    for said in ("toy-1", "TOY_API_KEY: not set", "up to 20", "128,000", "2.5 / unknown"):
        assert said in toy
    [broken] = [line for line in listed.stdout.splitlines() if line.startswith("broken")]
    assert "cannot be loaded" in broken
    rows = [json.loads(line) for line in maia("backbones", "--json").stdout.splitlines()]
    assert {row["backbone"] for row in rows} >= {"toy", "broken"}


def test_backbone_that_sees_and_writes_passes(maia):
    done = maia("check", "backbone", "toy")
    assert done.returncode == 0, done.stderr
    assert "image: ok" in done.stdout
    assert "program: ok" in done.stdout
    assert "made 2 calls, and returned [" in done.stdout
    assert "9 + 0 tokens, $0.01" in done.stdout


@pytest.mark.parametrize(
    ("option", "failed", "says"),
    [
        ("says=Blue.", ["image"], "was shown a red square and replied 'Blue.'"),
        ("writes=I would rather not.", ["program"], "neither a program nor an answer"),
        (
            "writes=[CODE]:\n```python\ndef run_experiment(system, tools):\n    1/0\n```",
            ["program"],
            "ZeroDivisionError",
        ),
        (
            "writes=[CODE]:\n```python\ndef run_experiment(system, tools):\n    return 1\n```",
            ["program"],
            "called neither",
        ),
        ("fails=set TOY_API_KEY", ["image", "program"], "set TOY_API_KEY"),
        ("breaks=no such wire", ["image", "program"], "ValueError: no such wire"),
    ],
)
def test_what_fails_is_said_and_the_exit_code_is_1(maia, option, failed, says):
    done = maia("check", "backbone", "toy", "-o", option)
    assert done.returncode == 1
    for probe in ("image", "program"):
        assert f"{probe}: {'failed' if probe in failed else 'ok'}" in done.stdout
    assert says in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["tpy"], "Did you mean 'toy'"), (["toy", "-o", "sayz=x"], "says"), (["toy", "-o", "says"], "KEY=VALUE")],
)
def test_bad_input_is_one_line(maia, arguments, says):
    done = maia("check", "backbone", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
