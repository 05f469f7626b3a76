"""Hides the names of a unit from the backbone: a model may remember what is published about it, and guess."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from maia_core.plugin import ImagePart, Message, Part, PluginConfig, RunContext, TextPart, UnitInfo

HIDDEN = {"model": "the model", "layer": "the layer", "unit": "the unit"}
"""What stands in a text in place of a name."""

MIN_NAME = 4
"""Letters and digits of a model's name from which on every spelling of it is hidden: "EfficientNet_Lite0"."""

_UNIT = r"(?:unit|neuron|channel|feature|latent|direction|class|index)"
_OPENS, _CLOSES = r"(?<![\w.])[\"'`]?", r"[\"'`]?(?!\w|\.\d)"


class BlindOptions(PluginConfig):
    """Options of a task that may hide the unit's names."""

    blind: bool = False
    """Hide the names of model, layer and unit from the backbone."""


def is_blind(context: RunContext) -> bool:
    """Returns whether the run's task hides the names."""
    try:
        return BlindOptions(blind=context.config.task.options.get("blind", False)).blind
    except ValidationError:  # An option of another task, which happens to have this name.
        return False


def hidden_message(message: Message, info: UnitInfo) -> Message:
    """Returns a message without the unit's names in its texts and in the titles of its images."""
    if message.role == "assistant":
        return message
    return message.model_copy(update={"parts": tuple(_hidden_part(part, info) for part in message.parts)})


def _hidden_part(part: Part, info: UnitInfo) -> Part:
    if isinstance(part, ImagePart):
        return ImagePart(image=part.image.retitled(hidden(part.image.title, info)))
    return TextPart(text=hidden(part.text, info))


def hidden(text: str, info: UnitInfo) -> str:
    """Returns a text without the names of model, layer and unit.

    Every spelling of the model's name is hidden, and a layer's name that is not a plain word. A plain word ("head") and
    a number are hidden where the text uses them as a name ("layer head", "unit 511", "head:511"): everywhere else they
    mean something else.
    """
    layer, unit = re.escape(info.layer), re.escape(info.unit)
    names: list[tuple[str, str]] = []
    if info.layer and info.unit:
        names.append((rf"{_OPENS}(?:{_any_spelling(info.model)}:)?{layer}:{unit}{_CLOSES}", HIDDEN["unit"]))
    names += [(rf"{_OPENS}{_any_spelling(name)}{_CLOSES}", HIDDEN["model"]) for name in _model_names(info.model)]
    if info.layer:
        named = rf"\blayer[\"']?\s*[:=]?\s*[\"'`]?{layer}{_CLOSES}"
        distinctive = re.search(r"[\d._/]", info.layer) is not None
        names.append((rf"{_OPENS}{layer}{_CLOSES}|{named}" if distinctive else named, HIDDEN["layer"]))
    if info.unit:
        named = rf"\b{_UNIT}s?[\"']?\s*(?:no\.|number|#)?\s*[:=#]?\s*[\"'`]?{unit}{_CLOSES}"
        distinctive = re.search(r"\d", info.unit) is not None and re.search(r"[^\W\d]", info.unit) is not None
        names.append((rf"{_OPENS}{unit}{_CLOSES}|{named}" if distinctive else named, HIDDEN["unit"]))
    for pattern, instead in names:
        text = re.sub(pattern, instead, text, flags=re.IGNORECASE)
    return text


def hidden_info(info: UnitInfo) -> dict[str, Any]:
    """Returns what a program reads as `system.info` in a blind run."""
    return info.model_copy(update={**HIDDEN, "note": hidden(info.note, info)}).model_dump(mode="json")


def _model_names(model: str) -> list[str]:
    """Returns a model's name and its parts: `timm/resnet50.a1` is a resnet50."""
    parts = [part for part in re.split(r"[/:@]", model) if len(part) >= MIN_NAME]
    return sorted({model, *parts} - {""}, key=len, reverse=True)


def _any_spelling(name: str) -> str:
    words = re.findall(r"[^\W_]+", name)
    return r"[\W_]?".join(map(re.escape, words)) if len("".join(words)) >= MIN_NAME else re.escape(name)
