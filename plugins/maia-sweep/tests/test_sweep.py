import pickle
import subprocess
import sys

import pytest

from maia_core.config import PluginRef, RunConfig
from maia_core.errors import MaiaError, RecordError
from maia_core.record import RunReader
from maia_core.registry import Registry
from maia_core.testing import fakes
from maia_core.types import BackboneInfo
from maia_sweep.sweeping import sweep, system_of

REPLIES = list(fakes.FAKE_RUN)


class _Backbone:
    """Answers by the number of turns in the conversation; fails for green units while `broken`."""

    info = BackboneInfo(name="by-turn")
    broken = True
    asked = 0

    def __init__(self, config=None, context=None):
        pass

    def complete(self, messages, limits):
        type(self).asked += 1
        if self.broken and "unit green" in messages[1].text and len(messages) > 2:
            raise RuntimeError("out of luck")
        turn = sum(message.role == "assistant" for message in messages)
        return fakes.ScriptedBackbone(REPLIES[turn:]).complete(messages, limits)


class _World(Registry):
    """The installed registry, with fakes for model, data set, engines and backbone."""

    made = 0

    def find(self, kind, name):
        return object() if (kind, name) == ("model", "discs") else super().find(kind, name)

    def build(self, kind, name, options, context):
        if kind == "model":
            _World.made += 1
            return fakes.FakeModel()
        if kind == "backbone":
            return _Backbone()
        parts = fakes.fake_parts()
        return parts[kind] if kind in parts and kind != "system" else super().build(kind, name, options, context)


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(_Backbone, "broken", True)
    monkeypatch.setattr(_Backbone, "asked", 0)
    monkeypatch.setattr(_World, "made", 0)
    return _World()


CONFIG = RunConfig(verify=False)
"""The replies are those for red discs, whatever the unit."""
UNITS = ["discs:colours:red", "discs:colours:green", "nothing:x:1", "discs:colours:blue"]


def _statuses(results):
    return [
        r if isinstance(r, str) else type(r).__name__ if isinstance(r, MaiaError) else r.outcome.status
        for _, r in results
    ]


def test_options_of_a_model_hold_for_its_own_units_only():
    config = RunConfig(system=PluginRef(name="acme:a:1", size=96))
    assert system_of(config, "acme:b:2").options == {"size": 96}
    assert system_of(config, "other:b:2").options == {}
    assert system_of(RunConfig(), "acme:b:2") == PluginRef(name="acme:b:2")


@pytest.mark.slow
def test_a_unit_that_fails_does_not_end_the_sweep(world, tmp_path):
    results = list(sweep(CONFIG, UNITS, tmp_path, registry=world))
    assert _statuses(results) == ["answered", "failed", "PluginError", "answered"]
    assert "out of luck" in results[1][1].outcome.reason
    assert world.made == 1, "each unit made its own copy of the model"


def test_runs_of_a_sweep_do_not_see_each_other(world, tmp_path):
    results = list(sweep(CONFIG, ["discs:colours:red", "discs:colours:blue"], tmp_path, registry=world))
    for unit, finished in results:
        reader = RunReader(finished.folder)
        assert reader.manifest.system.ref == unit
        assert reader.effects.kept[0].activation > 0
    first, second = (RunReader(finished.folder) for _, finished in results)
    assert first.effects.kept[0].image.id != second.effects.kept[0].image.id


@pytest.mark.slow
def test_the_same_sweep_again_goes_on_where_it_failed_and_repeats_nothing(world, tmp_path, monkeypatch):
    list(sweep(CONFIG, UNITS, tmp_path, registry=world))
    asked = _Backbone.asked
    monkeypatch.setattr(_Backbone, "broken", False)
    results = list(sweep(CONFIG, UNITS, tmp_path, registry=world))
    assert _statuses(results) == ["answered", "answered", "PluginError", "answered"]
    assert _Backbone.asked - asked == 2, "turns that the record holds were asked again"


def test_a_sweep_with_another_configuration_does_not_touch_the_runs(world, tmp_path):
    list(sweep(CONFIG, UNITS[:2], tmp_path, registry=world))
    for _, result in sweep(RunConfig(seed=5), UNITS[:2], tmp_path, registry=world):
        assert isinstance(result, RecordError)
        assert "another configuration" in str(result)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("nosuch:a:1",), "there is no model or system 'nosuch'."),
        (("--without", "nosuch"), "there is no observer 'nosuch'."),
        (("--out", "{}/dangling"), "cannot write "),
        (("--out", "{}/run"), "/"),
    ],
)
def test_a_wrong_name_or_folder_fails_before_the_first_unit_is_explained(tmp_path, arguments, fault):
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    options = [part.format(tmp_path) for part in arguments]
    command = ["sweep", "--out", str(tmp_path / "out"), "layer:x", *options]
    done = subprocess.run(
        [sys.executable, "-c", "from maia_core.cli import main; main()", *command], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"maia: {fault}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_units_whose_names_look_alike_get_folders_of_their_own():
    from maia_runs import folder_name

    assert (
        len({folder_name(ref) for ref in ("m:l:tiger cat", "m:l:tiger-cat", "m:l:tiger_cat", "m" * 90, "m" * 91)}) == 5
    )


class _Sent:
    """A runner that sends everything to another process and back, but for the process."""

    def map(self, function, items):
        there = pickle.loads(pickle.dumps(function))
        return ((item, pickle.loads(pickle.dumps(there(item)))) for item in items)


def test_a_sweep_can_be_sent_to_other_processes(world, tmp_path):
    """The parts of this process stay here, and every kind of result comes back."""
    done = list(sweep(CONFIG, UNITS[:2], tmp_path, registry=world))
    results = list(sweep(CONFIG, UNITS[:2], tmp_path / "other", registry=world, runner=_Sent()))
    # A worker has the installed plugins, among which are no discs, and nothing of this process.
    assert _statuses(results) == ["PluginError", "PluginError"]
    assert pickle.loads(pickle.dumps(done[0][1])) == done[0][1]


def test_a_unit_that_is_named_twice_is_explained_once(world, tmp_path):
    """Two workers must not write the same record."""
    assert len(list(sweep(CONFIG, UNITS[:1] * 2, tmp_path, registry=world))) == 1
