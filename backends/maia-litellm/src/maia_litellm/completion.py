"""Brings a response with status 200 into the form that OpenAI's chat protocol documents, before LiteLLM reads it.

Gateways and small servers depart from that form: they report failures with status 200, send text as a list of parts,
leave fields out, call tools that nobody offered, or stream although nobody asked for a stream.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from maia_core.plugin import recordable

UNNUMBERED = 520
"""Status that stands for a failure in a response of status 200 that names no status of its own."""

PATH = "/chat/completions"
"""How the address of OpenAI's chat protocol ends."""

BROKEN_OFF = ("error", "abort", "aborted", "cancelled", "insufficient_system_resource")
"""Reasons to stop that mean: the server failed while it wrote."""

LENGTHS = ("length", "max_tokens", "max_output_tokens", "model_length", "token_limit")
"""Reasons to stop that mean: the reply reached its limit of tokens."""

PAYLOADS = ("choices", "candidates", "content", "data", "message", "output")
"""Fields that hold the reply in the protocols of all providers."""

COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def documented(path: str, status: int, body: bytes) -> tuple[int, bytes]:
    """Returns status and body of a response in their documented form.

    A failure gets the status that it names (`UNNUMBERED` where it names none). A response that is not understood stays.

    Args:
        path: The path of the request's address.
        status: The response's status.
        body: The response's body.
    """
    if status != 200:
        return status, body
    chat = path.endswith(PATH)
    data = _assembled(list(_documents(body))) if chat else _document(body)
    if data is None and body.lstrip().startswith(b"{"):
        return _failure({"message": "the response broke off"})
    if not isinstance(data, dict):
        return status, body
    choice = next(filter(None, map(_dict, _list(data.get("choices")))), {})
    message = _message(choice)
    message["content"] = message["content"] or _called(_dict(choice.get("message")))
    reason = str(choice.get("finish_reason") or "stop").lower()
    if error := _error(data, choice, reason, bool(message["content"])):
        return _failure(error)
    if not chat or "choices" not in data:
        return status, body
    if not choice:
        return _failure({"message": "the response holds no reply"})
    reply = {
        "id": str(data.get("id") or "unnamed"),
        "object": "chat.completion",
        "created": created if isinstance(created := data.get("created"), int) else 0,
        "model": str(data.get("model") or ""),
        "choices": [{"index": 0, "finish_reason": "length" if reason in LENGTHS else reason, "message": message}],
        "usage": _usage(_dict(data.get("usage"))),
    }
    return status, json.dumps(reply).encode()


def _documents(body: bytes) -> Iterable[Any]:
    """Yields the JSON documents of a body: one, or one per line of a stream."""
    if (whole := _document(body)) is not None:
        yield whole
        return
    for line in body.splitlines():
        if (document := _document(line.removeprefix(b"data:"))) is not None:
            yield document


