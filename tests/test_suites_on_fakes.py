"""The suites accept the fakes, and every test of every suite catches the mistake that it is there for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from maia_core.testing import suites
from maia_core.testing.fakes import (
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


class TestFakeSystem(suites.SystemSuite):
    @pytest.fixture
    def system(self):
        return FakeSystem()


class TestFakeModel(suites.ModelSuite):
    unit = "red"

    @pytest.fixture
    def model(self):
        return FakeModel()

    @pytest.fixture
    def twin(self):
        return FakeModel()


class TestFakeGenerator(suites.GeneratorSuite):
    @pytest.fixture
    def generator(self):
        return FakeGenerator()

    @pytest.fixture
    def twin(self):
        return FakeGenerator()


class TestFakeEditor(suites.EditorSuite):
    @pytest.fixture
    def editor(self):
        return FakeEditor()


class TestFakeDescriber(suites.DescriberSuite):
    @pytest.fixture
    def describer(self):
        return FakeDescriber()


class TestFakeDataset(suites.DatasetSuite):
    unreadable = (3, 7)

    @pytest.fixture
    def dataset(self):
        return FakeDataset(FakeDataset.Config(broken=(3, 7)))

    @pytest.fixture
    def twin(self):
        return FakeDataset(FakeDataset.Config(broken=(3, 7)))


class TestFakeDetector(suites.DetectorSuite):
    @pytest.fixture
    def detector(self):
        return FakeDetector()


class TestScriptedBackbone(suites.BackboneSuite):
    @pytest.fixture
    def backbone(self):
        return ScriptedBackbone(FAKE_RUN)

    @pytest.fixture
    def twin(self):
        return ScriptedBackbone(FAKE_RUN)


BROKEN = Path(__file__).with_name("suites_must_fail.py")


def classes() -> list[type]:
    spec = importlib.util.spec_from_file_location("suites_must_fail", BROKEN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [c for name, c in vars(module).items() if name.startswith("Test") and hasattr(c, "catches")]


EXPECTED = [(c.__name__, test) for c in classes() for test in c.catches]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[tuple[str, str], set[str]]:
    """Runs the broken plugins once, and says for each (class, test) how its cases ended."""
    log = tmp_path_factory.mktemp("broken") / "log.xml"
    nodes = [f"{BROKEN}::{name}::{test}" for name, test in EXPECTED]
    nodes += [f"{BROKEN}::{c.__name__}" for c in classes() if not c.catches]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={log}", *nodes]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=BROKEN.parent)
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
    for name in [c.__name__ for c in classes() if not c.catches]:
        assert {tag for (owner, _), tags in outcomes.items() if owner == name for tag in tags} == {"passed"}


@pytest.mark.parametrize("suite", [s for s in suites.__all__ if s.endswith("Suite") and s != "DistributionSuite"])
def test_every_test_of_a_suite_is_shown_to_fail(suite):
    tests = {name for name in dir(getattr(suites, suite)) if name.startswith("test_")}
    caught = {test for c in classes() for test in c.catches if issubclass(c, getattr(suites, suite))}
    assert tests <= caught, sorted(tests - caught)
