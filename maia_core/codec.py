"""The codec of values: JSON for the arguments and results of calls, with images by reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, JsonValue

from maia_core.image import Image
from maia_core.image_store import ImageStore
from maia_core.types import SystemRef


def images_of(value: Any) -> Iterator[Image]:
    """Yields every image handle inside an event or a value."""
    if isinstance(value, Image):
        yield value
    elif isinstance(value, BaseModel | Mapping | list | tuple):
        items = vars(value) if isinstance(value, BaseModel) else value
        for item in items.values() if isinstance(items, Mapping) else items:
            if not isinstance(item, str | int | float):  # Most of a record.
                yield from images_of(item)


def to_json(value: Any) -> JsonValue:
    """Encodes a value of a host call: images by reference, tuples and non-finite floats so that they come back."""
    if isinstance(value, Image):
        return {"$image": value.model_dump(mode="json", exclude_defaults=True)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    if isinstance(value, SystemRef):
        return {"$text": "system"}
    if isinstance(value, tuple):
        return {"$tuple": [to_json(item) for item in value]}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {"$" + key if str(key).startswith("$") else str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        return to_json(value.item())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return {"$text": str(value)}


def from_json(data: JsonValue, store: ImageStore) -> Any:
    """Decodes what `to_json` encoded; image handles load their pixels from `store`."""
    if isinstance(data, list):
        return [from_json(item, store) for item in data]
    if not isinstance(data, dict):
        return data
    match list(data.items()):
        case [("$image", image)]:
            return Image.model_validate(image, context={"images": store})
        case [("$float", str(text))]:
            return float(text)
        case [("$tuple", list(items))]:
            return tuple(from_json(item, store) for item in items)
        case [("$text", str(text))]:
            return text
    return {key.removeprefix("$"): from_json(item, store) for key, item in data.items()}
