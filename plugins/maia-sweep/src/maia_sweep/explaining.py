"""Carries out a sweep from a configuration: the plan, the stages, the limits, and what the user sees of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import JsonValue

from maia_core.plugin import MANIFEST, Context, RunConfig, Runner, UsageError, content_id, dumped
from maia_runs import folder_name
from maia_sweep.displays import Display
from maia_sweep.drivers import AgentWorker, Driver
from maia_sweep.leases import Leases
from maia_sweep.ledgers import Ledger, SweepLimits
from maia_sweep.plans import Plan, begin, save, writing
from maia_sweep.stages import FirstWorker, Rule, chosen
from maia_sweep.status_command import duration
from maia_sweep.sweeping import Explain, system_of
from maia_sweep.tables import AGENT, FIRST, Row
from maia_sweep.units import Found, Selection, find_units

FORECAST_AFTER = 5
"""Units of the agent after which the time and the money left are estimated."""


class Choices(NamedTuple):
    """What a user chooses beside the configuration of the runs.

    Attributes:
        out: The folder of the sweep.
        selection: Which units.
        shard: Which part of them, as number and count.
        first: The cheap explainer of the first stage with its options; None: the agent explains all units.
        take: Number of units that the agent takes after it; None: all.
        rule: Which units it takes.
        images: Number of held-out images for the scores.
        limits: What the sweep may use.
        hours: Time after which this command starts no further unit.
        confirm_cost: US dollars of a forecast above which the user is asked.
        confirm_hours: Hours of a forecast above which the user is asked.
        without: Names of installed observers to leave out.
    """

    out: Path
    selection: Selection
    shard: tuple[int, int] | None = None
    first: dict[str, JsonValue] | None = None
    take: int | None = None
    rule: Rule = "worst"
    images: int = 200
    limits: SweepLimits = SweepLimits()
    hours: float | None = None
    confirm_cost: float | None = None
    confirm_hours: float | None = None
    without: tuple[str, ...] = ()


class Result(NamedTuple):
    """How a sweep ended.

    Attributes:
        units: Number of units of this command, with those that do not exist.
        answered: Units with a label.
        reason: Why units are left, such as a limit; empty where none is.
    """

    units: int
    answered: int
    reason: str


def explain_units(
    config: RunConfig,
    choices: Choices,
    display: Display,
    confirm: Callable[[str], bool],
    runner: Runner | None = None,
) -> Result:
    """Explains the units of a sweep, in one or two stages; what an earlier command has done is not repeated.

    Args:
        config: The configuration of every run, but for the unit.
        choices: The units, the folder and the limits.
        display: Shows how it gets on.
        confirm: Asks the user whether to continue.
        runner: Spreads the units over workers; this process explains them one by one where it is None.

    Raises:
        UsageError: no unit is chosen, the folder holds something else, or the user did not confirm the forecast.
        RecordError: the folder cannot be written.
    """
    out = choices.out
    plan = begin(out, config, choices.first)
    if choices.first is not None:
        name = str(choices.first["name"])
        Context(config).registry.get("explainer", name)
    ledger = Ledger(out, choices.limits)
    explain = Explain(config, out, choices.without, ledger=ledger)
    found = None
    if choices.selection.chosen and not plan.has(choices.selection):
        # Workers have models of their own; this process, which then needs none, forgets the one that it looked at.
        context = explain.context if runner is None else Context(config)
        context.warn_to(display.note)  # No run has begun that could record them.
        found = find_units(choices.selection, context, lambda word: system_of(config, word).options, display.progress)
        del context
    if found is None and not plan.units:
        raise UsageError(f"no unit is chosen, and {out} does not hold a sweep; name units or pass --units FILE")
    with Leases(out) as leases:
        if problem := ledger.begin():
            display.note(problem)
        plan = _saved(config, choices, found, leases)
        units = list(plan.shard(*choices.shard) if choices.shard else plan.units)
        _introduce(plan, units, display)
        stages = _Stages(choices, plan, Driver(out, leases), explain, display, confirm, runner)
        try:
            stages.run(units)
        finally:
            stages.driver.table.export()
    stages.driver.table.ended(AGENT)
    answered = len(stages.driver.table.answered & set(units))
    return Result(len(units) + len(plan.missing), answered, stages.reason())


def _saved(config: RunConfig, choices: Choices, found: Found | None, leases: Leases) -> Plan:
    """Adds the units that were found to the plan in the folder, which another driver may have changed meanwhile.

    Raises:
        UsageError: another driver began a sweep of another configuration meanwhile.
    """
    with writing(choices.out, leases):
        plan = before = begin(choices.out, config, choices.first)
        if found is not None and not plan.has(choices.selection):
            plan = plan.with_units(choices.selection, found)
        plan = plan.model_copy(update={"take": choices.take})
        if plan != before or found is not None:
            save(choices.out, plan)
    return plan


def _introduce(plan: Plan, units: Sequence[str], display: Display) -> None:
    """Says which units are left out."""
    if len(units) < len(plan.units):
        display.note(f"this shard has {len(units)} of {len(plan.units)} units")
    if plan.inactive:
        display.note(f"{plan.inactive} units are never active on the data set and are left out")
    if plan.dense:
        display.note(f"{plan.dense} dense latents, active at most positions, are left out")
    for word, why in list(plan.missing.items())[:10]:
        display.note(f"left out: {word}: {why}")
    if len(plan.missing) > 10:
        display.note(f"left out: {len(plan.missing) - 10} more that do not exist")


class _Stages:
    """Runs the stages of one command.

    Attributes:
        driver: Hands out the units.
    """

    def __init__(
        self,
        choices: Choices,
        plan: Plan,
        driver: Driver,
        explain: Explain,
        display: Display,
        confirm: Callable[[str], bool],
        runner: Runner | None,
    ) -> None:
        self.driver = driver
        self._choices, self._plan, self._explain = choices, plan, explain
        self._display, self._confirm, self._runner = display, confirm, runner
        self._began = time.monotonic()
        self._config = content_id(dumped(plan.config, sort_keys=True).encode())

    def reason(self) -> str:
        """Returns why no further unit is started; empty if one may be."""
        hours = self._choices.hours
        if hours is not None and time.monotonic() - self._began >= hours * 3600:
            return f"the command has run for {hours:g} hours (--max-hours)"
        assert self._explain.ledger is not None
        return self._explain.ledger.used_up()

    def run(self, units: Sequence[str]) -> None:
        """Runs the first stage, if there is one, and then the agent."""
        if self._choices.first is not None:
            worker = FirstWorker(self._explain, self._choices.first, self._choices.images, self._config)
            self._stage(FIRST, units, worker)
            units = self._taken(units)
            if self.reason():
                return
        agent = AgentWorker(self._explain, self._choices.images, self._config)
        self._stage(AGENT, units, agent)

    def _taken(self, units: Sequence[str]) -> list[str]:
        """Returns the units that the agent takes, by the rule."""
        among = set(units)
        rows = [row for row in self.driver.table.newest(FIRST) if row.unit in among]
        begun = {row.unit for row in self.driver.table.newest(AGENT)}
        begun |= {row.unit for row in rows if (self.driver.folder / folder_name(row.unit) / MANIFEST).exists()}
        return chosen(self._choices.rule, rows, self._choices.take, self._explain.run_config.seed, begun)

    def _stage(self, stage: str, units: Sequence[str], worker: Callable[[str], Row]) -> None:
        ended = self.driver.table.ended(stage)
        left = sum(unit not in ended for unit in units)
        name = str(self._choices.first["name"]) if stage == FIRST and self._choices.first else "the agent"
        if len(units) - left:
            self._display.note(f"{len(units) - left} of {len(units)} units have ended before ({name})")
        if not left:
            return
        self._display.begin(name, left)
        started, spent = time.monotonic(), self._explain.ledger.state.cost if self._explain.ledger else 0.0
        options: dict[str, Any] = {"stage": stage, "runner": self._runner, "may_start": lambda: not self.reason()}
        with closing(self.driver.explain(units, worker, **options)) as rows:  # An error ends the workers at once.
            for number, row in enumerate(rows, 1):
                self._display.row(row)
                if number == FORECAST_AFTER and stage == AGENT and left > number:
                    assert self._explain.ledger is not None
                    share = (left - number) / number
                    self._forecast(
                        left - number,
                        share * (time.monotonic() - started),
                        share * (self._explain.ledger.state.cost - spent),
                    )

    def _forecast(self, units: int, seconds: float, cost: float) -> None:
        """Says what the other units will take, and asks where that is much.

        Raises:
            UsageError: the user did not confirm.
        """
        text = f"forecast: {units} more units take about {duration(seconds)} and ${cost:,.2f}"
        self._display.note(text)
        most_cost, most_hours = self._choices.confirm_cost, self._choices.confirm_hours
        much = (most_cost is not None and cost > most_cost) or (most_hours is not None and seconds > most_hours * 3600)
        if much and not self._confirm(f"{text}. Continue?"):
            raise UsageError(f"{text}, above --confirm-above; raise it and run the command again to resume")
