"""What every tool does."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from maia_core.context import Context
from maia_core.prompt import render_api
from maia_core.protocols import Sandbox
from maia_core.registry import Registry, installed
from maia_core.testing.examples import docstring, examples, run_examples
from maia_core.testing.fakes import fake_parts
from maia_core.testing.inprocess import InProcessSandbox

Tools = dict[str, Callable[..., Any]]


class ToolSuite:
    """Subclass it, set `name`, and return the tool from the fixture `tool`, made with the fixture `context`.

        class TestMine(ToolSuite):
            name = "mine"

            @pytest.fixture
            def tool(self, context):
                return Mine(Mine.Config(), context)

    Attributes:
        name: What programs call it: `tools.<name>`.
        has_examples: Whether its docstring must hold an example. A property needs none.
    """

    name: ClassVar[str] = ""
    has_examples: ClassVar[bool] = True

    @pytest.fixture
    def tool(self, context: Context) -> Callable[..., Any]:
        """The tool under test."""
        raise NotImplementedError("override the fixture `tool`: it returns the tool under test")

    @pytest.fixture
    def context(self, tmp_path: Path) -> Context:
        """A run on fakes: a unit that responds to red, and engines that draw, edit and name coloured discs."""
        return Context(registry=Registry([]), parts=fake_parts(), cache=tmp_path / "cache")

    @pytest.fixture
    def tools(self, tool: Callable[..., Any], context: Context) -> Tools:
        """The tools that examples may call: this one beside the standard ones, where `maia-standard` is installed."""
        registry = installed()
        standard = [choice.name for choice in context.config.tools if registry.find("tool", choice.name)]
        made = {name: registry.build("tool", name, {}, context) for name in standard}
        return {**made, self.name: tool}

    @pytest.fixture
    def sandbox(self, context: Context) -> Iterator[Sandbox]:
        """The sandbox in which the docstring's examples run: this process."""
        sandbox = InProcessSandbox(None, context)
        yield sandbox
        sandbox.close()

    def test_name_can_be_called(self, tool: Callable[..., Any]) -> None:
        assert self.name.isidentifier(), "set `name` to what follows `tools.` in a program"
        assert not self.name.startswith("_"), "programs cannot reach a private name"

    def test_backbone_can_be_told_of_it(self, tool: Callable[..., Any], context: Context) -> None:
        """Signature and docstring are rendered into the prompt and must be valid Python."""
        assert f"def {self.name}(self" in render_api(context.system, {self.name: tool})

    def test_is_typed_throughout(self, tool: Callable[..., Any]) -> None:
        """The annotations are what the backbone reads and what its arguments are checked against."""
        call = tool if inspect.isroutine(tool) else type(tool).__call__
        signature = inspect.signature(call)
        untyped = [n for n, p in signature.parameters.items() if n != "self" and p.annotation is p.empty]
        assert not untyped, f"parameters without a type: {untyped}"
        assert signature.return_annotation is not signature.empty, "the return type is missing"
        assert typing.get_type_hints(call), "the types cannot be resolved"

    def test_docstring_explains_every_parameter(self, tool: Callable[..., Any]) -> None:
        doc = docstring(tool)
        assert doc.strip()
        call = tool if inspect.isroutine(tool) else type(tool).__call__
        silent = [name for name in inspect.signature(call).parameters if name != "self" and name not in doc]
        assert not silent, f"the docstring does not mention {silent}"

    def test_examples_run(self, tool: Callable[..., Any], context: Context, tools: Tools, sandbox: Sandbox) -> None:
        """The backbone copies them, so they must work, with results that can cross into a sandbox."""
        if self.has_examples and not getattr(tool, "is_property", False):
            assert examples(docstring(tool)), (
                "the docstring holds no example (`>>> def run_experiment(system, tools):`)"
            )
        for program, execution in run_examples(tool, context, tools, sandbox):
            assert f"tools.{self.name}" in program, f"this example does not call the tool:\n{program}"
            assert not execution.error, f"{program}\n{execution.error}"
