"""What a server reads of a request."""

from __future__ import annotations

from typing import Any, NamedTuple

from mcp.server.context import ServerRequestContext

from maia_core.plugin import recordable

SESSION = "mcp-session-id"
"""Header of HTTP with the session that the server gave a client; clients of the newer protocol have none."""


class Client(NamedTuple):
    """Who makes a call."""

    name: str
    """Name that the client gives itself; it stands in the record as `mcp:NAME`."""
    session: str = ""
    """Session of the transport; "" where the transport has none."""

    def drives(self, other: Client) -> bool:
        """Returns whether the runs of another client are this client's too, as far as the transport can tell."""
        sessions = {self.session, other.session} - {""}
        return self.name == other.name and len(sessions) < 2


def client_of(ctx: ServerRequestContext[Any, Any]) -> Client:
    """Returns the client that makes a request."""
    params = ctx.session.client_params
    name = recordable(params.client_info.name if params else "")
    headers = getattr(ctx.request, "headers", None) or {}
    return Client(" ".join(name.split())[:80] or "unnamed", headers.get(SESSION) or "")
