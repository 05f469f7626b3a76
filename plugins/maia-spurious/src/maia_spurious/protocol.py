"""The protocol of section 5.1: which units stay, and the accuracy without the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from maia_core.plugin import (
    Context,
    MaiaError,
    PluginRef,
    RunConfig,
    RunError,
    Runner,
    RunOutcome,
    UsageError,
    content_id,
    one_line,
    write_atomically,
)
from maia_runs import folder_name
from maia_spurious import regressions
from maia_spurious.cells import CellDataset, mentioned
from maia_spurious.measuring import measured
from maia_spurious.results import AGENT, FACTORIAL, RESULTS, Decision, Results, UnitResult
from maia_spurious.rows import Measured, halves, in_halves, table
from maia_spurious.truth import UnitTruth, unit_truth
from maia_sweep.sweeping import sweep
from maia_torch import TorchModel

Tell = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""

PARTS = "parts.json"
"""The fingerprints of the network and the images that a study's decisions are about."""


def split_of(context: Context, split: str) -> CellDataset:
    """Builds one split of the configuration's data set.

    Raises:
        UsageError: its images have no environments.
    """
    ref = context.config.dataset
    found: Any = context.build("dataset", ref.name, **{**ref.options, "split": split})
    if not isinstance(found, CellDataset):
        raise UsageError(f"the data set '{ref.name}' has no environments; choose collage-paired or spawrious")
    return found


def check_cells(data: CellDataset, split: str) -> None:
    """Checks that a split shows at least two classes and, unless it is the test, two environments.

    Raises:
        UsageError: it does not.
    """
    for column, name, least in ((0, "class", 2), (1, "environment", 1 if split == "test" else 2)):
        count = len(np.unique(data.cells[:, column]))
        if count < least:
            raise UsageError(
                f"the {split} images of {data.name} show {count} {name} only, and a spurious feature needs two: choose "
                "other options of the data set"
            )


def study(
    config: RunConfig,
    system: str,
    out: Path,
    *,
    units: int,
    seeds: int,
    baselines: Sequence[str],
    runner: Runner | None,
    tell: Tell,
    observers: Sequence[object] = (),
) -> Results:
    """Carries out the protocol. Rerun with the same folder, it skips what is done.

    Args:
        config: What the agent's runs have; its data set has environments.
        system: `MODEL:LAYER`.
        out: Gets measurements, runs and results.
        units: Number of units of the l1 regression.
        seeds: Number of splits and fits per row.
        baselines: Explainers that decide by their labels, beside the agent.
        runner: Spreads the agent's runs over workers; None: one after another.
        tell: Is told of progress.
        observers: Observers of the runs in this process.

    Raises:
        UsageError: the layer, the data set or the number of units does not fit.
    """
    context = Context(config)
    name, _, layer = system.partition(":")
    model = context.model(name, **(config.system.options if config.system else {}))
    if not isinstance(model, TorchModel) or not layer:
        raise UsageError(f"'{system}' is not a layer of a torch model; write MODEL:LAYER")
    found: dict[str, Measured] = {}
    parts = {"network": model.fingerprint}
    for split in ("validation", "balanced", "test"):
        data = split_of(context, split)
        parts[f"{split} images"] = data.fingerprint

        def told(done: int, of: int, split: str = split) -> None:
            tell(f"measuring {split} images", done, of)

        check_cells(data, split)
        found[split] = measured(model, layer, data, out / "measured", told)
    _check_parts(parts, out)
    classes, environments = tuple(data.classes), tuple(data.environments)
    validation = found["validation"]
    tell("l1 regression", 0, 1)
    top = regressions.l1_to(validation.features, validation.cells[:, 0], units, config.seed).units.tolist()
    shape = len(classes), len(environments)
    balanced = found["balanced"]
    for seed in range(seeds):  # Every row must be possible before the agent's runs are paid for.
        regressions.check_informative(halves(validation, balanced, found["test"], seed).unbalanced.features, units)
    truth_half, other_half = in_halves(balanced)
    truths = {unit: unit_truth(truth_half.activations[:, unit], truth_half.cells, shape) for unit in top}
    tables = {unit: unit_truth(other_half.activations[:, unit], other_half.cells, shape) for unit in top}
    decided: dict[str, dict[int, Decision]] = {
        AGENT: _agent(config, system, top, _task(config, data, validation), out, runner, tell, observers)
    }
    for baseline in baselines:
        labels = _labels(config, system, top, baseline, out / "labels", tell)
        decided[baseline] = {
            unit: Decision(keep=names_one_class(label, classes, environments), label=label)
            for unit, label in labels.items()
        }
    decided[FACTORIAL] = {unit: _factorial(found_table, classes) for unit, found_table in tables.items()}
    kept = {method: [unit for unit in top if by_unit[unit].keep] for method, by_unit in decided.items()}
    rows = table(
        validation, balanced, found["test"], top, kept, AGENT, seeds,
        lambda done, of: tell("splits and fits", done, of),
    )  # fmt: skip
    results = Results(
        system=system,
        dataset=config.dataset.model_dump(mode="json"),
        classes=classes,
        environments=environments,
        units=tuple(
            UnitResult(
                unit=unit,
                selective=truth.selective,
                share=round(truth.share, 4),
                best=classes[truth.best],
                table=tuple(tuple(None if np.isnan(x) else round(x, 5) for x in row) for row in truth.table.tolist()),
                decisions={method: by_unit[unit] for method, by_unit in decided.items()},
            )
            for unit, truth in truths.items()
        ),
        rows=tuple(rows),
    )
    write_atomically(out / RESULTS, results.model_dump_json(indent=1).encode())
    return results


