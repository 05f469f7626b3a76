"""A whole classifier as the system that the backbone studies."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from pydantic import ConfigDict

from maia_core.plugin import Image, PluginConfig, RunContext, System, ToolError, UnitInfo, UsageError, did_you_mean
from maia_labels.content import content_of, related

MAX_NEAREST = 4
"""Classes that an error names."""


class WholeModel:
    """The classifier that you study: its predictions, and any of its units by name."""

    methods = ("classes", "predict", "neuron")

    class Config(PluginConfig):
        """Which model; all other options are those of the model."""

        model_config = ConfigDict(extra="allow")

        ref: str = ""
        """`MODEL`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Loads the model.

        Raises:
            UsageError: it has no classes with names; or it does not have an option.
        """
        self._model = context.model(config.ref, **(config.model_extra or {}))
        self.names: tuple[str, ...] = tuple(getattr(self._model, "classes", ()))
        layers = {info.name for info in self._model.layers()}
        if not self.names or "prob" not in layers:
            raise UsageError(
                f"{config.ref} is not a classifier with named classes; ask about one of its layers instead: "
                f'maia ask {config.ref}:LAYER "which units ...?"'
            )
        self.info = UnitInfo(model=self._model.name, has_map=False, note=f"a classifier of {len(self.names)} classes")
        self.fingerprint = self._model.fingerprint

    def classes(self) -> list[str]:
        """The names of the classes, in the order of the model's outputs.

        Example:
            >>> def run_experiment(system, tools):
            ...     print(len(system.classes), system.classes[:20])
        """
        return list(self.names)

    classes.__dict__["is_property"] = True

    def predict(self, images: list[Image], top: int = 3) -> list[dict[str, float]]:
        """Classifies a batch of images.

        Args:
            images: The images.
            top: Number of classes to return for each image.

        Returns:
            For each image its most probable classes with their probabilities, the most probable first.

        Example:
            >>> def run_experiment(system, tools):
            ...     images = tools.text2image(["a dog on grass", "a dog on snow"])
            ...     print(system.predict(images))
        """
        if top < 1:
            raise ToolError(f"top is a number of classes from 1, not {top}")
        rows = self._model.activations(images, "prob")
        return [{self.names[n]: round(float(row[n]), 4) for n in np.argsort(-row)[:top].tolist()} for row in rows]

    def neuron(self, images: list[Image], unit: str) -> tuple[list[float], list[Image]]:
        """Measures one unit of the model on a batch of images.

        Args:
            images: The images.
            unit: The unit as `LAYER:UNIT`, such as "prob:tiger" (the probability of a class) or "logit:tiger".

        Returns:
            The activation of each image, and each image masked to where the unit is active. A class has no mask.

        Example:
            >>> def run_experiment(system, tools):
            ...     images = tools.text2image(["a dog on grass"] * 4)
            ...     probabilities, _ = system.neuron(images, f"prob:{system.classes[0]}")
            ...     tools.log_experiment(probabilities, images, ["a dog on grass"] * 4)

        Example:
            >>> def run_experiment(system, tools):
            ...     images = tools.text2image(["a dog on grass"] * 4)
            ...     return system.neuron(images, f"prob:{system.classes[0]}")
        """
        try:
            return self._model.unit(unit).neuron(images)
        except UsageError as error:
            raise ToolError(str(error)) from error

    def class_unit(self, name: str) -> System:
        """Returns the probability of a class as a unit.

        Raises:
            UsageError: the model lacks the class; the nearest ones are named.
        """
        return self._model.unit(f"prob:{self.names.index(self.find(name))}")

    def find(self, name: str) -> str:
        """Returns the class of a name as the model spells it.

        Raises:
            UsageError: the model lacks the class; the nearest ones are named.
        """
        if (found := find_class(name, self.names)) is None:
            raise UsageError(f"{self.info.model} has no class '{name[:60]}'. {nearest(name, self.names)}")
        return found


def find_class(name: str, names: Sequence[str]) -> str | None:
    """Returns the class that a name stands for: any of its synonyms, in the singular or plural; None for none."""
    wanted = _forms(name)
    return next((known for known in names if any(wanted & _forms(word) for word in known.split(","))), None)


def _forms(name: str) -> set[str]:
    bare = " ".join(name.replace("_", " ").casefold().split())
    things = content_of(bare).things
    return {
        bare,
        *(
            thing.concept
            for thing in things[:1]
            if thing.concept and len(things) == 1 and _is_name(bare, thing.concept)
        ),
    }


def _is_name(text: str, concept: str) -> bool:
    """Says whether a text is a concept's name, up to an article or a plural: not "striped cat" for "cat"."""
    return difflib.SequenceMatcher(None, text.removeprefix("a ").removeprefix("an "), concept).ratio() > 0.7


def nearest(name: str, names: Sequence[str]) -> str:
    """Returns a sentence that names the nearest classes, by spelling and by meaning."""
    asked = content_of(name)
    if not asked.known and (hint := did_you_mean(name, names).strip()):
        return hint
    ranked = sorted(names, key=lambda known: -related(asked, content_of(known.partition(",")[0])))
    return f"The nearest of its {len(names)} classes: {', '.join(ranked[:MAX_NEAREST])}."
