"""A person in a notebook, with IPython's shell in this process; a real kernel is in test_human_notebook.py."""

import signal
import sys
import threading

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.utils.capture import capture_output

from maia_core.events import Executed, HostCall, ProgramStarted, Replied
from maia_core.record import RunReader
from maia_core.testing import FakeGenerator
from maia_human import StudyError, ToolError

BEGIN = "s = begin()\nsystem, tools = s.system, s.tools\n"


@pytest.fixture
def cell(shell, begin):
    """Runs one cell, and returns its result and what it showed."""
    shell.user_ns["begin"] = begin

    def run(source):
        with capture_output() as shown:
            result = shell.run_cell(source, store_history=True)
        return result, shown

    yield run
    assert type(sys.stdout).__module__ != "maia_human.printed"


@pytest.fixture
def record(shell):
    """Reads the record of the study named `s`."""
    return lambda: RunReader(shell.user_ns["s"].folder)


def test_a_cell_that_calls_is_an_experiment_and_others_are_not(cell, record):
    cell(BEGIN)
    cell("import math\nnumber = 3\nprint(number)")
    cell("s.hypotheses('red')\nprint('before')\nactivations, m = system.neuron(tools.text2image(['red'] * number))")
    cell("activations[0]")
    result, _ = cell("print('two')\ntools.log_experiment(activations, m, ['r'] * 3)\nmath.floor(activations[0])")
    assert result.result == 1
    first, second = record().of_type(ProgramStarted)
    assert first.program == (
        "def run_experiment(system, tools):\n    global activations, m, math, number\n    import math\n    number = 3\n"
        "    print('before')\n    activations, m = system.neuron(tools.text2image(['red'] * number))\n"
    )
    assert (first.hypotheses, second.hypotheses) == (("red",), ())
    assert second.program.endswith("    return math.floor(activations[0])\n")
    executions = [event.execution for event in record().of_type(Executed)]
    assert [(e.stdout, e.value) for e in executions] == [("before\n", ""), ("two\n", "1")]
    assert [e.host_calls for e in executions] == [2, 1]


def test_what_tools_show_appears_inline_and_is_no_output_of_the_cell(cell, record, shell):
    cell(BEGIN)
    _, shown = cell("activations, images = tools.dataset_exemplars(system)\ntools.display(images[0], 'A & B <script>')")
    html = "".join(output.data.get("text/html", "") for output in shown.outputs)
    assert "Activation over 24 real images" in html
    assert html.count("data:image/jpeg;base64,") == 1
    assert "A &amp; B &lt;script&gt;" in html
    assert "turn 1 of 30" in html
    assert record().of_type(Executed)[0].execution.stdout == ""
    result, _ = cell("images[0]")
    assert shell.display_formatter.format(result.result)[0]["image/png"].startswith(b"\x89PNG")
    assert len(record().of_type(Replied)) == 1


def test_a_program_of_the_sandbox_runs_in_a_cell_unchanged(cell, record):
    cell(BEGIN)
    cell("def run_experiment(system, tools):\n    found: List[Image] = tools.text2image(['red'])\n    return found[0]")
    assert not record().of_type(Replied)
    result, _ = cell("run_experiment(system, tools)")
    assert result.error_in_exec is None
    assert record().of_type(ProgramStarted)[0].program.startswith("def run_experiment(system, tools):\n    found")
    assert record().of_type(Executed)[0].execution.value == "<Image 'red' 32x32>"


def test_the_error_of_a_cell_is_recorded_with_its_own_lines(cell, record):
    cell(BEGIN)
    cell("def helper(n):\n    return 1 / n")
    result, _ = cell("tools.text2image(['red'])\n\nhelper(0)")
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    error = record().of_type(Executed)[0].execution.error
    assert 'File "In[3]", line 3, in <module>' in error
    assert 'File "In[2]", line 2, in helper' in error
    assert "ipython" not in error.lower()
    result, _ = cell("tools.text2image([])")
    assert isinstance(result.error_in_exec, ToolError)
    assert "ToolError: text2image needs" in record().of_type(Executed)[1].execution.error


def test_a_syntax_error_is_no_experiment(cell, record):
    cell(BEGIN)
    cell("tools.text2image([")
    assert not record().of_type(Replied)


def test_looking_at_the_tools_costs_no_turn(cell, record, shell):
    cell(BEGIN)
    _, shown = cell("tools?\nsystem.neuron?\ntools.text2image?\nsystem.info")
    assert "Generates one image for each prompt" in shown.stdout + str(shown.outputs)
    for use_jedi in (True, False):
        shell.Completer.use_jedi = use_jedi
        with provisionalcompleter():
            assert [c.text.lstrip(".") for c in shell.Completer.completions("tools.res", 9)] == ["results"]
            assert not list(shell.Completer.completions("tools.results[0].", 17))
    assert not record().of_type(Replied)
    signature = shell.inspector.info(shell.user_ns["tools"].text2image)["definition"]
    assert signature.endswith("(prompts: 'list[str]') -> 'list[Image]'")


