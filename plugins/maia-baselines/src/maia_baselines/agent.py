"""The explainer `agent`: MAIA's own loop, behind the same face as every baseline."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import JsonValue

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.errors import RunError, UsageError
from maia_core.launch import explain_in
from maia_core.protocols import System
from maia_core.types import Explanation, content_id


class Agent:
    """Runs the agent on the context's unit; a run that its folder holds already goes on, or is read."""

    class Config(PluginConfig):
        """Where runs are kept."""

        runs: str = ""
        """Folder of the runs, one folder a unit and configuration; the run's own `runs` if not set."""

    def __init__(self, config: Config, context: Context) -> None:
        self.config = config

    def explain(self, unit: System, context: Context) -> Explanation:
        """Explains the context's unit, which `unit` must be.

        Returns:
            The run's answer; `details` adds the run's folder, what fresh inputs said of the answer, and what it took.

        Raises:
            UsageError: `unit` is not the context's.
            RunError: the run ended without an answer; the message says why.
            RecordError: the folder holds a run that cannot go on.
        """
        if unit is not context.system:
            raise UsageError(f"the agent explains its context's unit, {context.system.info.ref}, not {unit.info.ref}")
        folder = Path(self.config.runs or context.config.runs) / folder_name(context)
        outcome = explain_in(context, folder).outcome
        if outcome.explanation is None:
            raise RunError(f"the run {folder} ended without an answer ({outcome.status}): {outcome.reason}")
        verdict: JsonValue = outcome.verdict.model_dump(mode="json", exclude={"probes"}) if outcome.verdict else None
        details: dict[str, JsonValue] = {
            "run": str(folder),
            "status": outcome.status,
            "verdict": verdict,
            "cost": outcome.usage.cost,
            "usage": outcome.usage.model_dump(mode="json"),
            "turns": outcome.turns,
            "seconds": outcome.seconds,
        }
        return outcome.explanation.model_copy(update={"details": {**outcome.explanation.details, **details}})


def folder_name(context: Context) -> str:
    """Returns the name of a run's folder: the unit's reference, and a hash of the whole configuration.

    So the same unit in another configuration (without verification, with another backbone) has a folder of its own.
    """
    reference = context.config.system.name if context.config.system else context.system.info.ref
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", reference).strip("-")[:80] or "unit"
    return f"{slug}-{content_id(context.config.model_dump_json().encode())[:12]}"
