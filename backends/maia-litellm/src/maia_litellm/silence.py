"""Says why a server sent no response."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator

import httpx

from maia_core.plugin import BackboneBusy, BackboneError, MaiaError
from maia_litellm.provider_error import clean
from maia_litellm.providers import Endpoint


def silence(endpoint: Endpoint, error: Exception, answered: bool, limit: str) -> MaiaError:
    """Says why there was no reply. What may pass is tried again; a server that was never there is not."""
    part, host = endpoint.part, endpoint.host
    causes = list(_causes(error))
    if _has(causes, ssl.SSLCertVerificationError):
        return BackboneError(
            f"the certificate of {host} is not trusted; set SSL_CERT_FILE to the file with its authority, or mend "
            f"{part}.api_base"
        )
    if _has(causes, ssl.SSLError) and not answered:
        return BackboneError(f"{host} does not speak HTTPS as asked; is {part}.api_base http:// or another port?")
    if isinstance(error, httpx.TimeoutException):
        return BackboneBusy(f"{endpoint.name}: no reply in time ({limit})")
    if isinstance(error, httpx.ConnectError) and not answered:
        what = "start the server or set" if endpoint.local else "check the network, or set"
        why = "there is no such host" if _has(causes, socket.gaierror) else "nothing answers"
        return BackboneError(f"{why} at {host}: {what} {part}.api_base")
    if isinstance(error, httpx.ProxyError):
        return BackboneError(f"the proxy on the way to {host} fails; see HTTPS_PROXY and NO_PROXY")
    if isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError):
        return BackboneError(f"{endpoint.name} at {host}: {clean(str(error), endpoint)}")
    return BackboneBusy(f"{endpoint.name}: the connection to {host} was lost")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _has(causes: Iterable[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)