def test_the_first_cell_may_experiment_too(cell, record):
    cell(f"{BEGIN}print('first')\nactivations = system.neuron(tools.text2image(['a red disc']))[0]")
    (program,) = record().of_type(ProgramStarted)
    assert program.program.startswith("def run_experiment(system, tools):\n    global activations\n    print('first')")
    assert record().of_type(Executed)[0].execution.stdout == "first\n"


def test_magics_and_awaiting_cells_are_recorded_as_they_were_written(cell, record):
    cell(BEGIN)
    cell("%time images = tools.text2image(['a red disc'])")
    cell("import asyncio\nawait asyncio.sleep(0)\nprint(len(tools.text2image(['a red disc'])))")
    first, second = record().of_type(ProgramStarted)
    assert "%time images" in first.program
    assert "await asyncio" in second.program
    assert record().of_type(Executed)[1].execution.stdout == "1\n"


def test_a_cell_that_prints_without_end_is_cut_in_the_record(cell, record, shell):
    cell("s = begin(experiment={'output_chars': 100})\nsystem, tools = s.system, s.tools")
    _, shown = cell("tools.text2image(['red'])\nprint('x' * 500)\n'y' * 500")
    assert "x" * 500 in shown.stdout
    execution = record().of_type(Executed)[0].execution
    assert execution.stdout == "x" * 100 + "\n[401 more characters were printed and cut]"
    assert execution.value == "y" * 100 + " [400 more characters]"


def test_values_that_cannot_be_shown_or_written_do_not_end_the_run(cell, record):
    cell(BEGIN)
    cell("class Evil:\n    def __repr__(self):\n        raise ValueError('no')")
    cell("tools.text2image(['red'])\nprint('\\ud800')\nEvil()")
    cell("tools.text2image(['\\ud800 red'])\nraise ValueError('\\ud800')")
    first, second = record().of_type(Executed)
    assert "repr raised ValueError" in first.execution.value
    assert "\\ud800" in first.execution.stdout
    assert "ValueError" in second.execution.error


def test_a_mistake_is_one_line_without_a_traceback(cell):
    cell(BEGIN)
    result, shown = cell("s.answer(description='red')")
    assert isinstance(result.error_in_exec, StudyError)
    assert "Traceback" not in shown.stdout
    assert "lacks [LABEL]" in shown.stdout


def test_the_answer_shows_itself_and_cells_are_free_again(cell, record, shell):
    cell(BEGIN)
    cell("tools.text2image(['red'])")
    result, _ = cell("s.answer(description='Red <b>', label=['red', 'discs'])")
    html = result.result._repr_html_()
    assert "red OR discs" in html
    assert "Red &lt;b&gt;" in html
    assert "report.html" in html
    assert not [f for f in shell.events.callbacks["pre_run_cell"] if "maia_human" in getattr(f, "__module__", "")]
    result, _ = cell("tools.text2image(['red'])")
    assert "has ended" in str(result.error_in_exec)
    assert record().outcome.status == "answered"


def test_two_studies_at_once_keep_apart(cell, shell):
    cell(BEGIN)
    cell("other = begin(out='other')")
    cell("print('one')\ntools.text2image(['red'])")
    cell("print('two')\nother.tools.text2image(['red'])\ntools.text2image(['blue'])")
    one, two = (RunReader(shell.user_ns[name].folder) for name in ("s", "other"))
    assert [event.execution.stdout for event in one.of_type(Executed)] == ["one\n", "two\n"]
    assert [event.execution.stdout for event in two.of_type(Executed)] == ["two\n"]
    shell.user_ns["other"].close()


def test_a_block_in_a_cell_is_an_experiment_of_its_own(cell, record):
    cell(BEGIN)
    cell(
        "tools.text2image(['red'])\nfor c in ('red', 'blue'):\n    with s.experiment():\n        tools.text2image([c])"
    )
    programs = [event.program for event in record().of_type(ProgramStarted)]
    assert len(programs) == 3
    assert len(record().of_type(Executed)) == 3


def test_an_interrupted_cell_ends_its_experiment_and_its_call_is_still_recorded(cell, record, monkeypatch, shell):
    working, go_on = threading.Event(), threading.Event()
    generate = FakeGenerator.generate

    def slow(self, prompts, seeds):
        working.set()
        go_on.wait(20)
        return generate(self, prompts, seeds)

    def interrupt():
        working.wait(20)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        threading.Timer(0.3, go_on.set).start()

    monkeypatch.setattr(FakeGenerator, "generate", slow)
    cell(BEGIN)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        result, _ = cell("tools.text2image(['red'])\nprint('never')")
    finally:
        signal.signal(signal.SIGINT, before)
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    cell("tools.text2image(['blue'])")
    first, second = record().of_type(Executed)
    assert "KeyboardInterrupt" in first.execution.error
    assert second.execution.error == ""
    assert [(call.turn, call.error) for call in record().of_type(HostCall)] == [(1, ""), (2, "")]
    assert shell.user_ns["s"].outcome is None
