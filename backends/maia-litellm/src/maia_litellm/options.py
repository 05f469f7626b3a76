"""The options that the parts share, and what must never be one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from maia_core.plugin import PluginConfig, UsageError

SECRET_NAME = re.compile(
    r"(api|access|secret|private|subscription|service)[-_ ]?key|^key$|authorization|passw(or)?d|secret|credential"
    r"|(^|auth|access|api|bearer|ad|refresh|session)[-_]?token$|^x-[\w-]*key$",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile(r"^\s*(?:(?:sk|pk|rk|gsk|xai)-[\w-]{8,}|AIza[\w-]{10,}|(?i:bearer|basic)\s+\S+)")
SECRET_HEADER = re.compile(r"key|token|auth|cookie|secret|passw|credential", re.IGNORECASE)
PRINTABLE = re.compile(r"[ -~]*")
OURS = frozenset(
    {
        *("model", "messages", "input", "prompt", "image", "max_tokens", "max_completion_tokens"),
        *("seed", "n", "stream", "stream_options"),
        *("base_url", "client", "http_client", "custom_llm_provider", "headers", "ssl_verify", "model_list"),
        *("timeout", "request_timeout", "num_retries", "max_retries", "retry_policy", "fallbacks", "drop_params"),
        *("context_window_fallback_dict", "mock_response", "mock_timeout", "cache", "caching", "metadata"),
        *("callbacks", "success_callback", "failure_callback", "litellm_params", "tools", "tool_choice", "functions"),
    }
)
"""Parameters of LiteLLM that MAIA sets, or that would take a call past its limits."""


class ServiceConfig(PluginConfig):
    """Which model, and where."""

    model: str = ""
    """Provider and model, as LiteLLM names them: `openai/gpt-4o`, `anthropic/claude-opus-4-5`, `gemini/gemini-2.5-pro`,
    `azure/DEPLOYMENT`, `openrouter/VENDOR/MODEL`, `ollama/llava`, `vllm/MODEL`; `openai/MODEL` with `api_base` for any
    server that speaks OpenAI's protocol."""
    api_base: str = ""
    """The server's address, where it is not the provider's own. Only the key that `key_env` names is sent there."""
    key_env: str = ""
    """Name of the environment variable that holds the key, where it is not the provider's usual one."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Further parameters of LiteLLM's call, such as `top_p`, `api_version` or `extra_headers`; never a key."""

    @model_validator(mode="before")
    @classmethod
    def _without_secrets(cls, data: Any) -> Any:
        """Refuses keys before anything else looks at the options, so that no error message repeats one."""
        if isinstance(data, Mapping):
            _refuse_secrets(data, "")
            if isinstance(params := data.get("params"), Mapping):
                _check_headers(params.get("extra_headers", {}))
        return data

    @model_validator(mode="after")
    def _without_ours(self) -> Self:
        own = set(type(self).model_fields)
        taken = sorted((OURS | own) & set(self.params))
        if taken:
            hint = f"it is the option {taken[0]}" if taken[0] in own else "MAIA sets it"
            raise UsageError(f"params.{taken[0]} cannot be set: {hint}")
        return self


class ModelConfig(ServiceConfig):
    """Which model, where, and how it is asked."""

    temperature: float | None = Field(None, ge=0, allow_inf_nan=False)
    """How freely words are chosen; the provider's default where it is not set."""
    reasoning_effort: str | None = None
    """`none`, `minimal`, `low`, `medium` or `high`, for models that reason; where it is not set, the provider's."""
    reasoning_tokens: int = Field(8192, ge=0)
    """Room for the reasoning of models that reason, beyond the length of the reply."""
    detail: Literal["auto", "low", "high"] | None = None
    """How closely images are looked at, for providers that let one choose: `low` is cheaper."""
    images: bool | None = None
    """Whether the model sees images; LiteLLM's table says so for known models. Without, it gets descriptions."""
    max_images: int | None = Field(None, gt=0)
    """Most pictures in one request; more are tiled onto sheets. The provider's documented limit where it is not set."""
    max_side: int | None = Field(None, gt=15)
    """Larger images are made smaller, in pixels; the provider's documented limit where it is not set."""
    system_role: bool | None = None
    """False: the model takes no system message, which then stands before the first user message."""
    context_tokens: int | None = Field(None, gt=0)
    """The model's window in tokens, where LiteLLM's table does not know it. MAIA tells Ollama to use this much (16,384
    where it is not set): with its own small default, Ollama would silently forget the task."""


def _check_headers(headers: Any) -> None:
    """Refuses a value that is not a table of header fields, and fields that would carry a key."""
    if not isinstance(headers, Mapping):
        raise UsageError('params.extra_headers is a table of header fields, such as { X-Title = "my lab" }')
    for name, value in headers.items():
        if SECRET_HEADER.search(str(name)):
            raise UsageError(
                f"params.extra_headers cannot hold '{name}', which looks like a key: put the key into an environment "
                "variable and name that in key_env"
            )
        if not (re.fullmatch(r"[\w-]+", str(name), re.ASCII) and isinstance(value, str) and PRINTABLE.fullmatch(value)):
            raise UsageError(f"params.extra_headers: '{name}' is not a header field with one line of plain text")


def _refuse_secrets(data: Mapping[Any, Any], where: str) -> None:
    for name, value in data.items():
        path = f"{where}{name}"
        if isinstance(value, Mapping):
            _refuse_secrets(value, f"{path}.")
        elif isinstance(value, list):
            _refuse_secrets({str(n): item for n, item in enumerate(value)}, f"{path}.")
        elif SECRET_NAME.search(str(name)) or (isinstance(value, str) and SECRET_VALUE.match(value)):
            raise UsageError(
                f"'{path}' looks like a key, which no option may hold: put it into an environment variable (export "
                "OPENAI_API_KEY=..., or another one that key_env names)"
            )
    base = data.get("api_base")
    if isinstance(base, str) and "@" in base.partition("//")[2].partition("/")[0]:
        raise UsageError(
            "'api_base' must not hold a password: put the key into an environment variable and name it in key_env"
        )
