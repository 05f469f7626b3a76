"""The server's prompt: the task of a run."""

from __future__ import annotations

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

from maia_core.plugin import ToolError
from maia_mcp.clients import client_of
from maia_mcp.desk import Desk

INSTRUCTIONS = """\
MAIA finds out what a part of a computer vision model responds to. You are the scientist: call start_run, read the task
that it returns, experiment with the other tools, and give your answer with submit_answer. Every call names its run."""

Context = ServerRequestContext[Any, Any]


def add_prompt(server: Server[Any], desk: Desk) -> None:
    """Adds the handlers of prompts to a server.

    Args:
        server: The server.
        desk: Its runs.
    """

    async def listed(ctx: Context, params: PaginatedRequestParams) -> ListPromptsResult:
        run = PromptArgument(name="run", description="A run; without it, the prompt asks to start one.", required=False)
        return ListPromptsResult(prompts=[Prompt(name="task", description="The task of a run.", arguments=[run])])

    async def get(ctx: Context, params: GetPromptRequestParams) -> GetPromptResult:
        if params.name != "task":
            raise MCPError(INVALID_PARAMS, f"there is no prompt {params.name!r:.80}; there is 'task'")
        name = (params.arguments or {}).get("run", "")
        text = f"{INSTRUCTIONS}\n\nBegin: call start_run."
        if name:
            try:
                text = desk.of(name, client_of(ctx)).messages[1].text
            except (ToolError, IndexError) as mistake:
                raise MCPError(INVALID_PARAMS, str(mistake) or f"the run {name} has not begun") from None
        return GetPromptResult(messages=[PromptMessage(role="user", content=TextContent(text=text))])

    server.add_request_handler("prompts/list", PaginatedRequestParams, listed)
    server.add_request_handler("prompts/get", GetPromptRequestParams, get)
