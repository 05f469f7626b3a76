"""The descriptions of the server's tools: its own, and the methods of `system` and `tools`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp.types import Tool

from maia_mcp.api import RUN, Method
from maia_mcp.desk import Desk

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}


def _tool(name: str, description: str, properties: Mapping[str, Any], *required: str) -> Tool:
    schema = {"type": "object", "properties": dict(properties), "required": [*required], "additionalProperties": False}
    return Tool(name=name, description=description, input_schema=schema)


def own_tools(desk: Desk) -> list[Tool]:
    """Returns the server's own tools."""
    unit = {} if desk.has_unit else {"unit": {**TEXT, "description": "The unit: LAYER:UNIT, such as layer4:122."}}
    ways = {"enum": ["inline", "link", "text"], "description": "How you get images: as pixels, links, or words."}
    start = unit | {"resume": {**TEXT, "description": "Name of a run to resume, instead of a new one."}}
    parts = {field: {"anyOf": [TEXT, TEXTS], "description": f"[{tag}]"} for field, tag in desk.fields.items()}
    program = {**TEXT, "description": "Python that defines run_experiment(system, tools)."}
    hypotheses = {**TEXTS, "description": "What the program tests, one text per hypothesis."}
    return [
        _tool("start_run", "Starts a run, and returns its name, the library and the task.", start | {"images": ways}),
        _tool(
            "run_program",
            "Runs a Python program in the sandbox, as one experiment, and returns all that it printed, showed, "
            "logged and returned.",
            {"run": RUN, "program": program, "hypotheses": hypotheses},
            *("run", "program"),
        ),
        _tool("wait", "Returns the result of a call that took long.", {"ticket": TEXT}, "ticket"),
        _tool("results", "Lists everything that the run has logged, oldest first.", {"run": RUN}, "run"),
        _tool(
            "submit_answer",
            "Gives the final answer. MAIA checks its form, and tests it on fresh images where the task says so. An "
            "answer that fails the test comes back with the reason, and the run continues.",
            {"run": RUN, **parts},
            *("run", *desk.fields),
        ),
        _tool("stop", "Stops a run. It can be resumed later.", {"run": RUN}, "run"),
    ]


def described(name: str, method: Method) -> Tool:
    """Returns a method as a tool, with its own docstring."""
    return Tool(name=name, description=method.doc, input_schema=method.schema)
