"""An observer that adds a section to the prompt and writes down how runs end."""

import os
from pathlib import Path

from maia_core.plugin import RunOutcome, RunSession, hookimpl


class Notes:
    """Writes down how runs end."""

    @hookimpl
    def prompt_sections(self, session: RunSession) -> str:
        """Adds a section to the prompt."""
        return "Acme wishes you luck."

    @hookimpl
    def run_finished(self, session: RunSession, outcome: RunOutcome) -> None:
        """Writes down how the run ended."""
        if "ACME_NOTES" in os.environ:
            Path(os.environ["ACME_NOTES"]).write_text(f"{outcome.status} after {outcome.turns} turns")
