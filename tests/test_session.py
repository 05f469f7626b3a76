import inspect
import sys

import pytest

from maia_core.agent import run
from maia_core.context import Context
from maia_core.errors import BackboneError, RunError, UsageError
from maia_core.events import Executed, HostCall, MessageAdded, Noted, Replied, RunOutcome
from maia_core.feedback import asks_for_answer
from maia_core.hookspecs import hookimpl
from maia_core.registry import installed
from maia_core.testing import FAKE_RUN, FakeDataset, FakeGenerator, FakeSystem, ScriptedBackbone, fake_parts
from maia_core.types import Reply, Usage

ANSWER = FAKE_RUN[-1]
MEASURE = FAKE_RUN[1]


def _program(body: str) -> str:
    return f"[CODE]:\n```python\ndef run_experiment(system, tools):\n    {body}\n```"


def test_a_run_ends_with_the_answer_that_its_experiments_support(make_fake_session):
    events = []
    session = make_fake_session(record=events.append)
    outcome = run(session, ScriptedBackbone(FAKE_RUN))
    assert outcome.status == "answered"
    assert outcome.explanation.labels == ("red",)
    assert outcome.turns == 3
    calls = [event.method for event in events if isinstance(event, HostCall)]
    assert calls[:3] == ["tools.dataset_exemplars", "tools.summarize_images", "tools.log_experiment"]
    logged = [entry for event in events if isinstance(event, HostCall) for entry in event.effects.logged]
    assert [entry.title for entry in logged][-6:] == ["a red disc"] * 3 + ["a blue disc"] * 3
    assert min(e.activation for e in logged[-6:-3]) > max(e.activation for e in logged[-3:])
    assert isinstance(events[-1], RunOutcome)


def test_the_backbone_sees_images_and_activations_that_were_logged(make_fake_session):
    backbone = ScriptedBackbone(FAKE_RUN)
    run(make_fake_session(), backbone)
    feedback = backbone.seen[1][-1]
    assert feedback.role == "user"
    assert len(feedback.images) == 4
    assert feedback.images[0].title == "exemplar 1"
    assert "exemplar 1: activation" in feedback.text
    assert "Activation over 24 real images" in feedback.text
    assert "Returned:" in backbone.seen[2][-1].text
    assert "turn 2 of 30" in backbone.seen[2][-1].text


def test_nothing_that_identifies_a_data_set_image_reaches_the_backbone_or_a_program(make_fake_session):
    seen = []
    session = make_fake_session()
    program = _program(
        "a, i = tools.dataset_exemplars(system); print([vars(type(x)) for x in i][:1], i, [x.title for x in i])"
    )
    backbone = ScriptedBackbone([program, ANSWER])
    run(session, backbone)
    seen = "\n".join(message.text for message in backbone.seen[-1])
    assert "exemplar 4" in seen
    assert "disc-" not in seen


def test_a_used_up_budget_ends_the_calls_of_a_program_and_what_was_measured_is_logged(make_fake_session):
    session = make_fake_session(limits={"tokens": 100})
    describer = session.context.describer

    def describe(images, described=describer.describe):
        session.context.spend(Usage(input_tokens=60 * len(images)))
        return described(images)

    describer.describe = describe
    program = _program(
        "a, i = system.neuron(tools.text2image(['a red disc']))\n"
        "    for _ in range(9):\n"
        "        try: tools.describe_images(i, ['x']); print('ok')\n"
        "        except Exception as error: print(error); tools.log_experiment(a, i, ['a red disc']); break\n"
    )
    backbone = ScriptedBackbone([Reply(text=program), ANSWER])
    assert run(session, backbone).status == "answered"
    said = backbone.seen[1][-1].text
    assert "Printed:\nok\nok\n" in said
    assert "the run's budget of 100 tokens is used (limits.tokens)" in said
    assert "a red disc: activation" in said
    assert session.context.spent.tokens == 120


