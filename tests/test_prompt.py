import ast
import inspect
import re

import pytest

from maia_core.arguments import plain
from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.errors import PluginError
from maia_core.prompt import Handle, Image, render_api, render_system_prompt
from maia_core.registry import installed
from maia_core.testing import FakeSystem, fake_parts
from maia_core.types import ExecutionLimits, LayerInfo


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

    promised = set(Handle.__annotations__) | {n for n in dir(Image) if not n.startswith("_")}
    assert promised <= set(dir(handles.Image)) | set(getattr(handles.Image, "__slots__", ()))


def test_sandbox_without_numpy_is_described_as_it_is(tools):
    text = render_system_prompt(FakeSystem(), tools, ExecutionLimits(), has_numpy=False)
    assert not re.search("numpy|PIL|to_pil|pixels of shape", text)
    assert "def clean(self) -> Image" in text
    assert "numpy" in render_system_prompt(FakeSystem(), tools, ExecutionLimits())


def test_every_installed_tool_renders(tools):
    assert {plugin.name for plugin in installed().of_kind("tool")} >= set(tools)


def _rendered(system, names, task="neuron-description", **options):
    """Returns all that the backbone reads before its first reply."""
    config = RunConfig(
        tools=tuple(PluginRef(name=name) for name in names), task=PluginRef.model_validate({"name": task, **options})
    )
    context = Context(config, parts={**fake_parts(), "system": system})
    tools = {name: context.build("tool", name) for name in names}
    prompt = context.part("task").prompt(system.info)
    return render_system_prompt(system, tools, ExecutionLimits()) + prompt


@pytest.fixture
def shipped(tmp_path):
    """A system of every kind that this project ships, with its tools and its task."""
    from maia_layers.system import LayerSystem
    from maia_synthetic.system import SyntheticNeuron
    from maia_torch import unit

    context = Context(parts=fake_parts(), cache=tmp_path)
    torch_unit = object.__new__(unit.TorchUnit)
    torch_unit.info = FakeSystem().info
    standard = [choice.name for choice in RunConfig().tools]
    layer_tools = [*standard[1:], "score_units", "unit_exemplars"]
    layer = object.__new__(LayerSystem)
    layer.info, layer.layer_info = FakeSystem().info, LayerInfo(name="colours", units=6)
    synthetic = object.__new__(SyntheticNeuron)
    synthetic.info = FakeSystem().info
    return {
        "torch": (torch_unit, standard, {}),
        "fake": (context.system, standard, {}),
        "synthetic": (synthetic, standard, {}),
        "layer": (layer, layer_tools, {"task": "layer-question", "question": "which units like red?"}),
    }


def test_no_prompt_of_a_shipped_system_names_a_tool_that_the_run_lacks(shipped):
    for kind, (system, names, options) in shipped.items():
        for absent in names:
            text = _rendered(system, [name for name in names if name != absent], **options)
            # `results` and `display` are words of English, too.
            pattern = rf"\b{absent}\b" if "_" in absent or "2" in absent else rf"tools\.{absent}\b|`{absent}`"
            assert not re.search(pattern, text), (kind, absent, re.search(f".*(?:{pattern}).*", text)[0])
        bare = _rendered(system, [], **options)
        assert not re.search(r"\btools\.\w", bare), kind
        assert "See `" not in bare, kind


def test_every_system_says_what_its_measurement_returns(shipped):
    for kind, (system, names, options) in shipped.items():
        text = _rendered(system, names, **options)
        assert "def neuron(self, images: " in text, kind
        assert re.search(r"masked\s+to\s+where (the unit|it) is active", text), kind


def test_only_the_first_example_with_present_tools_is_rendered():
    class Tool:
        def __call__(self) -> None:
            """Does.

            See tools.other for more.

            Example:
                >>> tools.other()

            Example:
                >>> tools.own()

            Example:
                >>> tools.own(2)
            """

    api = render_api(FakeSystem(), {"own": Tool()})
    assert "tools.own()" in api
    assert "other" not in api
    assert "own(2)" not in api


def test_signature_is_printed_as_written():
    def tool(a: "Literal['x', 'y']", b: list[str], c: "str | None" = "p: 1", *, d: dict = {"k": "v"}) -> "Image": ...  # noqa: B006, F821

    assert plain(inspect.signature(tool)) == (
        "(a: Literal['x', 'y'], b: list[str], c: str | None = 'p: 1', *, d: dict = {'k': 'v'}) -> Image"
    )
