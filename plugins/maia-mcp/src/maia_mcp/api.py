"""The methods of `system` and `tools` as tools of a server: read from the API that a backbone sees."""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, WithJsonSchema

from maia_core.plugin import Context, render_api, syntax_tree

Schema = dict[str, Any]

IMAGE = {"type": "string", "description": "id of an image of this run, such as 3f2a81c40b7d"}
NAMES = {name: getattr(typing, name) for name in typing.__all__} | {
    "Image": typing.Annotated[str, WithJsonSchema(IMAGE)],
    "System": typing.Annotated[str, WithJsonSchema({"type": "string"})],
}
"""The names that annotations of the API may use, beside builtins."""

RUN: Schema = {"type": "string", "description": "Name of the run, from start_run."}

RESERVED = ("start_run", "run_program", "wait", "results", "submit_answer", "stop")
"""Names of the server's own tools."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method: its JSON schema, and whether it takes images."""

    schema: Schema
    takes_images: bool = False
    is_variadic: bool = False


@dataclass(frozen=True)
class Method:
    """A method of `system` or `tools`, as a client calls it.

    Attributes:
        path: How a program calls it, such as `tools.text2image`.
        doc: Its docstring, word for word.
        parameters: By the names that a client uses.
        required: The parameters that have no default.
        takes_system: Whether a program passes `system` first.
    """

    path: str
    doc: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    takes_system: bool = False

    @property
    def schema(self) -> Schema:
        """The JSON schema of the arguments, the run among them."""
        properties = {"run": RUN} | {name: parameter.schema for name, parameter in self.parameters.items()}
        return {
            "type": "object",
            "properties": properties,
            "required": ["run", *self.required],
            "additionalProperties": False,
        }


def methods_of(system: Any, tools: Mapping[str, Callable[..., Any]]) -> dict[str, Method]:
    """Returns the methods that a client can call, by the names of their tools.

    A property is left out: the server's own `results` gives the logged results, and the task names the unit.

    Args:
        system: The live system, see `maia_core.plugin.render_api`.
        tools: The live tools.
    """
    found: dict[str, Method] = {}
    for owner, method in _functions(render_api(system, tools)):
        name = f"{owner}_{method.name}" if method.name in found or method.name in RESERVED else method.name
        found[name] = _method(owner, method)
    return found


def _functions(source: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    for owner in syntax_tree(source).body:
        if isinstance(owner, ast.ClassDef) and owner.name in ("System", "Tools"):
            for method in owner.body:
                if isinstance(method, ast.FunctionDef) and not method.decorator_list:
                    yield owner.name.lower(), method


def _method(owner: str, function: ast.FunctionDef) -> Method:
    arguments = function.args
    named = [argument for argument in [*arguments.posonlyargs, *arguments.args] if argument.arg != "self"]
    defaults = dict(zip(reversed([argument.arg for argument in named]), reversed(arguments.defaults), strict=False))
    takes_system = bool(named) and _annotation(named[0]) == "System"
    named = named[takes_system:] + arguments.kwonlyargs
    defaults |= {a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
    parameters = {}
    for argument in named:
        schema = _schema(_annotation(argument))
        if argument.arg in defaults:
            schema = {**schema, "default": ast.literal_eval(defaults[argument.arg])}
        parameters[argument.arg] = Parameter(schema, "Image" in _annotation(argument))
    required = tuple(argument.arg for argument in named if argument.arg not in defaults)
    if arguments.vararg:
        name, items = arguments.vararg.arg, _schema(_annotation(arguments.vararg))
        parameters[name] = Parameter({"type": "array", "items": items}, takes_images=True, is_variadic=True)
        required += (name,)
    return Method(f"{owner}.{function.name}", ast.get_docstring(function) or "", parameters, required, takes_system)


def _annotation(argument: ast.arg) -> str:
    return ast.unparse(argument.annotation) if argument.annotation else "Any"


def _schema(annotation: str) -> Schema:
    """Returns the JSON schema of an annotation; one that allows everything where no schema says what it means."""
    try:
        return TypeAdapter(eval(annotation, NAMES.copy())).json_schema()
    except (NameError, AttributeError, TypeError, SyntaxError, PydanticUserError):
        return {}


class AnyUnit:
    """The unit that a run will study: each unit of a model has the same methods."""

    def neuron(self, images: Any) -> Any:
        """See `maia_core.protocols.System`."""


def methods_before_a_run(context: Context) -> dict[str, Method]:
    """Returns the methods that a run of this configuration is likely to have; loads no weights.

    They come from the classes of the chosen plugins, without a unit. The run's own methods replace them.
    """
    registry, chosen = context.registry, context.config.system
    name = chosen.name.partition(":")[0] if chosen else ""
    system: Any = AnyUnit()
    if name and registry.find("model", name.partition("/")[0]) is None:
        system = _unmade(registry.get("system", name).load()) or system
    tools = {}
    for ref in context.config.tools:
        factory = registry.get("tool", ref.name).load()
        tools[ref.name.partition("@")[0]] = _unmade(factory) or context.build("tool", ref.name, **ref.options)
    return methods_of(system, tools)


def _unmade(factory: Any) -> Any:
    """Returns an object of a class, not initialised: it has the signatures and docstrings. None for a function."""
    return object.__new__(factory) if isinstance(factory, type) else None
