import ast
import inspect

import pytest

from maia_core.context import Context
from maia_core.errors import PluginError
from maia_core.prompt import Image, render_api, render_system_prompt
from maia_core.registry import installed
from maia_core.testing import FakeSystem, fake_parts
from maia_core.types import ExecutionLimits


@pytest.fixture
def tools():
    context = Context(parts=fake_parts())
    return {choice.name: context.build("tool", choice.name) for choice in context.config.tools}


def _classes(source):
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def test_api_is_valid_python_with_every_tool_and_its_live_signature(tools):
    rendered = _classes(render_api(FakeSystem(), tools))["Tools"]
    methods = {node.name: node for node in rendered.body if isinstance(node, ast.FunctionDef)}
    assert set(methods) == set(tools)
    for name, tool in tools.items():
        live = [p for p in inspect.signature(type(tool).__call__).parameters if p != "self"]
        node = methods[name].args
        assert [a.arg for a in node.args[1:]] + ([node.vararg.arg] if node.vararg else []) == live
        first = inspect.getdoc(type(tool).__call__).rpartition("\n\nExample:")[0] or inspect.getdoc(type(tool).__call__)
        assert ast.get_docstring(methods[name]).startswith(first.partition("\n\nExample:")[0])


def test_a_changed_docstring_changes_the_prompt(tools):
    class Changed(type(tools["text2image"])):
        def __call__(self, prompts: list[str], size: int = 3) -> list:
            """Draws well."""

    tools["text2image"] = object.__new__(Changed)
    api = render_api(FakeSystem(), tools)
    assert "def text2image(self, prompts: list[str], size: int = 3) -> list:" in api
    assert "Draws well." in api


def test_tool_without_a_docstring_is_refused_by_name():
    class Silent:
        def __call__(self, x: int) -> int: ...

    with pytest.raises(PluginError, match="'silent' has no docstring"):
        render_api(FakeSystem(), {"silent": Silent()})


def test_docstring_cannot_break_out_of_the_api():
    class Quoting:
        def __call__(self) -> None: ...

    Quoting.__call__.__doc__ = 'Ends """\nimport os\n\\"""'
    assert set(_classes(render_api(FakeSystem(), {"q": Quoting()}))) == {"Image", "System", "Tools"}


def test_system_without_a_docstring_gets_the_protocols():
    class Bare:
        def neuron(self, images: list[Image]) -> tuple[list[float], list[Image]]:
            return [], []

    assert "Measures the unit on a batch of images." in render_api(Bare(), {})


def test_keyword_only_and_variadic_parameters_are_rendered():
    class Odd:
        def __call__(self, a: int, *rest: str, flag: bool = False, **more: int) -> None:
            """Does."""

    assert "def odd(self, a: int, *rest: str, flag: bool = False, **more: int) -> None:" in render_api(
        FakeSystem(), {"odd": Odd()}
    )


def test_limits_and_docs_are_in_the_system_prompt(tools):
    text = render_system_prompt(FakeSystem(), tools, ExecutionLimits(seconds=7))
    assert "run for 7 seconds" in text


def test_image_of_the_worker_has_what_the_prompt_promises():
    from maia_sandbox import handles

    promised = set(Image.__annotations__) | {n for n in vars(Image) if not n.startswith("_")}
    assert promised <= set(dir(handles.Image)) | set(getattr(handles.Image, "__slots__", ()))


def test_every_installed_tool_renders(tools):
    assert {plugin.name for plugin in installed().of_kind("tool")} >= set(tools)
