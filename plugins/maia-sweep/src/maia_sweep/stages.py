"""The two stages of a sweep: a cheap explainer labels all units, the agent takes those that a rule chooses."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
from pydantic import JsonValue

from maia_cli import option_value
from maia_core.plugin import Context, Explanation, PluginRef, UsageError, dumped, one_line
from maia_sweep.pacing import SweepPaused
from maia_sweep.scoring import Scorer
from maia_sweep.sweeping import Explain, system_of
from maia_sweep.tables import FIRST, PAUSED, Row

Rule = Literal["worst", "polysemous", "random"]


def explainer_ref(text: str) -> PluginRef:
    """Reads `NAME` or `NAME:KEY=VALUE,KEY=VALUE`.

    Raises:
        UsageError: it is neither.
    """
    name, _, options = text.partition(":")
    if not name:
        raise UsageError(f"--first takes NAME or NAME:KEY=VALUE,..., not '{text[:80]}'")
    return PluginRef(name=name, **dict(option_value(part) for part in options.split(",") if part))


class FirstWorker:
    """Has a cheap explainer label a unit, and scores the label: what a runner maps over units.

    Attributes:
        explain: Has the parts of the process.
        first: The explainer.
        images: Number of held-out images for the score.
        config: Hash of the configuration.
        folder: As in `Explain`.
        run_config: As in `Explain`.
        plugins: Kind and name of the plugin that every worker needs beside those of the configuration.
    """

    def __init__(self, explain: Explain, first: dict[str, JsonValue], images: int, config: str) -> None:
        self.explain = explain
        self.first = first
        self.images = images
        self.config = config
        self.folder, self.run_config = explain.folder, explain.run_config
        self.plugins = (("explainer", str(first["name"])),)
        self._scorer: Scorer | None = None

    def __call__(self, unit: str) -> Row:
        context, name = self.explain.context, str(self.first["name"])
        started = time.monotonic()
        context.restart(system_of(self.explain.run_config, unit))
        row = Row(unit=unit, stage=FIRST, explainer=name, config=self.config, seed=context.seed)
        try:
            options = {key: value for key, value in self.first.items() if key != "name"}
            found: Explanation = context.build("explainer", name, **options).explain(context.system, context)
            self._scorer = self._scorer or Scorer(context, self.images)
            figures = self._scorer.scores(context.system, found)
            figures["polysemy"] = self._scorer.polysemy(context.system)
        except Exception as error:  # Also a plugin's own mistake: the other units continue.
            return row.model_copy(update=_used(context, started) | {"error": one_line(error)})
        except SweepPaused as paused:
            return row.model_copy(update={"status": PAUSED, "error": str(paused)})
        finally:
            if self.explain.ledger is not None:
                self.explain.ledger.spend(context.spent)
        figures |= _used(context, started) | {
            "status": "answered" if found.labels else "stopped",
            "label": found.line,
            "error": "" if found.labels else f"it gave no label: {found.description[:200]}",
            "fingerprints": dumped(context.fingerprints(), sort_keys=True),
        }
        return row.model_copy(update=figures)


def _used(context: Context, started: float) -> dict[str, object]:
    return {
        "cost": context.spent.cost,
        "tokens": context.spent.tokens,
        "seconds": time.monotonic() - started,
    }


def chosen(rule: Rule, rows: Sequence[Row], count: int | None, seed: int, begun: Collection[str] = ()) -> list[str]:
    """Returns the units that the agent explains, the most urgent first.

    Args:
        rule: `worst`: lowest correlation first; units whose label could not be scored come before all. `polysemous`:
            those first whose exemplars have least in common. `random`: by seed.
        rows: The rows of the first stage.
        count: Number of units; None: all.
        seed: Random seed.
        begun: Units that the agent has taken before: they count and come first.
    """
    ordered = sorted(rows, key=lambda row: row.unit)
    if rule == "random":
        ordered = [ordered[place] for place in np.random.default_rng([seed, len(ordered)]).permutation(len(ordered))]
    elif rule == "worst":
        ordered.sort(key=lambda row: -2.0 if row.pearson is None else row.pearson)
    else:
        ordered.sort(key=lambda row: 0.0 if row.polysemy is None else -row.polysemy)
    ordered.sort(key=lambda row: row.unit not in begun)
    return [row.unit for row in ordered[:count]]