def test_conversation_alternates_and_begins_with_system_and_task(make_fake_session):
    backbone = ScriptedBackbone(["nonsense", *FAKE_RUN])
    run(make_fake_session(), backbone)
    assert [m.role for m in backbone.seen[-1]] == ["system", "user"] + ["assistant", "user"] * 3


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ("I am thinking", "neither a program nor an answer"),
        ("[DESCRIPTION]: dogs", r"lacks \[LABEL\]"),
        (Reply(text="[CODE]:\n```python\ndef run_ex", stop="length"), "cut off"),
        (Reply(text="I cannot help", stop="refusal"), "declined"),
    ],
)
def test_malformed_reply_is_answered_and_the_run_goes_on(make_fake_session, reply, says):
    backbone = ScriptedBackbone([MEASURE, reply, ANSWER])
    assert run(make_fake_session(), backbone).status == "answered"
    assert __import__("re").search(says, backbone.seen[2][-1].text)


def test_endless_nonsense_ends_the_run_as_failed(make_fake_session):
    outcome = run(make_fake_session(limits={"malformed": 3}), ScriptedBackbone(["hm"] * 9))
    assert (outcome.status, outcome.turns) == ("failed", 3)
    assert "malformed" in outcome.reason


def test_backbone_that_always_refuses_is_not_called_malformed(make_fake_session):
    refusals = [Reply(text="", stop="refusal")] * 3
    outcome = run(make_fake_session(limits={"malformed": 3}), ScriptedBackbone(["hm", _program("print(1)"), *refusals]))
    assert outcome.reason == "the backbone refused 3 times in a row; choose another backbone or model"
    mixed = run(make_fake_session(limits={"malformed": 3}), ScriptedBackbone(["hm", *refusals]))
    assert "malformed" in mixed.reason


def test_well_formed_reply_resets_the_count_of_malformed_ones(make_fake_session):
    script = ["hm", "hm", MEASURE, "hm", "hm", ANSWER]
    assert run(make_fake_session(limits={"malformed": 3}), ScriptedBackbone(script)).status == "answered"


def test_last_turn_asks_for_the_answer_and_takes_it(make_fake_session):
    backbone = ScriptedBackbone([_program("print(1)"), MEASURE, ANSWER])
    outcome = run(make_fake_session(limits={"turns": 2}), backbone)
    assert outcome.status == "answered"
    assert "limits.turns" in outcome.reason
    assert "Give your final answer now" in backbone.seen[-1][-1].text


def test_a_program_instead_of_the_final_answer_is_not_run(make_fake_session):
    events = []
    session = make_fake_session(record=events.append, limits={"turns": 1})
    outcome = run(session, ScriptedBackbone([_program("print(1)"), _program("tools.text2image(['red'])")]))
    assert outcome.status == "stopped"
    assert not [event for event in events if isinstance(event, HostCall)]


def test_token_limit_stops_a_run(make_fake_session):
    greedy = Reply(text=_program("print(1)"), usage=Usage(input_tokens=90, output_tokens=20))
    outcome = run(make_fake_session(limits={"tokens": 100}), ScriptedBackbone([greedy, ANSWER]))
    assert "limits.tokens" in outcome.reason


def test_time_limit_stops_a_run(make_fake_session):
    outcome = run(make_fake_session(limits={"seconds": 1e-9}), ScriptedBackbone([_program("pass"), ANSWER]))
    assert (outcome.turns, "limits.seconds" in outcome.reason) == (2, True)


def test_failing_backbone_ends_the_run_with_one_line(make_fake_session):
    for error in (BackboneError("no route"), ValueError("no route")):
        outcome = run(make_fake_session(), ScriptedBackbone([error]))
        assert outcome.status == "failed"
        assert "no route" in outcome.reason


def test_fault_of_a_backbone_is_noted_with_its_traceback(make_fake_session):
    events = []
    run(make_fake_session(record=events.append), ScriptedBackbone([KeyError("choices")]))
    assert any("Traceback" in event.text and "choices" in event.text for event in events if isinstance(event, Noted))


def test_interrupt_is_recorded_and_raised(make_fake_session):
    events = []
    with pytest.raises(KeyboardInterrupt):
        run(make_fake_session(record=events.append), ScriptedBackbone([KeyboardInterrupt()]))
    assert events[-1].status == "interrupted"


