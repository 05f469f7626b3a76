"""A socket for a command that serves HTTP."""

from __future__ import annotations

import socket

from maia_core.plugin import UsageError


def listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens already, so that a second server on its port fails before anything is printed.

    Args:
        host: An IP address of this machine.
        port: The port; 0 for any free one.

    Raises:
        UsageError: the address cannot be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror}; choose another with --port"
        ) from error
    return listener
