"""`maia mcp`: Let any MCP client make the experiments of a run."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli import PARTS, config_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

TOKEN = "MAIA_MCP_TOKEN"
"""Variable with the bearer token of `--http`."""
CACHE = "MAIA_CACHE"
"""Variable with the folder of caches."""


class _Command(click.Command):
    """Keeps the arguments as written, for `--print-config`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=_Command)
@config_options(*(kind for kind in PARTS if kind != "backbone"), of_run=True)
@click.option(
    "--images", type=click.Choice(("inline", "link", "text")), default="inline", show_default=False,
    help="Send images as pixels, as links, or in the describer's words [default: inline].",
)  # fmt: skip
@click.option("--http", is_flag=True, help="Use HTTP on this machine, for several clients [default: stdin and stdout].")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8808, show_default=False, help="Use this port [default: 8808]."
)
@click.option(
    "--print-config", "host", type=click.Choice(("claude-code", "claude-desktop", "cursor", "vscode")),
    help="Print what to paste so that this host starts the server with the other options, and exit.",
)  # fmt: skip
def mcp(config: RunConfig, images: Any, http: bool, port: int, host: str | None) -> None:
    """Let any MCP client make the experiments of a run.

    The client's language model is the backbone, and MAIA is a server of the Model Context Protocol.

    `--system MODEL` lets clients choose the unit, `--system MODEL:LAYER:UNIT` chooses it. The token of `--http` is the
    value of MAIA_MCP_TOKEN, or a new one, which MAIA prints.
    """
    token = os.environ.get(TOKEN, "").strip() or secrets.token_urlsafe(32)
    if host is not None:
        _print_config(host, config, http, port, token)
        return
    wire = None
    if not http:
        from maia_mcp.stdio import Wire

        wire = Wire()  # Before anything is imported that may print.
    import anyio

    from maia_core.plugin import printable
    from maia_mcp.desk import Desk
    from maia_mcp.server import McpServer

    def say(line: str) -> None:
        click.echo(f"maia mcp: {printable(line, 20_000)}", err=True)

    desk = Desk(config, images, say)
    server = McpServer(desk)

    def end(number: int, frame: object) -> None:
        """Ends the runs and the process; the thread that waits for the client's next frame cannot be ended."""
        desk.close()
        os._exit(128 + number)

    try:
        if wire is not None:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, end)
            anyio.run(wire.serve, server)
        else:
            from maia_mcp.http import HOST, PATH, serve

            say(f"serving http://{HOST}:{port}{PATH}")
            if not os.environ.get(TOKEN):
                say(f"the token is {token} (set {TOKEN} to keep one)")
            anyio.run(serve, server, port, token)
    finally:
        desk.close()
        sys.stderr.flush()


def _print_config(host: str, config: RunConfig, http: bool, port: int, token: str) -> None:
    from maia_mcp.hosts import WHERE, command, over_http, over_stdio

    if http:
        text = over_http(host, f"http://127.0.0.1:{port}/mcp", token)
    else:
        written = click.get_current_context().meta[__name__]
        place = next(n for n, word in enumerate(written) if word.startswith("--print-config"))
        rest = written[:place] + written[place + 1 + ("=" not in written[place]) :]
        # A host starts the server in a folder of its own.
        here = [] if any(word.startswith("runs=") for word in rest) else ["-o", f"runs={Path(config.runs).absolute()}"]
        if Path("maia.toml").exists() and not any(word.startswith("--config") for word in rest):
            here += ["--config", str(Path("maia.toml").absolute())]
        cache = {CACHE: str(Path(os.environ[CACHE]).absolute())} if os.environ.get(CACHE) else {}
        text = over_stdio(host, ["mcp", *rest, *here], command(), cache)
    if host in WHERE:
        click.echo(f"Add this to {WHERE[host]}:", err=True)
    click.echo(text)
