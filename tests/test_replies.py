import pytest
from hypothesis import given
from hypothesis import strategies as st

from maia_core.errors import ReplyError
from maia_core.replies import parse_reply, program_end

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
        ("[DESCRIPTION]: a\n[LABEL]: a\n[DESCRIPTION]: b\n[LABEL]: b", "more than one answer"),
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


@pytest.mark.parametrize("language", ["", "text", "python", "markdown"])
@pytest.mark.parametrize("final", [False, True])
def test_answer_in_a_fence_is_an_answer(language, final):
    reply = parse_reply(f"{FENCE}{language}\n[DESCRIPTION]: red things\n[LABEL]: red\n{FENCE}", TAGS, final=final)
    assert reply.sections == {"DESCRIPTION": ["red things"], "LABEL": ["red"]}


@pytest.mark.parametrize("evidence", [f"{FENCE}\nsystem.neuron gave 3.2\n{FENCE}", f"{FENCE}python\ntools.x\n{FENCE}"])
def test_what_an_answer_quotes_is_not_run_as_a_program(evidence):
    reply = parse_reply(f"[DESCRIPTION]: dogs. Evidence:\n{evidence}\n[LABEL]: dog\n", TAGS)
    assert reply.sections["LABEL"] == ["dog"]
    # Half of an answer is none, and [CODE] announces a program.
    assert parse_reply(f"[DESCRIPTION]: dogs?\n{evidence}", TAGS).program
    assert parse_reply(f"[CODE]:\n{evidence}\n[DESCRIPTION]: dogs\n[LABEL]: dog\n", TAGS).program


def test_a_list_in_a_program_that_no_fence_closes_is_not_the_next_tag():
    program = f"{ENTRY}    return [\n[A for A in range(3)],\n    ]\n"
    assert parse_reply(f"[CODE]:\n{FENCE}python\n{program}", TAGS).program == program
    assert parse_reply(f"[CODE]:\n{FENCE}python\n{program}[Label 1]: dogs", TAGS).program == program


QUOTED_TASK = (
    f"Describe it.\n[HYPOTHESIS LIST]:\nHypothesis_1: <what the unit may respond to>\n[CODE]:\n{FENCE}python\n"
    f"{ENTRY}    ...\n    tools.log_experiment(activations)\n{FENCE}\nThen answer:\n"
    "[DESCRIPTION]: <one sentence, then details>\n[LABEL]: <a short label, such as red fruit>\n"
)


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        (f"{CODE}I will wait for the result.", False),
        (f"{CODE}[DESCRIPTION]: dogs\n[LABEL]: dogs", True),
        (CODE + CODE.replace("return 1", "return 2"), True),
        (f"{CODE}Printed:\n0.93 for dogs", True),
        (f"[DESCRIPTION]: dogs\n[LABEL]: dogs\n{CODE}", True),
        (f"{CODE}{QUOTED_TASK}", True),
        (f"{CODE}And then:\n{FENCE}python\nwhile", True),
        (f"{CODE}{FENCE}\nPrinted: 1\n{FENCE}", True),
        (f"Helpers:\n{FENCE}python\nimport numpy\n{FENCE}\n{CODE}", False),
        (f"[CODE]:\n{FENCE}python\n{PROGRAM}", False),
        (f"[CODE]:\n{FENCE}python\n{PROGRAM}\n[DESCRIPTION]: dogs\n[LABEL]: dogs", True),
    ],
)
def test_a_reply_ends_behind_its_first_program_and_the_rest_costs_no_turn(text, noted):
    reply = parse_reply(text, TAGS, QUOTED_TASK)
    assert reply.program == PROGRAM
    assert not reply.sections
    assert bool(reply.note) == noted


@pytest.mark.parametrize("text", [QUOTED_TASK, QUOTED_TASK.replace("[", "**["), f"I repeat the task.\n{QUOTED_TASK}"])
def test_text_quoted_from_the_task_is_neither_an_answer_nor_a_program(text):
    with pytest.raises(ReplyError, match=r"neither|does not define|not followed"):
        parse_reply(text, TAGS, QUOTED_TASK)


def test_own_text_beside_a_quotation_counts():
    own = f"{QUOTED_TASK}\n[DESCRIPTION]: dogs and wolves\n[LABEL]: dogs"
    assert parse_reply(own, TAGS, QUOTED_TASK).sections == {"DESCRIPTION": ["dogs and wolves"], "LABEL": ["dogs"]}
    assert parse_reply(f"{QUOTED_TASK}\n{CODE}", TAGS, QUOTED_TASK).program == PROGRAM


def test_a_cut_off_reply_counts_only_with_a_whole_program():
    assert parse_reply(f"{CODE}[DESCRIPTION]: do", TAGS, cut=True).program == PROGRAM
    for text in ("[DESCRIPTION]: dogs\n[LABEL]: do", f"[CODE]:\n{FENCE}python\n{PROGRAM}"):
        with pytest.raises(ReplyError, match="cut off"):
            parse_reply(text, TAGS, cut=True)


def test_when_the_run_is_over_the_answer_beside_a_program_counts():
    answer = "[DESCRIPTION]: dogs\n[LABEL]: dogs\n"
    for text in (answer + CODE, CODE + answer):
        assert parse_reply(text, TAGS, final=True).sections["LABEL"] == ["dogs"]
    with pytest.raises(ReplyError, match="run is over"):
        parse_reply(CODE, TAGS, final=True)


