"""Texts that people and models read keep to the rules of docs/contributing.md: short, active, in the field's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from maia_cli.about import about
from maia_cli.main import maia
from maia_core.plugin import installed

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if page.name != "changelog.md"),
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(ROOT.glob("backends/*/README.md")),
]
SOURCES = sorted(
    file
    for pattern in ("maia_core/**/*.py", "plugins/*/src/**/*.py", "backends/*/src/**/*.py")
    for file in ROOT.glob(pattern)
)
COUNTED = (
    "images?|calls?|seconds?|tokens?|bytes?|bits?|lines?|times?|events?|once|float|floats|dollars|MB|GB|runs?|values?"
)
THINGS = "second|minute|hour|run|image|unit|turn|line|call|pixel|layer|batch|session|concept|prompt|label|year|worker"
FORBIDDEN = {
    "name the actor: 'MAIA prints', not 'is said' or 'is told'": r"\b(?:is|are|was|were|be) (?:said|told)\b",
    "'is not a', not 'is no'": r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|one)",
    "'per', not 'a' in the sense of per": rf"\b(?:{COUNTED}) an? (?:{THINGS})\b",
    "the field's verbs: resume, continue": r"\b(?:[Gg]o|goes|going|went|gone) on (?:with|where|from|after)\b",
    "the field's words, not 'anew', 'at hand', 'in vain'": r"\b(?:anew|at hand|in vain)\b",
}
VERBS = frozenset(
    """
    Generate Import Judge Spread
    Delete Add Allow Ask Build Cache Check Choose Compare Compute Continue Copy Count Cut Describe Draw End Evaluate
    Exclude Explain Export Fetch Fit Give Hide Ignore Include Keep Label Leave Limit List Load Make Mark Measure
    Merge Name Omit Open Pass Print Rank Read Rebuild Record Refuse Remove Repeat Replace Report Rerun Resume Retry
    Run Sample Save Score Search Select Send Set Show Skip Sort Split Start Stop Store Take Test Trust Use Verify Wait
    Write
    """.split()  # noqa: SIM905 - a list of words is read as words
)
"""First words of an option's help."""

TASKS = frozenset({"Delete", "Find", "Join", "Let", "Prune", "Tell"})
"""Further first words of the help of a command."""

QUANTITIES = frozenset({"Held-out", "Images", "Prompts", "Questions", "Random", "Units"})
"""First words of the help of an option whose value is a number: "Prompts per label"."""


def _prose(page: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines of a page that are prose: no code blocks."""
    code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith("    "):
            yield number, re.sub(r"`[^`]*`", "`code`", line)


def _texts(source: Path) -> Iterator[tuple[int, str]]:
    """Yields the texts of a module: docstrings, and what it says to people and models."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, re.sub(r"`[^`]*`", "`code`", node.value)


def _faults(texts: Iterator[tuple[int, str]]) -> list[str]:
    return [
        f"line {number}: {rule}: ...{text[max(0, found.start() - 30) : found.end() + 30]!r}"
        for number, text in texts
        for rule, pattern in FORBIDDEN.items()
        for found in re.finditer(pattern, text)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_are_in_plain_english(page):
    faults = _faults(_prose(page))
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_docstrings_errors_and_prompts_are_in_plain_english(source):
    faults = _faults(_texts(source))
    assert not faults, "\n".join(faults)


def _commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=name)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _commands(found, f"{name} {inner}")


def test_the_help_of_an_option_begins_with_a_verb():
    wrong = [
        f"{name} {parameter.opts[0]}: {parameter.help}"
        for name, command in _commands(maia, "maia")
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and parameter.help
        and parameter.help.split()[0] not in VERBS | QUANTITIES
        if parameter.opts[0] not in ("--help", "--version")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_help_of_a_command_has_one_voice_and_one_way_to_check():
    """Each begins with a verb in the imperative; the list of `maia --help` shows the first line of a module."""
    said = {name: command.help or "" for name, command in _commands(maia, "maia") if name != "maia"}
    for plugin in installed().of_kind("command"):
        assert about(plugin).startswith(f"`maia {plugin.name}`: "), plugin.label
        said[f"the list of commands, {plugin.name}"] = about(plugin).removeprefix(f"`maia {plugin.name}`: ")
    wrong = [f"{name}: {text}" for name, text in said.items() if text.split()[0].rstrip(",:") not in VERBS | TASKS]
    assert not wrong, "\n".join(wrong)
    assert [name for name in said if "doctor" in name and name != "maia doctor" and "," not in name] == []


def test_the_rules_find_what_they_forbid_and_leave_good_english_alone():
    bad = [
        "An image is said to be masked.",
        "The file is no image.",
        "It makes 300 images a second.",
        "Go on with the run.",
        "It is computed anew.",
    ]
    good = ["There is no image.", "The run is no longer there.", "It makes 300 images per second.", "What is a unit?"]
    for text in bad:
        assert _faults(iter([(1, text)])), text
    for text in good:
        assert not _faults(iter([(1, text)])), text