def _check_parts(parts: dict[str, str], out: Path) -> None:
    """Refuses a folder that holds decisions about other weights or images; notes what this study is about."""
    file = out / PARTS
    if file.is_file():
        try:
            before = TypeAdapter(dict[str, str]).validate_json(file.read_bytes())
        except ValueError as error:
            raise UsageError(f"{file} is not readable ({one_line(error)}); choose another --out") from error
        if changed := [name for name, value in parts.items() if before.get(name) != value]:
            raise UsageError(f"{out} holds a study of other parts: {', '.join(changed)} changed; choose another --out")
    write_atomically(file, json.dumps(parts).encode())


def _factorial(truth: UnitTruth, classes: Sequence[str]) -> Decision:
    best = classes[truth.best]
    label = f"{best} explains {truth.share:.0%} of the variance, the environments {truth.environment:.0%}"
    return Decision(keep=truth.selective, label=label)


def _task(config: RunConfig, data: CellDataset, seen: Measured) -> PluginRef:
    """Returns the agent's task: classes, and the environments that the network has seen, without any pairing."""
    environments = [data.environments[number] for number in np.unique(seen.cells[:, 1])]
    told = {"domain": data.domain, "classes": list(data.classes), "environments": environments}
    return PluginRef.model_validate({**told, **config.task.options, "name": "spurious-feature"})


def _agent(
    config: RunConfig,
    system: str,
    units: Sequence[int],
    task: PluginRef,
    out: Path,
    runner: Runner | None,
    tell: Tell,
    observers: Sequence[object],
) -> dict[int, Decision]:
    """Runs the agent on every unit; a run without an answer keeps nothing, because any doubt is SPURIOUS.

    Raises:
        RunError: some runs could not begin or resume.
    """
    asked = config.model_copy(
        update={
            "task": task,
            "dataset": PluginRef.model_validate(
                {**config.dataset.options, "name": config.dataset.name, "split": "validation"}
            ),
        }
    )
    refs = {f"{system}:{unit}": unit for unit in units}
    decisions: dict[int, Decision] = {}
    failed: list[MaiaError] = []
    for ref, result in sweep(asked, list(refs), out / "runs", runner=runner, observers=observers):
        tell("agent runs", len(decisions) + len(failed) + 1, len(refs))
        run = f"runs/{folder_name(ref)}"
        if isinstance(result, MaiaError):
            failed.append(result)
            continue
        decisions[refs[ref]] = decision(result.outcome, run)
    if failed:
        raise RunError(f"{len(failed)} of {len(refs)} agent runs failed: {one_line(failed[0])}; rerun to retry them")
    return decisions


def decision(outcome: RunOutcome, run: str) -> Decision:
    """Returns what a run decides; one without an answer keeps nothing, and its label says how it ended."""
    if not outcome.explanation:
        return Decision(keep=False, label=f"{outcome.status}: {outcome.reason}", answered=False, run=run)
    keep = outcome.explanation.details.get("decision") == "SELECTIVE"
    return Decision(keep=keep, label=" OR ".join(outcome.explanation.labels), run=run)


def _labels(
    config: RunConfig, system: str, units: Sequence[int], baseline: str, folder: Path, tell: Tell
) -> dict[int, str]:
    """Returns an explainer's label of every unit; each is written as it comes, and read by a later call."""
    data = PluginRef.model_validate({**config.dataset.options, "name": config.dataset.name, "split": "validation"})
    chosen = config.model_copy(update={"dataset": data})
    key = content_id(f"{system}\n{chosen.model_dump_json()}".encode())[:12]
    file = folder / f"{baseline}-{key}.json"
    labels: dict[int, str] = {}
    if file.is_file():
        try:
            labels = TypeAdapter(dict[int, str]).validate_json(file.read_bytes())
        except ValueError as error:
            raise UsageError(
                f"{file} is not readable ({one_line(error)}); delete it to label the units again"
            ) from error
    if not set(units) - set(labels):
        return {unit: labels[unit] for unit in units}
    context = Context(chosen)
    options = config.system.options if config.system else {}
    explainer = context.build("explainer", baseline)
    for done, unit in enumerate(units):
        tell(f"labels of {baseline}", done, len(units))
        if unit not in labels:
            context.restart(PluginRef.model_validate({**options, "name": f"{system}:{unit}"}))
            labels[unit] = " OR ".join(explainer.explain(context.system, context).labels)
            write_atomically(file, json.dumps(labels).encode())
    return {unit: labels[unit] for unit in units}


def names_one_class(label: str, classes: Sequence[str], environments: Sequence[str]) -> bool:
    """Tells whether a label names exactly one class and no environment, as whole words, singular or plural."""
    return len(mentioned(label, classes)) == 1 and not mentioned(label, environments)
