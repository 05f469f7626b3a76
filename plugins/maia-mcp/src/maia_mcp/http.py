"""Serves clients over HTTP: on this machine only, for known addresses, and with a token."""

from __future__ import annotations

import hmac
import socket

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from maia_mcp.server import McpServer

HOST = "127.0.0.1"
PATH = "/mcp"


class Guard:
    """Refuses requests that are not from a client of this server.

    The Host must be one of this server's, an Origin (which browsers send) too, and the bearer token must be right.
    A page of another site knows none of them, even if its name leads to this machine.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], token: str) -> None:
        """Wraps an application.

        Args:
            app: The application.
            hosts: Values of Host, such as `127.0.0.1:8808`; the origins are `http://` and one of them.
            token: The bearer token.
        """
        self._app, self._hosts, self._token = app, hosts, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] == "http":
            status, why = self._refusal(Headers(scope=scope))
            if status:
                headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
                await PlainTextResponse(why, status, headers)(scope, receive, send)
                return
        elif scope["type"] != "lifespan":
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> tuple[int, str]:
        hosts, origins, tokens = (headers.getlist(name) for name in ("host", "origin", "authorization"))
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 421, "this server has another address"
        if len(origins) > 1 or any(origin not in [f"http://{host}" for host in self._hosts] for origin in origins):
            return 403, "requests from other pages are refused"
        scheme, _, token = tokens[0].partition(" ") if len(tokens) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
            return 401, "send the server's token: Authorization: Bearer TOKEN"
        return 0, ""


def application(server: McpServer, port: int, token: str) -> ASGIApp:
    """Returns the application that serves clients at `http://127.0.0.1:PORT/mcp`."""
    hosts = tuple(f"{name}:{port}" for name in (HOST, "localhost"))
    origins = [f"http://{host}" for host in hosts]
    exact = TransportSecuritySettings(allowed_hosts=list(hosts), allowed_origins=origins)
    app = server.server.streamable_http_app(streamable_http_path=PATH, transport_security=exact, host=HOST)
    return Guard(app, hosts, token)


async def serve(server: McpServer, listener: socket.socket, token: str) -> None:
    """Serves clients of a listening socket until the process is interrupted."""
    port = listener.getsockname()[1]
    config = uvicorn.Config(application(server, port, token), log_level="warning")
    await uvicorn.Server(config).serve(sockets=[listener])
