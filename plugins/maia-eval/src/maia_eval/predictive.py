"""The paper's predictive evaluation (section 4.1, Figure 3): does a label say which images activate the unit?

Per label a judge writes positive prompts, and as many neutral ones that show nothing of any label. The prompts of all
explainers go into one pool per unit. From the pool the judge picks, per label, the likeliest and the least likely ones.
A generator that no explainer used draws all images, and MAIA measures them. A good label has a high mean activation on
its likeliest prompts (+) and a low one on its least likely ones (-).

The headline is the correlation of the judge's predictions with the activations, and their average precision. They are
computed over the pool and prompts from the unit's exemplars, which contradict a label that leaves out something.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import QUANTILES, Data, Image, Judge, PluginRef, System, UnitStatistics, UsageError
from maia_eval.choices import all_specs
from maia_eval.explaining import Contexts, EvaluationPlan, Log, explain_all
from maia_eval.images import ImageClient
from maia_eval.reference import reference_prompts
from maia_eval.results import Explained, Fit, Folder, Scores, UnitResult
from maia_exemplars import exemplar_source
from maia_exemplars.held_out import HeldOutImages, measured
from maia_judges import NOTHING, joined, neutral_prompts
from maia_stats import auc, average_precision, pearson, standardised_difference

NEUTRAL, REFERENCE, LOW = "", "@exemplars", "@low "
"""Keys of the neutral prompts and of those from the exemplars, among the names of explainers; `LOW` begins the keys of
prompts that show nothing of one explainer's label."""

REFERENCES = 2
"""Prompts from the exemplars for each prompt of a label."""

MIN_LEVEL = 1e-6
"""A 95th percentile below this share of the highest activation is not a scale to divide by."""


@dataclass(frozen=True)
class Plan(EvaluationPlan):
    """A predictive evaluation.

    Attributes:
        generator: Makes the images; no explainer uses it.
        same_engine: Whether it is the explainers' own engine, with pictures and places that they never saw.
        real: Where held-out real images come from; None: there are none.
        prompts: Positive prompts per label, and neutral ones.
        samples: Images per prompt.
        images: Held-out real images.
    """

    generator: PluginRef
    same_engine: bool
    real: PluginRef | None
    prompts: int = 7
    samples: int = 2
    images: int = 200

    def settings(self) -> dict[str, object]:
        """Returns all that the figures depend on, for the record."""
        return super().settings() | {
            "generator": self.generator.model_dump(mode="json"),
            "same engine": self.same_engine,
            "real": self.real.model_dump(mode="json") if self.real else None,
            "prompts": self.prompts,
            "samples": self.samples,
            "images": self.images,
        }


class NothingDrawn(Exception):
    """The generator failed on all prompts of a unit, or all but one."""


class Written(Data):
    """Prompts by what they were written for."""

    prompts: dict[str, tuple[str, ...]]


def run(plan: Plan, folder: Folder, contexts: Contexts, log: Log) -> None:
    """Explains and scores what has not been yet.

    Raises:
        MaiaError: a part cannot be built, or a unit does not exist.
    """
    plan = replace(plan, specs=all_specs(folder.manifest.settings, plan.specs), units=folder.units)
    # Built first, so that an error about a part comes before hours of explaining.
    scorer = Scorer(plan, folder, contexts)
    explain_all(contexts, plan.specs, plan.units, folder, log)
    names = {each.alias for each in plan.specs}
    for number, unit in enumerate(plan.units, 1):
        known = folder.read(UnitResult, "results", unit)
        if known is None or (known.scores and set(known.scores) != names):
            result = scorer.score(unit)
            folder.write(result, "results", unit)
            log(f"{number}/{len(plan.units)} {unit} scored: {_line(result)}")


def _line(result: UnitResult) -> str:
    if result.error or result.state == "never active":
        return result.error or result.state
    figures = (
        f"{name} Pearson {_number(s.generated.pearson)}, average precision {_number(s.generated.auprc)}, "
        f"+ {s.plus:z.2f}, - {s.minus:z.2f}"
        for name, s in result.scores.items()
    )
    lost = f" ({len(result.dropped)} of {result.pool + len(result.dropped)} prompts failed)" if result.dropped else ""
    return "; ".join(figures) + lost


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:z.2f}"