def test_error_of_a_program_comes_back_with_its_line(make_fake_session):
    backbone = ScriptedBackbone([_program("x = 1\n    return y"), ANSWER])
    run(make_fake_session(), backbone)
    text = backbone.seen[1][-1].text
    assert "line 3" in text
    assert "NameError" in text


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("tools.text2image({'a': 1})", r"it takes prompts: list\[str\]; prompts is a dict"),
        ("tools.text2image([None])", r"it takes prompts: list\[str\]; prompts\[0\] is a NoneType"),
        ("tools.text2image()", "the argument 'prompts' is missing"),
        ("tools.text2image(['a'], 3)", "more than 1 arguments"),
        ("tools.text2image([])", "at least one prompt"),
        ("tools.edit_images(['red', 'blue', 'white'], ['to red', 'to blue'])", "3 images, 2 instructions"),
        ("tools.log_experiment([1.0], [], ['x'])", "1 activations, 0 images, 1 titles"),
        ("system.neuron('dogs')", r"it takes images: Sequence\[Image\]; images(\[0\])? is 'dogs'"),
        ("tools.text2image(promts=['red'])", "there is no argument 'promts'. Did you mean 'prompts'"),
        ("tools.text2img(['red'])", "text2image"),
    ],
)
def test_wrong_call_says_what_is_accepted(make_fake_session, call, says):
    execution = make_fake_session().execute(f"def run_experiment(system, tools):\n    {call}\n")
    assert __import__("re").search(says, execution.error), execution.error


def test_fault_inside_a_tool_is_told_without_a_host_traceback_and_noted(make_fake_session):
    class Faulty(FakeGenerator):
        def generate(self, prompts, seeds):
            raise ZeroDivisionError("deep inside")

    events = []
    session = make_fake_session(record=events.append, parts={"generator": Faulty()})
    execution = session.execute("def run_experiment(system, tools):\n    tools.text2image(['red'])\n")
    assert "tools.text2image failed (ZeroDivisionError)" in execution.error
    assert "deep inside" not in execution.error
    assert "test_session.py" not in execution.error
    assert any("test_session.py" in event.text for event in events if isinstance(event, Noted))


def test_a_fault_in_the_validation_of_a_tools_own_data_is_no_argument_error(make_fake_session):
    class Faulty(FakeGenerator):
        def generate(self, prompts, seeds):
            return Usage(cost="dear")

    events = []
    session = make_fake_session(record=events.append, parts={"generator": Faulty()})
    execution = session.execute("def run_experiment(system, tools):\n    tools.text2image(['red'])\n")
    assert "tools.text2image failed (ValidationError)" in execution.error
    assert "prompts" not in execution.error
    assert any("Traceback" in event.text for event in events if isinstance(event, Noted))


def test_what_was_spent_counts_where_a_call_ends_the_run(make_fake_session):
    class Dear(FakeGenerator):
        def generate(self, prompts, seeds):
            session.context.spend(Usage(cost=1.0))
            if len(prompts) > 1:
                raise RunError("the service is gone")
            return super().generate(prompts, seeds)

    session = make_fake_session(parts={"generator": Dear()})
    program = _program("tools.text2image(['red'])\n    tools.text2image(['red', 'blue'])")
    outcome = run(session, ScriptedBackbone([program]))
    assert (outcome.status, outcome.usage.cost) == ("failed", 2.0)


def test_what_no_program_can_mend_ends_the_run(make_fake_session):
    class Gone(FakeGenerator):
        def generate(self, prompts, seeds):
            raise UsageError("the weights are gone; fetch them")

    script = [_program("try:\n        tools.text2image(['red'])\n    except Exception: pass"), ANSWER]
    outcome = run(make_fake_session(parts={"generator": Gone()}), ScriptedBackbone(script))
    assert (outcome.status, outcome.reason) == ("failed", "the weights are gone; fetch them")


def test_logged_results_reach_later_programs(make_fake_session):
    session = make_fake_session()
    session.execute(
        "def run_experiment(system, tools):\n"
        "    a, i = system.neuron(tools.text2image(['a red disc']))\n"
        "    tools.log_experiment(a, i, ['first'])\n"
    )
    execution = session.execute(
        "def run_experiment(system, tools):\n"
        "    (title, found), = tools.results[0].items()\n"
        "    again, _ = system.neuron([found['image'].clean])\n"
        "    print(title, found['activation'] == again[0])\n"
    )
    assert execution.stdout == "first True\n", execution.error


