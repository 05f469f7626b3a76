"""A person in a script: experiments are `with` blocks."""

import json
import re
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import RunError, UsageError
from maia_core.events import Executed, HostCall, MessageAdded, ProgramStarted, Replied
from maia_core.image import Image
from maia_core.record import JOURNAL, RunReader
from maia_core.session import make_session
from maia_core.testing import FakeGenerator, FakeSystem, fake_parts
from maia_human import StudyError, ToolError, study
from maia_human.handoff import Handoff
from maia_human.study import NAMES

PROGRAM = """
import numpy as np
from PIL import Image as Pillow

def run_experiment(system, tools):
    activations, masked = system.neuron(tools.text2image(["a red disc"]))
    image: Image = masked[0]
    bright, dark = np.asarray(image.clean), np.asarray(image)
    print(image, image.title, image.size, image.width, image.clean.clean == image.clean, image == image.clean)
    print(bright.shape, bright.dtype, np.abs(bright // 4 - dark)[0, 0].max() <= 1, image.to_pil().mode)
    pixels = np.full((8, 8, 3), (220, 30, 30), np.uint8)
    given = [bright, Pillow.fromarray(pixels), pixels, Pillow.new("RGBA", (4, 4)), image.clean]
    print([round(a, 3) for a in system.neuron(given)[0]])
    print(system.neuron(tuple(given))[0] == system.neuron(given)[0], system.info, isinstance(image, Image))
    tools.log_experiment(np.array([1.5]), [image], ["one"], "note")
    print([(title, found["activation"], found["image"]) for entry in tools.results for title, found in entry.items()])
    cyclic = []
    cyclic.append(cyclic)
    tries = [
        lambda: tools.text2image([]), lambda: tools.text2image("dog"), lambda: tools.text2img(["dog"]),
        lambda: tools.text2image({1: 2}), lambda: tools.text2image([object()]), lambda: tools.text2image(cyclic),
        lambda: tools.text2image(prompts=["a"], n=1), lambda: setattr(image, "title", "x"), lambda: image.pixels,
        lambda: setattr(tools, "display", print), lambda: system.neuron([np.zeros((2, 2), np.uint8)]),
        lambda: tools.text2image(tools), lambda: tools.dataset_exemplars(image), lambda: system.nothing(),
    ]
    for number, attempt in enumerate(tries):
        try:
            print(number, "passed", attempt())
        except (ToolError, AttributeError) as error:
            print(number, type(error).__name__, error)
    return len(tools.dataset_exemplars(system)[0]), sorted(name for name in dir(tools) if not name.startswith("_"))
"""


def test_what_a_program_sees_in_the_sandbox_it_sees_here(begin):
    session = make_session(Context(RunConfig(), parts=fake_parts()))
    try:
        sandboxed = session.execute(PROGRAM)
    finally:
        session.close()
    s, names = begin(), dict(NAMES)
    with s.experiment():
        exec(PROGRAM, names)
        value = names["run_experiment"](s.system, s.tools)
    here = RunReader(s.folder).of_type(Executed)[0].execution
    assert sandboxed.error == ""
    assert here.stdout.splitlines() == sandboxed.stdout.splitlines()
    assert repr(value) == sandboxed.value


def test_a_run_of_with_blocks_has_the_record_and_report_of_any_run(begin):
    s = begin()
    system, tools = s.system, s.tools
    s.hypotheses("red", "discs")
    with s.experiment():
        print("before")
        activations, images = tools.dataset_exemplars(system)
        tools.log_experiment(activations, images, [image.title for image in images])
    for colour in ("red", "blue"):
        with s.experiment():  # One turn each.
            a, masked = system.neuron(tools.text2image([f"a {colour} disc"]))
            tools.log_experiment(a, masked, [colour])
    done = s.answer(description="Red\n\ndiscs.", label=["red", "discs"])
    assert s.outcome.status == done.outcome.status == "answered"
    assert done.outcome.explanation.labels == ("red", "discs")
    assert "red OR discs" in repr(done)
    assert (done.folder / "report.html").read_text().startswith("<!")
    run = RunReader(s.folder)
    assert run.manifest.config["sandbox"]["name"] == "notebook"
    assert run.outcome.answer == {"description": "Red discs.", "labels": ["red", "discs"], "strengths": []}
    assert [event.turn for event in run.of_type(Replied)] == [1, 2, 3, 4]
    assert len(run.effects.kept) == 4
    first = run.of_type(ProgramStarted)[0]
    assert first.hypotheses == ("red", "discs")
    assert first.program.startswith(
        'def run_experiment(system, tools):\n    global activations, images\n    print("before")'
    )
    assert [event.execution.stdout for event in run.of_type(Executed)] == ["before\n", "", ""]
    assert "Printed:\nbefore" in run.of_type(MessageAdded)[2].message.text
    assert run.of_type(Executed)[0].execution.host_calls == 2
    with pytest.raises(StudyError, match=r"has ended \(answered\)"):
        s.answer(description="a", label="b")
    with pytest.raises(StudyError, match="has ended"), s.experiment():
        tools.text2image(["a"])


