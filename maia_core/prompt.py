"""Renders the API that the backbone sees, as Python source, from the live objects."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from maia_core.errors import PluginError
from maia_core.protocols import System, system_methods
from maia_core.types import ExecutionLimits

INTRODUCTION = """\
You are a scientist. You find out by experiment what a part of a computer vision model responds to. You experiment by
writing short Python programs. MAIA runs each program in a sandbox, on the real model. You then see everything that the
program printed, displayed and logged, and you choose the next experiment. State only conclusions that your experiments
support. Test every hypothesis against controls that should not respond. One high image is not a finding.

Programs run in an isolated Python process with numpy and PIL, without files, network or other packages. Module-level
names persist from one program to the next; variables inside run_experiment do not.
A program may run for {seconds:g} seconds; the time of calls to `system` and `tools` does not count.

Your programs can use this library:
"""


class Image(Protocol):
    """A handle to an image. Pass handles around freely; look at pixels only where you need them.

    `numpy.asarray(image)` gives uint8 pixels of shape (height, width, 3). Where a function takes an Image it also takes
    a PIL image or such an array.
    """

    id: str
    title: str
    width: int
    height: int

    @property
    def clean(self) -> Image:
        """The image without its mask (itself, if it has none)."""

    def to_pil(self) -> Any:
        """Returns the pixels as a PIL image."""


class Unit(Protocol):
    """The unit that you study."""

    @property
    def info(self) -> dict[str, Any]:
        """What is known of the unit by name: `info["model"]`, `info["layer"]`, `info["unit"]`."""


def render_system_prompt(system: System, tools: Mapping[str, Callable[..., Any]], limits: ExecutionLimits) -> str:
    """Returns the system prompt: introduction and API."""
    api = render_api(system, tools)
    return f"{INTRODUCTION.format(seconds=limits.seconds)}\n```python\n{api}```\n"


def render_api(system: System, tools: Mapping[str, Callable[..., Any]]) -> str:
    """Renders classes `Image`, `System` and `Tools` as Python source without bodies.

    Args:
        system: The live system; its `neuron` is rendered with its own docstring, or the protocol's.
        tools: The live tools by name.

    Raises:
        PluginError: a tool has no docstring, or what it declares is not valid Python.
    """
    image = [f"    {name}: {kind}\n" for name, kind in Image.__annotations__.items()]
    image += [_method("clean", vars(Image)["clean"].fget, prop=True), _method("to_pil", Image.to_pil)]
    neuron = {"neuron": System.neuron.__doc__}
    calls = [_method(name, getattr(system, name), fallback=neuron.get(name)) for name in system_methods(system)]
    info = _method("info", vars(Unit)["info"].fget, prop=True)
    about = type(system) if hasattr(system, "methods") else Unit
    sections = [
        _class("Image", inspect.getdoc(Image) or "", image),
        _class("System", inspect.getdoc(about) or "", [info, *calls]),
        _class(
            "Tools",
            "What you experiment with.",
            [_method(name, tool, prop=getattr(tool, "is_property", False)) for name, tool in tools.items()],
        ),
    ]
    source = "from typing import Any\n\n\n" + "\n\n".join(sections)
    try:
        ast.parse(source)
    except SyntaxError as error:
        raise PluginError(f"the API of the tools is not valid Python: {error.msg}: {error.text}") from error
    return source


def _class(name: str, doc: str, members: list[str]) -> str:
    return f"class {name}:\n{textwrap.indent(_docstring(doc), '    ')}\n" + "\n".join(members)


def _method(name: str, function: Any, prop: bool = False, fallback: str | None = None) -> str:
    call = function if inspect.isroutine(function) else type(function).__call__
    doc = inspect.getdoc(call) or (None if call is function else inspect.getdoc(type(function)))
    doc = doc or (inspect.cleandoc(fallback) if fallback else "")
    if not doc:
        raise PluginError(f"tool '{name}' has no docstring; the backbone would not know what it is for")
    parameters = [p for p in inspect.signature(call).parameters.values() if p.name != "self"]
    signature = inspect.Signature(
        [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *parameters],
        return_annotation=inspect.signature(call).return_annotation,
    )
    text = (
        "@property\n" if prop else ""
    ) + f"def {name}{_plain(signature)}:\n{textwrap.indent(_docstring(doc), '    ')}    ...\n"
    return textwrap.indent(text, "    ")


class _Written(NamedTuple):
    """An annotation that a signature renders as it is written: string annotations lose their quotes."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _plain(signature: inspect.Signature) -> str:
    """Renders a signature with annotations as written."""
    parameters = [p.replace(annotation=_written(p.annotation)) for p in signature.parameters.values()]
    returns = _written(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returns))


def _written(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty:
        return annotation
    if isinstance(annotation, str):
        return _Written(annotation)
    return _Written(re.sub(r"\bmaia_core\.\w+\.", "", inspect.formatannotation(annotation)))


def _docstring(doc: str) -> str:
    quoted = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').rstrip()
    closing = "\n" if "\n" in quoted else ""
    return f'"""{quoted}{closing}"""\n'
