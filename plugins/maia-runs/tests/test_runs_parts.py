"""Which parts a run builds before its first question."""

import json
import pickle

import numpy as np
import pytest

from maia_core.context import Context
from maia_core.errors import MaiaError, RecordError
from maia_core.plugin import Image, Probe, RunConfig, RunOutcome, Verdict
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_runs import FinishedRun, explain_in

TOOLS = ("text2image", "log_experiment", "dataset_exemplars", "display")
"""The tools that `FAKE_RUN` calls: none edits or describes."""


class Asked(ScriptedBackbone):
    """Counts how often it is asked."""

    asked = 0

    def complete(self, *arguments):
        self.asked += 1
        return super().complete(*arguments)


def explained(tmp_path, tools=TOOLS, **chosen):
    """Runs with engines of these names, which are not installed, in place of the fakes."""
    parts = {kind: part for kind, part in fake_parts().items() if kind not in chosen}
    backbone = Asked(FAKE_RUN)
    config = RunConfig.model_validate({"verify": False, "system": "fake", "tools": tools, **chosen})
    context = Context(config, parts={**parts, "backbone": backbone}, cache=tmp_path / "cache")
    return context, backbone, explain_in(context, tmp_path / "run")


@pytest.mark.parametrize("name", ["not-installed", "none"])
def test_an_engine_that_no_tool_uses_is_not_built(tmp_path, name):
    """The default editor asked for a pack of 170 MB although no tool edited."""
    _, backbone, finished = explained(tmp_path, editor=name, describer=name)
    assert finished.outcome.status == "answered"
    assert backbone.asked


@pytest.mark.parametrize(
    ("tool", "kind"), [("edit_images", "editor"), ("describe_images", "describer"), ("text2image", "generator")]
)
@pytest.mark.parametrize(
    ("name", "message"), [("not-installed", "not-installed"), ("none", "no {} is chosen; pass --{}")]
)
def test_a_tool_without_its_engine_is_refused_before_the_first_question(tmp_path, tool, kind, name, message):
    with pytest.raises(MaiaError, match=message.format(kind, kind)):
        explained(tmp_path, (*TOOLS, tool) if tool not in TOOLS else TOOLS, **{kind: name})
    assert not (tmp_path / "run").exists()


def test_a_tool_that_does_not_say_what_it_uses_may_use_every_engine(tmp_path, monkeypatch):
    from maia_standard.log import Display

    monkeypatch.delattr(Display, "uses")
    with pytest.raises(MaiaError, match="no describer is chosen"):
        explained(tmp_path, describer="none")


def test_an_ended_run_of_another_network_is_not_taken_for_this_one(tmp_path):
    """After retraining, a study joined new features with decisions about the old network."""
    explained(tmp_path)
    manifest = tmp_path / "run" / "run.json"
    run = json.loads(manifest.read_text())
    assert run["fingerprints"]
    changed = dict.fromkeys(run["fingerprints"], "0" * 32)
    manifest.write_text(json.dumps({**run, "fingerprints": changed}))
    backbone = Asked(FAKE_RUN)
    config = RunConfig.model_validate({"verify": False, "system": "fake", "tools": TOOLS})
    context = Context(config, parts={**fake_parts(), "backbone": backbone}, cache=tmp_path / "cache")
    with pytest.raises(RecordError, match=r"since it began, .* changed; start a new one"):
        explain_in(context, tmp_path / "run")
    assert not backbone.asked


def test_a_verified_run_comes_back_from_another_process(tmp_path):
    """Its verdict holds the images that were measured, whose pixels are not sent."""
    image = Image.from_pixels(np.zeros((4, 4, 3), np.uint8), "a dog")
    probe = Probe(condition="positive", text="a dog", image=image, activation=0.5)
    verdict = Verdict(passed=True, summary="It predicts.", probes=(probe,))
    finished = FinishedRun(tmp_path, RunOutcome(status="answered", verdict=verdict), ("report: x",))
    assert pickle.loads(pickle.dumps(finished)) == finished
