"""Runs the examples in a tool's docstring the way that a backbone's programs run: in the sandbox, through proxies."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from maia_core.context import Context
from maia_core.host import ToolHost
from maia_core.protocols import Sandbox
from maia_core.types import Execution

_PROMPT = re.compile(r"^(>>>|\.\.\.)(?: (.*))?$")


def docstring(tool: Callable[..., Any]) -> str:
    """Returns the docstring of a tool that the backbone sees."""
    call = tool if inspect.isroutine(tool) else type(tool).__call__
    return inspect.getdoc(call) or inspect.getdoc(tool) or ""


def examples(doc: str) -> list[str]:
    """Extracts the programs of a docstring: each `>>>` line begins one or goes on, `...` lines follow it.

    Returns:
        Python source of each block of such lines; blocks are parted by any other line.
    """
    return [textwrap.dedent("\n".join(block)) + "\n" for block in _blocks(doc)]


def run_examples(
    tool: Callable[..., Any],
    context: Context,
    tools: Mapping[str, Callable[..., Any]],
    sandbox: Sandbox,
) -> list[tuple[str, Execution]]:
    """Runs each example of a tool and returns it with what came of it.

    Args:
        tool: The tool whose docstring is read.
        context: A run's parts, such as `Context(parts=fake_parts())`.
        tools: Every tool that the examples call, by name.
        sandbox: Where they run.
    """
    host = ToolHost(context, tools)
    return [(program, sandbox.run(program, host)) for program in examples(docstring(tool))]


def _blocks(doc: str) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*doc.splitlines(), ""]:
        found = _PROMPT.match(line.strip())
        if found:
            block.append(found.group(2) or "")
        elif block:
            yield block
            block = []