def test_low_activations_are_told_to_go_on_until_the_exemplars_are_reached(make_fake_session):
    session = make_fake_session(parts={"dataset": FakeDataset(FakeDataset.Config(count=90))})
    log = "tools.log_experiment(*system.neuron(tools.text2image(['{0}'])), ['{0}'])"
    exemplars = session.execute("def run_experiment(system, tools):\n    tools.dataset_exemplars(system)\n")
    assert not exemplars.error
    low = session.execute("def run_experiment(system, tools):\n    " + log.format("a blue disc"))
    assert "Continue your experiments" in low.displays[-1].text
    high = session.execute("def run_experiment(system, tools):\n    " + log.format("a red disc"))
    assert all("Continue" not in getattr(part, "text", "") for part in high.displays)


def test_generator_warnings_reach_the_backbone(make_fake_session):
    execution = make_fake_session().execute("def run_experiment(system, tools):\n    tools.text2image(['a unicorn'])")
    assert 'Note on "a unicorn": no colour is named' in execution.displays[0].text


def test_edit_images_takes_prompts_or_images_and_edits_clean_pixels(make_fake_session):
    program = """
def run_experiment(system, tools):
    images, titles = tools.edit_images(["a red disc"], "change the colour to blue")
    _, masked = system.neuron(tools.text2image(["a red disc"]))
    again, more = tools.edit_images(masked, ["change the colour to blue"])
    print(titles, [i.title for i in images], images == again, system.neuron(again)[0][1])
"""
    execution = make_fake_session().execute(program)
    titles = "['a red disc', 'a red disc: change the colour to blue']"
    assert execution.stdout == f"{titles} {titles} True 0.0\n", execution.error


def test_host_calls_are_journalled_with_order_arguments_and_results(make_fake_session):
    events = []
    session = make_fake_session(record=events.append)
    session.execute("def run_experiment(system, tools):\n    system.neuron(tools.text2image(['red'] * 2))\n")
    first, second = [event for event in events if isinstance(event, HostCall)]
    assert (first.order, first.method, first.arguments) == (
        0,
        "tools.text2image",
        {"args": [["red", "red"]], "kwargs": {}},
    )
    assert (second.order, second.method) == (1, "system.neuron")
    assert second.arguments["args"][0] == first.result
    assert first.arguments_hash != second.arguments_hash


class _Watcher:
    def __init__(self):
        self.heard = []

    @hookimpl
    def run_started(self, session):
        self.heard.append("started")

    @hookimpl
    def tool_called(self, call):
        self.heard.append(call.method)

    @hookimpl
    def turn_finished(self, turn):
        self.heard.append(turn.number)

    @hookimpl
    def run_finished(self, outcome):
        self.heard.append(outcome.status)

    @hookimpl
    def prompt_sections(self):
        return "Mind the gap."


def test_observers_are_told_and_may_add_to_the_prompt(make_fake_session):
    watcher = _Watcher()
    backbone = ScriptedBackbone([_program("tools.text2image(['red'])"), ANSWER])
    run(make_fake_session(observers=[watcher]), backbone)
    assert watcher.heard == ["started", "tools.text2image", 1, 2, "answered"]
    assert backbone.seen[0][1].text.endswith("Mind the gap.")


def test_observer_that_fails_is_noted_and_ends_nothing(make_fake_session):
    class Failing:
        @hookimpl
        def turn_finished(self):
            raise RuntimeError("oh no")

    class Misspelt:
        @hookimpl
        def turn_ended(self):
            raise AssertionError

    class Leaving:
        @hookimpl
        def turn_finished(self):
            sys.exit(3)

        @hookimpl
        def should_stop(self):
            return False  # As `session.state.turns and "reason"` may.

    events, watcher = [], _Watcher()
    session = make_fake_session(record=events.append, observers=[Failing(), Misspelt(), Leaving(), watcher])
    assert run(session, ScriptedBackbone([MEASURE, ANSWER])).status == "answered"
    notes = [event.text for event in events if isinstance(event, Noted)]
    assert any("Failing failed in turn_finished: RuntimeError: oh no" in note for note in notes)
    assert any("Misspelt is left out" in note for note in notes)
    assert any("Leaving failed in turn_finished: SystemExit: 3" in note for note in notes)
    assert watcher.heard[-1] == "answered"


