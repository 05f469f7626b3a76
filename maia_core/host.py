"""What a program's calls of `system` and `tools` reach: checked, journalled, and replayed after a resume."""

from __future__ import annotations

import functools
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from threading import Thread
from typing import Any

from pydantic import JsonValue

from maia_core.arguments import checked
from maia_core.codec import from_json, images_of, to_json
from maia_core.context import Context
from maia_core.errors import MaiaError, MendableError, RunError, ToolError, did_you_mean, one_line
from maia_core.events import NOTHING, Effects, HostCall
from maia_core.image import Image, content_id
from maia_core.journal import Journal
from maia_core.protocols import system_methods
from maia_core.text import redacted
from maia_core.types import SystemRef

MAX_FAULTY = 3
"""Programs in which a part may fail by a fault of its own, without a success in between, before the run ends.

Programs that do not call the part do not count, and a resumed run counts from zero.
"""

NEURON_BATCH = 256
"""Most images that a system measures at once."""

LONG = 10_000
"""Longest arguments of a refused call that are recorded, in characters."""


class ToolThread(Thread):
    """Carries out one call; nobody can end it."""


class ToolHost:
    """Carries out the calls of programs; implements `maia_core.protocols.Host`.

    Attributes:
        methods: Every name that may be called.
        properties: Those that are read without a call.
        number: Number of the present program in the run: the turn.
    """

    def __init__(
        self,
        context: Context,
        tools: Mapping[str, Callable[..., Any]],
        journal: Journal | None = None,
        on_call: Callable[[HostCall, bool], object] = lambda call, repeated: None,
        used_up: Callable[[], str] = lambda: "",
    ) -> None:
        """Makes the host of a run.

        Args:
            context: The run's parts.
            tools: The tools by the names under which programs call them.
            journal: Where calls are recorded; recorded ones are answered from it. None: nowhere.
            on_call: Told of every call when it has ended, and whether it was repeated from the record.
            used_up: Says which budget of the run is used up; then only tools that are free are called.
        """
        self._context = context
        self._journal = journal or Journal()
        self._on_call = on_call
        self._used_up = used_up
        offered = {f"system.{name}": getattr(context.system, name) for name in system_methods(context.system)}
        if "system.neuron" in offered:
            offered["system.neuron"] = _in_batches(offered["system.neuron"], context)
        self._raw = offered | {f"tools.{name}": tool for name, tool in tools.items()}
        self._functions = {name: checked(name, function) for name, function in self._raw.items()}
        self._functions["system.info"] = lambda: context.system.info.model_dump(mode="json")
        self.methods = frozenset(self._functions)
        self.properties = frozenset(
            ["system.info"] + [name for name, function in self._raw.items() if getattr(function, "is_property", False)]
        )
        self._faulty: dict[str, set[int]] = {}  # By method: the programs in which it failed, since it worked last.
        self.begin(0)

    def begin(self, number: int) -> None:
        """Prepares for the program of a turn."""
        self.number = number
        self._order = 0

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See `maia_core.protocols.Host`."""
        if method not in self._functions:
            raise ToolError(f"there is no {method}.{did_you_mean(method, self.methods)}")
        arguments = to_json({"args": list(args), "kwargs": dict(kwargs)})
        digest = content_id(method.encode(), json.dumps(arguments, sort_keys=True).encode())
        made = HostCall(turn=self.number, order=self._order, method=method, arguments_hash=digest, arguments=arguments)
        self._order += 1
        results: list[Any] = []
        with self._context.collect() as effects:  # They are applied also where an error ends the run: costs count.
            try:
                make = functools.partial(self._carry_out, made, args, kwargs, effects, results)
                call = self._journal.once(HostCall, make, like=made)
            except ToolError as mistake:  # The record has no room for the call.
                effects.discard()
                refused = made.model_copy(update={"arguments": NOTHING, "error": str(mistake), "effects": effects})
                call = self._journal.repeat(refused)
            repeated = call.effects is not effects
            if repeated:
                effects.add(call.effects)
        self._on_call(call, repeated)
        if call.error:
            raise ToolError(call.error)
        # As a resumed run has it; the pixels are on disk.
        return results[0] if self._context.images is None else from_json(call.result, self._context.images)

    def repeat(self, call: HostCall) -> None:
        """Applies the effects of a recorded call of a program that does not run again."""
        self._context.apply(call.effects)
        self._on_call(call, True)

    def _carry_out(
        self, call: HostCall, args: Sequence[Any], kwargs: Mapping[str, Any], effects: Effects, results: list[Any]
    ) -> HostCall:
        """Carries out a call and returns it as it is recorded, and adds its result to `results`.

        A call that fails has no effects, and long arguments of it are not recorded.
        """
        method, error = call.method, ""
        # Measured activations can be logged whichever budget is used up.
        reason = "" if getattr(self._raw.get(method), "is_free", False) else self._used_up()
        started = time.perf_counter()
        result: Any = None
        plain: JsonValue = None
        try:
            if reason:
                raise ToolError(reason)
            result = self._in_time(method, list(map(self._real, args)), {k: self._real(v) for k, v in kwargs.items()})
            plain = to_json(result)
        except MendableError as mistake:
            error = redacted(str(mistake))
        except MaiaError:
            raise
        except Exception as failure:
            error = self._fault(method, failure)
        else:
            self._faulty.pop(method, None)
        results.append(result)
        update = {"result": plain, "error": error, "effects": effects, "seconds": time.perf_counter() - started}
        if error:
            effects.discard()
            if len(str(call.arguments)) > LONG:
                return call.model_copy(update={**update, "arguments": NOTHING})
        return call.model_copy(update={**update, "images": tuple(images_of([args, kwargs, result]))})

    def _fault(self, method: str, failure: Exception) -> str:
        """Returns what a program reads of a part's own fault: its text may name files, so only the record has it.

        Raises:
            RunError: the part failed in several programs since it worked last.
        """
        system = self._context.config.system
        kinds: tuple[str, ...] = ("tool",)
        name = method.removeprefix("tools.")
        if method.startswith("system."):
            kinds, name = ("system", "model"), system.name.partition(":")[0].partition("/")[0] if system else ""
        registry = self._context.registry
        named = (plugin.label for plugin in registry.plugins if plugin.kind in kinds and plugin.name == name)
        part = registry.culprit(failure) or next(named, method)
        self._journal.note(f"{part} failed in {method}: {traceback.format_exc()}")
        programs = self._faulty.setdefault(method, set())
        programs.add(self.number)
        if len(programs) >= MAX_FAULTY:
            raise RunError(f"{part} failed in {len(programs)} programs that called it: {method}: {one_line(failure)}")
        return f"{method} failed ({type(failure).__name__}): this is a fault of {part}, not of your program"

    def _in_time(self, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls a tool in a thread of its own, so that one that hangs ends the run and not the patience of a user."""
        outcome: Future[Any] = Future()

        def work() -> None:
            try:
                outcome.set_result(self._functions[method](*args, **kwargs))
            except SystemExit:
                outcome.set_exception(RuntimeError("the tool tried to end the process"))
            except BaseException as error:
                outcome.set_exception(error)

        seconds = self._context.config.limits.call_seconds
        thread = ToolThread(target=copy_context().run, args=(work,), daemon=True, name=method)
        thread.start()
        try:
            return outcome.result(seconds)
        except TimeoutError:
            if outcome.done():
                raise
            self._context.disown(thread)
            raise RunError(f"{method} did not end within {seconds:g} seconds (limits.call_seconds)") from None

    def _real(self, value: Any) -> Any:
        return self._context.system if isinstance(value, SystemRef) else value


def _in_batches(neuron: Callable[..., Any], context: Context) -> Callable[..., Any]:
    """Wraps a system's method so that memory stays bounded: equal images are measured once, and a batch at a time."""

    @functools.wraps(neuron)
    def measure(images: Sequence[Image], *rest: Any, **named: Any) -> tuple[list[float], list[Image]]:
        results: dict[Image, tuple[float, Image]] = {}
        different = list(dict.fromkeys(images))
        for start in range(0, len(different), NEURON_BATCH):
            batch = different[start : start + NEURON_BATCH]
            activations, masked = neuron(batch, *rest, **named)
            if not len(activations) == len(masked) == len(batch):
                raise ValueError(f"{len(activations)} activations and {len(masked)} masks of {len(batch)} images")
            if wrong := [value for value in activations if not math.isfinite(value)]:
                raise ValueError(f"{len(wrong)} activations of {len(batch)} are not finite")
            masked = [context.images.on_disk(image) for image in masked] if context.images else masked
            results |= zip(batch, zip(activations, masked, strict=True), strict=True)
        return [results[image][0] for image in images], [results[image][1] for image in images]

    return measure
