"""One tree of errors, split by who can fix them.

The backbone gets the text of a `MendableError`. Every other `MaiaError` ends the run (or the command) with one line
that names the fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


class MaiaError(Exception):
    """Root of every error that MAIA raises on purpose; its text is one line that says what to change."""

    exit_code = 2


class UsageError(MaiaError):
    """The user's input cannot be used: a wrong name, value, file or option."""


class UnreadableImage(UsageError):
    """A file of a data set is not an image, or is broken: MAIA counts, skips and names it."""


class PluginError(MaiaError):
    """A plugin is missing, broken, ambiguous or made for another core."""


class RecordError(MaiaError):
    """A run folder cannot be written, or is incomplete or damaged."""


class RunInUse(RecordError):
    """Another process is writing the run folder."""


class RunError(MaiaError):
    """A part that the backbone cannot influence failed: this run ends, the other runs of a sweep continue."""

    exit_code = 1


class BackboneError(RunError):
    """The backbone gave no usable reply after every retry."""


class BackboneBusy(BackboneError):
    """A temporary failure (time-out, rate limit, dropped connection): the same call may succeed later.

    Attributes:
        retry_after: Seconds that the server asks to wait; None if the server names no time.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ContextTooLong(BackboneError):
    """The conversation does not fit the model's context window: the loop sends a shorter one."""


class SandboxError(RunError):
    """No sandbox can run programs here, or the sandbox itself failed."""


class MendableError(MaiaError):
    """A mistake that the backbone can fix: the backbone is shown the text."""


class ToolError(MendableError):
    """A tool or a system refuses its arguments; the text says what it accepts."""


class ReplyError(MendableError):
    """The backbone's reply does not have the requested form; the text says what was expected."""


def with_results(error: E, results: Mapping[int, Any]) -> E:
    """Returns the error with the results of those items of a call that did not fail, so that a cache keeps them.

    Args:
        error: What an engine is about to raise.
        results: By position in the call: (image, warning) of a generator or an editor, the text of a describer.
    """
    vars(error)["results"] = dict(results)
    return error


def results_of(error: BaseException) -> dict[int, Any]:
    """Returns the results that `with_results` added to an error; none where there are none."""
    return dict(vars(error).get("results", {}))


def did_you_mean(name: str, known: Iterable[str], limit: int = 3) -> str:
    """Returns `" Did you mean 'a' or 'b'?"` for the known names nearest to `name`, or an empty string."""
    from difflib import get_close_matches

    lowered = {k.lower(): k for k in known}
    near = [lowered[k] for k in get_close_matches(name.lower()[:200], lowered, n=limit, cutoff=0.5)]
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def one_line(error: BaseException) -> str:
    """Returns `TypeName: message` of an error on a single line, or the message alone for a `MaiaError`."""
    name = "" if isinstance(error, MaiaError) else type(error).__name__
    return ": ".join(filter(None, [name, " ".join(str(error).split())]))
