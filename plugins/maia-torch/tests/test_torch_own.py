"""A user's own network by import path."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import MaiaError, PluginError, UsageError
from maia_core.image import Image
from maia_core.testing import ScriptedBackbone, fake_parts
from maia_runs.launch import explain_in, resume
from maia_torch.own import OwnModel, class_names

CODE = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self, wide=4):
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(3, wide, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(wide * 15 * 15, 2))

net = Net()
def needs(wide): return Net(wide)
def nothing(): return 3
class Holder: inside = net
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in the working directory that only this test can import."""
    name = f"ours_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "nets.py").write_text(CODE)
    (tmp_path / name / "broken.py").write_text("import not_installed_anywhere")
    (tmp_path / name / "exits.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield name
    for known in [known for known in sys.modules if known.startswith(name)]:
        del sys.modules[known]


def own(path: str, context: Context | None = None, **options: object) -> OwnModel:
    given = {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3} | options
    return OwnModel(OwnModel.Config(model=path, **given), context)


@pytest.mark.parametrize("attribute", ["net", "Net", "Holder.inside"])
def test_an_instance_a_class_or_an_attribute_of_one_is_a_model(package, attribute):
    model = own(f"{package}.nets.{attribute}")
    unit = model.unit("0:3")
    assert unit.info.ref == f"module/{package}.nets.{attribute}:0:3"
    assert unit.neuron([Image.from_pixels(np.zeros((50, 70, 3), np.uint8))])[1][0].mask().shape == (50, 70)


def test_the_context_finds_it_by_the_reference_and_shares_one_copy(package, tmp_path):
    context = Context(cache=tmp_path)
    options = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    model = context.model(f"module/{package}.nets.net", **options)
    assert context.model(f"module/{package}.nets.net", **options) is model


def test_what_is_not_given_is_inferred_and_said(package, tmp_path):
    context = Context(cache=tmp_path)
    lines: list[str] = []
    context.warn_to(lines.append)
    OwnModel(OwnModel.Config(model=f"{package}.nets.net"), context)
    assert lines == [
        f"module/{package}.nets.net: size and mean and std not given; the preprocessing is taken to be: "
        "crop to 32 x 32 (bilinear), minus 0.485, 0.456, 0.406, over 0.229, 0.224, 0.225"
    ]


def test_weights_and_class_names_come_from_files(package, tmp_path):
    model = own(f"{package}.nets.Net")
    state = {f"module.{name}": value * 2 for name, value in model.engine._module.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, "weights.pth")
    Path("names.txt").write_text("cat\ndog\n")
    other = own(f"{package}.nets.Net", weights="weights.pth", classes="names.txt")
    image = [Image.from_pixels(np.full((32, 32, 3), 99, np.uint8))]
    assert other.activations(image, "0") == pytest.approx(2 * model.activations(image, "0"), abs=1e-5)
    assert other.unit("prob:dog").index == 1
    assert other.fingerprint != model.fingerprint


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_class_names_are_the_same_in_any_unicode_encoding(tmp_path, encoding, end):
    names = ["café\u2028au lait", "tiger"]
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / "names.txt").write_bytes((mark + end.join(names) + end + end).encode(encoding))
    assert class_names(str(tmp_path / "names.txt")) == names


def test_class_names_of_another_form_are_refused(tmp_path):
    (tmp_path / "names.txt").write_bytes("café".encode("latin-1"))
    for file, says in (
        ("names.txt", "utf-8"),
        ("imagenet_class_index.json", "write a text file with one name per line"),
    ):
        with pytest.raises(UsageError, match=says):
            class_names(str(tmp_path / file))


def test_other_code_is_another_model(package):
    before = own(f"{package}.nets.net").fingerprint
    assert own(f"{package}.nets.net").fingerprint == before
    with open(f"{package}/nets.py", "a") as file:
        file.write("# forward works in another way now\n")
    assert own(f"{package}.nets.net").fingerprint != before


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nets", "write module/package.module.attribute"),
        ("no_such_package.nets.net", "there is no Python module 'no_such_package'"),
        ("{}.nets.ned", r"has no 'ned'\. Did you mean .*'net'"),
        ("{}.nets.net.feature", "Net has no 'feature'"),
        ("{}.nets.nothing", "makes none, but a int"),
        ("{}.nets.needs", r"needs\(\) failed: TypeError.*called without arguments"),
        ("{}.broken.net", "importing .*broken failed: ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("{}.exits.net", "importing .*exits failed: SystemExit: 3"),
        ("{}..net", "write module/package.module.attribute"),
    ],
)
def test_what_cannot_be_imported_says_why(package, path, says):
    with pytest.raises(UsageError, match=says):
        own(path.format(package))


