"""Labels against a known truth: synthetic neurons, named right or not, and preferred or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from operator import itemgetter

from maia_core.plugin import Context, Judge, MaiaError, RunConfig, UsageError
from maia_eval.choices import Spec, all_specs
from maia_eval.explaining import Contexts, EvaluationPlan, Log, explain_all
from maia_eval.results import Explained, Folder, NeuronResult, Preference
from maia_judges import joined
from maia_labels.expression import Expression, kind, text_of
from maia_synthetic.lists import neurons_of, resolve
from maia_synthetic.score import verdict


@dataclass(frozen=True)
class Plan(EvaluationPlan):
    """An evaluation on synthetic neurons.

    Attributes:
        truths: What each unit responds to, by its reference `synthetic:LIST/NUMBER`.
    """

    truths: Mapping[str, Expression]

    @classmethod
    def of(cls, config: RunConfig, specs: Sequence[Spec], name: str, each: int | None, context: Context) -> Plan:
        """Makes the plan for a list of neurons, or the first ones of each kind in it.

        Raises:
            UsageError: there is no such list.
        """
        count: dict[str, int] = {}
        found = []
        for number, neuron in enumerate(neurons_of(name, context), 1):
            form = kind(neuron)
            count[form] = count.get(form, 0) + 1
            if each is None or count[form] <= each:
                found.append((count[form], f"synthetic:{name}/{number}"))
        # The first of each kind, then the second: an evaluation that is not finished yet has something of all kinds.
        units = [unit for _, unit in sorted(found, key=itemgetter(0))]
        truths = {unit: resolve(unit.partition(":")[2], context) for unit in units}
        return cls(config, specs, units, truths)


def run(plan: Plan, folder: Folder, contexts: Contexts, log: Log) -> None:
    """Explains and scores what has not been yet.

    Raises:
        MaiaError: a part cannot be built, or no judge can compare labels.
    """
    truths = {unit: resolve(unit.partition(":")[2], contexts.main) for unit in folder.units}
    specs = all_specs(folder.manifest.settings, plan.specs)
    plan = replace(plan, specs=specs, units=folder.units, truths=truths)
    judge: Judge = contexts.main.part("judge")
    explain_all(contexts, plan.specs, plan.units, folder, log)
    for unit in plan.units:
        known = folder.read(NeuronResult, "results", unit)
        if known is None or set(known.verdicts) != {each.alias for each in specs}:
            folder.write(_score(plan, unit, folder, judge, contexts.main), "results", unit)


def _score(plan: Plan, unit: str, folder: Folder, judge: Judge, context: Context) -> NeuronResult:
    truth = plan.truths[unit]
    found = {each.alias: folder.read(Explained, "explanations", unit, each.alias) for each in plan.specs}
    labels = {name: each.labels if each else () for name, each in found.items()}
    return NeuronResult(
        unit=unit,
        kind=kind(truth),
        truth=text_of(truth),
        verdicts={name: verdict(truth, said) if said else "no answer" for name, said in labels.items()},
        preferences=tuple(_preferences(judge, text_of(truth), {name: joined(said) for name, said in labels.items()})),
        seed=plan.config.seed,
        fingerprints=context.fingerprints(),
    )


def _preferences(judge: Judge, truth: str, labels: Mapping[str, str]) -> list[Preference]:
    """Compares the labels of each two explainers; the judge does not compare equal ones."""
    found = []
    for a, b in combinations(labels, 2):
        if labels[a].lower() == labels[b].lower():
            found.append(Preference(a=a, b=b, better="same"))
            continue
        try:
            better = judge.compare(truth, labels[a], labels[b])
        except MaiaError as error:
            raise UsageError(f"the judge cannot compare the labels of {a} and {b}: {error}") from error
        found.append(Preference(a=a, b=b, better="b" if better else "a"))
    return found