def test_notes_are_told(make_fake_session):
    """What stands in the record alone nobody sees while the run goes on."""

    class Listening:
        @hookimpl
        def noted(self, text):
            heard.append(text)

    heard = []
    session = make_fake_session(observers=[Listening()])
    session.context.warn("3 images cannot be read")
    assert run(session, ScriptedBackbone([KeyError("choices")])).status == "failed"
    assert heard[0] == "3 images cannot be read"
    assert heard[1].endswith("KeyError: 'choices'\n")


def test_observer_can_stop_a_run(make_fake_session):
    class Enough:
        @hookimpl
        def should_stop(self, session):
            return "enough" if session.state.turns else None

    outcome = run(make_fake_session(observers=[Enough()]), ScriptedBackbone([MEASURE, ANSWER]))
    assert (outcome.status, outcome.reason) == ("answered", "enough")


def test_the_record_alone_tells_the_conversation(make_fake_session):
    events = []
    backbone = ScriptedBackbone(FAKE_RUN)
    run(make_fake_session(record=events.append), backbone)
    said = [e.message.text for e in events if isinstance(e, MessageAdded)]
    replied = [e.reply.text for e in events if isinstance(e, Replied)]
    assert [said[0], said[1], replied[0], said[2], replied[1], said[3]] == [m.text for m in backbone.seen[-1]]


def test_every_hook_is_documented():
    from maia_core import hookspecs

    hooks = {n: f for n, f in vars(hookspecs).items() if inspect.isfunction(f) and f.__module__ == hookspecs.__name__}
    assert set(hooks) == {
        *("part_built", "run_started", "turn_finished", "tool_called", "noted", "run_finished", "should_stop"),
        *("prompt_sections", "report_sections", "process_started"),
    }
    assert all(inspect.getdoc(function) for function in hooks.values())


def test_where_images_come_from_stays_from_the_backbone(make_fake_session):
    backbone = ScriptedBackbone(FAKE_RUN)
    run(make_fake_session(), backbone)
    shown = [image for message in backbone.seen[-1] for image in message.images]
    assert shown[0].title == "exemplar 1"
    assert all(not image.provenance and not (image.clean and image.clean.provenance) for image in shown)


def test_unknown_price_of_one_reply_does_not_lift_the_limit_on_the_others(make_fake_session):
    replies = [
        Reply(text=_program("pass"), usage=usage)
        for usage in (Usage(cost=0.6), Usage(unpriced_tokens=9), Usage(cost=0.6))
    ]
    outcome = run(make_fake_session(limits={"cost": 1.0}), ScriptedBackbone([*replies, ANSWER]))
    assert "limits.cost" in outcome.reason


def test_observers_of_one_class_are_all_told(make_fake_session):
    watchers = [_Watcher(), _Watcher()]
    run(make_fake_session(observers=watchers), ScriptedBackbone([_program("tools.text2image(['red'])"), ANSWER]))
    assert watchers[0].heard == watchers[1].heard == ["started", "tools.text2image", 1, 2, "answered"]


def test_warnings_from_before_the_run_are_in_its_record(make_fake_session):
    heard = []
    context = Context(parts=fake_parts())
    context.warn("drawings are used instead of photographs")
    context.warn_to(heard.append)
    context.warn("later")
    assert heard == ["drawings are used instead of photographs", "later"]


def test_fault_of_a_task_ends_the_run_as_failed_and_is_noted(make_fake_session):
    events = []
    session = make_fake_session(record=events.append)
    session.task.parse = lambda sections: 1 / 0
    outcome = run(session, ScriptedBackbone([MEASURE, ANSWER]))
    assert (outcome.status, outcome.reason) == ("failed", "ZeroDivisionError: division by zero")
    assert any("Traceback" in event.text for event in events if isinstance(event, Noted))


def test_one_half_of_a_character_does_not_end_a_run(make_fake_session):
    """APIs cut emoji in two; neither a reply nor the text that a tool shows may end the run over it."""
    odd = _program("tools.text2image(['red']); print('\ud83d')")
    backbone = ScriptedBackbone(["hm \ud83d", odd, Reply(text=ANSWER, reasoning="\ud83d")])
    outcome = run(make_fake_session(), backbone)
    assert outcome.status == "answered", outcome.reason
    assert backbone.seen[1][-2].text == "hm ?"


