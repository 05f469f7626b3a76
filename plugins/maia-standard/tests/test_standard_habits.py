"""Agents' habits: programs in the forms of the paper's API run in every sandbox; MAIA's own programs are unchanged."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.session import make_session
from maia_core.testing import fake_parts
from maia_core.types import Reply
from maia_standard.habits import ATTRIBUTES, KEYWORDS, METHODS, with_lists
from maia_standard.programs import as_meant

CORPUS = (Path(__file__).parent / "data" / "habits.md").read_text(encoding="utf-8")
REPLIES = dict(re.findall(r"^=== (.+)\n((?:(?!=== ).*\n)+)", CORPUS, re.MULTILINE))
SANDBOXES = ("process", "monty", "unsafe-inprocess")


def _session(sandbox):
    if sandbox == "monty" and importlib.util.find_spec("pydantic_monty") is None:
        pytest.skip("monty is not installed")
    config = RunConfig(sandbox={"name": sandbox})
    return make_session(Context(config, parts=fake_parts("red")))


@pytest.fixture(params=SANDBOXES)
def session(request):
    session = _session(request.param)
    yield session
    session.close()


def test_programs_in_the_habits_of_agents_run(session):
    programs = {
        name: text
        for name, text in REPLIES.items()
        if session.context.config.sandbox.name != "monty" or not name.endswith("(numpy)")
    }
    faults = {}
    for name, text in programs.items():
        turn = session.submit(Reply(text=text))
        if turn.execution is None or turn.execution.error or turn.verdict:
            faults[name] = turn.mistake or turn.execution.error
    ran = len(programs) - len(faults)
    print(f"{session.context.config.sandbox.name}: {ran} of {len(programs)} programs ran")
    assert not faults, "\n\n".join(f"{name}\n{text}" for name, text in faults.items())


ENTRY = "def run_experiment(system, tools):\n"


@pytest.mark.parametrize(
    "program",
    [
        f"{ENTRY}    acts, images = tools.dataset_exemplars(system)\n    for n, a in enumerate(acts): print(n, a)",
        f"{ENTRY}    for n, values in enumerate(tools.dataset_exemplars(system)): print(n, len(values))",
        f"{ENTRY}    text = 'for a, b in tools.dataset_exemplars(system):'\n    return text",
        f'{ENTRY}    # “quoted” – run_experiment(x)\n    return [\'it’s “so”\', """– ‘x’""", f\'{{1}} ≥ 0\']',
        f"import random, torchvision\nfrom typing import List\nkept = []\n{ENTRY}    return kept",
        f"run_experiment = None\ndef helper(system, tools):\n    return 1\n{ENTRY}    return helper(system, tools)",
        "def execute_command(system, tools):\n    return 'x'\n",
        f"{ENTRY}    for activation, image in zip(*tools.dataset_exemplars(system)): print(activation, image)",
        f"{ENTRY}    for values in tools.dataset_exemplars(system):\n        print(values[:2])",
        f"async {ENTRY}    pass",
        "if True:\n    def run_experiment(system, tools):\n        return 1",
        "from typing import Any\nrun_experiment: Any = lambda system, tools: 1",
        "helper, run_experiment = None, lambda system, tools: 1",
        "try:\n    from helpers import run_experiment\nexcept ImportError: pass",
    ],
)
def test_program_for_maias_own_api_is_not_touched(program):
    assert as_meant(program) == program


def test_pairs_are_made_only_where_lists_cannot_be_unpacked(session):
    two = "def run_experiment(system, tools):\n    for a, b in tools.dataset_exemplars(system): print(type(a).__name__)"
    printed = session.submit(Reply(text=f"```python\n{two}\n```")).execution.stdout.split()
    assert set(printed) == {"float"}
    pairs = as_meant(two).partition(" in ")[2].partition("(tools")[0]
    assert list(eval(pairs)(([1.0, 2.0], ["x", "y"]))) == [[1.0, 2.0], ["x", "y"]]
    assert list(eval(pairs)([("a", 1), ("b", 2), ("c", 3)])) == [("a", 1), ("b", 2), ("c", 3)]


def test_errors_name_the_programs_own_lines(session):
    body = "```python\nprompts = [“a red cup”]\n\nimages = tools.text2image(prompts)\nnothing.here()\n```"
    error = session.submit(Reply(text=f"[CODE]:\n{body}")).execution.error
    assert "line 4" in error
    assert "NameError" in error


def test_aliases_are_not_advertised(session):
    prompt = session.conversation.messages[0].text + session.conversation.messages[1].text
    error = session.submit(Reply(text=f"```python\n{ENTRY}    tools.nothing()\n```")).execution.error
    for name in [*METHODS, *ATTRIBUTES, *(name for names in KEYWORDS.values() for name in names)]:
        short = name.partition(".")[2] or name
        if short not in ("layer", "image", "prompts", "edits", "prompt"):
            assert not re.search(rf"\b{short}\b", prompt + error), short


def test_record_has_the_tools_own_names(session):
    calls = []
    text = (
        "system.call_neuron(image_list=tools.text2image(prompt_list='a red disc'))\n"
        "    return tools.results_list, system.layer"
    )
    session._host._on_call = lambda call, repeated: calls.append(call)
    execution = session.submit(Reply(text=f"```python\n{ENTRY}    {text}\n```")).execution
    assert (execution.error, execution.value) == ("", "([], 'colours')")
    assert [call.method for call in calls] == ["tools.text2image", "system.neuron", "tools.results"]
    assert calls[0].arguments == {"args": [["a red disc"]], "kwargs": {}}
    assert calls[1].arguments["kwargs"] == {}


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("log_experiment([1.0], [], [])", "Did you mean 'tools.log_experiment'?"),
        ("tools.text2image(promts=['a'])", "there is no argument 'promts'. Did you mean 'prompts'?"),
    ],
)
def test_mistake_is_named_with_the_right_name(session, call, says):
    assert says in session.submit(Reply(text=f"```python\n{ENTRY}    system.info\n    {call}\n```")).execution.error


def test_prompt_describes_the_packages_of_the_sandbox(session):
    offered = session.context.config.sandbox.name != "monty"
    assert ("numpy" in session.conversation.messages[0].text) == offered


def _annotated(annotation, default=None):
    def tool(given=default):
        return given

    tool.__annotations__ = {"given": annotation}
    return tool


@pytest.mark.parametrize(
    ("annotation", "given", "taken"),
    [
        ("list[list[str]]", [["x", "y"], ["z"]], [["x", "y"], ["z"]]),
        (list[list[str]], [["x", "y"], ["z"]], [["x", "y"], ["z"]]),
        ("list[tuple[str, float]]", [("x", 1.0)], [("x", 1.0)]),
        ("Sequence[Sequence[float]]", [[1.0], [2.0]], [[1.0], [2.0]]),
        (Sequence[Sequence[float]], [[1.0], [2.0]], [[1.0], [2.0]]),
        ("list[int | list[str]]", [["x"], 1], [["x"], 1]),
        ("list[Any]", [["x"], 1], [["x"], 1]),
        ("list[dict[str, int]] | list[str]", [["x"]], [["x"]]),
        ("typing.Sequence[maia_core.image.Image]", [["x"], "y"], ["x", "y"]),
        ("list[str | int]", ["x", ["y"]], ["x", "y"]),
        ("list[str]", "x", ["x"]),
        ("Optional[list[str]]", "x", "x"),
    ],
)
def test_only_lists_of_plain_items_are_made_flat(annotation, given, taken):
    assert with_lists(_annotated(annotation), [given], {}) == ((taken,), {})


@pytest.mark.parametrize(
    ("annotation", "taken"),
    [
        *((kind, (None,)) for kind in ("Optional[int]", "typing.Optional[int]", int | None, "Any", Any)),
        *((kind, (None,)) for kind in ("int | None", "Union[int, None]", "object")),
        *((kind, ()) for kind in ("int", int, "Union[int, str]", "Sequence[int | None]")),
    ],
)
def test_none_stands_for_the_default_where_it_is_no_value(annotation, taken):
    assert with_lists(_annotated(annotation, 5), [None], {}) == (taken, {})


@pytest.mark.parametrize(
    "program",
    [
        "if True:\n    def run_experiment(system, tools):\n        return 'it ran'",
        "def run_experiment(system, tools, /):\n    return 'it ran'",
    ],
)
def test_the_programs_own_entry_runs(session, program):
    assert session.submit(Reply(text=f"```python\n{program}\n```")).execution.value == "it ran"
