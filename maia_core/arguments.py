"""The arguments of tools: checked against annotations, taken as they were meant, and refused in words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from maia_core.errors import PluginError, ToolError, did_you_mean, one_line

MAX_FAULTS = 1000
"""A call with more faults is refused with their number alone: each fault would be an object."""

WORDS = {
    "unexpected_keyword_argument": "there is no argument '{name}'.{near}",
    "unexpected_positional_argument": "more than {count} arguments",
    "missing_argument": "the argument '{name}' is missing",
}


class _Plain(str):
    """A text that is its own representation."""

    __repr__ = str.__str__


def plain(signature: inspect.Signature) -> inspect.Signature:
    """Returns a signature that prints its annotations as written, without quotes and without the core's modules."""

    def bare(annotation: Any) -> Any:
        if annotation is not inspect.Signature.empty and not isinstance(annotation, str):
            annotation = re.sub(r"\bmaia_core\.\w+\.", "", inspect.formatannotation(annotation))
        return _Plain(annotation) if isinstance(annotation, str) else annotation

    parameters = [p.replace(annotation=bare(p.annotation)) for p in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=bare(signature.return_annotation))


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a tool that checks its arguments.

    Where the tool takes these, a single value stands for a list of one, None for the default, a number for its text.

    Args:
        name: The name by which programs call it.
        function: The tool.

    Raises:
        PluginError: the annotations cannot be read.
    """
    target = function if inspect.isroutine(function) else type(function).__call__.__get__(function)
    signature = inspect.signature(target)
    try:
        strict = validate_call(config=ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True))(target)
    except Exception as error:
        raise PluginError(
            f"{name} has annotations that cannot be read: {one_line(error)}; import their types at run time"
        ) from error

    def call(*args: Any, **kwargs: Any) -> Any:
        refusal = ""
        while True:
            try:
                return strict(*args, **kwargs)
            except ValidationError as error:
                if error.title != strict.__qualname__:
                    raise
                if refusal or error.error_count() > MAX_FAULTS:
                    raise ToolError(
                        refusal or f"{name}: {error.error_count():,} values are not what it takes"
                    ) from None
                refusal = f"{name}{plain(signature)}: {_fault(signature, error)}"
                args, kwargs = _as_meant(signature, error, args, kwargs)

    return call


def _as_meant(signature: inspect.Signature, error: ValidationError, args: Any, kwargs: Any) -> tuple[Any, Any]:
    given = dict(enumerate(args)) | kwargs
    for place, fault in {fault["loc"][0]: fault for fault in error.errors()}.items():
        if place in given and given[place] is None:
            given[place] = signature.parameters[_name(signature, fault)].default
        elif place in given and not isinstance(given[place], list | tuple | dict):
            given[place] = [given[place]]
    return [given[place] for place in range(len(args))], {name: given[name] for name in kwargs}


def _name(signature: inspect.Signature, fault: Any) -> str:
    place, names = fault["loc"][0], list(signature.parameters)
    return str(names[min(place, len(names) - 1)] if isinstance(place, int) else place)


def _fault(signature: inspect.Signature, error: ValidationError) -> str:
    """Says what is wrong with the arguments; an unknown name first."""
    fault = min(error.errors(), key=lambda fault: not fault["type"].startswith("unexpected"))
    name, value = _name(signature, fault), fault["input"]
    if said := WORDS.get(fault["type"]):
        return said.format(name=name, count=len(signature.parameters), near=did_you_mean(name, signature.parameters))
    shown = f"{value!r:.80}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    items = "".join(f"[{part}]" for part in fault["loc"][1:] if isinstance(part, int))
    expected = plain(signature).parameters[name].annotation
    return f"'{name}' is {expected}; {name}{items} is {shown}"
