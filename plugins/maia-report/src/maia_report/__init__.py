"""Makes one self-contained HTML page of a run, or its picture sheets, from its record alone."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report", "write_sheets"]


def write_report(run_folder: Path, out: Path | None = None) -> Path:
    """Writes the report of a run that has ended, was killed or still runs.

    Args:
        run_folder: The run folder; nothing in it is trusted.
        out: The file to write, replaced if it exists; `report.html` in the run folder where it is None.

    Returns:
        The file that was written.

    Raises:
        RecordError: `run_folder` is not a run folder, or `out` cannot be written.
    """
    # The parts that read and draw are imported here: the command line loads this package to list its commands.
    from maia_report.page import render_run, write_page

    return write_page(out or run_folder / "report.html", render_run(run_folder))


def write_sheets(run_folder: Path, folder: Path) -> list[Path]:
    """Writes one picture sheet (PNG) per experiment of a run; see `maia_report.sheets.write_sheets`."""
    from maia_report import sheets

    return sheets.write_sheets(run_folder, folder)
