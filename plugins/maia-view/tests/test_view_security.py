"""Whom the server answers, and what its pages may load."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from maia_view.serving import serve

pytest.importorskip("starlette.testclient")

TOKEN, HOST = "a-token-of-tests", "127.0.0.1:7590"
PAGES = ["/", "/compare/", "/static/view.js", "/nothing", "/runs/gone/", "/images/x/y"]


def fresh(client: Any) -> Any:
    """A client without the cookie."""
    from starlette.testclient import TestClient

    return TestClient(client.app, base_url=f"http://{HOST}", follow_redirects=False)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "localhost:7590.evil.example", "", "[::1]:7590"]
)
def test_an_unknown_host_is_refused_so_that_no_name_can_be_bent_to_this_machine(client: Any, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "red things" not in answer.text


def test_a_second_host_header_is_refused(client: Any) -> None:
    answer = client.get("/", headers=[("host", HOST), ("host", HOST)])
    assert answer.status_code == 400


def test_a_named_host_is_answered_whatever_its_case(client: Any) -> None:
    assert client.get("/", headers={"host": "LOCALHOST:7590"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://{HOST}"},
        {"origin": "http://127.0.0.1:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "anything"},
    ],
)
def test_a_request_of_another_page_is_refused(client: Any, headers: dict[str, str]) -> None:
    assert client.get("/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"origin": f"http://{HOST}"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}]
)
def test_a_request_of_the_reader_is_answered(client: Any, headers: dict[str, str]) -> None:
    assert client.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_can_only_be_read(client: Any, method: str) -> None:
    assert client.request(method, "/", headers={"origin": f"http://{HOST}"}).status_code == 405
    assert client.request(method, "/").status_code == 403  # A browser that writes always says from where.


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_answered_without_the_token(client: Any, page: str) -> None:
    stranger = fresh(client)
    for answer in (
        stranger.get(page),
        stranger.get(page, params={"token": "wrong"}),
        stranger.get(page, params={"token": ""}),
        stranger.get(page, headers={"cookie": "maia_view_7590=wrong"}),
        stranger.get(page, headers={"cookie": "maia_view_7590"}),
    ):
        assert answer.status_code == 403
        assert "Open the whole address that `maia view` printed" in answer.text


def test_the_token_becomes_a_cookie_and_leaves_the_address(client: Any) -> None:
    answer = fresh(client).get("/", params={"q": "red", "token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?q=red")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_the_token_leads_to_no_other_host(client: Any) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "/%2F/evil.example"):
        answer = fresh(client).get(f"http://{HOST}{path}", params={"token": TOKEN})
        assert not answer.headers["location"].startswith(("//", "/\\", "http"))


@pytest.mark.parametrize("page", PAGES)
def test_every_answer_forbids_frames_inline_scripts_and_other_hosts(client: Any, page: str) -> None:
    for answer in (client.get(page), fresh(client).get(page), client.get(page, headers={"host": "evil.example"})):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_an_answer_to_a_fault_of_the_program_is_guarded_too(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_view.runs.list_page", lambda *given: 1 / 0)
    answer = client.get("/")
    assert answer.status_code == 500
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "ZeroDivisionError" not in answer.text


def test_addresses_cannot_leave_the_run_folder(client: Any, open_app: Callable[..., Any], shelf: Path) -> None:
    (shelf / "secret.full.png").write_bytes(b"secret")
    key = client.app.view.library.runs()[0].key
    for path in (
        "../../secret.full.png",
        "..%2F..%2Fsecret.full.png",
        "....//secret.full.png",
        "run.json",
        "%00.full.png",
    ):
        answer = client.get(f"/images/{key}/{path}")
        assert answer.status_code in (403, 404), path
        assert answer.content != b"secret"
    for other in ("..%2Fsweep", "%00", "x" * 5000, key.upper()):
        assert client.get(f"/runs/{other}/").status_code == 404


def test_a_file_may_open_a_page_with_the_token_alone(client: Any) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = fresh(client).get("/", params={"q": 'r"d', "token": TOKEN}, headers=headers)
    assert answer.status_code == 200
    assert 'content="0; url=/?q=r%22d"' in answer.text
    assert TOKEN not in answer.text
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert client.get("/", headers=headers).status_code == 403
    for changes in ({"token": "wrong"}, {"sec-fetch-mode": "cors"}, {"sec-fetch-mode": "no-cors"}):
        given = {"token": changes.get("token", TOKEN)}
        answer = fresh(client).get("/", params=given, headers=headers | changes)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert fresh(client).head("/", params={"token": TOKEN}, headers=headers).status_code == 403


def test_the_token_stays_out_of_the_command_line_of_the_browser(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, int]] = []

    def launch(address: str) -> int:
        file = Path(unquote(urlparse(address).path))
        seen.append((address, file.read_text(), file.stat().st_mode & 0o777))
        return 0

    monkeypatch.setattr("click.launch", launch)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    serve([shelf], "127.0.0.1", 0, token="a-secret", opens=True)
    ((address, page, mode),) = seen
    assert address.startswith("file:///")
    assert "a-secret" not in address
    assert re.search(r"url=http://127\.0\.0\.1:[0-9]+/\?token=a-secret\"", page)
    assert mode == 0o600
    assert not Path(unquote(urlparse(address).path)).exists()
