"""A model that answers conversations, behind any provider: what backbone and describer are both made of."""

from __future__ import annotations

import importlib.util
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from maia_core.plugin import CallLimits, Message, Reply, UsageError
from maia_litellm import prices, wording
from maia_litellm.abilities import image_limits, info_of
from maia_litellm.api import Api
from maia_litellm.limits import takes
from maia_litellm.loading import litellm
from maia_litellm.options import ModelConfig
from maia_litellm.providers import Endpoint
from maia_litellm.response import ResponseReader
from maia_vlm import pack

LENGTHS = ("max_tokens", "max_completion_tokens")
"""The two names of the parameter that bounds the length of a reply."""


class ChatModel:
    """Answers conversations. Threads may share it.

    Attributes:
        endpoint: The model, its address and its key.
        info: What it is and can do.
    """

    def __init__(
        self,
        config: ModelConfig,
        part: str,
        warn: Callable[[str], None] = lambda line: None,
        most_images: int | None = None,
    ) -> None:
        """Finds out what the model can do; nothing is loaded and nothing is sent.

        Args:
            config: The options.
            part: What of the run's configuration they are, for messages.
            warn: Takes lines that the record should show.
            most_images: Most images that a conversation comes to hold, see `maia_vlm.pack`.

        Raises:
            UsageError: an option cannot be used, or the key is missing.
        """
        self.endpoint = Endpoint.find(config.model, config.api_base, config.key_env, part)
        self._config = config
        self._most_images = most_images
        self._warn_to, self._warning = warn, threading.Lock()
        self._known = prices.entry(self.endpoint.provider.name, self.endpoint.model)
        if self._responses and importlib.util.find_spec("mcp") is None:
            raise UsageError(
                f"{self.endpoint.name} speaks OpenAI's Responses API alone, for which LiteLLM needs another package: "
                f"pip install mcp, or set another {part}.model"
            )
        provider_takes = takes(self.endpoint.provider.name, self.endpoint.model, self.endpoint.own)
        self._limits = image_limits(config, provider_takes)
        params = dict(config.params)
        self._api = Api(
            self.endpoint,
            headers=params.pop("extra_headers", {}),
            api_version=str(params.pop("api_version", "")),
            sees=self.endpoint.own and bool(self._known.get("supports_vision")),
        )
        self._params = params
        # OpenAI's newer models refuse the older name, other servers do not know the newer one.
        openai = self.endpoint.own and self.endpoint.provider.name == "openai"
        self._lengths = LENGTHS[::-1] if openai else LENGTHS
        self._unknown: set[str] = set()  # Parameters that the server does not take.
        self._reader = ResponseReader(self.endpoint, self._known, self._warn)
        self._supported: frozenset[str] | None = None
        self.info = info_of(config, self.endpoint, self._known, provider_takes)

    def reply(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """Answers a conversation, see `maia_core.protocols.Backbone.complete`; its images must be visible to the model.

        A request that the provider's filter refuses gives a reply that stops by "refusal".
        """
        from maia_litellm.failures import Refused

        # Packed and loaded before the clock of the call begins.
        content = wording.messages(
            pack(messages, self._limits, self._most_images),
            system_role=self.info.system_role,
            detail=self._config.detail,
            breakpoints=self._marks_cache,
            ordered=self.endpoint.provider.name != "ollama_chat",
        )
        images = any(message.images for message in messages)
        try:
            response = self._ask(content, images, limits)
        except Refused as refused:
            self._warn(f"{refused}; if that repeats, choose another {self.endpoint.part}.model")
            return Reply(text="", stop="refusal", model=self.endpoint.name)
        return self._reader.read(response)

    def _warn(self, line: str) -> None:
        with self._warning:  # A describer asks from several threads.
            self._warn_to(line)

    # What is asked.

    def _ask(self, content: wording.Wire, images: bool, limits: CallLimits) -> Any:
        """Sends a request; sends it again without a parameter of MAIA's that the server does not take."""
        from maia_litellm.failures import UnknownParameter

        deadline = time.monotonic() + limits.seconds
        while True:
            # The name of a deployment at Azure, or of a gateway's model, does not tell what it takes.
            length = next((name for name in self._lengths if name not in self._unknown), "")
            arguments = self._arguments(limits, length)
            try:
                return self._send(content, images, limits, max(0.1, deadline - time.monotonic()), arguments, length)
            except UnknownParameter as error:
                name = length if error.parameter == "length" else error.parameter
                if name not in arguments:
                    raise
                self._unknown.add(name)
                if name == "seed":
                    self._warn(f"{self.endpoint.name} does not take a seed: its replies do not repeat")
                elif self._unknown.issuperset(LENGTHS):
                    self._warn(f"{self.endpoint.name} does not take a limit of tokens: limits.reply_tokens is not used")

    def _send(
        self,
        content: wording.Wire,
        images: bool,
        limits: CallLimits,
        seconds: float,
        arguments: dict[str, Any],
        length: str,
    ) -> Any:
        part = self.endpoint.part
        settings = "limits.reply_tokens" if part == "backbone" else f"{part}.reply_tokens"
        if arguments.get(length, 0) > limits.max_output_tokens:
            settings = f"{part}.reasoning_tokens=0 or {settings}"
        # The Responses API is asked without OpenAI's library.
        client: Literal["http", ""] = "http" if self._responses else ""
        return self._api.call(
            "completion", seconds, client=client, images=images, length=settings, messages=content, **arguments
        )

    def _arguments(self, limits: CallLimits, length: str) -> dict[str, Any]:
        config, known = self._config, self._known
        tokens = limits.max_output_tokens + (config.reasoning_tokens if self._reasons else 0)
        if isinstance(most := known.get("max_output_tokens"), int):
            tokens = min(tokens, most)
        arguments: dict[str, Any] = {**({length: tokens} if length else {}), **self._params}
        if config.temperature is not None:
            arguments["temperature"] = config.temperature
        if config.reasoning_effort is not None:
            arguments["reasoning_effort"] = config.reasoning_effort
        if "seed" in self._parameters() - self._unknown:
            arguments["seed"] = limits.seed
        if self.endpoint.provider.name == "ollama_chat":
            arguments.setdefault("num_ctx", self.info.context_tokens)
        return arguments

    def _parameters(self) -> frozenset[str]:
        """The parameters that LiteLLM knows the model to take."""
        if self._supported is None:
            names = litellm().get_supported_openai_params(
                model=self.endpoint.model, custom_llm_provider=self.endpoint.provider.name
            )
            self._supported = frozenset(names or ())
        return self._supported

    @property
    def _responses(self) -> bool:
        """Whether it is one of the models that speak OpenAI's Responses API alone (the "pro" ones)."""
        return self._known.get("mode") == "responses" or self.endpoint.model.startswith("responses/")

    @property
    def _claude(self) -> bool:
        provider, model = self.endpoint.provider.name, self.endpoint.model
        return provider == "anthropic" or (provider == "openrouter" and model.startswith("anthropic/"))

    @property
    def _marks_cache(self) -> bool:
        """Whether prefixes to cache are marked; other providers find them by themselves."""
        return self._claude

    @property
    def _reasons(self) -> bool:
        """Whether the reply may come after reasoning, which counts as output too."""
        effort = self._config.reasoning_effort
        if effort is not None:
            return effort not in ("none", "disable")
        # A model of a provider that the table does not know is taken for a new one, and new ones reason.
        return bool(self._known.get("supports_reasoning")) if self._known else self.endpoint.own

    @property
    def identity(self) -> str:
        """What its answers depend on: the model, where it is, and how it is asked."""
        beside = {"key_env", "context_tokens", "model", "api_base", "parallel"}
        config = self._config.model_dump(mode="json", exclude=beside)
        return json.dumps([self.endpoint.name, self.endpoint.base, config], sort_keys=True)
