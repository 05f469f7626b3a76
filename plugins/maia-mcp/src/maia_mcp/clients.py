"""What a server reads of a request."""

from __future__ import annotations

from typing import Any

from mcp.server.context import ServerRequestContext

from maia_core.plugin import recordable


def client_of(ctx: ServerRequestContext[Any, Any]) -> str:
    """Returns the name that a client gives itself; it stands in the record as `mcp:NAME`."""
    params = ctx.session.client_params
    name = recordable(params.client_info.name if params else "")
    return " ".join(name.split())[:80] or "unnamed"
