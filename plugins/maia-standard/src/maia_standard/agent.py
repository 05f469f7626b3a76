"""The explainer `agent`: MAIA's own loop, behind the same face as every baseline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from maia_core.plugin import (
    Context,
    Executed,
    Explanation,
    HostCall,
    PluginConfig,
    Replied,
    RunContext,
    RunOutcome,
    RunReader,
    System,
    Usage,
    UsageError,
    Verified,
    content_id,
    parse_reply,
)
from maia_runs import explain_in


class Agent:
    """Runs the agent on the context's unit; a run that its folder holds already goes on, or is read."""

    class Config(PluginConfig):
        """Where runs are kept."""

        runs: str = ""
        """Folder of the runs, one folder a unit and configuration; the run's own `runs` if not set."""
        answer: Literal["final", "first"] = "final"
        """Which answer of the run: the one that it ends with, or its first, as it stood before verification tested it.
        The first one is in the record of the same run, so both cost one run and rest on the same experiments."""
        strengths: bool = True
        """State how strongly each label drives the unit, as the answer does; false: all alike."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains the context's unit, which `unit` must be.

        Returns:
            The run's answer; `details` adds the run's folder, what fresh inputs said of the answer, and what it took.
            Of a run that ended without an answer there are no labels, and the description says why.

        Raises:
            UsageError: `unit` is not the context's.
            RecordError: the folder holds a run that cannot go on.
        """
        if unit is not context.system:
            raise UsageError(f"the agent explains its context's unit, {context.system.info.ref}, not {unit.info.ref}")
        assert isinstance(context, Context)  # A run is made of the concrete class.
        folder = Path(self.config.runs or context.config.runs) / folder_name(context)
        outcome = explain_in(context, folder).outcome
        if self.config.answer == "first":
            outcome = before_tests(RunReader(folder), outcome, context)
        verdict: JsonValue = outcome.verdict.model_dump(mode="json", exclude={"probes"}) if outcome.verdict else None
        details: dict[str, JsonValue] = {
            "run": str(folder),
            "status": outcome.status,
            "verdict": verdict,
            "usage": outcome.usage.model_dump(mode="json"),
            "turns": outcome.turns,
            "seconds": outcome.seconds,
        }
        # No error where there is no answer: what the run took, and how it was conducted, counts all the same.
        why = f"the run {folder} ended without an answer ({outcome.status}): {outcome.reason}"
        said = outcome.explanation or Explanation(description=why, labels=())
        strengths = said.strengths if self.config.strengths else ()
        return said.model_copy(update={"strengths": strengths, "details": {**said.details, **details}})


def before_tests(record: RunReader, outcome: RunOutcome, context: RunContext) -> RunOutcome:
    """Returns how a run would have ended if its first answer had not been tested; `outcome` where none was."""
    tests = record.of_type(Verified)
    if not tests:
        return outcome
    last, task = tests[0].turn, context.part("task")
    replies = [event for event in record.of_type(Replied) if event.turn <= last]
    programs = [event for event in record.of_type(Executed) if event.turn <= last]
    calls = [event for event in record.of_type(HostCall) if event.turn <= last]
    answer = task.parse(parse_reply(replies[-1].reply.text, task.tags).sections)
    return RunOutcome(
        status="answered",
        answer=answer.model_dump(mode="json"),
        explanation=task.explanation(answer),
        turns=last,
        usage=sum(
            (event.effects.usage for event in calls),
            sum((event.reply.usage + event.engines for event in replies), Usage()),
        ),
        seconds=sum(event.seconds for event in replies) + sum(event.execution.seconds for event in programs),
    )


def folder_name(context: RunContext) -> str:
    """Returns the name of a run's folder: the unit's reference, and a hash of the whole configuration.

    So the same unit in another configuration (without verification, with another backbone) has a folder of its own.
    """
    reference = context.config.system.name if context.config.system else context.system.info.ref
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", reference).strip("-")[:80] or "unit"
    return f"{slug}-{content_id(context.config.model_dump_json().encode())[:12]}"
