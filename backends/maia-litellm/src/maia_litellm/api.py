"""Calls a function of LiteLLM once, at one address, with one key, within a time limit; an error is one line."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Literal

from maia_litellm.history import History
from maia_litellm.loading import know, litellm
from maia_litellm.providers import Endpoint

PLACEHOLDER = "set-by-maia"
"""What LiteLLM is given as a key, so that it takes none from the environment; the wire puts the real one there."""

LIST_MODELS = ("openai", "hosted_vllm", "openrouter", "mistral", "xai")
"""Providers whose protocol has `GET /models` below the address."""

LIST_SECONDS = 5.0
"""Longest time that a server may take to list its models."""


class Api:
    """One provider at one address. Threads may share it."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        headers: Mapping[str, str] | None = None,
        api_version: str = "",
        limit: str = "limits.reply_seconds",
        sees: bool = False,
    ) -> None:
        """Makes an API; nothing is loaded and nothing is sent before the first call.

        Args:
            endpoint: The model, its address and its key.
            headers: Further header fields of every request.
            api_version: Azure's; LiteLLM's default where it is empty.
            limit: The setting that bounds the time of a call, for messages.
            sees: Whether the model is known to see images.
        """
        self.endpoint = endpoint
        self._headers = dict(headers or {})
        self._api_version = api_version
        self._limit = limit
        self._history = History(seen=sees)
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}

    def call(
        self,
        function: str,
        seconds: float,
        *,
        client: Literal["openai", "azure", "http", ""] = "",
        images: bool = False,
        length: str = "",
        **arguments: Any,
    ) -> Any:
        """Calls `litellm.<function>` and returns its response.

        Args:
            function: Such as `completion`.
            seconds: The whole call ends by then, whatever the server does.
            client: What LiteLLM needs as its client for this function, where that is not the provider's usual one.
            images: Whether the model is shown images.
            length: Which settings bound the length of the reply, for messages.
            arguments: The function's own, but for model, key, address, client, time-out and retries.

        Raises:
            BackboneBusy: a passing failure.
            ContextTooLong: the request does not fit.
            BackboneError: any other failure.
        """
        call = getattr(litellm(), function)
        from maia_core.plugin import BackboneBusy
        from maia_litellm.failures import failure
        from maia_litellm.wire import Exchange

        kind = client or self.endpoint.provider.client
        wire, library_client = self._client(kind)
        exchange = Exchange(time.monotonic() + seconds, images, length)
        if kind == "azure" and self._api_version:
            arguments["api_version"] = self._api_version

        def work() -> Any:
            with wire.exchange(exchange):
                return call(
                    model=self.endpoint.model,
                    custom_llm_provider=self.endpoint.provider.name,
                    api_key=PLACEHOLDER,
                    api_base=self.endpoint.base,
                    client=library_client,
                    timeout=float(seconds),
                    max_retries=0,
                    num_retries=0,
                    **arguments,
                )

        outcome = _bounded(work, seconds + 0.5)
        if outcome is None:
            raise BackboneBusy(f"{self.endpoint.name}: no reply in time ({self._limit})")
        result, error = outcome
        self._history.add(exchange, error is None)
        if error is None:
            return result
        if not isinstance(error, Exception):
            raise error
        # From None: LiteLLM's own errors repeat what the provider said, a part of the key among it.
        raise failure(
            self.endpoint,
            exchange,
            error,
            history=self._history,
            limit=self._limit,
            served=lambda: self._served(min(LIST_SECONDS, exchange.left)),
        ) from None

    def _served(self, seconds: float) -> list[str]:
        """Returns the names of the models of a server that speaks OpenAI's protocol, as far as it tells."""
        from maia_litellm.wire import Exchange

        if self.endpoint.provider.name not in LIST_MODELS:
            return []
        wire, _ = self._client(self.endpoint.provider.client)

        def ask() -> list[str]:
            with wire.exchange(Exchange(time.monotonic() + seconds)):
                return [str(model["id"]) for model in wire.get(f"{self.endpoint.base}/models").json()["data"]]

        # Whatever fails here must not hide the failure that the names are asked for.
        names, _ = _bounded(ask, seconds) or (None, None)
        return names or []

    def _client(self, kind: str) -> tuple[Any, Any]:
        """Returns the wire, and the library's client around it that a kind of provider is called with."""
        with self._lock:
            if not self._clients:
                know(self.endpoint.provider.name, self.endpoint.model)
                from maia_litellm.wire import Wire

                self._clients["wire"] = opened = Wire(self.endpoint, self._headers)
                weakref.finalize(self, opened.close)
            wire = self._clients["wire"]
            if kind not in self._clients:
                self._clients[kind] = self._made(kind, wire)
            return wire, self._clients[kind]

    def _made(self, kind: str, wire: Any) -> Any:
        if kind == "http":
            from litellm.llms.custom_httpx.http_handler import HTTPHandler

            return HTTPHandler(client=wire)
        import openai

        if kind == "openai":

            class Once(openai.OpenAI):
                # LiteLLM's image API raises the number of the client that it is given, whatever its arguments say.
                max_retries = property(lambda self: 0, lambda self, value: None)

            return Once(api_key=PLACEHOLDER, base_url=self.endpoint.base, http_client=wire)
        version = self._api_version or litellm().AZURE_DEFAULT_API_VERSION
        return openai.AzureOpenAI(
            api_key=PLACEHOLDER,
            azure_endpoint=self.endpoint.base,
            api_version=version,
            http_client=wire,
            max_retries=0,
        )


def _bounded(work: Callable[[], Any], seconds: float) -> tuple[Any, BaseException | None] | None:
    """Returns what `work` returns and what it raises; None if it takes too long.

    It works in a thread of its own: a name server that hangs, or headers that come a byte at a time, are bounded too.
    """
    outcome: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))

    worker = threading.Thread(target=run, name="maia-litellm", daemon=True)
    worker.start()
    worker.join(seconds)
    return outcome[0] if outcome else None
