"""Refuses requests that do not come from the reader's own pages; forbids pages to load anything from elsewhere."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"
"""Name of the token in the printed address."""

POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
IMAGE_POLICY = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""For an image that is shown alone: the browser makes a page of its own around it, with a style."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Without a referrer at all, a form's Origin would be `null`.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
SAFE = ("GET", "HEAD")


class Guard:
    """Middleware around all pages: checks host, origin and token of each request, and adds headers to each answer."""

    def __init__(self, app: ASGIApp, token: str, hosts: Sequence[str]) -> None:
        """Keeps the rules.

        Args:
            app: The pages.
            token: What the printed address holds.
            hosts: Every `host:port` under which the server may be asked.
        """
        self.app = app
        self._token = token
        self._hosts = frozenset(host.lower() for host in hosts)
        # Browsers keep cookies per host, not per port: several viewers on one machine each have their own.
        self._cookie = f"maia_view_{hosts[0].rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it to the pages."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if headers.get("content-type") in ("image/png", "image/webp"):
                    headers["content-security-policy"] = IMAGE_POLICY
            await send(message)

        refusal = self._refusal(scope) or self._admission(scope)
        await (refusal or self.app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return _page(400, "Unknown host", "This server answers to the address that `maia view` printed only.")
        own = {f"http://{host}" for host in self._hosts}
        foreign = [origin for origin in origins if origin.lower() not in own]
        if foreign or len(origins) > 1 or (scope["method"] not in SAFE and not origins):
            return _page(403, "Another page asked", "Pages of other sites may not ask this server.")
        if _is_of_another_site(scope) and not self._opens_page(scope):
            text = "The link came from another site. Open the address that `maia view` printed instead."
            return _page(403, "Another site asked", text)
        return None

    def _admission(self, scope: Scope) -> Response | None:
        """Lets a request in that holds the token: as a cookie, or in its address, which sets the cookie."""
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in pairs if name == TOKEN]
        if given and scope["method"] in SAFE:
            if not self._is_token(given[0]):
                return _wrong_token()
            rest = urlencode([pair for pair in pairs if pair[0] != TOKEN])
            # Two slashes at the start would be the address of another host.
            path = "/" + quote(scope["path"].lstrip("/\\"))
            address = f"{path}?{rest}" if rest else path
            # A browser that comes from a file counts a redirection as the file's, and sends no cookie; a page is ours.
            response = _way_on(address) if _is_of_another_site(scope) else RedirectResponse(address, 303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
            return response
        try:
            cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        return None if cookie is not None and self._is_token(cookie.value) else _wrong_token()

    def _opens_page(self, scope: Scope) -> bool:
        """Returns whether a reader opens a page with the token, as from the file that `maia view --open` makes."""
        given = [value for name, value in parse_qsl(scope["query_string"].decode("latin-1")) if name == TOKEN]
        mode = Headers(scope=scope).get("sec-fetch-mode")
        return scope["method"] == "GET" and mode == "navigate" and len(given) == 1 and self._is_token(given[0])

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode("utf-8", "replace"), self._token.encode())


def _is_of_another_site(scope: Scope) -> bool:
    return Headers(scope=scope).get("sec-fetch-site", "none") not in ("none", "same-origin")


def _way_on(address: str) -> Response:
    """Returns a page that leads to an address of this server at once."""
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>MAIA</title>'
    return HTMLResponse(f'{head}<meta http-equiv="refresh" content="0; url={escape(address)}"></html>')


def _wrong_token() -> Response:
    text = "Open the whole address that `maia view` printed: it ends in a token, which is new at every start."
    return _page(403, "The token is missing or wrong", text)


def _page(status: int, title: str, text: str) -> Response:
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return HTMLResponse(f"{head}<title>{title}</title><main><h1>{title}</h1><p>{text}</p></main></html>", status)
