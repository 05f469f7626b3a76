"""Renders the API that the backbone sees, as Python source, from the live objects."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from maia_core.arguments import plain
from maia_core.errors import PluginError
from maia_core.protocols import System, system_methods
from maia_core.types import ExecutionLimits

INTRODUCTION = """\
You are a scientist. You find out by experiment what a part of a computer vision model responds to. You experiment by
writing short Python programs. MAIA runs each program in a sandbox, on the real model. You then see everything that the
program printed, displayed and logged, and you choose the next experiment. State only conclusions that your experiments
support. Test every hypothesis against controls that should not respond. One high image is not a finding.

Programs run in an isolated Python process{packages}, without files, network or other packages. Module-level names
persist from one program to the next; variables inside run_experiment do not.
A program may run for {seconds:g} seconds; the time of calls to `system` and `tools` does not count.

Your programs can use this library:
"""


class Handle(Protocol):
    """A handle to an image. Pass handles around freely. Programs do not see pixels: let tools look at the image.

    `shows` is what a generated image really shows, where the generator knows; else it is empty.
    """

    id: str
    title: str
    shows: str
    width: int
    height: int

    @property
    def clean(self) -> Image:
        """The image without its mask (itself, if it has none)."""


class Image(Handle, Protocol):
    """A handle to an image. Pass handles around freely; look at pixels only where you need them.

    `numpy.asarray(image)` gives uint8 pixels of shape (height, width, 3). Where a function takes an Image it also takes
    a PIL image or such an array. `shows` is what a generated image really shows, where the generator knows; else it is
    empty.
    """

    @property
    def mask(self) -> Any:
        """The region that activates the unit: a bool array of shape (height, width); None for an image without one."""

    def to_pil(self) -> Any:
        """Returns the pixels as a PIL image."""


class Unit(Protocol):
    """The unit that you study."""

    @property
    def info(self) -> dict[str, Any]:
        """The names of the unit: `info["model"]`, `info["layer"]`, `info["unit"]`."""

    def neuron(self, images: list[Image]) -> tuple[list[float], list[Image]]:
        """Measures the unit on a batch of images.

        Args:
            images: The images. Of a masked image the unmasked original is measured.

        Returns:
            The activation of each image, and each image masked to where the unit is active: that region is bright, the
            rest is darkened. An image that does not activate the unit is not darkened, and no image is if the unit has
            no spatial map.

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = system.neuron(tools.text2image(["a dog on grass", "a red car"]))
            ...     return activations, images
        """


def render_system_prompt(
    system: System, tools: Mapping[str, Callable[..., Any]], limits: ExecutionLimits, has_numpy: bool = True
) -> str:
    """Returns the system prompt: introduction and API, also for a sandbox without numpy and PIL."""
    api = render_api(system, tools, Image if has_numpy else Handle)
    packages = " with numpy and PIL" if has_numpy else ""
    return f"{INTRODUCTION.format(seconds=limits.seconds, packages=packages)}\n```python\n{api}```\n"


def render_api(system: System, tools: Mapping[str, Callable[..., Any]], images: type = Image) -> str:
    """Renders classes `Image`, `System` and `Tools` as Python source without bodies.

    A paragraph of a docstring, or an example, that mentions a tool (as `tools.NAME`) which is not among the tools is
    left out. Of several examples the first that is left stands.

    Args:
        system: The live system; its `neuron` is rendered with its own docstring, or the one of `Unit`.
        tools: The live tools by name.
        images: What programs get as an image: `Image`, or `Handle` in a sandbox without numpy.

    Raises:
        PluginError: a tool has no docstring, or what it declares is not valid Python.
    """
    names = frozenset(tools)
    calls = {"info": Unit.info} | {name: getattr(system, name) for name in system_methods(system)}
    if "neuron" in calls and not _doc(calls["neuron"]):
        calls["neuron"] = Unit.neuron
    about = type(system) if hasattr(system, "methods") else Unit
    image = {name: getattr(images, name) for name in ("clean", "mask", "to_pil") if hasattr(images, name)}
    fields = "\n".join(f"    {name}: {kind}\n" for name, kind in Handle.__annotations__.items()) + "\n"
    source = "from typing import Any\n\n\n" + _class("Image", _doc(images), image, names, fields)
    source += "\n\n" + _class("System", _doc(about), calls, names)
    source += "\n\n" + _class("Tools", "What you experiment with.", tools, names)
    try:
        compile(source, "the API", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise PluginError(f"the API of the tools is not valid Python: {error.msg}: {error.text}") from error
    return source


def _class(name: str, doc: str, members: Mapping[str, Any], tools: frozenset[str], head: str = "") -> str:
    methods = "\n".join(_method(name, member, tools) for name, member in members.items())
    return f"class {name}:\n{textwrap.indent(_docstring(doc, tools), '    ')}\n{head}{methods}"


def _method(name: str, function: Any, tools: frozenset[str]) -> str:
    if not (doc := _doc(function)):
        raise PluginError(f"tool '{name}' has no docstring; the backbone would not know what it is for")
    signature = inspect.signature(_call(function))
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    others = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    prop = isinstance(function, property) or getattr(function, "is_property", False)
    text = ("@property\n" if prop else "") + f"def {name}{plain(signature.replace(parameters=[own, *others]))}:\n"
    return textwrap.indent(f"{text}{textwrap.indent(_docstring(doc, tools), '    ')}    ...\n", "    ")


def _call(function: Any) -> Any:
    call = function.fget if isinstance(function, property) else function
    return call if inspect.isroutine(call) else type(call).__call__


def _doc(thing: Any) -> str:
    """Returns a docstring; an empty one for a reference to another page, which the backbone cannot read."""
    own = thing if inspect.isclass(thing) or inspect.isroutine(thing) else None
    doc = inspect.getdoc(own or _call(thing)) or inspect.getdoc(own or type(thing)) or ""
    return "" if doc.startswith("See `") else doc


def _docstring(doc: str, tools: frozenset[str]) -> str:
    summary, *others = doc.split("\n\n")
    blocks = [block for block in others if tools.issuperset(re.findall(r"\btools\.(\w+)", block))]
    examples = [block for block in blocks if block.startswith("Example")]
    doc = "\n\n".join([summary, *(block for block in blocks if block not in examples[1:])])
    quoted = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"').rstrip()
    closing = "\n" if "\n" in quoted else ""
    return f'"""{quoted}{closing}"""\n'
