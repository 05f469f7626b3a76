"""What a server is told to do: answers, the provider's own failures, and troubles on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from servers.base import Received


@dataclass(frozen=True)
class Answer:
    """What the model says.

    Attributes:
        text: The reply; None: a reply without content (`null` in OpenAI's format, no parts in the others).
        reasoning: What it thought before, in the provider's own form.
        stop: Why it stopped. A text that does not fit the request's limit of tokens is cut and stops by "length".
    """

    text: str | None = "An answer."
    reasoning: str = ""
    stop: Literal["end", "length", "refusal", "tool"] = "end"


@dataclass(frozen=True)
class Drawing:
    """What the image model draws: by default a picture that depends on the prompt.

    Attributes:
        data: The bytes of the file; None: a PNG of the size that was asked for.
        url: Send an address and no bytes.
        revised_prompt: What the service says that it drew; None: the provider's habit.
    """

    data: bytes | None = None
    url: str = ""
    revised_prompt: str | None = None


FailureKind: TypeAlias = Literal[
    "unauthorized",
    "forbidden",
    "unknown-model",
    "rate-limit",
    "quota",
    "server-error",
    "bad-gateway",
    "unavailable",
    "overloaded",
    "context",
    "policy",
    "too-large",
]


@dataclass(frozen=True)
class Failure:
    """A failure that the service reports in its own form.

    Attributes:
        kind: What failed.
        retry_after: The header of that name: seconds, or an HTTP date.
    """

    kind: FailureKind
    retry_after: str = ""


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong outside of the service's own protocol.

    Attributes:
        kind: `slow` answers after `seconds`; `hang` never does; `cut` drops the connection in the middle of the body;
            `invalid-json` sends half a document as if it were whole; `empty` sends no choices, candidates or blocks;
            `html` is a proxy's page with status 200; `huge` is a body of `size` bytes; `redirect` sends to `to`.
        seconds: How late a slow answer is.
        size: Bytes of a huge body.
        to: Where a redirect points, without the path.
        status: Status of an `html` page or of a redirect.
    """

    kind: Literal["slow", "hang", "cut", "invalid-json", "empty", "html", "huge", "redirect"]
    seconds: float = 1.0
    size: int = 64 * 2**20
    to: str = ""
    status: int = 0


Step: TypeAlias = str | Answer | Drawing | Failure | Trouble
Script: TypeAlias = Step | Iterable[Step] | Callable[["Received"], Step]


class EndOfScript(Exception):
    """More requests came than the script has steps."""


def player(script: Script) -> Callable[[Received], Step]:
    """Returns what gives the next step: a single step is given always, those of a list once each.

    A function is called from several threads at once where several requests are under way.
    """
    if isinstance(script, str | Answer | Drawing | Failure | Trouble):
        return lambda request: script
    if callable(script):
        return script
    steps: Iterator[Step] = iter(script)
    lock = threading.Lock()

    def play(request: Received) -> Step:
        try:
            with lock:
                return next(steps)
        except StopIteration:
            raise EndOfScript("the script of this server has no further step") from None

    return play
