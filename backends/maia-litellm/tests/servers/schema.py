"""Validates JSON by an SDK's request types, in a strict way: unknown fields are refused, everything is looked at.

The SDKs' types are written for callers: extra keys of a TypedDict are dropped, an `Iterable` is only looked at when it
is read. So their schema is rebuilt with lists for iterables and without extra keys.
"""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator


class Unfit(Exception):
    """A body that does not fit the request types.

    Attributes:
        where: The place in the body, such as `messages.0.content.1.text`.
        unknown: True if a field is not known there.
    """

    def __init__(self, where: str, message: str, unknown: bool) -> None:
        super().__init__(message)
        self.where = where
        self.unknown = unknown


@functools.cache
def validator(kind: Any) -> SchemaValidator:
    """Returns a strict validator of a request type."""
    return SchemaValidator(_strict(TypeAdapter(kind).core_schema))


def check(kind: Any, body: bytes) -> None:
    """Validates a JSON document.

    Raises:
        Unfit: it does not fit the type.
    """
    try:
        validator(kind).validate_json(body, strict=True)
    except ValidationError as error:
        # A union names the failures of all its branches: the one that got furthest is the one that was meant.
        errors = error.errors(include_url=False, include_input=False)
        best = max(errors, key=lambda e: (len(e["loc"]), e["type"] == "extra_forbidden"))
        # Fields and indices are kept, the names of the types in between are not.
        steps = [str(s) for s in best["loc"] if isinstance(s, int) or (s[:1].islower() and s.isidentifier())]
        raise Unfit(".".join(steps), best["msg"], best["type"] == "extra_forbidden") from None


def _strict(schema: Any) -> Any:
    if isinstance(schema, list | tuple):
        return type(schema)(_strict(item) for item in schema)
    if not isinstance(schema, dict):
        return schema
    schema = {key: _strict(value) for key, value in schema.items() if key not in ("serialization", "metadata")}
    if schema.get("type") == "generator":
        schema["type"] = "list"
    if schema.get("type") in ("typed-dict", "model-fields"):
        schema["extra_behavior"] = "forbid"
        schema.pop("extras_schema", None)
    if schema.get("type") in ("typed-dict", "model") and schema.get("config"):
        schema["config"] = {**schema["config"], "extra_fields_behavior": "forbid"}
    return schema
