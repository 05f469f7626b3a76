"""`maia eval bias`: findings about models with a planted bias, against the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from maia_bias import Finding
from maia_core.plugin import Context, Image, Judge, PluginRef, Registry, RunConfig
from maia_eval.bias_results import BiasResult, BiasScores, Share
from maia_eval.bias_scoring import alternatives, names_only, on_side, preferred, read_all, verdict
from maia_eval.choices import Spec, all_specs
from maia_eval.explaining import Contexts, EvaluationPlan, Log, explain_all
from maia_eval.failures import RIGHT, failure_table
from maia_eval.images import ImageClient
from maia_eval.results import Explained, Folder
from maia_exemplars.held_out import measured
from maia_exemplars.splits import parted
from maia_planted.attributes import of_class
from maia_planted.dataset import VariedDataset
from maia_planted.subjects import Subject, subject_of, subjects_of

HELD_OUT = 16
"""Held-out images of each of the twelve classes: the class's own, four times as many."""

ENGINES = ("generator", "editor", "dataset")


@dataclass(frozen=True)
class Plan(EvaluationPlan):
    """An evaluation on planted models, named `planted:LIST/NUMBER`.

    Attributes:
        generator: Draws the fresh prompts, with cut-outs that no explainer saw.
    """

    generator: PluginRef

    @classmethod
    def of(
        cls, config: RunConfig, specs: Sequence[Spec], name: str, each: int | None, context: Context, registry: Registry
    ) -> Plan:
        """Makes the plan for a list of models, or the first ones of each kind in it.

        Raises:
            UsageError: there is no such list.
        """
        count: dict[str, int] = {}
        units = []
        for number, subject in enumerate(subjects_of(name, context), 1):
            group = f"{subject.kind}/{subject.form}"
            count[group] = count.get(group, 0) + 1
            if each is None or count[group] <= each:
                units.append(f"planted:{name}/{number}")
        testing = parted(config, ["generator"], "cutouts", "held-out", registry).generator
        return cls(parted(config, ENGINES, "cutouts", "seen", registry), specs, units, testing)

    def settings(self) -> dict[str, object]:
        """See `EvaluationPlan`."""
        return {**super().settings(), "test generator": self.generator.model_dump(mode="json")}


def run(plan: Plan, folder: Folder, contexts: Contexts, log: Log) -> None:
    """Explains and scores what has not been yet.

    Raises:
        MaiaError: a part cannot be built, or no judge can compare answers.
    """
    specs = all_specs(folder.manifest.settings, plan.specs)
    plan = replace(plan, specs=specs, units=folder.units)
    explain_all(contexts, plan.specs, plan.units, folder, log)
    subjects = {unit: subject_of(unit.partition(":")[2], contexts.main) for unit in plan.units}
    for unit in plan.units:
        known = folder.read(BiasResult, "results", unit)
        if known is None or set(known.scores) != {each.alias for each in specs}:
            folder.write(_score(plan, unit, subjects, folder, contexts), "results", unit)


def _score(plan: Plan, unit: str, subjects: Mapping[str, Subject], folder: Folder, contexts: Contexts) -> BiasResult:
    start = time.monotonic()
    context, subject = contexts.on(unit), subjects[unit]
    system, judge = context.system, context.part("judge")
    test = plan.generator
    client = ImageClient(context.build("generator", test.name, **test.options), plan.config.seed)
    held_out = HeldOutClass(subject, context)
    probabilities = measured(system, held_out.own)
    scores: dict[str, BiasScores] = {}
    for each in plan.specs:
        explained = folder.read(Explained, "explanations", unit, each.alias)
        findings, kept = read_all(explained.details if explained else {})
        reported = [findings[n] for n in kept]
        answered = bool(explained and not explained.error)
        said, wrong = verdict(subject, reported, answered)
        others = [other for name, other in subjects.items() if name != unit]
        scores[each.alias] = BiasScores(
            findings=tuple(findings),
            reported=tuple(kept),
            verdict=said,
            wrong=wrong,
            only=answered and names_only(subject, reported),
            sides=on_side(subject.concept, reported, system, client, probabilities),
            choices=preferred(subject, others, reported, judge) if subject.attributes and answered else Share(),
            failures=failure_table(
                subject.concept, reported, probabilities, lambda finding: held_out.members(finding, judge)
            ),
        )
    elsewhere = measured(system, held_out.others)
    right = int((probabilities >= RIGHT).sum() + (elsewhere < RIGHT).sum())
    return BiasResult(
        unit=unit,
        form=subject.form,
        kind=subject.kind,
        truth=subject.truth,
        scores=scores,
        accuracy=Share(hits=right, of=len(probabilities) + len(elsewhere)),
        seconds=time.monotonic() - start,
        seed=plan.config.seed,
        fingerprints=context.fingerprints(),
    )


class HeldOutClass:
    """Held-out images of the data set `planted`: those of a class, and some of the others.

    Attributes:
        own: Images of the class.
        others: Images of the other classes, as many in all, of each class equally many or one more.
    """

    def __init__(self, subject: Subject, context: Context) -> None:
        self._subject = subject
        dataset: VariedDataset = context.build(
            "dataset", "planted", split="held-out", cutouts="held-out", each=4 * HELD_OUT
        )
        self._dataset = dataset
        labels = [dataset.label(index) for index in range(len(dataset))]
        self._own = [index for index, label in enumerate(labels) if label == subject.concept]
        rng = np.random.default_rng([dataset.config.seed, 37])
        classes = [name for name in dataset.config.classes if name != subject.concept]
        shuffled = [rng.permutation([n for n, label in enumerate(labels) if label == name]) for name in classes]
        self._rest = [int(index) for turn in zip(*shuffled, strict=True) for index in turn][: 4 * HELD_OUT]
        self.own: list[Image] = [dataset[index] for index in self._own]
        self.others: list[Image] = [dataset[index] for index in self._rest]

    def members(self, finding: Finding, judge: Judge) -> NDArray[np.float64]:
        """Returns how surely each image of the class is in a finding's subgroup, in [0, 1].

        The scenes decide where the finding names attributes of planted models, else the judge does from pixels.
        """
        named = alternatives(finding.subgroup)
        if not named:
            text = f"{self._subject.concept} {finding.subgroup}"
            return np.array(judge.predict(text, [image.anonymous() for image in self.own]), np.float64)
        pack, concept = self._dataset.pack, self._subject.concept
        members = []
        for index in self._own:
            scene = self._dataset.scene(index)
            objects = of_class(scene, concept, pack)
            seen = {
                a: any(a.shown(placed, scene, concept, pack) for placed in objects) for part in named for a, _ in part
            }
            members.append(any(all(seen[a] != absent for a, absent in part) for part in named))
        return np.array(members, np.float64)
