"""What a program's calls of `system` and `tools` reach: checked, journalled, and replayed after a resume."""

from __future__ import annotations

import inspect
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from maia_core.context import Context
from maia_core.errors import MaiaError, MendableError, ToolError, did_you_mean, one_line
from maia_core.record import HostCall, to_json
from maia_core.types import SystemRef, content_id


class ToolHost:
    """Carries out the calls of programs; implements `maia_core.protocols.Host`.

    Attributes:
        methods: Every name that may be called.
        properties: Those that are read without a call.
    """

    def __init__(
        self,
        context: Context,
        tools: Mapping[str, Callable[..., Any]],
        on_call: Callable[[HostCall], None] = lambda call: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Makes the host of a run.

        Args:
            context: The run's parts.
            tools: The tools by the names under which programs call them.
            on_call: Told of every call when it has ended.
            on_note: Told the details of a tool's own failure.
        """
        self._context = context
        self._on_call = on_call
        self._on_note = on_note
        self._raw = {"system.neuron": context.system.neuron} | {f"tools.{name}": tool for name, tool in tools.items()}
        self._functions = {name: _validated(function) for name, function in self._raw.items()}
        self._functions["system.info"] = lambda: context.system.info.model_dump(mode="json")
        self.methods = frozenset(self._functions)
        self.properties = frozenset(
            ["system.info"] + [f"tools.{name}" for name, tool in tools.items() if getattr(tool, "is_property", False)]
        )
        self.begin(0)

    def begin(self, turn: int, recorded: Sequence[HostCall] = ()) -> None:
        """Prepares for the program of a turn; its first calls are answered from `recorded`."""
        self._turn = turn
        self._order = 0
        self._recorded = list(recorded)

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See `maia_core.protocols.Host`."""
        if method not in self._functions:
            raise ToolError(f"there is no {method}.{did_you_mean(method, self.methods)}")
        arguments = to_json({"args": list(args), "kwargs": dict(kwargs)})
        digest = content_id(method.encode(), json.dumps(arguments, sort_keys=True).encode())
        order, self._order = self._order, self._order + 1
        logged, context, error = len(self._context.logged), self._context, ""
        shown_before = context.take_shown()
        started = time.perf_counter()
        result: Any = None
        try:
            result = self._functions[method](*map(self._real, args), **{k: self._real(v) for k, v in kwargs.items()})
        except ValidationError as mistake:
            error = _argument_error(method, self._raw[method], mistake)
        except MendableError as mistake:
            error = str(mistake)
        except MaiaError:
            raise
        except Exception as failure:
            # A tool's own fault: the backbone may try another way, the record keeps the traceback.
            self._on_note(f"{method} failed: {traceback.format_exc()}")
            error = f"{method} failed: {one_line(failure)}"
        shown = context.take_shown()
        context.show(*shown_before, *shown)
        self._on_call(
            HostCall(
                turn=self._turn,
                order=order,
                method=method,
                arguments_hash=digest,
                arguments=arguments,
                result=to_json(result),
                error=error,
                shown=tuple(shown),
                logged=tuple(context.logged[logged:]),
                exemplar_floor=context.exemplar_floor,
                seconds=time.perf_counter() - started,
            )
        )
        if error:
            raise ToolError(error)
        return result

    def _real(self, value: Any) -> Any:
        return self._context.system if isinstance(value, SystemRef) else value


def _validated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a tool so that its arguments are checked against its annotations."""
    target = function if inspect.isroutine(function) else type(function).__call__.__get__(function)
    return validate_call(config=ConfigDict(arbitrary_types_allowed=True))(target)


def _argument_error(method: str, function: Callable[..., Any], error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    given = "" if first["type"].startswith("missing") else f", not {first['input']!r:.80}"
    return f"{method}{inspect.signature(function)}: {where}: {first['msg']}{given}"
