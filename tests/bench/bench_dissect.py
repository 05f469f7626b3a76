"""How many units `clip-dissect` names as the published formula does: all of two layers, with both ways of pooling.

The published formula (Oikarinen and Weng 2023) is written out here, in PyTorch as the authors have it: soft-WPMI with
a prior over all units of the layer. The scores are those of the run's similarity and concept set.

    python tests/bench/bench_dissect.py
"""

from __future__ import annotations

import time

import numpy as np
import torch

from maia_baselines import dissect
from maia_baselines.activations import measure
from maia_baselines.clip_dissect import ClipDissect
from maia_baselines.scores import ConceptOptions, concept_scores
from maia_core.plugin import Context, PluginRef, RunConfig

MODEL, LAYERS = "efficientnet-lite0", ("head", "blocks.15")
EXPLAINED = 10
"""Units per layer and pooling that the explainer itself explains; the formula is compared for all."""


def published(scores: np.ndarray, activations: np.ndarray, top: int) -> np.ndarray:
    """Returns the soft-WPMI of every unit and concept: shape (units, concepts)."""
    probabilities = torch.softmax(10 * torch.from_numpy(scores).double(), dim=1)
    order = torch.sort(torch.from_numpy(activations), dim=0, descending=True, stable=True).indices[:top]
    in_examples = (0.998 - torch.arange(top) / top * (0.998 - 0.97))[:, None]
    given = torch.stack(
        [
            torch.log(1 + in_examples * (probabilities[order[:, unit]] - 1) + 1e-7).sum(0)
            for unit in range(order.shape[1])
        ]
    )
    return (given - (torch.logsumexp(given, 0, keepdim=True) - np.log(len(given)))).numpy()


def main() -> None:
    """Prints the agreement."""
    began = time.perf_counter()
    context = Context(RunConfig(system=PluginRef(name=f"{MODEL}:head:64")))
    known = concept_scores(ConceptOptions(), context)
    print(f"concept scores: {time.perf_counter() - began:.0f} s (0 to 2 s where they are cached)")
    for layer in LAYERS:
        for pool in ("max", "mean"):
            unit = context.model(MODEL).unit(f"{layer}:64")
            measured = measure(unit, context, pool)
            assert measured.layer is not None
            values, scores = np.asarray(measured.layer), np.asarray(known.scores[measured.places])
            top = dissect.highest(len(values))
            right = published(scores, values, top).argmax(1)
            chances, sets = dissect.probabilities(scores), dissect.ranked(values, top)
            given = dissect.log_likelihood(chances, sets)
            ours = (given - dissect.log_prior(chances, sets)).argmax(1)
            same = int((ours == right).sum())
            explained = 0
            for number, index in enumerate(np.linspace(0, len(right) - 1, EXPLAINED, dtype=int)):
                context.seed = number
                explainer = ClipDissect(ClipDissect.Config(pool=pool), context)
                label = explainer.explain(context.model(MODEL).unit(f"{layer}:{index}"), context).labels[0]
                explained += label == known.concepts[right[index]]
            print(
                f"{layer}, {pool}: {same} of {len(right)} units as published ({same / len(right):.0%}); explained with "
                f"seeds 0 to {EXPLAINED - 1}: {explained} of {EXPLAINED}; {layer}:64 is {known.concepts[ours[64]]}"
            )


if __name__ == "__main__":
    main()
