"""Writes the report when a run has ended."""

from __future__ import annotations

from maia_core.plugin import RunSession, hookimpl, one_line


@hookimpl
def run_finished(session: RunSession) -> str | None:
    """Writes `report.html` into the run folder; returns a line that says where it is, or why there is none."""
    if session.folder is None:
        return None
    from maia_report import write_report

    try:
        return f"report: {write_report(session.folder)}"
    except Exception as error:  # The answer must not be lost over it.
        return f"no report: {one_line(error)}"
