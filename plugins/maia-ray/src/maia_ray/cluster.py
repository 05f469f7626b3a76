"""Connects to a Ray cluster, or starts one on this machine and stops it again."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from maia_core.plugin import PluginError, RunError, UsageError, one_line

CONNECT_SECONDS = 5.0
"""Time in which a cluster must accept a connection."""

TEMPORARY = "/tmp/ray"
"""Folder of Ray's logs."""

AUTO = "auto"
"""The address of the cluster of which this machine is a part."""


def imported() -> Any:
    """Returns the module `ray`.

    Raises:
        PluginError: Ray is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise PluginError(f"the runner 'ray' needs Ray ({one_line(error)}); run pip install ray") from error
    return ray


@contextmanager
def cluster(address: str | None, local: dict[str, Any], unauthenticated: bool) -> Iterator[tuple[Any, bool]]:
    """Connects to a cluster and disconnects; gives the module `ray`, and whether the cluster was started here.

    A cluster that was started here is stopped. A connection that the process has already is used, and kept.

    Args:
        address: HOST:PORT that `check_address` has accepted, `auto`, or None to start a cluster on this machine, unless
            $RAY_ADDRESS names one.
        local: Arguments of `ray.init` where a cluster is started.
        unauthenticated: Whether a cluster beyond loopback may do without tokens.

    Raises:
        UsageError: `auto` is a cluster without tokens.
        RunError: there is no cluster, or it cannot be used.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    if address:  # Seconds that Ray tries to connect.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", f"{CONNECT_SECONDS:g}")
    ray = imported()
    if ray.is_initialized():
        yield ray, False
        return
    arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        # Ray listens on all addresses of the machine. Where the mode is not set, what it starts asks for a token.
        if not token_auth():
            os.environ.pop("RAY_AUTH_MODE", None)
        if not any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        arguments |= {"address": "local", "include_dashboard": False, **local}
    else:
        arguments["address"] = address
    with _captured_errors() as printed:
        try:
            ray.init(**arguments)
        except Exception as error:  # Ray raises many kinds: no connection, another version of Ray or Python.
            ray.shutdown()
            raise RunError(_why(address, error, printed())) from error
    try:
        _silence(ray)
        if address == AUTO:
            _check_host(ray.get_runtime_context().gcs_address, unauthenticated)
        yield ray, not address
    finally:
        ray.shutdown()


def check_address(address: str, unauthenticated: bool) -> None:
    """Checks an address, and that something listens there.

    Raises:
        UsageError: it is malformed, or unauthenticated beyond loopback.
        RunError: nothing listens there.
    """
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            f"cannot use the Ray address '{address}': it is neither HOST:PORT nor auto; start the command on a machine "
            "of the cluster, and give -o runner.address=HOST:PORT of `ray start`"
        )
    _check_host(address, unauthenticated)
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(
            f"cannot reach a Ray cluster at {address}: {error.strerror or error}; check -o runner.address and that "
            "`ray start` runs, or leave the address out to start Ray on this machine"
        ) from error


def _check_host(address: str, unauthenticated: bool) -> None:
    """Checks that whoever reaches the cluster needs a token, unless only this machine reaches it.

    Raises:
        UsageError: it has no tokens.
    """
    if unauthenticated or _loopback(address.rpartition(":")[0].strip("[]")) or token_auth():
        return
    raise UsageError(
        f"cannot use the Ray cluster {address}: this machine has no token for it, and whoever reaches a cluster "
        "without tokens can run code on it; start it and this command with RAY_AUTH_MODE=token (`ray get-auth-token "
        "--generate`), or allow it with -o runner.allow_unauthenticated=true"
    )


def token_auth() -> bool:
    """Returns whether this process sends a token: Ray has it decided by the environment."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _captured_errors() -> Iterator[Callable[[], str]]:
    """Keeps Ray's own lines from the standard error stream; gives a function that returns them."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 2**16, 0).decode(errors="replace")
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def _why(address: str | None, error: Exception, printed: str) -> str:
    """Returns why there is no connection, on one line."""
    if address and "InvalidAuthToken" in printed:
        return (
            f"cannot connect to the Ray cluster {address}: it asks for another token; set RAY_AUTH_MODE=token and copy "
            "its ~/.ray/auth_token to this machine"
        )
    cause = one_line(error).split(". ")[0][:300]
    if address:
        return f"cannot connect to the Ray cluster {address}: {cause}; check -o runner.address and `ray status`"
    return f"cannot start Ray on this machine: {cause}; look into Ray's logs in {TEMPORARY}/session_latest/logs"


def _silence(ray: Any) -> None:
    """Stops Ray from printing the end of each worker to the standard output: the runner reports it as the result."""
    worker = ray._private.worker
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *data, **options: None