class Scorer:
    """Scores the labels of one unit after another."""

    def __init__(self, plan: Plan, folder: Folder, contexts: Contexts) -> None:
        self.plan = plan
        self._folder = folder
        self._contexts = contexts
        context = contexts.main
        self._judge: Judge = context.part("judge")
        generator = context.build("generator", plan.generator.name, **plan.generator.options)
        self._images = ImageClient(generator, plan.config.seed)
        self._real_images: HeldOutImages | None = None
        if plan.real is not None and plan.images:
            self._real_images = HeldOutImages(
                context.build("dataset", plan.real.name, **plan.real.options), plan.images
            )
            if not self._real_images.images:
                raise UsageError(f"the held-out data set '{plan.real.name}' holds no readable image")

    def score(self, unit: str) -> UnitResult:
        """Scores one unit; what cannot be scored says why in the result."""
        start = time.monotonic()
        context = self._contexts.on(unit)
        system = context.system
        made, reused = self._images.made, self._images.reused
        explained = {each.alias: self._explained(unit, each.alias) for each in self.plan.specs}
        statistics = exemplar_source(context, system).exemplars(system, 1)[1]
        self._low = low_limit(statistics)
        result = UnitResult(
            unit=unit,
            model=system.info.model,
            layer=system.info.layer,
            level=level(statistics),
            highest=statistics.quantiles[-1],
            state=state(statistics),
            seed=self.plan.config.seed,
        )
        if result.state == "never active":
            return result
        changes: dict[str, object]
        try:
            changes = self._scores(unit, explained, result)
        except NothingDrawn as error:
            changes = {"error": str(error)[:500]}
        changes |= {
            "made": self._images.made - made,
            "reused": self._images.reused - reused,
            "seconds": time.monotonic() - start,
            "fingerprints": context.fingerprints(),
        }
        return result.model_copy(update=changes)

    def _explained(self, unit: str, name: str) -> Explained:
        found = self._folder.read(Explained, "explanations", unit, name)
        return found or Explained(explainer=name, unit=unit, error="not explained")

    def _scores(self, unit: str, explained: Mapping[str, Explained], result: UnitResult) -> dict[str, object]:
        labels = {name: joined(each.labels, each.strengths) for name, each in explained.items()}
        written = self._written(unit, labels)
        low = {name: written.pop(LOW + name) for name in labels}
        drawn = self._images.draw([p for prompts in written.values() for p in prompts], self.plan.samples)
        dropped = {
            prompt: next(each.problem for each in images if each.image is None)
            for prompt, images in drawn.items()
            if any(each.image is None for each in images)
        }
        kept = {p: [d.image for d in images if d.image is not None] for p, images in drawn.items() if p not in dropped}
        if len(set(kept) - set(written[REFERENCE])) < 2:
            raise NothingDrawn(f"the generator failed on {len(dropped)} of {len(drawn)} prompts: {_first(dropped)}")
        reference = set(written[REFERENCE]) - {p for name, some in written.items() if name != REFERENCE for p in some}
        # The pool first: + and - are chosen among its prompts alone.
        prompts = [*sorted(set(kept) - reference), *sorted(set(kept) & reference)]
        pool = prompts[: len(prompts) - len(set(kept) & reference)]
        images = [image for prompt in prompts for image in kept[prompt]]
        system = self._contexts.main.system
        activations = measured(system, images)
        of = np.repeat(np.arange(len(prompts)), [len(kept[prompt]) for prompt in prompts])
        by_prompt = np.array([activations[of == i].mean() for i in range(len(pool))])
        real = self._real_images.activations(system) if self._real_images else None
        # A unit that is often at its highest activation is active there.
        limit = result.level if result.level < result.highest else np.nextafter(result.level, -np.inf)
        neutral = [i for i, prompt in enumerate(pool) if prompt in set(written[NEUTRAL])]
        scores = {}
        for name, label in labels.items():
            ranked = self._judge.select(label, pool)
            take = min(self.plan.prompts, len(pool) // 2)
            own = [i for i, prompt in enumerate(pool) if prompt in set(written[name])]
            concept = activations[np.isin(of, own)]
            scores[name] = Scores(
                label=label,
                own=len(own),
                dropped=sum(prompt in dropped for prompt in written[name]),
                positives=tuple(pool[i] for i in ranked[:take]),
                neutrals=tuple(pool[i] for i in ranked[-take:]),
                plus=float(by_prompt[ranked[:take]].mean()),
                minus=float(by_prompt[ranked[-take:]].mean()),
                generated=self._fit(label, images, activations, limit, concept, activations[np.isin(of, neutral)]),
                real=self._real(label, real, limit, concept),
                drives_high=bool(np.median(concept) > limit) if len(concept) else None,
                drives_low=self._drives_low(system, low[name]),
            )
        return {"pool": len(pool), "references": len(prompts) - len(pool), "dropped": dropped, "scores": scores}

    def _drives_low(self, system: System, prompts: Sequence[str]) -> bool | None:
        drawn = self._images.draw(prompts, self.plan.samples)
        images = [each.image for some in drawn.values() for each in some if each.image is not None]
        return bool(np.median(measured(system, images)) < self._low) if images else None

    def _real(
        self, label: str, activations: NDArray[np.float64] | None, limit: float, concept: NDArray[np.float64]
    ) -> Fit | None:
        if activations is None or self._real_images is None:
            return None
        return self._fit(label, self._real_images.images, activations, limit, concept, activations)

    def _fit(
        self,
        label: str,
        images: Sequence[Image],
        activations: NDArray[np.float64],
        limit: float,
        concept: NDArray[np.float64],
        controls: NDArray[np.float64],
    ) -> Fit:
        predicted = self._judge.predict(label, [image.anonymous() for image in images])
        active = activations > limit
        return Fit(
            images=len(images),
            active=int(active.sum()),
            pearson=pearson(predicted, activations),
            auprc=average_precision(predicted, active),
            auc=auc(concept, controls),
            mad=standardised_difference(concept, controls),
        )

    def _written(self, unit: str, labels: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Returns the prompts of each label, the neutral ones and those from the exemplars; asks the judge once."""
        before = self._folder.read(Written, "prompts", unit)
        prompts = dict(before.prompts) if before else {}
        if not {*labels, NEUTRAL, REFERENCE, *(LOW + name for name in labels)} <= set(prompts):
            n = self.plan.prompts
            for name, label in labels.items():
                if name not in prompts:
                    prompts[name] = tuple(self._judge.write_prompts(label or NOTHING, n))
                if LOW + name not in prompts:
                    prompts[LOW + name] = tuple(neutral_prompts(self._judge, label, n))
            prompts[NEUTRAL] = tuple(neutral_prompts(self._judge, joined(list(labels.values())), n * len(labels)))
            if REFERENCE not in prompts:
                context = self._contexts.main
                prompts[REFERENCE] = reference_prompts(self._judge, context.system, context, REFERENCES * n)
            self._folder.write(Written(prompts=prompts), "prompts", unit)
        return prompts


def level(statistics: UnitStatistics) -> float:
    """Returns the 95th percentile of a unit's activation over the data set."""
    return statistics.quantiles[QUANTILES.index(0.95)]


def low_limit(statistics: UnitStatistics) -> float:
    """Returns the level below which a unit is low: its 5th percentile, or just above it where that is the lowest."""
    lowest, low = statistics.quantiles[0], statistics.quantiles[QUANTILES.index(0.05)]
    return low if low > lowest else float(np.nextafter(low, np.inf))


def state(statistics: UnitStatistics) -> str:
    """Returns whether a unit can be scored, and its figures divided by its 95th percentile."""
    highest = statistics.quantiles[-1]
    if highest <= 0 or statistics.quantiles[0] == highest:
        return "never active"
    return "active" if level(statistics) > MIN_LEVEL * highest else "rarely active"


def _first(dropped: Mapping[str, str]) -> str:
    prompt = next(iter(dropped))
    return f"'{prompt[:60]}': {dropped[prompt]}"
