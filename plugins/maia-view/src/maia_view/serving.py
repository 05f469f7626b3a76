"""Starts the web server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from html import escape
from ipaddress import ip_address
from pathlib import Path

import click

from maia_cli import listening
from maia_core.plugin import RunConfig, UsageError
from maia_view.app import make_app
from maia_view.security import TOKEN


def serve(
    folders: Sequence[Path],
    host: str,
    port: int,
    names: Sequence[str] = (),
    *,
    token: str,
    remote: bool = False,
    opens: bool = False,
    config: RunConfig | None = None,
) -> None:
    """Shows runs until Ctrl-C; prints the address with its token.

    Args:
        folders: Folders that hold runs.
        host: The address to listen on.
        port: The port; 0 for any free one.
        names: Further host names to answer to.
        token: The secret of the address.
        remote: Whether other machines may reach the address.
        opens: Whether to open the page in the default browser.
        config: Chooses the data set of the exemplars and the similarity; the defaults where it is None.

    Raises:
        UsageError: a folder is missing or holds no run, the address is not this machine's own although `remote` is
            False, or the port is in use.
    """
    import uvicorn

    wildcard, loopback = _reach(host)
    if not loopback and not remote:
        raise UsageError(f"other machines can reach {host}: add --remote to allow it, or leave out --host")
    if wildcard and not names:
        raise UsageError(
            f"{host} has no name to check requests against: add --name with the name that readers will use"
        )
    with listening(host, port) as listener:
        port = listener.getsockname()[1]
        own = ["127.0.0.1", "localhost", "[::1]"] if loopback or wildcard else []
        first = names[0] if names else f"[{host}]" if ":" in host else host
        hosts = list(dict.fromkeys(f"{name}:{port}" for name in [first, *names, *own]))
        app = make_app(folders, token=token, hosts=hosts, config=config)
        address = f"http://{hosts[0]}/?{TOKEN}={token}"
        click.echo(f"Open {address}\nStop with Ctrl-C.")
        settings = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=1, lifespan="off"
        )
        server = uvicorn.Server(settings)
        # Pages that follow a run would keep the server from stopping.
        app.view.is_stopping = lambda: server.should_exit
        with _opened(address) if opens else nullcontext():
            server.run(sockets=[listener])


@contextmanager
def _opened(address: str) -> Iterator[None]:
    """Opens an address in the default browser, by a file that only its owner can read while the block runs.

    Other users of the machine can read the command line of the browser, which must not hold the token.
    """
    with tempfile.TemporaryDirectory(prefix="maia-view-") as folder:
        file = Path(folder) / "open.html"
        file.touch(0o600)
        file.write_text(
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>MAIA</title>'
            f'<meta http-equiv="refresh" content="0; url={escape(address)}"></html>',
            encoding="utf-8",
        )
        click.launch(file.as_uri())
        yield


def _reach(host: str) -> tuple[bool, bool]:
    """Returns whether an address stands for all addresses of this machine, and whether only this machine reaches it."""
    if host.lower() == "localhost":
        return False, True
    try:
        address = ip_address(host)
    except ValueError as error:
        raise UsageError(f"--host takes an IP address of this machine, not '{host}'; give names with --name") from error
    return address.is_unspecified, address.is_loopback