def test_recorded_programs_run_in_the_sandbox_unchanged(begin):
    s = begin()
    system, tools = s.system, s.tools
    with s.experiment():
        prompts = ["a red disc", "a blue disc"]
        activations, masked = system.neuron(tools.text2image(prompts))
        print(activations)
    with s.experiment():
        tools.log_experiment(activations, masked, prompts)
        print(tools.results[0]["a red disc"]["activation"], masked[0].title)
    run = RunReader(s.folder)
    session = make_session(Context(RunConfig(), parts=fake_parts()))
    try:
        again = [session.execute(event.program) for event in run.of_type(ProgramStarted)]
    finally:
        session.close()
    assert [e.error for e in again] == ["", ""]
    assert [e.stdout for e in again] == [event.execution.stdout for event in run.of_type(Executed)]


def test_a_limit_is_said_clearly_and_the_answer_is_still_taken(begin, capsys):
    s = begin(limits={"turns": 1})
    assert s.budget["turns"] == (0, 1)
    with s.experiment():
        s.tools.text2image(["a red disc"])
    assert "limits.turns" in capsys.readouterr().out
    with pytest.raises(StudyError, match="no more experiments; give your answer"), s.experiment():
        s.tools.text2image(["a red disc"])
    with pytest.raises(StudyError, match="lacks"):
        s.answer(description="red")
    assert s.answer(description="red", label="red").outcome.status == "answered"
    assert len(RunReader(s.folder).of_type(HostCall)) == 1


def test_time_to_think_does_not_end_a_run(begin):
    study = begin(limits={"seconds": 0.5})
    with study.experiment():
        study.tools.text2image(["a red disc"])
    time.sleep(0.6)
    with study.experiment():
        study.tools.text2image(["a blue disc"])
    assert study._session.state.seconds < 0.5
    assert len(study._session.state.turns) == 2


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"descripton": "x"}, "no part 'descripton'. Did you mean 'description'"),
        ({"zzz": "x"}, "Its parts: description, label"),
        ({"description": "x", "label": ""}, r"lacks \[LABEL\]"),
        ({"description": ["x", "y"], "label": "z"}, "more than one answer"),
        ({"description": "x", "label": [3]}, "label must be a text or a list of texts"),
        ({"description": 3, "label": "x"}, "description must be a text"),
        ({}, "empty.*s.answer"),
    ],
)
def test_a_mistake_in_the_answer_is_one_line_and_can_be_mended(begin, sections, says):
    s = begin()
    with s.experiment():
        s.tools.text2image(["a red disc"])
    with pytest.raises(StudyError, match=says) as raised:
        s.answer(**sections)
    assert len(raised.value._render_traceback_()[0].splitlines()) == 1
    assert s.outcome is None
    assert s.answer(description="red", label="red").outcome.turns == 2


def test_an_answer_that_fails_its_test_comes_back_with_the_verdict(begin, capsys):
    """As in a terminal: the person sees which prediction failed, and can continue."""
    s = begin(verifier="discs")
    with s.experiment():
        s.tools.text2image(["a red disc"])
    capsys.readouterr()
    with pytest.raises(
        StudyError, match=r"'blue' activates the unit more than other colours do.*s\.answer\("
    ) as raised:
        s.answer(description="Blue discs.", label="blue")
    assert len(raised.value._render_traceback_()[0].splitlines()) == 1
    shown = capsys.readouterr().out
    assert "it failed" in shown
    assert "Not so: 'blue' activates the unit more than other colours do." in shown
    assert s.outcome is None
    with s.experiment():
        s.tools.text2image(["a blue disc"])
    finished = s.answer(description="Red discs.", label="red")
    assert finished.outcome.verdict.passed
    assert finished.outcome.verdict.line in repr(finished)


def test_values_cross_as_in_a_sandbox(begin):
    s = begin()
    with s.experiment():
        for value, says in [
            (2**70, "an integer of more than 64 bits"),
            ([0] * 600_000, "more than 500,000 values"),
            (np.zeros(600_000), "an array of 600,000 values"),
            (b"bytes", "a value of type bytes"),
        ]:
            with pytest.raises(ToolError, match=says):
                s.tools.text2image(value)
        (image,) = s.tools.text2image([np.str_("a red disc")])
        (number,), _ = s.system.neuron([image])
        assert type(number) is float


