"""The code that Monty runs around a program.

Names that begin with `_maia_` are the sandbox's; a program that changes them spoils its own experiment alone, for the
next one gets another interpreter.

The host never decodes a program's values into Python objects: a dict of numbers that all have the same hash keeps
Python busy for hours. Calls and results cross as text instead: JSON as in `maia_sandbox.values`, printed to the
standard error behind a token.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from textwrap import indent

from maia_sandbox.values import MAX_SHOWN

SHIMS = ("heapq", "operator", "statistics", "string")
BUILT_IN = """
asyncio base64 binascii bisect collections copy csv dataclasses datetime decimal functools hashlib itertools json math
os pathlib random re sys time tomllib typing
"""
"""Modules that Monty itself has."""
AVAILABLE = sorted([*BUILT_IN.split(), *SHIMS])

MODULES = "collections itertools json math random re statistics time"
"""Modules that each program finds without an import."""

OFFER, CALL, END = "_maia_offer", "_maia_call", "_maia_end"
"""Functions of the host: takes name and value of a shim; answers the request just sent; takes the result just sent."""

ENTRIES = ("run_experiment", "execute_command")

BUILTINS = """
ArithmeticError AssertionError AttributeError BaseException Exception FileNotFoundError ImportError IndexError KeyError
LookupError MemoryError ModuleNotFoundError NameError NotImplementedError OSError OverflowError PermissionError
RecursionError RuntimeError StopIteration TimeoutError TypeError UnboundLocalError ValueError ZeroDivisionError abs all
any bin bool bytes chr complex dict divmod enumerate eval exec filter float format frozenset getattr hasattr hash hex id
int isinstance iter len list map max min next oct open ord pow print range repr reversed round set slice sorted str sum
tuple type zip
"""
"""Names that each program finds with their own meaning, whatever an earlier program has made of them."""

MEDDLING = re.compile(r"_maia_|\b(exec|eval)\b")
"""Found in a program that may have changed the sandbox's own names: the next one gets another interpreter."""

SESSION = f"""
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple, Union
ToolError = RuntimeError
import json as _maia_json, sys as _maia_sys

def _maia_make(depth, most, limit, dumps, out, bool=bool, dict=dict, float=float, int=int, isinstance=isinstance,
               len=len, list=list, print=print, repr=repr, str=str, tuple=tuple, type=type,
               NameError=NameError, RuntimeError=RuntimeError, TypeError=TypeError):
    texts = []

    def unfit(method, value):
        raise RuntimeError(
            f"{{method}} cannot be given {{value}}. "
            "Arguments are None, bool, int, float, str, list, tuple, dict and images"
        )

    def encode(method, value, level):
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            return value if -(2**63) < value < 2**63 else unfit(method, "an integer of more than 64 bits")
        if isinstance(value, float):
            return value if value - value == 0 else {{"f": repr(value)}}
        if isinstance(value, (list, tuple, dict)):
            if level >= depth:
                unfit(method, f"values nested more than {{depth}} levels deep (or a container that holds itself)")
            if isinstance(value, dict):
                for key in value:
                    if not isinstance(key, str):
                        unfit(method, f"a dict with a key of type {{type(key).__name__}}; keys must be str")
                return {{"d": {{key: encode(method, item, level + 1) for key, item in value.items()}}}}
            items = [encode(method, item, level + 1) for item in value]
            return items if isinstance(value, list) else {{"t": items}}
        kind = type(value).__name__
        if kind == "Image":
            return {{"i": value.handle}}
        if kind == "system":
            return {{"s": None}}
        if kind.startswith("dict_") or kind in ("range", "generator", "map", "filter", "zip", "set", "frozenset"):
            return encode(method, list(value), level)
        unfit(method, f"a value of type {{kind}}")

    def send(token, message):
        print(token + dumps(message), file=out)

    def method(token, name):
        def call(*args, **kwargs):
            args = [encode(name, value, 0) for value in args]
            kwargs = {{key: encode(name, value, 0) for key, value in kwargs.items()}}
            text = dumps({{"op": "call", "method": name, "args": args, "kwargs": kwargs}})
            if len(text) > limit:
                unfit(name, "more than 4 MB of text and numbers at once")
            print(token + text, file=out)
            return {CALL}()
        return call

    def run(token, first, second, system, tools):
        entry = second if first is None else first
        if entry is None:
            raise NameError("the program defines no function run_experiment(system, tools)")
        value = entry(system, tools)
        if type(value).__name__ in ("coroutine", "generator"):
            raise TypeError("run_experiment must be an ordinary function: no async, no yield")
        text = "" if value is None else value if isinstance(value, str) else repr(value)
        send(token, [text[:most], len(text), [{{"i": handle}} for handle in images(value, 0, [])][:{MAX_SHOWN}]])
        {END}()

    def images(value, level, found):
        if type(value).__name__ == "Image" and value.handle not in found:
            found.append(value.handle)
        elif isinstance(value, (list, tuple, dict)) and level < depth and len(found) < {MAX_SHOWN}:
            for item in value.values() if isinstance(value, dict) else value:
                images(item, level + 1, found)
        return found

    def ordered(function):
        def by_title(value):
            if type(value).__name__ == "Image":
                return value.title
            return [by_title(item) for item in value] if isinstance(value, (list, tuple)) else value

        def call(*items, **options):
            try:
                return function(*items, **options)
            except TypeError:
                key = options.pop("key", None)
                return function(*items, key=lambda item: by_title(item if key is None else key(item)), **options)
        return call

    return method, run, ordered
_maia_method, _maia_run, _maia_ordered = _maia_make(
    _maia_depth, _maia_most, _maia_limit, _maia_json.dumps, _maia_sys.stderr
)
sorted, max, min = _maia_ordered(sorted), _maia_ordered(max), _maia_ordered(min)
System = Tools = Any

def _maia_keep(*values):
    def restored():
        return values
    return restored
_maia_restored = _maia_keep({", ".join(BUILTINS.split())})
"""
"""Runs once: names that a program finds without importing them, and how it calls.

Monty cannot make new exceptions, so `ToolError` is one that it has. Functions that a program may give another meaning
are kept as defaults.
"""


@cache
def shims() -> str:
    """Returns the source that makes fresh shims before each program."""
    lines = []
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


KNOWN = "\n".join(
    [f"try: {name}\nexcept NameError: import {name}" for name in MODULES.split()]
    + [
        f"try: _maia_own = type({name}).__name__ != {name!r}\nexcept NameError: _maia_own = False\n"
        f"if not _maia_own: {name} = _maia_{name}"
        for name in ("system", "tools")
    ]
)
"""Names that each program finds, unless an earlier one has given them another meaning."""


def before(methods: list[str]) -> str:
    """Returns the code before each program: builtins, shims, a seed of `random`, methods of `system` and `tools`.

    Args:
        methods: Their full names, such as `tools.text2image`.
    """
    given = [f"_maia_{name} = _maia_method(_maia_token, {name!r})" for name in methods]
    restored = f"{', '.join(BUILTINS.split())} = _maia_restored()"
    return "\n".join(
        [restored, shims(), "import random as _maia_random", "_maia_random.seed(_maia_seed)", *given, KNOWN]
    )


AFTER = f"\n\n_maia_run(_maia_token, {', '.join(ENTRIES)}, _maia_system, _maia_tools)\n"
"""The code after each program, as further lines of it."""
