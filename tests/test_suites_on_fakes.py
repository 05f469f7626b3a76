"""The suites accept the fakes, and every test of every suite catches the mistake that it is there for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from maia_core import testing
from maia_core.plugin import KINDS
from maia_core.testing import (
    FAKE_RUN,
    FakeDataset,
    FakeDescriber,
    FakeDetector,
    FakeEditor,
    FakeGenerator,
    FakeModel,
    FakeSystem,
    ScriptedBackbone,
)


class TestFakeSystem(testing.SystemSuite):
    @pytest.fixture
    def system(self):
        return FakeSystem()


class TestFakeModel(testing.ModelSuite):
    unit = "red"

    @pytest.fixture
    def model(self):
        return FakeModel()

    @pytest.fixture
    def twin(self):
        return FakeModel()


class TestFakeGenerator(testing.GeneratorSuite):
    @pytest.fixture
    def generator(self):
        return FakeGenerator()

    @pytest.fixture
    def twin(self):
        return FakeGenerator()


class TestFakeEditor(testing.EditorSuite):
    @pytest.fixture
    def editor(self):
        return FakeEditor()


class TestFakeDescriber(testing.DescriberSuite):
    @pytest.fixture
    def describer(self):
        return FakeDescriber()


class TestFakeDataset(testing.DatasetSuite):
    unreadable = (3, 7)

    @pytest.fixture
    def dataset(self):
        return FakeDataset(FakeDataset.Config(broken=(3, 7)))

    @pytest.fixture
    def twin(self):
        return FakeDataset(FakeDataset.Config(broken=(3, 7)))


class TestFakeDetector(testing.DetectorSuite):
    @pytest.fixture
    def detector(self):
        return FakeDetector()


class TestScriptedBackbone(testing.BackboneSuite):
    @pytest.fixture
    def backbone(self):
        return ScriptedBackbone(FAKE_RUN)

    @pytest.fixture
    def twin(self):
        return ScriptedBackbone(FAKE_RUN)


BROKEN = sorted(Path(__file__).with_name("must_fail").glob("*.py"))


def classes() -> list[tuple[Path, type]]:
    found = []
    for file in BROKEN:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [(file, c) for name, c in vars(module).items() if name.startswith("Test") and hasattr(c, "catches")]
    return found


CLASSES = classes()
FAKES_ALONE = """
import sys
sys.modules["pytest"] = None
from maia_core import testing
for name in testing.__all__:
    name.endswith("Suite") or getattr(testing, name)
assert not [name for name in sys.modules if name.startswith("maia_") and not name.startswith("maia_core")]
"""
EXPECTED = [(c.__name__, test) for _, c in CLASSES for test in c.catches]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[tuple[str, str], set[str]]:
    """Runs the broken plugins once, and says for each (class, test) how its cases ended."""
    log = tmp_path_factory.mktemp("broken") / "log.xml"
    nodes = [f"{file}::{c.__name__}::{test}" for file, c in CLASSES for test in c.catches]
    nodes += [f"{file}::{c.__name__}" for file, c in CLASSES if not c.catches]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={log}", *nodes]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BROKEN[0].parent)
    assert run.returncode == 1, run.stdout[-3000:] + run.stderr
    found: dict[tuple[str, str], set[str]] = {}
    for case in ElementTree.parse(log).iter("testcase"):
        key = case.get("classname").rpartition(".")[2], case.get("name").partition("[")[0]
        found.setdefault(key, set()).update({child.tag for child in case} or {"passed"})
    return found


@pytest.mark.parametrize(("name", "test"), EXPECTED)
def test_mistake_is_caught(outcomes, name, test):
    assert "error" not in outcomes[name, test], "a fixture failed, not the test"
    if outcomes[name, test] == {"skipped"}:
        pytest.skip("torch is not installed")
    assert "failure" in outcomes[name, test]


def test_what_is_in_order_passes(outcomes):
    for name in [c.__name__ for _, c in CLASSES if not c.catches]:
        assert {tag for (owner, _), tags in outcomes.items() if owner == name for tag in tags} <= {"passed", "skipped"}


@pytest.mark.parametrize("suite", [s for s in testing.__all__ if s.endswith("Suite") and s != "DistributionSuite"])
def test_every_test_of_a_suite_is_shown_to_fail(suite):
    tests = {name for name in dir(getattr(testing, suite)) if name.startswith("test_")}
    caught = {test for _, c in CLASSES for test in c.catches if issubclass(c, getattr(testing, suite))}
    assert tests <= caught, sorted(tests - caught)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_suite_and_a_fake(kind):
    assert f"{kind.capitalize()}Suite" in testing.__all__
    assert ("ScriptedBackbone" if kind == "backbone" else f"Fake{kind.capitalize()}") in testing.__all__


def test_fakes_need_neither_pytest_nor_another_distribution():
    done = subprocess.run([sys.executable, "-c", FAKES_ALONE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
