"""The server over HTTP: who is refused, and that several clients work at once."""

import socket
import threading

import anyio
import httpx2
import pytest
import uvicorn
from mcp.client.streamable_http import streamable_http_client

from maia_mcp.http import HOST, application
from maia_mcp.server import McpServer

TOKEN = "a-token-of-a-test"
ANSWER = {"description": "Red discs.", "label": "red"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
JSON = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


@pytest.fixture
def port(make_desk):
    """The port of a server that runs in a thread."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        number = free.getsockname()[1]
    app = application(McpServer(make_desk()), number, TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=number, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield number
    server.should_exit = True
    thread.join()


@pytest.fixture
def over_http(port, open_client):
    def make(name, mode="auto"):
        client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
        transport = streamable_http_client(f"http://{HOST}:{port}/mcp", http_client=client)
        return open_client(transport, name, mode)

    return make


def test_two_clients_of_both_eras_at_once(over_http):
    async def main():
        ended = {}

        async def one(name, mode):
            async with over_http(name, mode) as call:
                await call("start_run", unit="colours:red")
                made = await call("text2image", prompts=["a red disc"])
                measured = await call("neuron", images=made.ids)
                assert "activation" in measured.text
                ended[name] = (await call("submit_answer", **ANSWER)).text

        async with anyio.create_task_group() as group:
            group.start_soon(one, "modern", "auto")
            group.start_soon(one, "older", "legacy")
        return ended

    assert all("MAIA takes your answer" in text for text in anyio.run(main).values())


def test_a_client_that_connects_again_finds_its_run(over_http):
    async def main():
        async with over_http("tester") as call:
            await call("start_run", unit="colours:red")
            made = await call("text2image", prompts=["a red disc"])
            run = call.run
        async with over_http("tester", "legacy") as call:
            call.run = run
            return await call("neuron", images=made.ids)

    assert not anyio.run(main).is_error


def test_two_sessions_of_one_name_have_runs_of_their_own(over_http):
    async def main():
        async with over_http("tester", "legacy") as call, over_http("tester", "legacy") as other:
            await call("start_run", unit="colours:red")
            own = (await call.client.list_resources()).resources
            listed = (await other.client.list_resources()).resources
            refused = await other.once("stop", run=call.run)
            other.run = call.run
            taken = await other("start_run", resume=call.run)
            made = await other("text2image", prompts=["a red disc"])
            return own, listed, refused, taken, made, await call("results")

    own, listed, refused, taken, made, late = anyio.run(main)
    assert own
    assert listed == []
    assert "another client; start_run(resume=" in refused.text
    assert not taken.is_error
    assert not made.is_error
    assert late.is_error


REFUSED = {
    "no token": ({}, 401),
    "another token": ({"authorization": "Bearer another"}, 401),
    "another scheme": ({"authorization": f"Basic {TOKEN}"}, 401),
    "an empty token": ({"authorization": "Bearer"}, 401),
    "a name that leads here": ({"authorization": f"Bearer {TOKEN}", "host": "evil.example:{port}"}, 421),
    "another port": ({"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1:1"}, 421),
    "no port": ({"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1"}, 421),
    "a longer name": ({"authorization": f"Bearer {TOKEN}", "host": "127.0.0.1:{port}.evil.example"}, 421),
    "another site": ({"authorization": f"Bearer {TOKEN}", "origin": "https://evil.example"}, 403),
    "another port of this machine": ({"authorization": f"Bearer {TOKEN}", "origin": "http://localhost:1"}, 403),
    "a page from a file": ({"authorization": f"Bearer {TOKEN}", "origin": "null"}, 403),
    "https": ({"authorization": f"Bearer {TOKEN}", "origin": "https://127.0.0.1:{port}"}, 403),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("path", ["/mcp", "/", "/other"])
def test_others_are_refused(port, case, path):
    headers, status = REFUSED[case]
    headers = JSON | {name: value.replace("{port}", str(port)) for name, value in headers.items()}
    with httpx2.Client() as client:
        answer = client.post(f"http://{HOST}:{port}{path}", headers=headers, json=PING)
    assert answer.status_code == status


def test_the_own_page_and_no_page_pass(port):
    for origin in ({}, {"origin": f"http://127.0.0.1:{port}"}, {"origin": f"http://localhost:{port}"}):
        headers = JSON | {"authorization": f"Bearer {TOKEN}"} | origin
        with httpx2.Client() as client:
            answer = client.post(f"http://{HOST}:{port}/mcp", headers=headers, json=PING)
        assert answer.status_code not in (401, 403, 421)


def test_two_hosts_in_one_request_are_refused(port):
    with socket.create_connection((HOST, port)) as wire:
        hosts = f"Host: 127.0.0.1:{port}\r\nHost: evil.example\r\n"
        wire.sendall(
            f"POST /mcp HTTP/1.1\r\n{hosts}Authorization: Bearer {TOKEN}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        assert wire.recv(100).split()[1] in (b"400", b"421")


def test_it_listens_on_this_machine_only(port):
    outside = socket.gethostbyname(socket.gethostname())
    if outside.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((outside, port), timeout=5).close()
