"""Conformance suites: one class a kind of plugin, which an author's tests subclass.

    class TestMine(SystemSuite):
        @pytest.fixture
        def system(self):
            return Mine(Mine.Config(), None)

Each test catches a mistake that plugins really make. What a suite must know of a plugin is a fixture; what a kind may
do in more than one way is a class attribute. They need pytest: `pip install 'maia-core[test]'`.
"""

from __future__ import annotations

import pytest

_KINDS = ("backbone", "dataset", "describer", "detector", "distribution", "editor", "generator", "model", "system")
pytest.register_assert_rewrite(*(f"{__name__}.{kind}" for kind in (*_KINDS, "runner", "samples", "task", "tool")))

from maia_core.testing.suites.backbone import BackboneSuite  # noqa: E402
from maia_core.testing.suites.dataset import DatasetSuite  # noqa: E402
from maia_core.testing.suites.describer import DescriberSuite  # noqa: E402
from maia_core.testing.suites.detector import DetectorSuite  # noqa: E402
from maia_core.testing.suites.distribution import DistributionSuite  # noqa: E402
from maia_core.testing.suites.editor import EditorSuite  # noqa: E402
from maia_core.testing.suites.generator import GeneratorSuite  # noqa: E402
from maia_core.testing.suites.model import ModelSuite  # noqa: E402
from maia_core.testing.suites.runner import RunnerSuite  # noqa: E402
from maia_core.testing.suites.samples import samples  # noqa: E402
from maia_core.testing.suites.system import SystemSuite  # noqa: E402
from maia_core.testing.suites.task import TaskSuite  # noqa: E402
from maia_core.testing.suites.tool import ToolSuite  # noqa: E402

__all__ = [
    "BackboneSuite",
    "DatasetSuite",
    "DescriberSuite",
    "DetectorSuite",
    "DistributionSuite",
    "EditorSuite",
    "GeneratorSuite",
    "ModelSuite",
    "RunnerSuite",
    "SystemSuite",
    "TaskSuite",
    "ToolSuite",
    "samples",
]
