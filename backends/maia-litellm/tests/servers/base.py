"""What the servers of all providers share: real HTTP in a thread, a record of requests, a script of answers."""

from __future__ import annotations

import json
import socket
import threading
import traceback
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from servers.certificate import self_signed
from servers.media import Media
from servers.script import Answer, EndOfScript, Failure, FailureKind, Script, Step, Trouble, player
from servers.tokens import PrefixCache

PAGE = b"<html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>"
LONGEST_HANG = 60.0
"""Seconds after which a hanging connection is closed in any case."""


@dataclass
class Received:
    """One request as it came.

    Attributes:
        method: HTTP method.
        path: Path without the query.
        query: The query, as it came.
        headers: Header fields, names in lower case.
        raw: The body's bytes.
        body: The parsed JSON, or the fields of a form; None where there is none.
        images: The images that it carries, in order.
        refused: The status and message of a request that was not valid; None for a valid one.
        step: What the script answered.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    raw: bytes
    body: Any = None
    images: list[Media] = field(default_factory=list)
    refused: tuple[int, str] | None = None
    step: Step | None = None

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.raw)

    def carries(self, secret: str) -> bool:
        """Tells whether a key is anywhere in the request."""
        return any(secret in text for text in (self.path, self.query, *self.headers.values())) or (
            secret.encode() in self.raw
        )


@dataclass(frozen=True)
class Response:
    """What goes back."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refused(Exception):
    """A request that the service does not take.

    Attributes:
        status: HTTP status.
        body: The error in the provider's form.
    """

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


class ProviderServer(ABC):
    """A provider's service on this machine, for as long as the `with` block runs.

    Attributes:
        key: The only key that it takes.
        models: The models that it knows.
        requests: Every request so far, in the order of arrival.
        cache: The simulated cache of prompt prefixes.
    """

    base_path = ""
    """What the API base has behind the host."""

    def __init__(
        self,
        script: Script = "An answer.",
        *,
        key: str,
        models: tuple[str, ...],
        context_tokens: int | None = None,
        tls: bool = False,
    ) -> None:
        """Makes a server.

        Args:
            script: What is answered to valid requests.
            key: The key that it takes.
            models: The models that it knows.
            context_tokens: A prompt of more tokens is refused as too long for the model.
            tls: Speak HTTPS, with a self-signed certificate.
        """
        self.key = key
        self.models = models
        self.context_tokens = context_tokens
        self.requests: list[Received] = []
        self.cache = PrefixCache()
        self._broken: list[Exception] = []
        self._play = player(script)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self._scheme = "https" if tls else "http"
        if tls:
            self._http.socket = self_signed().wrap_socket(
                self._http.socket, server_side=True, do_handshake_on_connect=False
            )

    @property
    def host(self) -> str:
        """Scheme, address and port."""
        return f"{self._scheme}://127.0.0.1:{self._http.server_address[1]}"

    @property
    def url(self) -> str:
        """The API base that a client of this provider is given."""
        return self.host + self.base_path

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        if self._broken and error is None:
            raise self._broken[0]

    # What a provider defines.

    @abstractmethod
    def validate(self, request: Received) -> None:
        """Looks at a request strictly, and fills in its `body` and `images`.

        Raises:
            Refused: the real service would not take it.
        """

    @abstractmethod
    def reply(self, request: Received, step: Answer | Any) -> dict[str, Any]:
        """Returns the body of a good answer."""

    @abstractmethod
    def empty(self, request: Received) -> dict[str, Any]:
        """Returns an answer that holds nothing."""

    @abstractmethod
    def failure(self, kind: FailureKind, request: Received) -> tuple[int, dict[str, Any]]:
        """Returns status and body of a failure, as the provider reports it."""

    def get(self, request: Received) -> Response | None:
        """Answers a GET request, such as the list of models; None: there is no such thing."""
        return None

    # The rest is shared.

    def respond(self, request: Received) -> Response | Trouble:
        """Answers one request, or says what trouble to make."""
        with self._lock:
            self.requests.append(request)
        try:
            return self._respond(request)
        except Exception as error:  # A fault of the server or of its script: leaving the `with` block raises it.
            self._broken.append(error)
            return _json(500, {"error": {"message": "".join(traceback.format_exception(error)), "type": "test server"}})

    def _respond(self, request: Received) -> Response | Trouble:
        try:
            if request.method == "GET" and (found := self.get(request)) is not None:
                return found
            self.validate(request)
            step = request.step = self._play(request)
        except Refused as refused:
            request.refused = (refused.status, json.dumps(refused.body))
            return _json(refused.status, refused.body)
        except EndOfScript as error:
            request.refused = (500, str(error))
            return _json(500, {"error": {"message": str(error), "type": "script"}})
        if isinstance(step, Failure):
            status, body = self.failure(step.kind, request)
            headers = {"retry-after": step.retry_after} if step.retry_after else {}
            return _json(status, body, headers)
        if isinstance(step, Trouble):
            return step
        return _json(200, self.reply(request, Answer(step) if isinstance(step, str) else step))

    def make_trouble(self, trouble: Trouble, request: Received) -> Response | bytes | None:
        """Returns a response, the raw bytes before the connection is cut, or None to cut it at once."""
        if trouble.kind == "hang":
            self._stopping.wait(LONGEST_HANG)
            return None
        if trouble.kind == "html":
            return Response(trouble.status or 200, PAGE, content_type="text/html; charset=utf-8")
        if trouble.kind == "redirect":
            return Response(trouble.status or 307, b"", {"location": trouble.to + request.path})
        if trouble.kind == "empty":
            return _json(200, self.empty(request))
        if trouble.kind == "huge":
            return Response(200, b'{"padding": "' + b"x" * trouble.size + b'"}')
        good = json.dumps(self.reply(request, Answer())).encode()
        if trouble.kind == "invalid-json":
            return Response(200, good[: len(good) // 2])
        if trouble.kind == "cut":
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(good)}\r\n\r\n"
            return head.encode() + good[: len(good) // 2]
        self._stopping.wait(trouble.seconds)
        return Response(200, good)


class Bystander(ProviderServer):
    """Somebody else's server: it takes everything, so that a test can show what must never arrive there."""

    def __init__(self) -> None:
        super().__init__(key="", models=())

    def validate(self, request: Received) -> None:
        """Takes everything."""

    def reply(self, request: Received, step: Any) -> dict[str, Any]:
        """Answers with nothing."""
        return {}

    def empty(self, request: Received) -> dict[str, Any]:
        """Answers with nothing."""
        return {}

    def failure(self, kind: FailureKind, request: Received) -> tuple[int, dict[str, Any]]:
        """Has no errors of its own."""
        return 500, {}


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(status, json.dumps(body).encode(), headers or {})


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stays quiet: clients that hang up or distrust the certificate are what is tested."""


def _handler(server: ProviderServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # Head and body leave in one piece.
        timeout = LONGEST_HANG

        def log_message(self, format: str, *args: Any) -> None:
            """Prints nothing."""

        def do_GET(self) -> None:
            self._serve()

        def do_POST(self) -> None:
            self._serve()

        def _serve(self) -> None:
            if "transfer-encoding" in self.headers:
                self.send_error(411)
                return
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, parts.path, parts.query, headers, raw)
            answer: Response | bytes | Trouble | None = server.respond(request)
            if isinstance(answer, Trouble):
                answer = server.make_trouble(answer, request)
            if isinstance(answer, Response):
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
                self.wfile.flush()
                return
            self.close_connection = True
            if answer:
                self.wfile.write(answer)
                self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    return Handler
