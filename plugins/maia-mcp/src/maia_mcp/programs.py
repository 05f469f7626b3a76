"""The program that a client's single call stands for, and the images that a client can name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from maia_core.plugin import (
    Event,
    Executed,
    HostCall,
    Image,
    ImageStore,
    Logged,
    Message,
    MessageAdded,
    ProgramStarted,
    ToolError,
    from_json,
)
from maia_mcp.api import Method

ID = 12
"""Hexadecimal digits of an image's id that a client sees and passes."""

MAX_ARGUMENTS = 200_000
"""Longest arguments of one call, in characters of Python."""

_ID = re.compile(rf"[0-9a-f]{{{ID}}}")
_SINGLE = re.compile(r"\Adef run_experiment\(system, tools\):\n(?:    logged = .*\n)?    global (result_\d+)\n")


def short(image: Image) -> str:
    """Returns the id by which a client names an image."""
    return image.id[:ID]


class ImageIndex:
    """The images of a run that a client has seen, and how a program reaches each.

    It is a fold over the events of the run, so that a resumed run has the same index.

    Attributes:
        images: Every image by its short id.
        activations: Measured activations by short id.
        logged: The logged results, oldest first.
        variable: The variable that holds the result of the last program, if that made a single call.
    """

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.activations: dict[str, float] = {}
        self._paths: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self.logged: list[Logged] = []
        self.variable = ""

    def take(self, event: Event, store: ImageStore) -> None:
        """Takes the next event of the run."""
        match event:
            case ProgramStarted():
                single = _SINGLE.match(event.program)
                self.variable = single[1] if single else ""
            case HostCall():
                self._take_call(event, store)
            case Executed():
                if event.execution.variables_lost:
                    self._paths.clear()
                if event.execution.error:
                    self.variable = ""
            case MessageAdded():
                self.show(event.message)

    def show(self, message: Message) -> None:
        """Takes the images of a message that the client gets."""
        self.images.update((short(image), image) for image in message.images)

    def _take_call(self, call: HostCall, store: ImageStore) -> None:
        for entry in call.effects.logged:
            name = short(entry.image)
            self.activations[name] = entry.activation
            self._logged[name] = f'logged[{len(self.logged)}][{_text(entry.title)}]["image"]'
            self.logged.append(entry)
        if call.error or not self.variable or call.method == "tools.results":
            return
        value = from_json(call.result, store)
        for image, path in _images(value, self.variable):
            self.images[short(image)] = image
            self._paths[short(image)] = path
        match value:
            case [list(activations), list(images)]:
                for activation, image in zip(activations, images, strict=False):
                    if isinstance(activation, int | float) and isinstance(image, Image):
                        self.activations[short(image)] = float(activation)

    def expression(self, name: str) -> str:
        """Returns the Python expression by which a program reaches an image.

        Raises:
            ToolError: the run has no such image, or no variable holds it.
        """
        if name in self._paths:
            return self._paths[name]
        if name in self._logged:
            return self._logged[name]
        if name in self.images:
            raise ToolError(
                f"image {name} cannot be passed: a program showed it, and no result of a call holds it. Log it in "
                "that program, use it in run_program, or make it again"
            )
        raise ToolError(f"there is no image {name} in this run; the results of its calls name the images")


def program_of(method: Method, arguments: Mapping[str, Any], images: ImageIndex, number: int) -> str:
    """Returns the program that makes one call; its result stays in the variable `result_NUMBER`.

    Args:
        method: What is called.
        arguments: By the names of the method's parameters; an unknown one is passed on, so that the method refuses it.
        images: The images that the arguments may name.
        number: The turn.

    Raises:
        ToolError: an argument names an unknown image, or the arguments are too long.
    """
    passed = ["system"] if method.takes_system else []
    for name, value in arguments.items():
        parameter = method.parameters.get(name)
        literal = _literal(value, images if parameter is None or parameter.takes_images else None)
        variadic = parameter is not None and parameter.is_variadic
        if not name.isidentifier():
            raise ToolError(f"{method.path} has no argument {name!r:.80}")
        passed.append(f"*{literal}" if variadic else f"{name}={literal}")
    call = f"{method.path}({', '.join(passed)})"
    if len(call) > MAX_ARGUMENTS:
        raise ToolError(f"the arguments have {len(call):,} characters; at most {MAX_ARGUMENTS:,} can be passed")
    result = f"result_{number}"
    logged = ["logged = tools.results"] if "logged[" in call else []
    lines = [*logged, f"global {result}", f"{result} = {call}", f"return {result}"]
    return "def run_experiment(system, tools):\n" + "".join(f"    {line}\n" for line in lines)


def _literal(value: Any, images: ImageIndex | None) -> str:
    """Returns a JSON value as Python; the id of an image becomes the expression that reaches it."""
    if isinstance(value, list):
        return f"[{', '.join(_literal(item, images) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(key)}: {_literal(item, images)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        return images.expression(value) if images is not None and _ID.fullmatch(value) else _text(value)
    return repr(value) if value == value and abs(value or 0) != float("inf") else f"float('{value}')"


def _text(text: str) -> str:
    """Returns a string literal in which no tag, fence or end of a thought can stand."""
    return ascii(text).replace("<", "\\x3c").replace("`", "\\x60")


def _images(value: Any, path: str) -> Iterator[tuple[Image, str]]:
    """Yields every image in a value with the expression that reaches it."""
    if isinstance(value, Image):
        yield value, path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _images(item, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _images(item, f"{path}[{number}]")
