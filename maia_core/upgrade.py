"""Reads records of format 1 as records of today, so that old runs can be reported (they cannot be resumed).

Format 1 had the signature under the name `seal`, the effects of a call as fields of the call, and two fields of their
own for the lowest exemplar's activation and for the unit's statistics, which are facts of maia-standard today.
"""

from __future__ import annotations

from typing import Any

EFFECTS = ("shown", "logged", "generated", "usage")


def manifest(data: dict[str, Any]) -> dict[str, Any]:
    """Returns a manifest of format 1 with the field names of today; its `format` stays 1."""
    return {"signature" if key == "seal" else key: value for key, value in data.items()}


class Events:
    """Turns the events of one record, oldest first, into events of today."""

    def __init__(self) -> None:
        self._lowest: object = None

    def __call__(self, data: dict[str, Any]) -> None:
        """Changes one event in place; events of other kinds than calls are as they were."""
        if data["event"] != "call":
            return
        effects = {name: data.pop(name) for name in EFFECTS if name in data}
        lowest, statistics = data.pop("exemplar_floor", None), data.pop("statistics", None)
        if statistics is not None:
            effects["facts"] = {"maia-standard.statistics": statistics, "maia-standard.exemplar_floor": lowest}
        if statistics is not None or lowest != self._lowest:  # This call has found the exemplars.
            match data.get("result"):
                case {"$tuple": [list(activations), list(images)]}:
                    handles = [image["$image"] for image in images]
                    effects["kept"] = [list(pair) for pair in zip(activations, handles, strict=True)]
        self._lowest = lowest
        data["effects"] = effects