def test_a_package_of_an_editable_installation_is_found(monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return ModuleSpec(name, None) if name == "flat_layout" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    OwnModel.check_unit(OwnModel.Config(model="flat_layout.net"), "")
    with pytest.raises(UsageError, match="no file of weights"):
        OwnModel.check_unit(OwnModel.Config(model="flat_layout.net", weights="/"), "")


def test_wrong_options_are_refused_in_one_line(package):
    for options, says in [
        ({"size": 20}, r"cannot take images of shape \(3, 20, 20\): RuntimeError"),
        ({"classes": "none.txt"}, "class names in none.txt cannot be read"),
        ({"layouts": {"5": "NLC"}}, "no module of the network is named '5'"),
    ]:
        with pytest.raises(UsageError, match=says):
            own(f"{package}.nets.net", **options)
    table = {"0": {"axes": "NCHW"}, "3": {"axes": "NC"}}
    context = Context()
    assert context.model(f"module/{package}.nets.net", size=32, layouts=table).layer("0").info.units == 4
    with pytest.raises((UsageError, PluginError), match="a layout is one of"):
        Context().model(f"module/{package}.nets.net", size=32, layouts={"0": {"axes": "XY"}})
    with pytest.raises((UsageError, PluginError), match="layouts"):
        Context().model(f"module/{package}.nets.net", size=32, layouts={"0": "HWC"})


def test_a_run_does_not_resume_with_other_code(package, tmp_path, monkeypatch):
    """A run folder that was sent back with another source file must not run that file."""
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    system = {"name": f"module/{package}.nets.net:0:3", "size": 32}
    config = RunConfig(system=system, verify=False)
    parts = fake_parts() | {"backbone": ScriptedBackbone([])}
    del parts["system"]
    explain_in(Context(config, parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    (tmp_path / package / "nets.py").write_text(f"open('{tmp_path}/executed', 'w')\n" + CODE)
    for known in [known for known in sys.modules if known.startswith(package)]:
        del sys.modules[known]
    with pytest.raises(UsageError, match=r"nets\.py"):
        resume(tmp_path / "run")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(MaiaError) as error:
        resume(tmp_path / "run", trusted=True)  # The fake parts are not installed: it gets as far as that.
    assert "nets.py" not in str(error.value), "who trusts the folder may run its code"


@pytest.mark.slow
def test_the_command_line_explains_it_as_from_python(package, tmp_path):
    """Another process, in that directory: the package is found as `python -m` would find it."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("maia")), "systems", "show", f"module/{package}.nets.Net", "-o", "size=32"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert "0-1      4 units   15 x 15" in done.stdout
    assert "mean and std not given" in done.stderr


@pytest.mark.slow
def test_three_lines_of_python(package, tmp_path):
    PILImage.fromarray(np.full((40, 40, 3), 200, np.uint8)).save("a.png")
    code = f"""
import {package}.nets as nets
from maia_core.image import Image
from maia_runs.launch import explain_in, resume
from maia_core.testing import ScriptedBackbone, fake_parts
from PIL import Image as PILImage
image = Image.from_pil(PILImage.open("a.png"))

from maia_torch import Preprocessing, TorchModel
model = TorchModel(nets.net, Preprocessing(size=32), name="mine")
activations, masked = model.unit("0:3").neuron([image])
print(activations[0], masked[0].width)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split()[1] == "40"


def test_the_fingerprint_holds_the_files_of_the_factory_and_of_its_helpers(tmp_path, package):
    """A network of torch's own classes: none of these files is that of a class of it."""
    folder = tmp_path / package
    (folder / "helper.py").write_text("def gain(): return 2\n")
    (folder / "factory.py").write_text(
        "import torch\nfrom torch import nn\nfrom . import helper\n"
        "def make():\n    torch.manual_seed(0)\n    return nn.Sequential(nn.Conv2d(3, 2, 3))\n"
    )
    prints = [own(f"{package}.factory.make").fingerprint]
    for file in ("helper.py", "factory.py"):
        with (folder / file).open("a") as source:
            source.write("# changed\n")
        prints.append(own(f"{package}.factory.make").fingerprint)
    assert len(set(prints)) == 3
