"""The server's resources: a run's report, as its client saw the run, and its images."""

from __future__ import annotations

import base64
import re
from typing import Any

import anyio.to_thread
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from maia_core.plugin import ToolError
from maia_mcp.clients import client_of
from maia_mcp.content import jpeg, name_of, uri
from maia_mcp.desk import Desk
from maia_mcp.programs import ID
from maia_mcp.transcript import report

_URI = re.compile(rf"maia://([\w-]+)/(?:(report)|images/([0-9a-f]{{{ID}}}))", re.ASCII)

PAGE = 100
"""Most resources of one page of their list."""

Context = ServerRequestContext[Any, Any]


def add_resources(server: Server[Any], desk: Desk) -> None:
    """Adds the handlers of resources to a server.

    Args:
        server: The server.
        desk: Its runs; a client gets the resources of its own ones.
    """

    async def listed(ctx: Context, params: PaginatedRequestParams) -> ListResourcesResult:
        resources = []
        for run in desk.runs(client_of(ctx)):
            name = f"report of {run.name}"
            resources.append(Resource(uri=f"maia://{run.name}/report", name=name, mime_type="text/markdown"))
            resources += [
                Resource(uri=uri(run.name, short), name=name_of(image), mime_type="image/jpeg")
                for short, image in list(run.index.images.items())
            ]
        cursor = params.cursor or "0"
        if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
            raise MCPError(INVALID_PARAMS, "this is not a cursor; a page of the list returns the next one")
        end = int(cursor) + PAGE
        more = str(end) if end < len(resources) else None
        return ListResourcesResult(resources=resources[int(cursor) : end], next_cursor=more)

    async def templates(ctx: Context, params: PaginatedRequestParams) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(
            resource_templates=[
                ResourceTemplate(uri_template="maia://{run}/report", name="report", mime_type="text/markdown"),
                ResourceTemplate(uri_template="maia://{run}/images/{id}", name="image", mime_type="image/jpeg"),
            ]
        )

    async def read(ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        address = str(params.uri)
        found = _URI.fullmatch(address)
        try:
            run = desk.of(found[1] if found else address, client_of(ctx))
        except ToolError as mistake:
            raise MCPError(INVALID_PARAMS, str(mistake)) from None
        if found and found[2]:
            text = await anyio.to_thread.run_sync(report, run)
            return ReadResourceResult(
                contents=[TextResourceContents(uri=address, mime_type="text/markdown", text=text)]
            )
        image = run.index.images.get(found[3]) if found else None
        if image is None:
            raise MCPError(INVALID_PARAMS, f"the run {run.name} has no such image; its results name the images")
        data = base64.b64encode(await anyio.to_thread.run_sync(lambda: jpeg(image.pil()))).decode()
        return ReadResourceResult(contents=[BlobResourceContents(uri=address, mime_type="image/jpeg", blob=data)])

    server.add_request_handler("resources/list", PaginatedRequestParams, listed)
    server.add_request_handler("resources/templates/list", PaginatedRequestParams, templates)
    server.add_request_handler("resources/read", ReadResourceRequestParams, read)
