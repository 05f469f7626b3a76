"""Serves one client over standard input and output, and keeps everything else away from both."""

from __future__ import annotations

import io
import os
import sys

import anyio
from mcp.server.stdio import stdio_server

from maia_mcp.server import McpServer


class Wire:
    """The standard input and output of this process, taken from everything else that runs in it.

    From then on, what Python, a library written in C or a child process prints goes to standard error, and what reads
    standard input finds its end. It is not undone: text that waits in a buffer is written when the process ends.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._input, self._output = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        empty = os.open(os.devnull, os.O_RDONLY)
        os.dup2(empty, 0)
        os.close(empty)
        sys.stdout = sys.stderr

    async def serve(self, server: McpServer) -> None:
        """Serves the client until it closes its end."""
        source = io.TextIOWrapper(os.fdopen(self._input, "rb"), encoding="utf-8", errors="replace")
        out = io.TextIOWrapper(os.fdopen(self._output, "wb"), encoding="utf-8")
        async with stdio_server(anyio.wrap_file(source), anyio.wrap_file(out)) as (read, write):
            await server.server.run(read, write, server.server.create_initialization_options())
