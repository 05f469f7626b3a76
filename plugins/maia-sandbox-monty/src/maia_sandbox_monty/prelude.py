"""What Monty runs around a program.

Names that begin with `_maia_` are the sandbox's; a program that changes them spoils its own experiment alone.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from textwrap import indent

SHIMS = ("heapq", "operator", "statistics", "string")
BUILT_IN = """
asyncio base64 binascii bisect collections copy csv dataclasses datetime decimal functools hashlib itertools json math
os pathlib random re sys time tomllib typing
"""
"""Modules that Monty itself has."""
AVAILABLE = sorted([*BUILT_IN.split(), *SHIMS])

SESSION = """
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union
ToolError = RuntimeError
"""
"""Names that a program finds without importing them; Monty cannot make new exceptions, so `ToolError` is one it has."""

OFFER, END = "_maia_offer", "_maia_end"
"""Functions of the host: takes the name and the value of a shim; takes the text of the result and its whole length."""

RUN = """
def _maia_run(first, second, system, tools, most, type=type, isinstance=isinstance, str=str, repr=repr, len=len):
    entry = second if first is None else first
    if entry is None:
        raise NameError("the program defines no function run_experiment(system, tools)")
    value = entry(system, tools)
    if type(value).__name__ in ("coroutine", "generator"):
        raise TypeError("run_experiment must be an ordinary function: no async, no yield")
    text = "" if value is None else value if isinstance(value, str) else repr(value)
    return text[:most], len(text)
"""
"""Calls the program's function; names that the program may have given another meaning are kept as defaults."""

ENTRIES = ("run_experiment", "execute_command")


@cache
def before() -> str:
    """Returns what runs before each program: it seeds `random` and makes the shims anew."""
    lines = ["import random as _maia_random", "_maia_random.seed(_maia_seed)", RUN]
    for name in SHIMS:
        text = resources.files(f"{__package__}.shims").joinpath(f"{name}.py").read_text(encoding="utf-8")
        public = re.findall(r"^(?:def )?([A-Za-z]\w*)(?: =|\()", text, re.MULTILINE)
        lines += [
            f"def _maia_{name}():",
            indent(text, "    "),
            f"    class {name}: pass",
            f"    module = {name}()",
            *(f"    module.{member} = {member}" for member in public),
            "    return module",
            f"_maia_{name}_module = _maia_{name}()",  # The host's own reference would not keep it.
            f"{OFFER}({name!r}, _maia_{name}_module)",
        ]
    return "\n".join(lines)


def after(most: int) -> str:
    """Returns what runs after each program, as further lines of it: the entry, and the text of what it returned.

    Args:
        most: Most characters of the text.
    """
    return f"\n\n{END}(*_maia_run({', '.join(ENTRIES)}, _maia_system, _maia_tools, {most}))\n"
