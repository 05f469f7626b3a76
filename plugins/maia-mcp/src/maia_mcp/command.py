"""`maia mcp`: Let any MCP client make the experiments of a run."""

from __future__ import annotations

import os
import re
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli import PARTS, config_options, listening

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

TOKEN = "MAIA_MCP_TOKEN"
"""Variable with the bearer token of `--http`."""
MIN_TOKEN = 16
"""Shortest token in characters that a person may choose."""
CACHE = "MAIA_CACHE"
"""Variable with the folder of caches."""
PATHS = ("path", "file", "folder", "root", "weights")
"""Options of parts that name a file or a folder without a slash too."""


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
    token = _token() if http else ""
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

    listener = None
    if http:
        from maia_mcp.http import HOST, PATH, serve

        listener = listening(HOST, port)
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
        elif listener is not None:
            say(f"serving http://{HOST}:{port}{PATH}")
            if not token:
                token = secrets.token_urlsafe(32)
                say(f"the token is {token} (set {TOKEN} to keep one)")
            anyio.run(serve, server, listener, token)
    finally:
        desk.close()
        sys.stderr.flush()


def _token() -> str:
    """Returns the token that the person has set, or "".

    Raises:
        UsageError: it is too short to protect the server, or no client can send it.
    """
    from maia_core.plugin import UsageError

    token = os.environ.get(TOKEN, "").strip()
    if token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
        raise UsageError(
            f"{TOKEN} cannot be used: a token has {MIN_TOKEN} or more letters, digits or signs of ASCII; set it to "
            "what `openssl rand -hex 16` prints, or leave it out"
        )
    return token


def _print_config(host: str, config: RunConfig, http: bool, port: int, token: str) -> None:
    from maia_core.plugin import UsageError
    from maia_mcp.hosts import WHERE, command, over_http, over_stdio

    if http:
        if not token:
            raise UsageError(
                f"cannot print how {host} finds the server: its token is not known; set {TOKEN} to the server's token "
                "first"
            )
        text = over_http(host, f"http://127.0.0.1:{port}/mcp", token)
    else:
        context = click.get_current_context()
        rest = _without("--config", _without("--print-config", context.meta[__name__]))
        # A host starts the server in a folder of its own. The last value of an option holds.
        file = context.params["config_file"] or Path("maia.toml")
        here = ["--config", str(file.absolute())] if file.exists() else []
        settings = [*_absolute(config), f"runs={Path(config.runs).absolute()}"]
        here += [word for setting in settings for word in ("-o", setting)]
        cache = {CACHE: str(Path(os.environ[CACHE]).absolute())} if os.environ.get(CACHE) else {}
        text = over_stdio(host, ["mcp", *rest, *here], command(), cache)
    if host in WHERE:
        click.echo(f"Add this to {WHERE[host]}:", err=True)
    click.echo(text)


def _without(option: str, words: list[str]) -> list[str]:
    """Returns arguments without an option and its value."""
    for place, word in enumerate(words):
        if word.split("=")[0] == option:
            return words[:place] + _without(option, words[place + 1 + ("=" not in word) :])
    return words


def _absolute(config: RunConfig) -> list[str]:
    """Returns the settings that name existing files and folders by relative paths, with absolute ones.

    Raises:
        UsageError: such a path stands where no setting can replace it.
    """
    from maia_core.plugin import UsageError

    settings = []
    for key in PARTS:
        part = getattr(config, key)
        for option, value in part.options.items() if part else ():
            if isinstance(value, str) and _is_relative(value, option):
                settings.append(f"{key}.{option}={Path(value).absolute()}")
    names = re.split("[:=]", config.system.name) if config.system else []
    values = [(option, value) for tool in config.tools for option, value in tool.options.items()]
    for option, value in [*(("", name) for name in names), *values]:
        if isinstance(value, str) and _is_relative(value, option):
            raise UsageError(
                f"cannot print a configuration with the relative path '{value}': a host starts the server in another "
                f"folder; write {Path(value).absolute()}"
            )
    return settings


def _is_relative(value: str, option: str) -> bool:
    path = Path(value)
    named = option in PATHS or bool(path.suffix) or len(path.parts) > 1
    return named and not path.is_absolute() and path.exists()
