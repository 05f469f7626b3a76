"""The two tests of NeuronEval for each score, on simulated neurons: how often does a worse label score worse?

A neuron is an OR of two concepts of the collage list, or one concept. Missing labels: the label of an OR neuron loses
one of its concepts. Extra labels: the label of a neuron of one concept gets another one. Each label is scored alone
(its own prompts, as many neutral ones, and those from the exemplars) and pooled with the other. Predictions are the
label's own truth, as in the paper of NeuronEval (Oikarinen, Yan and Weng 2025): the scores are tested, not a judge.

    python tests/bench/bench_sanity.py [--seeds 2] [--neurons 16]
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from maia_core.plugin import Context, PluginRef, RunConfig, installed
from maia_eval.choices import Spec
from maia_eval.explaining import Contexts, explain_all
from maia_eval.predictive import Plan, Scorer
from maia_eval.results import Folder
from maia_judges.embedding import EmbeddingJudge
from maia_labels import Concept, Or, text_of
from maia_synthetic.lists import neurons_of
from maia_synthetic.system import SyntheticNeuron

SCORES = ("Pearson", "average precision", "+ less -", "AUC", "MAD")


class KnowingJudge(EmbeddingJudge):
    """Predicts the activation of a synthetic neuron that responds to what the label says.

    Images that a judge gets have lost their truth, so it remembers the ones that were drawn.
    """

    def watch(self, scorer: Scorer) -> None:
        """Remembers every image that a scorer draws."""
        self.known, draw = {}, scorer._images.draw

        def remember(prompts, samples):
            drawn = draw(prompts, samples)
            self.known |= {one.image.id: one.image for some in drawn.values() for one in some if one.image}
            return drawn

        scorer._images.draw = remember

    def predict(self, label: str, images):
        neuron = SyntheticNeuron(SyntheticNeuron.Config(ref=label), self._context)
        return neuron.neuron([self.known[image.id] for image in images])[0]


def scored(unit: str, labels: Mapping[str, str], seed: int, folder: Path) -> dict[str, dict[str, float | None]]:
    """Returns every score of each label, in one pool."""
    registry = installed()
    config = RunConfig(seed=seed)
    specs = []
    for name, label in labels.items():
        file = folder / f"{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("unit", "label"), (unit, label)])
        specs.append(Spec(alias=name, name="human", options={"file": str(file)}))
    held_out = PluginRef(name="collage", cutouts="held-out")
    plan = Plan(config, specs, [unit], held_out, same_engine=True, real=None, samples=1)
    evaluation = Folder.begin(folder / "e", "predictive", plan.settings(), registry)
    contexts = Contexts(config, folder / "runs", registry)
    scorer = Scorer(plan, evaluation, contexts)
    scorer._judge = KnowingJudge(KnowingJudge.Config(), contexts.main)
    scorer._judge.watch(scorer)
    explain_all(contexts, specs, [unit], evaluation, lambda line: None)
    found = scorer.score(unit).scores
    return {
        name: {
            "Pearson": each.generated.pearson,
            "average precision": each.generated.auprc,
            "+ less -": each.plus - each.minus,
            "AUC": each.generated.auc,
            "MAD": each.generated.mad,
        }
        for name, each in found.items()
    }


def main() -> None:
    """Prints, for each test and score, in how many draws the worse label scored worse."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--neurons", type=int, default=16, help="neurons per test")
    options = parser.parse_args()
    neurons = neurons_of("collage", Context())
    either = [neuron for neuron in neurons if isinstance(neuron, Or)][: options.neurons]
    single = [neuron for neuron in neurons if isinstance(neuron, Concept)]
    tests = {
        "missing": [(text_of(n), text_of(n), text_of(n.parts[0])) for n in either],
        "extra": [
            (text_of(a), text_of(a), f"{text_of(a)} OR {text_of(b)}")
            for a, b in zip(single[: options.neurons], single[options.neurons :], strict=False)
        ],
    }
    began = time.perf_counter()
    for test, cases in tests.items():
        fell = {(score, pool): 0 for score in SCORES for pool in ("alone", "pooled")}
        draws = 0
        for seed in range(options.seeds):
            for truth, right, worse in cases:
                unit = f"synthetic:{truth}"
                with tempfile.TemporaryDirectory() as place:
                    pooled = scored(unit, {"right": right, "worse": worse}, seed, Path(place) / "both")
                    alone = {
                        name: scored(unit, {name: label}, seed, Path(place) / name)[name]
                        for name, label in (("right", right), ("worse", worse))
                    }
                draws += 1
                for pool, found in (("alone", alone), ("pooled", pooled)):
                    for score in SCORES:
                        before, after = found["right"][score], found["worse"][score]
                        fell[score, pool] += before is not None and after is not None and after < before
                    if not (found["worse"]["Pearson"] or 0) < (found["right"]["Pearson"] or 0):
                        print(f"  {test}, {pool}: Pearson does not fall for {truth} -> {worse} (seed {seed})")
        for score in SCORES:
            alone, pooled = fell[score, "alone"], fell[score, "pooled"]
            print(f"{test} label, {score}: falls in {alone} alone, {pooled} pooled of {draws}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
