"""The command `maia ask`, as a user calls it, and the layers that it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.record import RunReader
from maia_core.testing import disc, fake_parts
from maia_layers.system import LayerSystem

PLUGIN = '''
from types import SimpleNamespace

from maia_core.config import PluginConfig
from maia_core.testing import FakeDataset, FakeDescriber, FakeEditor, FakeGenerator, FakeModel, ScriptedBackbone

PROGRAM = """[CODE]:
```python
def run_experiment(system, tools):
    images, controls = tools.text2image(["a red disc"] * 5), tools.text2image(["a blue disc"] * 5)
    return tools.score_units(images, controls, top=1)[0]["unit"]
```"""


class Model(FakeModel):
    """Finds its layer in any case."""

    class Config(PluginConfig):
        weights: str = "good"
        size: int = 32

    def __init__(self, config, context):
        super().__init__()
        self.fingerprint = f"{config.weights} {config.size}"

    def layer(self, name):
        [info] = [info for info in self.layers() if info.name == name.lower()]
        return SimpleNamespace(info=info)


class Backbone(ScriptedBackbone):
    def __init__(self, config, context):
        super().__init__([PROGRAM, "[ANSWER]: One unit.\\n[UNITS]:\\n0: above every control"])


class Dataset(FakeDataset):
    pass


class Generator(FakeGenerator):
    pass


class Editor(FakeEditor):
    pass


class Describer(FakeDescriber):
    pass
'''


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Any]:
    """Runs `maia ask` where a distribution with fakes is installed as `acme`."""
    (tmp_path / "acme_fakes.py").write_text(PLUGIN)
    metadata = tmp_path / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nSummary: x\n")
    engines = ("backbone", "dataset", "generator", "editor", "describer")
    groups = [f"[maia.{kind}s]\nacme = acme_fakes:{kind.capitalize()}\n" for kind in ("model", *engines)]
    (metadata / "entry_points.txt").write_text("".join(groups))
    fakes = [word for kind in engines for word in (f"--{kind}", "acme")]

    def run(layer: str, *arguments: str) -> Any:
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "MAIA_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", "from maia_core.cli import main; main()", "ask", layer, "which like red?"]
        command += [*fakes, "--no-verify", "--without", "report", "--out", "run", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120)

    return run


@pytest.mark.slow
def test_question_is_answered_with_the_options_of_the_command_line(ask: Any, tmp_path: Path) -> None:
    done = ask("acme:Colours", "-o", "system.size=96", "-o", "system.weights=random", "-o", "limits.turns=7")
    assert done.returncode == 0, done.stderr
    assert "unit 0" in done.stdout
    manifest = RunReader(tmp_path / "run").manifest
    assert manifest.config["system"] == {"name": "layer:acme:Colours", "size": 96, "weights": "random"}
    assert manifest.config["limits"]["turns"] == 7
    assert manifest.system.layer == "colours"
    assert manifest.fingerprints["system"] == "random 96"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("size = 48", "good 48"),
        ('name = "acme:colours:3"\nweights = "mine.pth"', "mine.pth 32"),
        ('name = "efficientnet-lite0:head:3"\nquantile = 0.5', "good 32"),  # options of another model
    ],
)
def test_question_takes_the_options_of_the_file(table: str, expected: str, ask: Any, tmp_path: Path) -> None:
    tools = 'tools = [{name = "score_units", shuffles = 20}, "dataset_exemplars"]\n'
    (tmp_path / "maia.toml").write_text(f"{tools}[system]\n{table}\n")
    done = ask("acme:colours")
    assert done.returncode == 0, done.stderr
    manifest = RunReader(tmp_path / "run").manifest
    assert manifest.fingerprints["system"] == expected
    options = {tool.pop("name"): tool for tool in manifest.config["tools"]}
    assert options["score_units"] == {"shuffles": 20}
    assert "dataset_exemplars" not in options


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["acme:colours", "-o", "system.sise=96"], "unknown key 'sise'. Did you mean 'size'"),
        (["acme:colours", "-o", "sise=96"], "write generator.sise for an option"),
        (["acme:colours", "--system", "acme:colours:1"], "No such option '--system'"),
        (["acme:colours", "--task", "neuron-description"], "No such option '--task'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(arguments: list[str], says: str, ask: Any) -> None:
    done = ask(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_layers_are_found_as_the_model_finds_them(tmp_path: Path) -> None:
    """Other spellings, and the latents of a sparse autoencoder, which are in no list of layers."""
    torch = pytest.importorskip("torch")
    maia_torch = pytest.importorskip("maia_torch")
    net = torch.nn.Sequential()
    net.add_module("body", torch.nn.Conv2d(3, 4, 3))
    model = maia_torch.TorchModel(net, maia_torch.Preprocessing(32), "tiny")
    encoder = {"W_enc": np.random.default_rng(0).normal(size=(4, 6)), "b_enc": np.zeros(6), "b_dec": np.zeros(4)}
    pytest.importorskip("safetensors.numpy").save_file(
        {name: value.astype(np.float32) for name, value in encoder.items()}, tmp_path / "sae.safetensors"
    )
    context = Context(parts=fake_parts() | {"model/tiny/[]": model})
    assert LayerSystem(LayerSystem.Config(ref="tiny:Body"), context).info.layer == "body"
    with pytest.warns(UserWarning, match="the file has no settings"):
        latents = LayerSystem(LayerSystem.Config(ref=f"tiny:body:sae={tmp_path}/sae.safetensors"), context)
    images = [disc("red"), disc("blue")]
    rows = latents.layer(images)
    assert np.shape(rows) == (2, 6)
    assert latents.neuron(images, 5)[0] == pytest.approx([row[5] for row in rows], abs=1e-5)
    with pytest.raises(UsageError, match="no layer 'bdy' in tiny; nearest: body"):
        LayerSystem(LayerSystem.Config(ref="tiny:bdy"), context)
