"""Names the part of a run that is running now."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import FrameType

WORK = {
    ("maia_core.agent", "_call"): "asking the backbone",
    ("maia_core.session", "execute"): "running the program",
    ("maia_core.verification", "test"): "testing the answer",
    ("maia_verify.fresh", "measure"): "testing the answer: making and measuring images",
    ("maia_verify.fresh", "edit"): "testing the answer: editing images",
    ("maia_verify.prediction", "predict"): "testing the answer: predicting images",
    ("maia_runs.launch", "_build"): "building the parts",
}
"""Function of the core to the work that it does."""


def running_part() -> str:
    """Returns the work of this process now: the call of a tool, a part that is built, or a step of the run.

    It reads the stacks of the threads, so no part has to announce its steps, and a part that hangs is named too.
    """
    frames = sys._current_frames()
    stack = list(_outwards(frames.get(threading.main_thread().ident or 0)))
    if any(frame.f_globals.get("__name__") == "maia_core.host" for frame in stack):  # It waits for the newest call.
        for thread in [thread for thread in threading.enumerate() if type(thread).__name__ == "ToolThread"][-1:]:
            return next(filter(None, map(_work, _outwards(frames.get(thread.ident or 0)))), thread.name)
    return next(filter(None, map(_work, stack)), "working")


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _work(frame: FrameType) -> str:
    module, function = frame.f_globals.get("__name__", ""), frame.f_code.co_name
    if (module, function) == ("maia_core.registry", "build"):
        return f"building the {frame.f_locals.get('kind')} {frame.f_locals.get('name')}"
    return WORK.get((module, function), "")