def test_an_answer_ends_the_experiment_that_is_under_way(begin):
    s = begin()
    with s.experiment():
        print("seen")
        s.tools.text2image(["a red disc"])
        s.answer(description="red", label="red")
    (executed,) = RunReader(s.folder).of_type(Executed)
    assert executed.execution.stdout == "seen\n"


def test_refused_calls_are_tool_errors_and_the_error_is_recorded_with_the_script_s_lines(begin):
    s = begin()
    with pytest.raises(ToolError, match="at least one prompt"), s.experiment():
        s.tools.text2image([])
    error = RunReader(s.folder).of_type(Executed)[0].execution.error
    assert "ToolError: text2image needs at least one prompt" in error
    assert 'File "test_human_study.py", line' in error
    assert "s.tools.text2image([])" in error
    assert "maia_human" not in error
    assert str(s.folder.parent) not in error


def test_a_system_of_other_methods_offers_them_all(begin, monkeypatch):
    def layer(self, images: list[Image]) -> list[list[float]]:
        """Measures all units on images."""
        return [[1.5, 2.5] for _ in images]

    monkeypatch.setattr(FakeSystem, "methods", ("layer", "neuron"), raising=False)
    monkeypatch.setattr(FakeSystem, "layer", layer, raising=False)
    s = begin()
    assert "def layer(" in repr(s.api)
    with s.experiment():
        images = s.tools.text2image(["a red disc"] * 2)
        assert s.system.layer(images) == [[1.5, 2.5]] * 2
        assert len(s.system.neuron(images)[0]) == 2
    assert [call.method for call in RunReader(s.folder).of_type(HostCall)][1:] == ["system.layer", "system.neuron"]


def test_calls_outside_of_an_experiment_are_refused(begin):
    s = begin()
    with pytest.raises(StudyError, match=r"with s\.experiment"):
        s.tools.text2image(["a red disc"])
    assert s.system.info["unit"] == "red"
    with s.experiment(), pytest.raises(StudyError, match="under way already"), s.experiment():
        pass


def test_a_block_without_calls_is_no_experiment(begin):
    s = begin()
    with s.experiment():
        print("nothing")
    assert not RunReader(s.folder).of_type(Replied)


