"""Hides the names of a unit from the backbone: a model may remember what is published about it, and guess."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from maia_core.plugin import ImagePart, Message, Part, PluginConfig, RunContext, TextPart, UnitInfo

HIDDEN = {"model": "the model", "layer": "the layer", "unit": "the unit"}
"""What stands in a text in place of a name."""

MIN_NAME = 4
"""Letters and digits of a name from which on every spelling of it is hidden: "EfficientNet_Lite0"."""

MAX_WORD = 5
"""Letters of a model's name up to which it may be an ordinary word, such as "clip"."""

MIN_DIGITS = 3
"""Digits of a unit's number from which on "image #122" and "Feature 122: dog" name it, not so "Feature 1: dog"."""

_KIND = r"(?:unit|neuron|channel|feature|latent|direction|class|index)"
_NUMBER = r"(?:no\.?|nr\.?|number|index|id)?"
_OPENS = r"(?<![^\W_])(?<!\.)[\"'`]?(?:[^\W\d]\w*\.)*"
"""Where a name may begin: behind an underscore, and with the modules around it, as in `model.layer4`."""
_CLOSES = r"\]?[\"'`]?(?![^\W_]|\.\d)"
_INSIDE = r"(?:\]?[./]\w+)*"
"""The modules inside of a layer, such as `.2.conv3`."""


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


class HidesNames:
    """The method `hide` of a task whose options are `BlindOptions`."""

    _context: RunContext

    def hide(self, message: Message) -> Message:
        """See `maia_core.protocols.Task`."""
        return hidden_message(message, self._context.system.info) if is_blind(self._context) else message


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

    Every spelling of a model's and a layer's name is hidden, also with modules around or inside of it. A plain word
    ("clip", "head") and a number are hidden where the text uses them as a name ("CLIP", "layer head", "unit 511",
    "head:511"): everywhere else they mean something else.
    """
    names = _unit_in_layer(info) + [(pattern, HIDDEN["model"]) for pattern in _model_patterns(info.model)]
    names += [(_layer_pattern(info.layer), HIDDEN["layer"])] if info.layer else []
    names += [(pattern, HIDDEN["unit"]) for pattern in _unit_patterns(info.unit)] if info.unit else []
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


def _unit_in_layer(info: UnitInfo) -> list[tuple[str, str]]:
    """Returns what names the unit by its layer: `layer4:122`, `layer4_122`, `model.layer4[122]`."""
    if not (info.layer and info.unit):
        return []
    model = rf"(?:{_any_spelling(info.model)}[:/])?" if info.model else ""
    between = r"\s?[:_/\[.#-]\s?" + (r"|,?\s" if _is_distinctive(info.layer) else "")
    layer, unit = _any_spelling(info.layer), re.escape(info.unit)
    return [(rf"{_OPENS}{model}{layer}{_INSIDE}(?:{between}){unit}{_CLOSES}", HIDDEN["unit"])]


def _model_patterns(model: str) -> list[str]:
    names = _model_names(model)
    words = [name for name in names if name.isalpha() and len(name) <= MAX_WORD]
    others = "|".join(_any_spelling(name) for name in names if name not in words)
    patterns = [rf"{_OPENS}(?:{others})(?:\.[^\W\d]\w*)*{_CLOSES}"] if others else []
    for word in words:
        named = "|".join({word.upper(), word} - {word.lower()})
        patterns.append(rf"\b(?:(?-i:{named})\b|{word}(?=[:/]\w|\s(?:model|network)\b))")
        patterns.append(rf"\bmodel[\"']?\s*[:=]?\s*[\"'`]?{word}\b")
    return patterns


def _layer_pattern(layer: str) -> str:
    named = rf"\blayer[\"']?\s*[:=]?\s*[\"'`]?{re.escape(layer)}{_CLOSES}"
    return rf"{_OPENS}{_any_spelling(layer)}{_INSIDE}{_CLOSES}|{named}" if _is_distinctive(layer) else named


def _unit_patterns(unit: str) -> list[str]:
    """Returns what names the unit by its kind or its number: "unit no. 122", "UNIT_122", "#122", "the 122nd unit"."""
    name, closes = re.escape(unit), r"\]?[\"'`]?(?!\w|\.\d)"
    is_long = not unit.isdigit() or len(unit) >= MIN_DIGITS
    heading, alone = ("", "") if is_long else (r"(?!:\s)", r"(?<!\w\s)")
    between = rf"s?[\"']?[\s_]*{_NUMBER}[\s_]*[:=#\[]?\s*[\"'`]?"
    patterns = [rf"(?<![^\W_])(?:(?:unit|neuron){between}{name}{closes}|{_KIND}{between}{name}{closes}{heading})"]
    if unit.isdigit():
        patterns.append(rf"\b(?:the\s)?{name}(?:st|nd|rd|th)\s{_KIND}\b")
        patterns.append(rf"(?<!\w){alone}#\s?{name}{closes}")
    is_code = re.search(r"\d", unit) is not None and _is_distinctive(unit)
    return [rf"{_OPENS}{name}{closes}", *patterns] if is_code else patterns


def _is_distinctive(name: str) -> bool:
    """Returns whether a name is neither a plain word nor a number."""
    return re.search(r"[\d._/]", name) is not None and re.search(r"[^\W\d_]", name) is not None


def _any_spelling(name: str) -> str:
    """Returns the pattern of every spelling of a name: ResNet-152 for resnet152, layer 4 for layer4."""
    words = re.findall(r"[^\W\d_]+|\d+", name)
    spelling = r"[\W_]?".join(words) if len("".join(words)) >= MIN_NAME else re.escape(name)
    return rf"(?:{re.escape(name)}|{spelling})"
