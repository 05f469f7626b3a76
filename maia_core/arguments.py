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


def plain(signature: inspect.Signature | inspect.Parameter) -> str:
    """Returns a signature with its annotations as written, without quotes and without the core's modules."""
    text = re.sub(r"\bmaia_core\.\w+\.", "", str(signature))
    return re.sub(r"""(\w: |-> )(['"])(.*?)\2(?=[,)]| =|$)""", r"\1\3", text)


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a tool that checks its arguments; a number stands for its text.

    Args:
        name: The name by which programs call it.
        function: The tool.

    Raises:
        PluginError: the annotations cannot be read.
    """
    target = function if inspect.isroutine(function) else type(function).__call__.__get__(function)
    try:
        strict = validate_call(config=ConfigDict(arbitrary_types_allowed=True, coerce_numbers_to_str=True))(target)
    except Exception as error:
        raise PluginError(f"annotations of {name}: {one_line(error)}; import their types at run time") from error

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return strict(*args, **kwargs)
        except ValidationError as error:
            if error.title != strict.__qualname__:
                raise
            raise ToolError(_refusal(name, inspect.signature(target), error)) from None

    return call


def _refusal(method: str, signature: inspect.Signature, error: ValidationError) -> str:
    """Says what is wrong with the arguments; an unknown name first."""
    if error.error_count() > MAX_FAULTS:
        return f"{method}: {error.error_count():,} values are not what it takes"
    fault = min(error.errors(), key=lambda fault: not fault["type"].startswith("unexpected"))
    names, (place, *items), value = list(signature.parameters), fault["loc"], fault["input"]
    name = str(names[min(place, len(names) - 1)] if isinstance(place, int) else place)
    if words := WORDS.get(fault["type"]):
        return (
            f"{method}{plain(signature)}: {words.format(name=name, count=len(names), near=did_you_mean(name, names))}"
        )
    shown = f"{value!r:.80}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    item = "".join(f"[{part}]" for part in items if isinstance(part, int))
    taken = plain(signature.parameters[name])
    return f"{method}{plain(signature)}: it takes {taken}; {name}{item} is {shown}"