def test_what_no_cell_can_mend_ends_the_run_and_it_can_go_on(begin, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(FakeGenerator, "generate", lambda *a: (_ for _ in ()).throw(RunError("the generator is gone")))
        s = begin()
        with pytest.raises(StudyError, match="the generator is gone"), s.experiment():
            s.tools.text2image(["a red disc"])
    assert s.outcome.status == "failed"
    with pytest.raises(StudyError, match=r"has ended.*generator is gone.*study\(resume="), s.experiment():
        s.tools.text2image(["a red disc"])
    s = begin(resume=s.folder)
    with s.experiment():
        s.tools.text2image(["a red disc"])
    assert s.answer(description="red", label="red").outcome.turns == 3
    assert "kernel ended during this cell" in RunReader(s.folder).of_type(Executed)[0].execution.error


def _experiments(s):
    system, tools = s.system, s.tools
    with s.experiment():
        activations, images = tools.dataset_exemplars(system)
        tools.log_experiment(activations, images, [image.title for image in images], "all")
    with suppress(ToolError), s.experiment():
        print("two")
        array = np.full((8, 8, 3), (220, 30, 30), np.uint8)
        tools.log_experiment((float("inf"), 2), [array, images[0].clean], ["", "y"])
        system.neuron(images=[array, *images[:2]])
        tools.edit_images(images[:1], instructions=())


def test_a_run_goes_on_after_its_kernel_died_and_nothing_is_done_again(begin, monkeypatch):
    first = begin()
    _experiments(first)
    journal = first.folder / JOURNAL
    before = journal.read_bytes()
    first.close()
    assert first.outcome is None or first.outcome.status == "interrupted"
    calls = []
    measure = FakeSystem.neuron
    monkeypatch.setattr(FakeSystem, "neuron", lambda self, images: calls.append(1) or measure(self, images))
    journal.write_bytes(before)  # As a kill leaves it.
    s = begin(resume=first.folder)
    assert not calls
    assert journal.read_bytes() == before
    assert s._session.state.experiments == 2
    with s.experiment():
        (found,) = [entry["exemplar 1"] for entry in s.tools.results if "exemplar 1" in entry]
        again, _ = s.system.neuron([found["image"]])
        print(again[0] == found["activation"])
    assert len(calls) == 1
    outcome = s.answer(description="red", label="red").outcome
    assert (outcome.status, outcome.turns) == ("answered", 4)
    assert RunReader(s.folder).of_type(Executed)[2].execution.stdout == "True\n"


def test_a_failed_call_without_recorded_arguments_is_repeated(begin):
    s = begin()
    with suppress(ToolError), s.experiment():
        s.tools.text2image([0] * 10_000)
    with suppress(ToolError), s.experiment():
        s.tools.dataset_exemplars(s.system, ["x" * 20_000])
    s.close()
    calls = RunReader(s.folder).of_type(HostCall)
    assert [(bool(call.error), call.arguments) for call in calls] == [(True, {"args": [], "kwargs": {}})] * 2
    s = begin(resume=s.folder)
    with s.experiment():
        s.tools.text2image(["a red disc"])
    assert s.answer(description="red", label="red").outcome.turns == 4


def test_no_recorded_program_is_executed(begin, tmp_path):
    s = begin()
    with s.experiment():
        (tmp_path / "canary").write_text("")
        s.tools.text2image(["a red disc"])
    assert "canary" in RunReader(s.folder).of_type(ProgramStarted)[0].program
    s.close()
    (tmp_path / "canary").unlink()
    s = begin(resume=s.folder)
    with s.experiment():
        s.tools.text2image(["a red disc"])
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("kept", range(17))
def test_a_run_can_be_killed_anywhere(begin, kept):
    first = begin()
    _experiments(first)
    first.close()
    journal = first.folder / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:kept]) + lines[kept][:10])
    s = begin(resume=first.folder)
    with s.experiment():
        s.tools.text2image(["a red disc"])
    assert s.answer(description="red", label="red").outcome.status == "answered"
    run = RunReader(s.folder)
    turns = [event.turn for event in run.of_type(Executed)]
    assert turns == sorted(set(turns))
    assert len(turns) == len(run.of_type(ProgramStarted))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unit": "discs:colours:pink"}, "no unit 'pink'"),
        ({"unit": "nothing:1"}, "no model or system 'nothing'"),
        ({"unit": None}, "no system is chosen"),
        ({"generator": "nonsense"}, "no generator 'nonsense'"),
        ({"limits": {"turn": 3}}, "Did you mean 'turns'"),
        ({"config": "nowhere.toml"}, "nowhere.toml"),
        ({"resume": "nowhere"}, "not a run folder"),
        ({"resume": "nowhere", "seed": 3}, "leave out seed"),
        ({"unit": RunConfig(), "tools": []}, "whole configuration"),
    ],
)
def test_what_cannot_begin_is_one_line(begin, options, says):
    with pytest.raises(StudyError, match=says) as raised:
        begin(**options)
    assert "\n" not in raised.value._render_traceback_()[0]


def test_only_a_notebook_s_run_is_gone_on_with(begin, tmp_path):
    s = begin()
    s.close()
    manifest = json.loads((s.folder / "run.json").read_text())
    manifest["config"]["sandbox"] = {"name": "auto"}
    (s.folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(StudyError, match="not made in a notebook; resume it with maia run --resume"):
        begin(resume=s.folder)


@pytest.mark.parametrize("damage", ['{"args": 3}', "null", '{"args": [{"$image": {"id": "x"}}], "kwargs": {}}'])
def test_a_damaged_record_is_refused_in_one_line(begin, damage):
    s = begin()
    with s.experiment():
        s.tools.text2image(["a red disc"])
    s.close()
    journal = s.folder / JOURNAL
    text = journal.read_text()
    journal.write_text(re.sub(r'"arguments": \{.*?\}(?=, "result")', f'"arguments": {damage}', text))
    with pytest.raises(StudyError, match=r"damaged|not an event|does not repeat|cannot be read"):
        begin(resume=s.folder)


def test_a_whole_configuration_is_taken_as_it_is(registry, begin, tmp_path):
    parts = dict.fromkeys(("dataset", "generator", "editor", "describer"), "discs")
    config = RunConfig(system="discs:colours:blue", seed=1, backbone={"name": "human", "person": "P3"}, **parts)
    s = study(config, registry=registry, out=tmp_path / "other", seed=7)
    assert s._session.context.seed == 7
    with s.experiment():
        s.tools.text2image(["a red disc"])
    s.close()
    assert RunReader(s.folder).of_type(Replied)[0].reply.model == "P3"
    assert RunReader(s.folder).outcome.status == "interrupted"


def test_a_handoff_that_is_left_ends_what_waits():
    handoff = Handoff()
    ended = []

    def work():
        try:
            handoff.offer("asking")
        except KeyboardInterrupt:
            ended.append(True)
        handoff.end()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert handoff.settle() == "asking"
    handoff.leave()
    thread.join(10)
    assert ended == [True]
    assert handoff.settle() == "ended"


def test_errors_are_those_of_maia():
    assert issubclass(StudyError, UsageError)
