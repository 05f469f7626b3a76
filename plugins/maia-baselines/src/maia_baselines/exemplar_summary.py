"""The explainer `exemplar-summary`: what a describer says that a unit's masked exemplars have in common."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from maia_baselines import summaries
from maia_baselines.never import never_active
from maia_core.plugin import Evidence, Explanation, PluginConfig, RunContext, System
from maia_exemplars import exemplar_source


class ExemplarSummary:
    """One pass of the run's describer over the exemplars, no experiment: a baseline in the manner of MILAN.

    MILAN (Hernandez et al., "Natural Language Descriptions of Deep Visual Features", ICLR 2022) captions such exemplars
    with a model that was trained for it.
    """

    class Config(PluginConfig):
        """Options of the summary."""

        exemplars: int = Field(15, gt=0)
        """How many of the highest images; 15 are what the agent sees."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config

    def explain(self, unit: System, context: RunContext) -> Explanation:
        """Explains one unit; `details` has the describer's words."""
        exemplars, statistics = exemplar_source(context, unit).exemplars(unit, self.config.exemplars)
        if statistics.quantiles[0] == statistics.quantiles[-1]:
            return never_active(unit, context.dataset)
        images = [exemplar.image.anonymous() for exemplar in exemplars]

        def describe() -> Sequence[str]:
            return context.describer.describe(images)

        summary = context.describer.summarize(images)
        label = summaries.label(summary, describe)
        activations = tuple(exemplar.activation for exemplar in exemplars)
        condition = f"the {len(exemplars)} highest images of {statistics.dataset}"
        return Explanation(
            description=f"What {condition} have in common: {summary}",
            labels=(label,) if label else (),
            evidence=(Evidence(condition=condition, activations=activations, expected="high"),),
            details={"summary": summary},
        )
