"""The one way out of this package: an HTTP client that speaks to one address, with the one key that belongs there.

LiteLLM and the providers' SDKs look for keys, addresses and accounts in the environment by themselves, follow redirects
and try again. None of that gets past this client: it sends to its own host alone, sets the key itself (LiteLLM never
has it), passes only the header fields that a request needs, follows no redirect, and sends one request a call.
"""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from maia_core.plugin import UsageError, one_line
from maia_litellm.completion import documented
from maia_litellm.loading import certificates
from maia_litellm.providers import Endpoint

PASSED = frozenset(
    {
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "host"),
        *("anthropic-beta", "anthropic-version"),
    }
)
"""Header fields that are sent as LiteLLM makes them; all others are left out."""

ACCOUNT = frozenset(["openai-organization", "openai-project"])
"""Fields that go to OpenAI alone: the SDK takes them from the environment and would send them to any server."""

CONNECT_SECONDS = 15.0
"""Longest time that a connection may take to come about."""

UNPACKED = ("content-encoding", "content-length", "transfer-encoding")
"""Header fields that do not hold any more once the body was read."""

MAX_BYTES = 256 * 2**20
"""Longest reply that is read."""


@dataclass
class Exchange:
    """One call: the request and the response on the wire, however LiteLLM reports them.

    Attributes:
        deadline: When it must have ended, on the clock of `time.monotonic`.
        images: Whether the model is shown images.
        length: Which settings bound the length of the reply, for messages.
        sent: Whether the request was sent.
        status: HTTP status of the reply, or what a failure in a reply of status 200 names; 0 if there was none.
        headers: Header fields of the reply.
        body: The reply's body.
        error: Why there was no reply.
    """

    deadline: float
    images: bool = False
    length: str = ""
    sent: bool = False
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: Exception | None = None

    @property
    def left(self) -> float:
        """Seconds that are left; at least a moment, so that it is a valid time-out."""
        return max(0.001, self.deadline - time.monotonic())


class Wire(httpx.Client):
    """An HTTP client for one endpoint. Threads may share it; each has its own exchange."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str] | None = None) -> None:
        """Makes a client.

        Args:
            endpoint: Where it sends to, and the key.
            headers: Further header fields of every request.

        Raises:
            UsageError: certificates or a proxy that the environment names cannot be used.
        """
        trusted = certificates()
        try:
            super().__init__(
                follow_redirects=False,
                # A server on this machine is not asked for through a proxy.
                trust_env=not endpoint.local,
                verify=trusted,
                limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise UsageError(
                "the proxy of the environment (ALL_PROXY, HTTPS_PROXY, HTTP_PROXY, NO_PROXY) cannot be used: "
                f"{one_line(error)}"
            ) from None
        self.endpoint = endpoint
        self._origin = _origin(httpx.URL(endpoint.base))
        self._extra = {"user-agent": "maia-litellm", **(headers or {})}
        if endpoint.key:
            self._extra[endpoint.provider.header] = endpoint.provider.prefix + endpoint.key
        self._passed = PASSED | ACCOUNT if endpoint.own and endpoint.provider.name == "openai" else PASSED
        self._present = threading.local()

    @contextmanager
    def exchange(self, exchange: Exchange) -> Iterator[None]:
        """Makes `exchange` the present one of this thread."""
        self._present.exchange = exchange
        try:
            yield
        finally:
            self._present.exchange = None

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Sends a request, reads the whole reply, and keeps both in the present exchange."""
        exchange: Exchange | None = getattr(self._present, "exchange", None)
        if exchange is None:
            raise httpx.UnsupportedProtocol("a request outside of a call", request=request)
        if exchange.sent:
            # A retry of a library: the run's loop owns retries, and what failed is in the exchange.
            raise httpx.UnsupportedProtocol("a second request in one call", request=request)
        if _origin(request.url) != self._origin:
            exchange.error = httpx.UnsupportedProtocol(f"a request to {request.url.host}", request=request)
            raise exchange.error
        exchange.sent = True
        kept = {name: value for name, value in request.headers.items() if name in self._passed}
        seconds = exchange.left
        timeout = httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)).as_dict()
        sent = httpx.Request(
            request.method,
            request.url,
            headers=kept | self._extra,
            stream=request.stream,
            extensions={**request.extensions, "timeout": timeout},
        )
        try:
            received = super().send(sent, stream=True, follow_redirects=False, auth=None)
            # The SDK finds its own marks in the headers of its own request.
            return self._read(received, request, exchange)
        except (httpx.HTTPError, OSError) as error:
            exchange.error = error
            raise

    def _read(self, response: httpx.Response, request: httpx.Request, exchange: Exchange) -> httpx.Response:
        """Reads a reply as far as its time and its size allow."""
        started, content = time.monotonic(), bytearray()
        try:
            for chunk in response.iter_bytes():
                content += chunk
                if time.monotonic() > exchange.deadline:
                    raise httpx.ReadTimeout("the reply takes too long", request=request)
                if len(content) > MAX_BYTES:
                    raise httpx.DecodingError("the reply is too long", request=request)
        finally:
            response.close()
        headers = {k: v for k, v in response.headers.items() if k not in UNPACKED}
        exchange.headers = headers
        exchange.status, exchange.body = documented(request.url.path, response.status_code, bytes(content))
        if exchange.body != content:
            headers["content-type"] = "application/json"
        whole = httpx.Response(exchange.status, headers=headers, content=exchange.body, request=request)
        whole.elapsed = datetime.timedelta(seconds=time.monotonic() - started)
        return whole


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
