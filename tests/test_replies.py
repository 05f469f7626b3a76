import pytest
from hypothesis import given
from hypothesis import strategies as st

from maia_core.errors import ReplyError
from maia_core.replies import parse_reply

TAGS = ("DESCRIPTION", "LABEL")
PROGRAM = "def run_experiment(system, tools):\n    return 1\n"
CODE = f"[CODE]:\n```python\n{PROGRAM}```\n"


def test_program_with_hypotheses():
    text = f"I think so.\n[HYPOTHESIS LIST]:\nHypothesis_1: dogs\n**Hypothesis 2**: cats on `mats`\n{CODE}I will wait."
    reply = parse_reply(text, TAGS)
    assert reply.program == PROGRAM
    assert reply.hypotheses == ("dogs", "cats on `mats`")


@pytest.mark.parametrize(
    "text",
    [
        "**[CODE]:**\n```python\n" + PROGRAM + "```",
        "### [CODE]\n~~~py\n" + PROGRAM + "~~~",
        "```\n" + PROGRAM + "```",
        "[code]:\n  ```python\n  " + PROGRAM.replace("\n", "\n  ") + "\n  ```",
        "[CODE]:\n" + PROGRAM,
        "[CODE]:\n````python\n" + PROGRAM.rstrip() + "\n````\n",
    ],
)
def test_usual_spellings_of_a_program(text):
    assert parse_reply(text, TAGS).program.strip() == PROGRAM.strip()


def test_execute_command_is_accepted():
    source = "def execute_command(system, tools):\n    pass\n"
    assert parse_reply(f"[CODE]:\n```python\n{source}```", TAGS).program == source


def test_fence_inside_a_string_of_the_program_does_not_end_it():
    program = 'def run_experiment(system, tools):\n    print("""```not a fence""")\n'
    assert parse_reply(f"[CODE]:\n```python\n{program}```", TAGS).program == program


def test_answer_spans_lines_and_has_several_labels():
    text = "**[DESCRIPTION]**: dogs\nand wheels\n\n[LABEL 1]: dogs\n- [LABEL 2]: **wheels**\n"
    assert parse_reply(text, TAGS).sections == {"DESCRIPTION": ["dogs\nand wheels"], "LABEL": ["dogs", "wheels"]}


@pytest.mark.parametrize(
    "quoting",
    [
        "Later I will give `[DESCRIPTION]:` and `[LABEL]:`.\n" + CODE,
        "I am not ready for [DESCRIPTION]: yet.\n" + CODE,
        f"[CODE]:\n```python\n# [LABEL]: not an answer\n{PROGRAM}```",
    ],
)
def test_quoted_tag_does_not_end_the_run(quoting):
    assert "def run_experiment" in parse_reply(quoting, TAGS).program


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("I am thinking.", "neither"),
        ("[CODE]:\nlet me see", "fenced"),
        (f"{CODE}[DESCRIPTION]: dogs\n[LABEL]: dogs", "both"),
        (CODE + CODE, "more than one program"),
        ("[DESCRIPTION]: a\n[LABEL]: a\n[DESCRIPTION]: b\n[LABEL]: b", "more than one answer"),
        (f"[CODE]:\n```python\n{PROGRAM}", "never closed"),
        ("Like this:\n```python\nprint(1)\n```", "does not define run_experiment"),
    ],
)
def test_malformed_reply_gets_a_helpful_message(text, says):
    with pytest.raises(ReplyError, match=says):
        parse_reply(text, TAGS)


@given(st.text(alphabet="`~[]CODELABEL:*_ \n#>1dexf()", max_size=200))
def test_nothing_but_a_reply_error_ever_comes_out(text):
    try:
        reply = parse_reply(text, TAGS)
    except ReplyError:
        return
    assert bool(reply.program) != bool(reply.sections)


FENCE = "`" * 3
ENTRY = "def run_experiment(system, tools):\n"
BLOCK = f"{FENCE}python\n{ENTRY}    print(2)\n{FENCE}"


@pytest.mark.parametrize(
    "text",
    [
        f'[CODE]:\n{FENCE}python\n{ENTRY}    """Prints\n    {FENCE}\n    {FENCE}\n    """\n    print(2)\n{FENCE}\n',
        f"{FENCE}`markdown\n[CODE]:\n{BLOCK}\n{FENCE}`\n",
        f"{FENCE}`\n[CODE]:\n{BLOCK}\n{FENCE}`\n",
        f"{FENCE}\n[HYPOTHESIS LIST]:\nHypothesis_1: x\n[CODE]:\n{BLOCK}\n{FENCE}\n",
        f"{FENCE}markdown\n[CODE]:\n{BLOCK}\n{FENCE}\n",
        f"[CODE]:\n{BLOCK}<end_code>",
        f"[CODE]:\n{FENCE}python\n{ENTRY}    print(2)\n<end_code>\n{FENCE}",
        f"1. Try:\n    {FENCE}python\n    {ENTRY}        print(2)\n    {FENCE}\n",
        f"Draft:\n{BLOCK.replace('2', '1')}\nNo.\n</think>\n[CODE]:\n{BLOCK}",
        f"[LABEL]: cats? Test first.</think>\n{BLOCK}",
        f"[CODE]:\n{FENCE}python\nprint(2)\n{FENCE}",
        f"{FENCE}python\nprint(2, tools.results)\n{FENCE}",
        "[CODE]:\nprint(2, tools.results)",
    ],
)
def test_program_is_taken_out_of_fences_and_thoughts(text):
    program = parse_reply(text, TAGS).program
    compile(program, "program", "exec")
    assert "print(2" in program
    assert "print(1)" not in program


def test_thought_that_is_only_quoted_hides_nothing():
    text = f"[CODE]:\n{FENCE}python\n{ENTRY}    print('</think>')\n{FENCE}"
    assert "run_experiment" in parse_reply(text, TAGS).program


def test_answer_in_a_fence_is_an_answer():
    reply = parse_reply(f"{FENCE}\n[DESCRIPTION]: red things\n[LABEL]: red\n{FENCE}", TAGS)
    assert reply.sections == {"DESCRIPTION": ["red things"], "LABEL": ["red"]}
