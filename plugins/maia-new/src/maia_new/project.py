"""The files of a new plugin: checks the names, and renders the template."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from maia_core import __version__
from maia_core.plugin import KINDS, UsageError, did_you_mean

TEMPLATE = Path(__file__).parent / "template"
MAX_NAME, MAX_TEXT = 30, 80
"""Longest name and longest description, in characters: no rendered line is then too long."""

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")


def answers(kind: str, name: str, *, distribution: str = "", author: str = "", description: str = "") -> dict[str, str]:
    """Returns the answers to the template's questions, the derived ones too.

    Raises:
        UsageError: the kind is unknown, or a name or text breaks a rule; the message names the rule.
    """
    if kind not in KINDS:
        hint = did_you_mean(kind, KINDS) or f" Kinds: {', '.join(KINDS)}."
        raise UsageError(f"there is no kind '{kind}'.{hint}")
    distribution = distribution or f"maia-{name.replace('_', '-')}"
    for what, value in (("name", name), ("distribution", distribution)):
        _check_name(what, value)
    description = description or f"The {kind} {name} for MAIA"
    for what, value in (("description", description), ("author", author)):
        if len(value) > MAX_TEXT or not value.isprintable() or set(value) & set('"\\'):
            raise UsageError(
                f"cannot use the {what}: it is one line of at most {MAX_TEXT} characters without quotes and backslashes"
            )
    package = distribution.replace("-", "_")
    return {
        "kind": kind,
        "name": name,
        "distribution": distribution,
        "author": author,
        "description": description,
        "package": package,
        "class_name": "".join(part.capitalize() for part in re.split("[-_]", name)),
        "core": _core_range(),
    }


def render(given: dict[str, str]) -> dict[str, str]:
    """Returns the text of each file of the plugin by its path."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE),
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        autoescape=False,
    )
    values = {**given, "_copier_conf": {"answers_file": ""}}
    root = TEMPLATE / "project"
    files = {}
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        name = environment.from_string(file.relative_to(root).as_posix()).render(values)
        if name != ".jinja":  # The file of copier's answers.
            text = environment.get_template(file.relative_to(TEMPLATE).as_posix()).render(values)
            files[name.removesuffix(".jinja")] = text
    return files


def write(folder: Path, given: dict[str, str]) -> None:
    """Writes the files of the plugin to a new folder.

    Raises:
        UsageError: the folder exists.
    """
    files = render(given)
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise UsageError(f"cannot write {folder}: it exists; choose another name or remove it") from error
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}; choose a folder that you can write to") from error
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _check_name(what: str, value: str) -> None:
    if len(value) > MAX_NAME or not _NAME.fullmatch(value) or keyword.iskeyword(value.replace("-", "_")):
        raise UsageError(
            f"cannot use the {what} {value!r}: it has at most {MAX_NAME} lower-case letters a-z, digits and single "
            "dashes or underscores, begins with a letter, and is not a keyword of Python"
        )
    if what == "distribution" and value.replace("_", "-") == "maia-core":
        raise UsageError("cannot use the distribution 'maia-core': it is the core itself; choose another name")


def _core_range() -> str:
    major, minor = (int(part) for part in __version__.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"
