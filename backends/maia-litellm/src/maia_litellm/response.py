"""Reads a response of LiteLLM: text, reasoning, reason to stop, tokens and cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from maia_core.plugin import Reply, Usage
from maia_litellm.loading import litellm
from maia_litellm.providers import Endpoint
from maia_vlm import split_reasoning

REFUSALS = ("content_filter", "refusal", "safety", "blocked")
"""Reasons to stop that mean: the model, or a filter around it, did not want to answer."""


class ResponseReader:
    """Reads the responses of one endpoint."""

    def __init__(self, endpoint: Endpoint, known: Mapping[str, Any], warn: Callable[[str], None]) -> None:
        """Makes a reader.

        Args:
            endpoint: The model, its address and its key.
            known: The entry of LiteLLM's table on the model; empty for an unknown one.
            warn: Takes lines that the record should show.
        """
        self._endpoint = endpoint
        self._known = known
        self._warn = warn

    def read(self, response: Any) -> Reply:
        """Returns the reply in a response; warns of a refusal, and of reasoning without a reply."""
        choice = response.choices[0] if response.choices else None
        message = getattr(choice, "message", None)
        extra = getattr(message, "provider_specific_fields", None) or {}
        refusal = getattr(message, "refusal", None) or extra.get("refusal") or ""
        text = getattr(message, "content", None) or ""
        reason = str(getattr(choice, "finish_reason", "") or "").lower()
        stop = "end"
        if (refusal and not text) or any(word in reason for word in REFUSALS):
            stop = "refusal"
            self._warn(
                f"{self._endpoint.name} refused to answer{f': {refusal}' if refusal else ''}; if that repeats, choose "
                f"another {self._endpoint.part}.model"
            )
        elif reason in ("length", "max_tokens"):
            stop = "length"
        thought, text = split_reasoning(text)
        reasoning = "\n".join(filter(None, (getattr(message, "reasoning_content", None), thought)))
        if reasoning and not text and stop == "end":
            self._warn(
                f"{self._endpoint.name} sent reasoning and no reply; if that repeats, set its server to send both"
            )
        return Reply(
            text=self._own(text or refusal),
            stop=stop,
            model=self._own(str(getattr(response, "model", "") or self._endpoint.model)),
            usage=self._usage(response),
            reasoning=self._own(reasoning),
        )

    def _own(self, text: str) -> str:
        """Returns text of the server without the key, which a server may repeat."""
        return text.replace(self._endpoint.key, "[key]") if self._endpoint.key else text

    def _usage(self, response: Any) -> Usage:
        counted = getattr(response, "usage", None)
        read, written = _count(counted, "prompt_tokens"), _count(counted, "completion_tokens")
        cached = min(read, _count(getattr(counted, "prompt_tokens_details", None), "cached_tokens"))
        cost = self._cost(response, counted)
        return Usage(
            input_tokens=read,
            output_tokens=written,
            cached_tokens=cached,
            cost=cost or 0.0,
            unpriced_tokens=read + written if cost is None else 0,
        )

    def _cost(self, response: Any, counted: Any) -> float | None:
        """Returns US dollars; None where the price is not known."""
        if self._endpoint.provider.name == "openrouter" and self._endpoint.own:
            charged = getattr(counted, "cost", None)
            if isinstance(charged, int | float):
                return float(charged)
        price = self._known.get("input_cost_per_token")
        if price is None or not (self._endpoint.own or (price == 0 and self._endpoint.local)):
            return None
        try:
            cost = litellm().completion_cost(
                completion_response=response,
                model=self._endpoint.model,
                custom_llm_provider=self._endpoint.provider.name,
            )
        except Exception:
            return None  # A price that LiteLLM cannot work out is not known.
        return max(0.0, float(cost))


def _count(counted: Any, name: str) -> int:
    value = counted.get(name) if isinstance(counted, Mapping) else getattr(counted, name, None)
    return max(0, int(value)) if isinstance(value, int | float) else 0
