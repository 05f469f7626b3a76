"""`tools.score_units`: which units of the layer tell one set of images from another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from maia_core.plugin import Image, PluginConfig, RunContext, ToolError
from maia_layers.system import LayerSystem, layer_of
from maia_stats import best_auc_by_chance, column_aucs

Matrix = NDArray[np.float32]
"""Activations: float32 of shape (images, units)."""


class ScoreUnits:
    """Ranks the units of a layer by how well they separate two sets of images."""

    uses = ()

    class Config(PluginConfig):
        """Options of `score_units`."""

        shuffles: int = Field(200, ge=20, le=10_000)
        """Number of shuffles of the two sets, which show what the best of all units reaches by chance."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._shuffles = config.shuffles
        self._context = context

    def __call__(self, images: list[Image], controls: list[Image], top: int = 20) -> list[dict[str, float]]:
        """Measures all units of the layer on two sets of images, and ranks the units that tell them apart.

        With many units and few images, some unit separates any two sets by chance. So you also see how well the best
        unit does if the two sets are mixed at random. Believe a unit only if it also separates fresh images.

        Args:
            images: Images of the thing that a selective unit should respond to; at least 2, better 10 or more.
            controls: Images without that thing, similar otherwise; at least 2.
            top: Number of units to return.

        Returns:
            The best units, best first: `{"unit": number, "auc": area under the ROC curve (1: every image above every
            control), "effect": difference of the means in standard deviations of the controls, "mean": mean activation
            on the images, "control_mean": on the controls}`.

        Example:
            >>> def run_experiment(system, tools):
            ...     images = tools.text2image(["a dog on grass", "a dog on snow", "a dog on sand"] * 3)
            ...     controls = tools.text2image(["a cat on grass", "a car on snow", "an empty beach"] * 3)
            ...     return tools.score_units(images, controls, top=5)
        """
        if min(len(images), len(controls)) < 2:
            raise ToolError(
                f"score_units needs at least 2 images and 2 controls, not {len(images)} and {len(controls)}: one image "
                "says nothing about a unit"
            )
        if top < 1:
            raise ToolError(f"top is a number of units from 1, not {top}")
        layer: LayerSystem = layer_of(self._context.system)
        activations = np.asarray(layer.layer([*images, *controls]), np.float32)
        shown, other = activations[: len(images)], activations[len(images) :]
        area, effect = column_aucs(shown, other), effects(shown, other)
        # Ties of the area (many units separate a few images perfectly) go by the effect.
        best = np.lexsort((-effect, -area))[:top]
        chance = best_auc_by_chance(activations, len(images), self._shuffles, self._context.seed)
        self._context.show(
            f"{len(images)} images against {len(controls)} controls, {activations.shape[1]} units. With the two sets "
            f"mixed at random, the best of all units reaches an AUC of {np.median(chance):.2f} (in 95 of 100 mixtures "
            f"at most {np.quantile(chance, 0.95):.2f})."
        )
        return [_row(int(unit), area, effect, shown, other) for unit in best]


def _row(unit: int, area: NDArray[np.float64], effect: Matrix, shown: Matrix, other: Matrix) -> dict[str, Any]:
    numbers = {
        "auc": area[unit],
        "effect": effect[unit],
        "mean": shown[:, unit].mean(),
        "control_mean": other[:, unit].mean(),
    }
    return {"unit": unit} | {name: round(float(value), 4) for name, value in numbers.items()}


def effects(shown: Matrix, other: Matrix) -> Matrix:
    """Returns each unit's difference of means in standard deviations of the controls (the MAD of CoSy).

    A unit that never changes has none; one whose controls do not change at all is measured by all images' deviation.
    """
    difference = shown.mean(axis=0) - other.mean(axis=0)
    spread = other.std(axis=0)
    spread = np.where(spread > 0, spread, np.concatenate([shown, other]).std(axis=0))
    sizes: Matrix = np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)
    return sizes
