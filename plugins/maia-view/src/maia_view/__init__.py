"""Shows runs in a browser, live and side by side; in a notebook, `show` embeds the page of one run."""

from __future__ import annotations

from pathlib import Path

__all__ = ["EmbeddedRun", "show"]


class EmbeddedRun:
    """The page of a run, as a notebook shows it: in a frame of its own that may run its script and nothing else."""

    def __init__(self, page: str, height: int) -> None:
        self._page = page
        self._height = height

    def _repr_html_(self) -> str:
        from markupsafe import Markup

        frame = Markup('<iframe sandbox="allow-scripts" title="A run" width="100%" height="{}" srcdoc="{}"></iframe>')
        return str(frame.format(self._height, self._page))


def show(run: Path | str, height: int = 720) -> EmbeddedRun:
    """Returns the page of a run for a notebook, which needs no server.

    Args:
        run: The run folder; nothing in it is trusted.
        height: Height of the frame in pixels.

    Raises:
        RecordError: `run` is not a run folder.
    """
    from maia_report.page import render_run

    return EmbeddedRun(render_run(Path(run)), height)
