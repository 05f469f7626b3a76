"""The agent as an explainer: a real loop with a scripted backbone."""

from __future__ import annotations

import re

import pytest

from maia_core.plugin import Context, PluginRef, RunConfig, RunReader, UsageError
from maia_core.testing import FAKE_RUN, FakeSystem, InProcessSandbox, ScriptedBackbone, fake_parts
from maia_standard.agent import Agent, folder_name


@pytest.fixture
def agent(tmp_path):
    """Makes an agent with a scripted backbone: returns it, its context and the backbone."""

    def made(script=FAKE_RUN, answer="final", strengths=True, **config):
        backbone = ScriptedBackbone(list(script))
        parts = {**fake_parts(), "backbone": backbone, "sandbox": InProcessSandbox(None, Context())}
        system = PluginRef(name="discs:colours:red")
        run_config = RunConfig(system=system, runs=str(tmp_path / "runs"), **config)
        context = Context(run_config, parts=parts, cache=tmp_path / "cache")
        return Agent(Agent.Config(answer=answer, strengths=strengths), context), context, backbone

    return made


def test_the_answer_comes_with_what_it_took(agent, tmp_path):
    explainer, context, _ = agent()
    explanation = explainer.explain(context.system, context)
    assert explanation.labels == ("red",)
    details = explanation.details
    assert details["verdict"]["passed"] is True
    assert details["status"] == "answered"
    assert details["usage"]["cost"] == 0
    assert details["seconds"] >= 0
    assert details["run"].startswith(str(tmp_path / "runs"))
    assert RunReader(tmp_path / "runs" / folder_name(context)).outcome.status == "answered"


def test_a_run_that_has_ended_is_read_and_another_configuration_is_another_run(agent):
    explainer, context, _ = agent()
    first = explainer.explain(context.system, context)
    again, context, backbone = agent()
    assert again.explain(context.system, context) == first
    assert backbone.seen == []
    other, context, backbone = agent(verify=False)
    assert other.explain(context.system, context).details["verdict"] is None
    assert len(backbone.seen) == 3


def test_the_first_answer_is_that_of_the_same_run_before_its_test(agent):
    wrong = "[DESCRIPTION]: Discs of blue.\n[LABEL]: blue"
    script = [*FAKE_RUN[:2], wrong, *FAKE_RUN[1:]]
    explainer, context, _ = agent(script)
    final = explainer.explain(context.system, context)
    assert (final.labels, final.details["verdict"]["passed"], final.details["turns"]) == (("red",), True, 5)
    explainer, context, backbone = agent(script, answer="first")
    first = explainer.explain(context.system, context)
    assert backbone.seen == [], "its run was there"
    assert (first.labels, first.details["verdict"], first.details["turns"]) == (("blue",), None, 3)
    assert first.details["run"] == final.details["run"]
    assert 0 < first.details["usage"]["input_tokens"] < final.details["usage"]["input_tokens"]


def test_an_answer_without_its_strengths_is_that_of_the_same_run(agent):
    stated = "[DESCRIPTION]: Red discs, blue ones a little.\n[LABEL 1]: red (main)\n[LABEL 2]: blue (40%)"
    explainer, context, _ = agent([*FAKE_RUN[:2], stated], verify=False)
    explanation = explainer.explain(context.system, context)
    assert explanation.labels == ("red", "blue")
    assert explanation.strengths[1] == 0.4
    explainer, context, backbone = agent(strengths=False, verify=False)
    even = explainer.explain(context.system, context)
    assert backbone.seen == [], "its run was there"
    assert (even.labels, even.strengths) == (("red", "blue"), ())
    assert even.details == explanation.details


def test_the_first_answer_of_a_run_without_tests_is_its_answer(agent):
    explainer, context, _ = agent(answer="first", verify=False)
    assert explainer.explain(context.system, context).labels == ("red",)


def test_a_run_without_an_answer_says_why_and_what_it_took(agent, tmp_path):
    explainer, context, _ = agent([FAKE_RUN[0], RuntimeError("out of order")])
    explanation = explainer.explain(context.system, context)
    assert explanation.labels == ()
    assert re.search(r"ended without an answer \(failed\): .*out of order", explanation.description)
    assert explanation.details["run"] == str(tmp_path / "runs" / folder_name(context))
    assert explanation.details["usage"]["input_tokens"] > 0
    assert (explanation.details["turns"], explanation.details["verdict"]) == (1, None)


def test_it_explains_its_contexts_unit_only(agent):
    explainer, context, _ = agent()
    with pytest.raises(UsageError, match="not discs:colours:red"):
        explainer.explain(FakeSystem(), context)
