"""A distribution that tests and benchmarks put on the path: units of a fake model, and a backbone.

A unit takes a fraction of a second and writes a real run folder. Environment variables, which reach the workers that
the process starts, make it slow or deadly.
"""

import os
import time
from pathlib import Path

from maia_core.testing import FAKE_RUN, FakeModel, FakeSystem, ScriptedBackbone, disc  # noqa: F401
from maia_core.types import BackboneInfo, LayerInfo, UnitInfo

UNITS = 64


class Model(FakeModel):
    """64 units that all respond to red."""

    def layers(self):
        return [LayerInfo(name="colours", units=UNITS)]

    def unit(self, ref):
        system = FakeSystem()
        layer, _, unit = ref.partition(":")
        system.info = UnitInfo(model="discs", layer=layer, unit=unit)
        return system


class Backbone:
    """Replies as a whole run does.

    `$DISCS_SECONDS` is the time of a reply. Where `$DISCS_FOLDER` is set, each reply writes a file
    `UNIT-TURN-PID` there, and the second reply for the unit of `$DISCS_KILLS` kills the process, once.
    """

    info = BackboneInfo(name="by-turn")

    def __init__(self, config=None, context=None):
        self.context = context

    def complete(self, messages, limits):
        turn = sum(message.role == "assistant" for message in messages)
        unit = self.context.system.info.unit
        if folder := os.environ.get("DISCS_FOLDER"):
            (Path(folder) / f"{unit}-{turn}-{os.getpid()}").touch()
            if turn == 1 and unit == os.environ.get("DISCS_KILLS") and not (killed := Path(folder) / "killed").exists():
                killed.touch()
                os.kill(os.getpid(), 9)
        time.sleep(float(os.environ.get("DISCS_SECONDS", "0")))
        return ScriptedBackbone(FAKE_RUN[turn:]).complete(messages, limits)


ENTRY_POINTS = """
[maia.models]
discs = maia_discs:Model
[maia.datasets]
discs = maia_core.testing.fakes:FakeDataset
[maia.generators]
discs = maia_core.testing.fakes:FakeGenerator
[maia.editors]
discs = maia_core.testing.fakes:FakeEditor
[maia.describers]
discs = maia_core.testing.fakes:FakeDescriber
[maia.backbones]
by-turn = maia_discs:Backbone
"""

OPTIONS = [f"--{kind}=discs" for kind in ("dataset", "generator", "editor", "describer")]
OPTIONS += ["--backbone=by-turn", "--no-verify", "--without=report"]
"""Options of a sweep over its units."""


def install(folder: Path, name: str = "maia-discs", version: str = "1.0") -> str:
    """Writes the distribution into a folder, and returns the folder for `$PYTHONPATH`."""
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: maia-core>=0.2\n"
    )
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "maia_discs.py").write_text(Path(__file__).read_text())
    return str(folder)
