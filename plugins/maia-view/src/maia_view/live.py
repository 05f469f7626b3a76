"""Sends what a running run does as it happens, as server-sent events: what changed of its page, as HTML."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from maia_core.plugin import JOURNAL, MaiaError, RunReader, one_line
from maia_report.summary import RunSummary
from maia_view.library import RunFolder
from maia_view.pages import View, templates, view_of
from maia_view.reading import WHOLE, Part, turn_offsets
from maia_view.runs import run_content

PAUSE = 0.2
"""Seconds between two looks at a journal."""

HEARTBEAT = 15.0
"""Seconds after which a line without meaning shows that the connection stands."""

MAX_CONNECTIONS = 32
"""Most pages that follow runs at the same time."""


class Follower:
    """Follows one run for one page."""

    def __init__(self, view: View, run: RunFolder, after: int) -> None:
        """Reads the run.

        Args:
            view: What the pages are made from.
            run: The run.
            after: Offset in the journal up to which the page shows it already.

        Raises:
            RecordError: it is not a run folder any more, or is damaged.
        """
        self._view = view
        self._run = run
        turns, _ = turn_offsets(run.path / JOURNAL)
        begun = sum(offset < after for offset in turns)
        # Of a long run, only the turn that the page shows last is read again, and what follows.
        self._skipped = max(0, begun - 1) if run.size > WHOLE else 0
        start = turns[self._skipped] if self._skipped else 0
        self._reader = RunReader(run.path, start=start)
        self._sent = max(0, begun - 1 - self._skipped)
        self._shown_until = after

    @property
    def end(self) -> int:
        """Offset in the journal up to which the run was read."""
        return self._reader.end

    def changes(self) -> dict[str, Any] | None:
        """Returns what has changed since the last call; None where nothing has.

        Raises:
            RecordError: the folder is gone, or damaged.
        """
        self._reader.read_on()
        if self._reader.end <= self._shown_until:
            return None
        self._shown_until = self._reader.end
        summary = RunSummary(self._reader)
        for step in summary.steps:
            step.number += self._skipped
        part = Part(summary, 1, len(summary.steps), len(summary.steps), self._run.size)
        place = f"runs/{self._run.key}/"
        shown = self._view.variables(place) | run_content(self._view, self._run, part, place) | {"running": True}
        loaded = templates()
        changed = {
            f"turn-{step.number}": loaded.get_template("step.html.j2").render(shown, step=step)
            for step in summary.steps[self._sent :]
        }
        # The last turn may go on.
        self._sent = max(0, len(summary.steps) - 1)
        names = () if self._skipped else ("claim", "evidence")
        parts = {name: loaded.get_template(f"{name}.html.j2").render(shown) for name in names}
        return {"turns": changed, "ended": summary.outcome is not None} | parts


async def follow(request: Request) -> Response:
    """Answers with a stream of events; each has the offset in the journal behind it as its id."""
    view = view_of(request)
    run = view.library.find(request.path_params["key"])
    if run is None:
        return Response("this run is gone", 404, media_type="text/plain")
    if view.followers >= MAX_CONNECTIONS:
        return Response("too many pages follow runs", 503, media_type="text/plain")
    after = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    offset = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
    return StreamingResponse(_events(view, run, offset), media_type="text/event-stream")


async def _events(view: View, run: RunFolder, after: int) -> AsyncIterator[str]:
    view.followers += 1
    try:
        yield "retry: 1000\n\n"
        silent = 0.0
        follower = await anyio.to_thread.run_sync(Follower, view, run, after)
        while not view.is_stopping():
            changes = await anyio.to_thread.run_sync(follower.changes)
            if changes is not None:
                silent = 0.0
                yield f"id: {follower.end}\ndata: {json.dumps(changes)}\n\n"
                if changes["ended"]:
                    return
            elif silent >= HEARTBEAT:
                silent = 0.0
                yield ": still here\n\n"
            await anyio.sleep(PAUSE)
            silent += PAUSE
    except (MaiaError, OSError) as error:
        reason = "this run was removed" if run.is_gone else f"this run cannot be followed: {one_line(error)}"[:400]
        yield f"event: gone\ndata: {json.dumps({'reason': reason})}\n\n"
    finally:
        view.followers -= 1


ROUTES = [Route("/runs/{key}/live", follow)]
