"""How a host of MCP servers finds this one: a command to paste, or a part of the host's configuration."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HOSTS = ("claude-code", "claude-desktop", "cursor", "vscode")

WHERE = {
    "claude-desktop": "the file that Settings > Developer > Edit Config opens (claude_desktop_config.json)",
    "cursor": "~/.cursor/mcp.json",
}


def command() -> str:
    """Returns the command `maia` of this environment: a host does not know the environment."""
    beside = Path(sys.executable).with_name("maia")
    return str(beside) if beside.exists() else "maia"


def over_stdio(host: str, arguments: Sequence[str], program: str, variables: Mapping[str, str]) -> str:
    """Returns what to paste so that a host starts the server.

    Args:
        host: One of `HOSTS`.
        arguments: The arguments of `maia`, such as `["mcp", "--system", "efficientnet-lite0"]`.
        program: The command `maia`.
        variables: Variables of the environment; a host passes few of its own.
    """
    if host == "claude-code":
        added = [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
        return shlex.join(["claude", "mcp", "add", "maia", *added, "--", program, *arguments])
    server: dict[str, Any] = {"command": program, "args": list(arguments)}
    if variables:
        server["env"] = dict(variables)
    if host == "vscode":
        return shlex.join(["code", "--add-mcp", json.dumps({"name": "maia", "type": "stdio", **server})])
    return json.dumps({"mcpServers": {"maia": server}}, indent=2)


def over_http(host: str, url: str, token: str) -> str:
    """Returns what to paste so that a host finds a server that runs already."""
    bearer = f"Bearer {token}"
    if host == "claude-code":
        header = f"Authorization: {bearer}"
        return shlex.join(["claude", "mcp", "add", "--transport", "http", "maia", url, "--header", header])
    server = {"url": url, "headers": {"Authorization": bearer}}
    if host == "vscode":
        return shlex.join(["code", "--add-mcp", json.dumps({"name": "maia", "type": "http", **server})])
    return json.dumps({"mcpServers": {"maia": server}}, indent=2)
