"""The server: its tools, its prompt and its resources, and what each call does to a run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import metadata
from typing import Any

import anyio
import anyio.to_thread
import jsonschema
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)

from maia_core.plugin import MendableError, ReplyError, ToolError, parse_reply, recordable
from maia_mcp.clients import client_of
from maia_mcp.desk import Desk
from maia_mcp.programs import program_of
from maia_mcp.prompt import INSTRUCTIONS, add_prompt
from maia_mcp.resources import add_resources
from maia_mcp.run import ClientRun, read_ticket, ticket_of
from maia_mcp.tools import described, own_tools
from maia_mcp.transcript import logged
from maia_runs import replies

MAX_SECONDS = 24.0
"""Longest that a call takes; a longer one returns a ticket. Some hosts give up after 60 seconds, some sooner."""
PROGRESS_SECONDS = 5.0
"""Time between two progress notifications."""

UNKNOWN = (
    "MAIA failed in this call, by a fault that is not yours. Nothing of the run is lost. The person who started the "
    "server finds the reason in its log."
)

Context = ServerRequestContext[Any, Any]
Handler = Callable[[Context, dict[str, Any]], Awaitable[CallToolResult]]


class McpServer:
    """Serves the runs of a desk to any number of clients.

    Attributes:
        server: The server of the SDK; run it on a transport.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._handlers: dict[str, Handler] = {
            "start_run": self._start,
            "run_program": self._run_program,
            "wait": self._wait,
            "results": self._results,
            "submit_answer": self._submit_answer,
            "stop": self._stop,
        }
        self.server: Server[Any] = Server(
            "maia",
            version=metadata.version("maia-mcp"),
            title="MAIA",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
        )
        add_prompt(self.server, desk)
        add_resources(self.server, desk)

    async def _list_tools(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        methods = await anyio.to_thread.run_sync(self._desk.methods)
        return ListToolsResult(
            tools=[*own_tools(self._desk), *(described(name, each) for name, each in methods.items())]
        )

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        arguments = dict(params.arguments or {})
        run = arguments.get("run")
        try:
            handler = self._handlers.get(params.name)
            if handler is None:
                return await self._call_method(ctx, params.name, arguments)
            schema = next(tool.input_schema for tool in own_tools(self._desk) if tool.name == params.name)
            _check(params.name, schema, arguments)
            return await handler(ctx, arguments)
        except MendableError as mistake:
            return _text(str(mistake), is_error=True)
        except Exception:
            fault = traceback.format_exc()
            self._desk.say(fault)
            if isinstance(run, str):
                self._desk.note(run, f"a call of {params.name!r:.80} failed: {fault}")
            return _text(UNKNOWN, is_error=True)

    async def _start(self, ctx: Context, arguments: dict[str, Any]) -> CallToolResult:
        start = partial(
            self._desk.start,
            client_of(ctx),
            unit=arguments.get("unit", ""),
            resumed=arguments.get("resume", ""),
            images=arguments.get("images", ""),
        )
        run = await anyio.to_thread.run_sync(start)
        answer = await self._settled(ctx, run, 0)
        with suppress(Exception):  # A client that cannot be told lists the tools again by itself.
            await ctx.session.send_tool_list_changed()
        return answer

    async def _run_program(self, ctx: Context, arguments: dict[str, Any]) -> CallToolResult:
        run = self._desk.of(arguments["run"], client_of(ctx))
        program, hypotheses = arguments["program"], arguments.get("hypotheses", [])
        if not program.strip():
            raise ToolError("the program is empty; it defines run_experiment(system, tools)")

        def make(turn: int) -> str:
            run.begins(turn, program)
            return replies.program_reply(program, hypotheses)

        return await self._settled(ctx, run, run.submit(make))

    async def _call_method(self, ctx: Context, name: str, arguments: dict[str, Any]) -> CallToolResult:
        run = self._desk.of(arguments.pop("run", None), client_of(ctx))
        method = run.methods.get(name)
        if method is None:
            self._desk.refuse(name, run)

        def make(turn: int) -> str:
            program = program_of(method, arguments, run.index, turn)
            run.begins(turn, program)
            return replies.program_reply(program)

        return await self._settled(ctx, run, run.submit(make))

    async def _submit_answer(self, ctx: Context, arguments: dict[str, Any]) -> CallToolResult:
        run = self._desk.of(arguments.pop("run"), client_of(ctx))
        task, fields = run.task, self._desk.fields
        if task is None:
            self._desk.refuse("submit_answer", run)
        sections = {fields[name]: [text] if isinstance(text, str) else text for name, text in arguments.items()}
        text = replies.answer_reply(sections)
        if not text:
            raise ReplyError("The answer is empty.")
        task.parse(parse_reply(text, task.tags).sections)  # A mistake in the form costs no turn.

        def make(turn: int) -> str:
            run.begins(turn, "")
            return text

        return await self._settled(ctx, run, run.submit(make, is_answer=True))

    async def _wait(self, ctx: Context, arguments: dict[str, Any]) -> CallToolResult:
        name, turn = read_ticket(arguments["ticket"])
        run = self._desk.of(name, client_of(ctx))
        if turn > run.turn:
            raise ToolError(
                f"there is no ticket {arguments['ticket']!r:.80}; the run {name} has come to turn {run.turn}"
            )
        if run.is_lost(turn):
            raise ToolError("that result is of before the resume; the last one stands in start_run's answer")
        return await self._settled(ctx, run, turn)

    async def _results(self, ctx: Context, arguments: dict[str, Any]) -> CallToolResult:
        run = self._desk.of(arguments["run"], client_of(ctx))
        return _text(logged(run))

    async def _stop(self, ctx: Context, arguments: dict[str, Any]) -> CallToolResult:
        run = self._desk.of(arguments["run"], client_of(ctx))
        run.leave()
        ended = await anyio.to_thread.run_sync(run.join, PROGRESS_SECONDS, abandon_on_cancel=True)
        when = "is stopped" if ended else "stops when its present call has ended"
        return _text(f'The run {run.name} {when}. start_run(resume="{run.name}") resumes it, unless it has an answer.')

    async def _settled(self, ctx: Context, run: ClientRun, turn: int) -> CallToolResult:
        """Returns the result of a turn, or a ticket if it takes longer than a host waits."""
        started = time.monotonic()
        while (left := started + MAX_SECONDS - time.monotonic()) > 0:
            wait = partial(run.result, turn, min(PROGRESS_SECONDS, left))
            result = await anyio.to_thread.run_sync(wait, abandon_on_cancel=True)
            if result is not None:
                if turn == 0 and run.failure is not None:
                    raise self._desk.why(run)
                return CallToolResult(content=result.content, is_error=result.is_error)
            await ctx.session.report_progress(time.monotonic() - started, message=run.progress())
        ticket = ticket_of(run.name, turn)
        return _text(
            f'This takes longer ({run.progress()}). Call wait(ticket="{ticket}") for the result; the run is {run.name}.'
        )


def _check(name: str, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Refuses arguments that a schema does not allow.

    Raises:
        ToolError: see above; the first fault is named.
    """
    fault = next(jsonschema.Draft202012Validator(schema).iter_errors(arguments), None)
    if fault is not None:
        place = ".".join(map(str, fault.absolute_path))
        raise ToolError(f"{name}: {f'{place}: ' if place else ''}{fault.message:.300}")


def _text(text: str, is_error: bool = False) -> CallToolResult:
    blocks: list[ContentBlock] = [TextContent(text=recordable(text))]
    return CallToolResult(content=blocks, is_error=is_error)
