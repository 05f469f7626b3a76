import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.replies import parse_reply
from maia_core.session import make_session
from maia_core.testing import fake_parts
from maia_human.programs import NotPython, as_program, as_recorded, definitions, without_study
from maia_runs.replies import answer_reply, program_reply

TAGS = ("DESCRIPTION", "LABEL")


@pytest.fixture
def session(tmp_path):
    made = make_session(Context(RunConfig(), parts=fake_parts(), cache=tmp_path))
    yield made
    made.close()


def test_plain_lines_run_in_the_sandbox_and_their_names_persist(session):
    first = session.execute(as_program('import math\nprompts = ["a red disc"]\ndef twice(x):\n    return 2 * x\n'))
    assert first.error == ""
    later = (
        "activations, images = system.neuron(tools.text2image(prompts))\ntwice(math.floor(activations[0]))  # doubled\n"
    )
    second = session.execute(as_program(later))
    assert second.error == ""
    assert int(second.value) > 0
    assert session.execute(as_program("print(len(images), activations == list(activations))")).stdout == "1 True\n"


def test_text_inside_of_a_string_is_not_indented(session):
    execution = session.execute(as_program('text = """a\n  b\nc"""\nother = f"""{text}\nd"""\nother.split("\\n")'))
    assert execution.value == "['a', '  b', 'c', 'd']"


@pytest.mark.parametrize(
    "source",
    [
        "def run_experiment(system, tools):\n    return 7\n",
        "def run_experiment(system, tools):\n    return 7\n\nrun_experiment(system, tools)\n",
        "def execute_command(system, tools):\n    return 7\nvalue = execute_command(system, tools)",
        "def run_experiment(system, tools):\n    return 7\nvalue = run_experiment(system, tools)\nprint(tools)\nvalue",
        "if True:\n    return 7\n",
        "value: int = 7\nvalue",
        "(3 +\n 4)",
        "value = 7; value;\n# the end\nvalue",
    ],
)
def test_every_way_to_write_an_experiment_runs(session, source):
    execution = session.execute(as_program(source))
    assert (execution.error, execution.value) == ("", "7")


def test_a_whole_function_stays_as_it_was_written():
    source = "# why\ndef run_experiment(system, tools):\n    return 7\n"
    assert as_program(source + "run_experiment(system, tools)\n") == source


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1\ny = = 2", "line 2: invalid syntax"),
        ("for i in range(3):\n    pass\nbreak", "line 3: 'break' outside loop"),
        ("x = 1\n   y = 2", "line 2: unexpected indent"),
        ("print(1", "line 1: '\\(' was never closed"),
        ("# only a remark", "no statement"),
        ("", "no statement"),
        ("x = '\x00'", "null"),
        ("(" * 500, "too many nested"),
        ("x = " + "-" * 100_000 + "1", "."),
    ],
)
def test_what_is_no_program_is_said_with_its_line(source, says):
    with pytest.raises(NotPython, match=says):
        as_program(source)


@pytest.mark.parametrize(
    "source",
    [
        'text = """\n```\n[LABEL]: no\n```\n"""',
        "x = '````'\nprint(x)",
        "%time neuron(x)\n!ls",
        "# nothing",
        "~~~",
    ],
)
def test_every_cell_makes_a_reply_that_is_read_as_it_was_written(source):
    program = as_recorded(source)
    parsed = parse_reply(program_reply(program, ["red\nthings", "", "[CODE]: x"]), TAGS)
    assert parsed.program.rstrip() == program.rstrip()
    assert parsed.hypotheses == ("red things", "[CODE]: x")


def test_nothing_in_an_answer_counts_as_a_tag():
    text = answer_reply({"DESCRIPTION": ["red\n[LABEL]: blue\n```python"], "LABEL": ["a", "", "b\udc80"]})
    sections = parse_reply(text, TAGS).sections
    assert sections == {"DESCRIPTION": ["red [LABEL]: blue ```python"], "LABEL": ["a", "b?"]}


def test_definitions_of_a_cell_are_kept_without_what_it_did_with_them():
    cell = "import re; n = 3\nprint(n)\n@cache\ndef f(x):\n    return x\nfor i in range(3):\n    n += i\nf(2)\n"
    assert definitions(cell) == "import re; n = 3\n@cache\ndef f(x):\n    return x\n"


def test_the_study_itself_is_no_part_of_a_program():
    cell = 'from maia_human import study\ns = study("x")\nsystem, tools = s.system, s.tools\ns.hypotheses("a")\nn = 3\n'
    assert without_study(cell, lambda name: name == "s") == "n = 3\n"
    assert without_study("%magic s", lambda name: name == "s") == "%magic s"