def test_only_the_run_asks_for_the_answer(make_fake_session):
    backbone = ScriptedBackbone([_program("print('The run ends here: no.'); return 'The run ends here: '"), ANSWER])
    session = make_fake_session()
    run(session, backbone)
    assert not any(asks_for_answer(messages[-1]) for messages in backbone.seen)
    session = make_fake_session()
    backbone = ScriptedBackbone([_program("print(1)"), ANSWER])
    session.limits = session.limits.model_copy(update={"turns": 1})
    run(session, backbone)
    assert [asks_for_answer(messages[-1]) for messages in backbone.seen] == [False, True]


# --- a part's own faults ---

CALL = "def run_experiment(system, tools):\n    print(system.neuron(tools.text2image(['a red disc'] * 2))[0])\n"


class Raises(FakeSystem):
    def neuron(self, images):
        raise ZeroDivisionError("deep inside")


class NotFinite(FakeSystem):
    def neuron(self, images):
        return [float("nan")] * len(images), list(images)


class TooFew(FakeSystem):
    def neuron(self, images):
        return super().neuron(images[1:])


@pytest.mark.parametrize("system", [Raises, NotFinite, TooFew])
def test_a_part_that_fails_by_itself_is_named_and_ends_the_run_before_money_burns(make_fake_session, system):
    events = []
    parts = {"system": system(), "backbone": ScriptedBackbone([f"[CODE]:\n```python\n{CALL}```"] * 9)}
    session = make_fake_session(record=events.append, parts=parts)
    outcome = run(session, parts["backbone"])
    assert (outcome.status, outcome.turns) == ("failed", 2)
    assert "failed in 3 programs that called it: system.neuron: " in outcome.reason
    executions = [event.execution for event in events if isinstance(event, Executed)]
    assert ["not of your program" in execution.error for execution in executions] == [True, True]
    assert sum("failed in system.neuron: Traceback" in event.text for event in events if isinstance(event, Noted)) == 3


def test_a_part_that_works_in_between_does_not_end_the_run(make_fake_session):
    class Sometimes(FakeSystem):
        broken = False

        def neuron(self, images):
            return super().neuron(images if not self.broken else None)

    system = Sometimes()
    session = make_fake_session(parts={"system": system})
    for number in range(8):
        system.broken = bool(number % 2)
        execution = session.execute(CALL)
        assert bool(execution.error) == bool(number % 2)


def test_the_plugin_in_whose_code_an_error_arose_is_named():
    plugin = installed().find("tool", "text2image")
    text2image = plugin.load()
    with pytest.raises(AttributeError) as raised:
        text2image.__call__(None, ["red"])
    assert installed().culprit(raised.value) == plugin.origin  # One of several in its module.
    assert installed().culprit(ValueError("nowhere")) == ""


# --- what one program may display, log and keep ---


def test_a_program_displays_a_bounded_amount_and_is_told(make_fake_session):
    session = make_fake_session()
    flood = "def run_experiment(system, tools):\n    i = tools.text2image(['a red disc'])\n    {}\n"
    execution = session.execute(flood.format("for n in range(20_000): tools.display(i[0])"))
    assert "a program may display 2,000 texts and images" in execution.error
    assert len(execution.displays) == 2000
    assert not session.execute(flood.format("tools.display(i[0])")).error


def test_large_images_that_a_program_displays_are_bounded(make_fake_session, monkeypatch):
    monkeypatch.setattr("maia_core.run_effects.MAX_PIXELS", 1_000_000)
    session = make_fake_session()
    program = (
        "import numpy\ndef run_experiment(system, tools):\n    for n in range(9):\n"
        "        tools.display(numpy.random.default_rng(n).integers(0, 256, (500, 500, 3), numpy.uint8))\n"
    )
    execution = session.execute(program)
    assert "1,000,000 pixels" in execution.error
    assert len(execution.displays) == 4


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_value_that_is_not_finite_is_not_logged(make_fake_session, value):
    session = make_fake_session()
    execution = session.execute(
        "def run_experiment(system, tools):\n    i = tools.text2image(['a red disc'] * 2)\n"
        f"    tools.log_experiment([1.0, float('{value}')], i, ['one', 'two'])\n"
    )
    assert "log finite numbers" in execution.error
    assert (list(session.context.logged), execution.displays) == ([], ())