def _document(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def _assembled(documents: list[Any]) -> Any:
    """Returns one document; a stream's pieces are joined."""
    pieces = list(filter(None, map(_dict, documents)))
    if len(pieces) < 2 and not any("delta" in _dict(c) for p in pieces for c in _list(p.get("choices"))):
        return pieces[0] if pieces else None
    whole: dict[str, Any] = {}
    text, reasoning, refusal = "", "", ""
    reason = None
    for piece in pieces:
        whole |= {name: value for name, value in piece.items() if value is not None and name != "choices"}
        for choice in map(_dict, _list(piece.get("choices"))[:1]):
            message = _message(choice)
            text += message["content"]
            reasoning += message["reasoning_content"] or ""
            refusal += message["refusal"] or ""
            reason = choice.get("finish_reason") or reason
            whole |= {"error": choice["error"]} if choice.get("error") else {}
    message = {"content": text, "reasoning_content": reasoning, "refusal": refusal}
    # A stream that does not say how it ended was cut.
    return whole | {"choices": [{"message": message, "finish_reason": reason or "error"}]}


def _message(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the message of a choice, with its text as one string."""
    found = choice.get("message") or choice.get("delta") or choice.get("text")
    message = _dict(found) or {"content": found}
    content = message.get("content")
    parts = [content] if isinstance(content, str | dict) else _list(content)
    thoughts = [message.get("reasoning_content") or message.get("reasoning"), *map(_thought, parts)]
    refusals = [message.get("refusal"), *(_dict(part).get("refusal") for part in parts)]
    beside = {name: value for name, value in message.items() if name == "images"}
    return beside | {
        "role": "assistant",
        "content": "".join(map(_text, parts)),
        "reasoning_content": _joined(thoughts),
        "refusal": _joined(refusals),
    }


def _text(part: Any) -> str:
    """Returns the text of one part of a content; empty for a thought, an image or anything else."""
    fields = {"text": part} if isinstance(part, str) else _dict(part)
    text = fields.get("text")
    thought = "thought" in fields or str(fields.get("type")) in ("thinking", "reasoning", "reasoning_text")
    if isinstance(text, dict):  # {"text": {"value": ...}}, as in OpenAI's assistants.
        text = text.get("value")
    return recordable(text) if isinstance(text, str) and not thought else ""


def _thought(part: Any) -> str:
    fields = _dict(part)
    thinking = fields.get("thinking") or fields.get("reasoning")
    if thinking is None and str(fields.get("type")) in ("thinking", "reasoning", "reasoning_text"):
        thinking = fields.get("text")
    return "".join(_text(piece) for piece in ([thinking] if isinstance(thinking, str) else _list(thinking)))


def _called(message: Mapping[str, Any]) -> str:
    """Returns the texts in calls of tools, which MAIA does not offer: some models put their program there."""
    calls = [_dict(call).get("function") for call in _list(message.get("tool_calls"))] + [message.get("function_call")]
    texts: list[str] = []
    for call in map(_dict, calls):
        arguments = call.get("arguments")
        known = _document(arguments.encode("utf-8", "replace")) if isinstance(arguments, str) else arguments
        values = _dict(known).values() if isinstance(known, dict) else [known or arguments]
        texts += [recordable(value) for value in values if isinstance(value, str)]
    # An answer begins with a tag; anything else can only be a program.
    written = (text if "```" in text or text.lstrip().startswith("[") else f"```python\n{text}\n```" for text in texts)
    return "\n".join(written)


def _error(data: Mapping[str, Any], choice: Mapping[str, Any], reason: str, replied: bool) -> dict[str, Any]:
    """Returns the failure that a response reports; empty for none."""
    error = data.get("error") or choice.get("error")
    if not error and (data.get("object") == "error" or ("choices" not in data and _status(data) != UNNUMBERED)):
        error = data  # The failure is not wrapped, as vLLM's.
    if not error and reason in BROKEN_OFF:
        error = "the reply broke off"
    fields = _dict(error) or {"message": str(error)}
    payload = replied or any(data.get(name) for name in PAYLOADS if name != "choices" and error is not data)
    if not error or (payload and reason not in BROKEN_OFF and _status(fields) == UNNUMBERED):
        return {}
    return dict(fields)


def _failure(error: Mapping[str, Any]) -> tuple[int, bytes]:
    return _status(error), json.dumps({"error": error}).encode()


def _status(error: Mapping[str, Any]) -> int:
    codes = [str(error.get(name)) for name in ("code", "status", "status_code")]
    return next((int(code) for code in codes if code.isdecimal() and 400 <= int(code[:9]) < 600), UNNUMBERED)


def _usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    counted = _numbers(usage)
    details = {name: _numbers(value) for name, value in usage.items() if isinstance(value, dict)}
    return counted | details | {name: int(counted.get(name, 0)) for name in COUNTS}


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: n for name, n in values.items() if isinstance(n, int | float) and math.isfinite(n)}


def _joined(texts: Iterable[Any]) -> str | None:
    return recordable("\n".join(text for text in texts if text and isinstance(text, str))) or None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