def test_the_end_of_the_first_program_is_where_a_backbone_can_stop_writing():
    whole = f"Test it.\n{CODE.rstrip()}"
    assert program_end(whole) == len(whole)
    assert program_end(f"{whole}\nPrinted: 1") == len(whole)
    assert program_end(whole[:-1]) is None
    assert program_end(f"{FENCE}python\nimport numpy\n{FENCE}\n") is None
    assert program_end(f"<think>Draft: {CODE}") is None
    assert program_end(f"<think>Draft: {CODE}</think>\n{whole}") is not None


@pytest.mark.parametrize("opening", ["[CODE]: ```python", "**[CODE]:** ```python", "[CODE] ~~~"])
def test_a_fence_on_the_line_of_its_tag_is_one(opening):
    source = "def run_experiment(system, tools):\n    print(1)\n"
    reply = f"{opening}\n{source}{'~~~' if '~' in opening else '```'}"
    assert parse_reply(reply, ("LABEL",)).program == source


def test_a_wide_colon_belongs_to_the_tag():
    assert parse_reply("[LABEL]：red", ("LABEL",)).sections == {"LABEL": ["red"]}


RED = {"DESCRIPTION": ["Red things."], "LABEL": ["red"]}


@pytest.mark.parametrize(
    "label",
    [
        r"\boxed{red}",
        r"$\boxed{\text{red}}$",
        r"**$$\boxed{\textbf{red}}$$**",
        r"\( \boxed{red} \)",
        "red</s>",
        "red <|eot_id|>",
        "red<|im_end|></s>",
        "red [END]",
        "red\n[END]\n",
        "red\n<end_of_turn>\n",
        r"\boxed{red}<|endoftext|>",
    ],
)
@pytest.mark.parametrize("final", [False, True])
def test_a_label_is_free_of_boxes_and_end_tokens(label, final):
    reply = parse_reply(f"[DESCRIPTION]: Red things.</s>\n[LABEL]: {label}", TAGS, final=final)
    assert reply.sections == RED
    assert reply.note == ""


def test_a_boxed_label_keeps_its_strength():
    text = "[DESCRIPTION]: Red things.\n[LABEL 1]: \\boxed{\\text{dogs (40\\%)}}\n[LABEL 2]: \\boxed{cats} (20 %)"
    assert parse_reply(text, TAGS).sections["LABEL"] == ["dogs (40%)", "cats (20 %)"]


@pytest.mark.parametrize(
    "turn",
    [
        "\n\nHuman: Thank you. And the next unit?",
        "\nUser: [DESCRIPTION]: Blue things.\n[LABEL]: blue",
        f"\n\n### Human:\nTest it again.\n\n### Assistant:\n{CODE}",
        f"\n**User:** Printed: 3.2\n{CODE}",
        "</s>\n<s>[INST] And the next? [/INST] [DESCRIPTION]: Blue things.\n[LABEL]: blue",
        f" [END]\n\nuser: go on\n{CODE}",
        "<|im_end|>\n<|im_start|>user\nWhy?",
    ],
)
@pytest.mark.parametrize("how", [{}, {"final": True}, {"cut": True}])
def test_an_invented_turn_behind_an_answer_is_ignored(turn, how):
    """A model that goes on after its answer writes until its length limit; its answer is whole all the same."""
    reply = parse_reply(f"[DESCRIPTION]: Red things.\n[LABEL]: red{turn}", TAGS, **how)
    assert reply.sections == RED
    assert "ignored the rest of your reply" in reply.note


def test_a_line_about_people_is_no_turn():
    people = "[DESCRIPTION]: People, by kind:\nHuman: 0.9\nUser: 0.4\nHuman: faces are best."
    assert parse_reply(f"{people}\n[LABEL]: people", TAGS).sections["DESCRIPTION"] == [people[15:]]
    listed = f"[LABEL]: people\n{people.rpartition(chr(10))[0]}\nOthers: 0"
    assert parse_reply(listed, TAGS).sections["DESCRIPTION"][0].endswith("Others: 0")
    program = f"{ENTRY}    x = ['<|im_end|>', r'\\boxed{{red}}', names[END]]\n    return '''\nHuman: hi\n'''\n"
    assert parse_reply(f"[CODE]:\n{FENCE}python\n{program}{FENCE}", TAGS).program == program


def test_an_invented_turn_ends_a_program_that_no_fence_closes():
    reply = parse_reply(f"[CODE]:\n{FENCE}python\n{PROGRAM}\nHuman: Printed: 3.2", TAGS)
    assert reply.program == PROGRAM
    assert reply.note


@pytest.mark.parametrize("odd", ["\\boxed{", "$", "</s>", "[END]", "Human:\n", "{", "\\boxed{{a}"])
def test_a_long_reply_of_such_tokens_is_read_at_once(odd):
    text = f"[DESCRIPTION]: Red things.\n[LABEL]: red\n{odd * 50_000}"
    assert parse_reply(text, TAGS).sections["LABEL"][0].startswith("red")  # Quadratic work would take minutes.