def test_equal_images_are_measured_once_and_many_in_batches(make_fake_session):
    system, batches = FakeSystem(), []
    measure = system.neuron

    def counted(images):
        batches.append(len(images))
        return measure(images)

    system.neuron = counted
    session = make_fake_session(parts={"system": system})
    execution = session.execute(
        "def run_experiment(system, tools):\n"
        "    i = tools.text2image(['a red disc'] * 300 + ['a blue disc'] * 2)\n"
        "    a, m = system.neuron(i * 4 + i[-1:])\n"
        "    print(len(a), len(m), a[:302] == a[302:604] == system.neuron(i)[0], a[-1] == a[301])\n"
    )
    assert execution.stdout == "1209 1209 True True\n"
    assert batches == [256, 46] * 2


@pytest.mark.parametrize("tried", [[], [_program("print('dogs: 0.9')")], [_program("system.neuron(1)")]])
def test_an_answer_before_the_first_successful_experiment_is_sent_back_twice_then_the_run_ends(
    make_fake_session, tried
):
    """A small model gives up and invents: an answer that no measurement supports must not count."""
    backbone = ScriptedBackbone([*tried, *[ANSWER] * 9])
    outcome = run(make_fake_session(), backbone)
    assert (outcome.status, outcome.turns, outcome.explanation) == ("failed", len(tried) + 3, None)
    assert outcome.reason.startswith("unsupported")
    assert "no experiment of yours has succeeded" in backbone.seen[-1][-1].text


def test_an_answer_that_was_sent_back_may_come_again_with_support(make_fake_session):
    outcome = run(make_fake_session(), ScriptedBackbone([ANSWER, ANSWER, MEASURE, ANSWER]))
    assert (outcome.status, outcome.turns) == ("answered", 4)


def test_a_run_at_its_limit_takes_no_answer_without_support(make_fake_session):
    outcome = run(make_fake_session(limits={"turns": 1}), ScriptedBackbone(["hm", ANSWER]))
    assert outcome.status == "stopped"
    assert "unsupported" in outcome.reason
    assert "limits.turns" in outcome.reason


def test_what_follows_the_first_program_is_ignored_with_a_note_and_forgotten(make_fake_session):
    """Results that a model has invented would be taken for measured ones at its next turn."""
    invented = f"{MEASURE}\nPrinted:\n0.99 for dogs\n{ANSWER}"
    backbone = ScriptedBackbone([invented, ANSWER])
    session = make_fake_session()
    assert (run(session, backbone).status, len(session.turns)) == ("answered", 2)
    assert "ignored the rest of your reply" in backbone.seen[1][-1].text
    assert backbone.seen[1][-2].text == MEASURE
    assert session.turns[0].reply.text == invented, "the record holds what the model wrote"


def test_an_invented_turn_behind_an_answer_is_ignored_with_a_note(make_fake_session, tmp_path):
    invented = f"{ANSWER}\n\nHuman: Well done. And the next unit?\n\n{MEASURE}"
    heard = []
    session = make_fake_session()
    session.note = heard.append
    outcome = run(session, ScriptedBackbone([MEASURE, Reply(text=invented, stop="length")]))
    assert (outcome.status, outcome.turns) == ("answered", 2)
    assert outcome.explanation == run(make_fake_session(), ScriptedBackbone([MEASURE, ANSWER])).explanation
    assert "ignored the rest of your reply" in heard[0]


def test_a_whole_program_in_a_reply_that_was_cut_off_runs(make_fake_session):
    backbone = ScriptedBackbone([Reply(text=f"{MEASURE}\nThen I expect", stop="length"), ANSWER])
    assert run(make_fake_session(), backbone).turns == 2


def test_a_program_that_ran_before_is_told_so(make_fake_session):
    """A small model sends the same program until its last turn, and the result cannot change."""
    backbone = ScriptedBackbone([MEASURE, MEASURE, FAKE_RUN[0], ANSWER])
    run(make_fake_session(), backbone)
    told = ["You ran this program before" in messages[-1].text for messages in backbone.seen]
    assert told == [False, False, True, False]
