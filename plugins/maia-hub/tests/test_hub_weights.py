"""Models on the Hub: fetched once, then taken from the cache; one line if the Hub cannot be reached.

The Hub is a local server that speaks the part of its protocol that `huggingface_hub` uses. Each test runs `locate` in a
new process, because that library reads its settings at import.
"""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

COMMIT = "a" * 40

SCRIPT = """
import json, sys
from maia_core.errors import MaiaError
from maia_hub import errors, weights
errors.HUB_SECONDS = 1.0
results = []
for model, revision in json.loads(sys.argv[1]):
    warned = []
    try:
        said = str(weights.locate(model, revision, warned.append))
    except MaiaError as error:
        said = f"{type(error).__name__}: {error}"
    results.append([said, warned])
print(json.dumps(results))
"""


class Hub(ThreadingHTTPServer):
    """Serves `acme/tiny` (a folder), `acme/pickled`, `acme/gated` and nothing else."""

    daemon_threads = True

    def __init__(self, files):
        self.files = files
        self.asked = []
        super().__init__(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answers(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        path = urlsplit(self.path).path
        self.server.asked.append((self.command, path))
        files = self.server.files
        if path.startswith("/api/models/acme/pickled"):
            self.send_json({"id": "acme/pickled", "sha": COMMIT, "siblings": [{"rfilename": "pytorch_model.bin"}]})
        elif path.startswith("/api/models/acme/gated"):
            self.send(b"{}", 403, {"X-Error-Code": "GatedRepo"})
        elif path.startswith("/api/models/acme/tiny/revision/old"):
            self.send(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/acme/tiny/tree/"):
            listed = [{"type": "file", "path": n, "size": len(d), "oid": digest(d)} for n, d in files.items()]
            self.send_json(listed)
        elif path.startswith("/api/models/acme/tiny"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            self.send_json({"id": "acme/tiny", "sha": COMMIT, "siblings": siblings})
        elif path.startswith(f"/acme/tiny/resolve/{COMMIT}/"):
            data = files[path.rsplit("/", 1)[1]]
            self.send(data, 200, {"ETag": f'"{digest(data)}"', "X-Repo-Commit": COMMIT})
        else:
            self.send(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def send_json(self, data):
        self.send(json.dumps(data).encode(), 200, {"Content-Type": "application/json"})

    def send(self, body, code, headers):
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def digest(data):
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub():
    files = {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "tokenizer.json": b"{}",
        "chat_template.jinja": b"x",
    }
    others = {"pytorch_model.bin": b"pickled", "README.md": b"text", "consolidated.safetensors": b"the same again"}
    server = Hub({**files, **others})
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def locate(tmp_path):
    """Locates models in a new process; returns what came of each, and the lines that were warned with."""

    def run(endpoint, *models):
        wanted = [model if isinstance(model, tuple) else (model, None) for model in models]
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "0", "HF_TOKEN": "secret"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(wanted)],
            env={**os.environ, **own, "NO_PROXY": "*"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == "", "progress bars are for people at a terminal"
        return json.loads(done.stdout)

    return run


def test_a_model_is_fetched_once_and_then_taken_from_the_cache(hub, locate):
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    [[first, warned], [second, nothing]] = locate(endpoint, "acme/tiny", "acme/tiny")
    assert "fetching acme/tiny" in warned[0]
    assert (second, nothing) == (first, [])
    fetched = {path.rsplit("/", 1)[1] for command, path in hub.asked if "/resolve/" in path}
    assert fetched == {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"}
    hub.asked.clear()
    assert locate("http://127.0.0.1:9", "acme/tiny") == [[first, []]], "a cached model needs no request"


@pytest.mark.parametrize("lost", ["model.safetensors", "tokenizer.json"])
def test_an_interrupted_download_is_resumed(hub, locate, lost):
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    [[folder, _]] = locate(endpoint, "acme/tiny")
    os.unlink(os.path.join(folder, lost))
    hub.asked.clear()
    [[again, warned]] = locate(endpoint, "acme/tiny")
    assert again == folder
    assert warned
    assert os.path.exists(os.path.join(folder, lost))


def test_a_refusal_of_the_hub_is_one_line(hub, locate):
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    results = locate(endpoint, "acme/none", "acme/gated", "acme/pickled", ("acme/tiny", "old"))
    said = [text for text, _ in results]
    causes = ["no such model", "is gated: accept its terms", "pickle", "no revision 'old'"]
    for text, expected in zip(said, causes, strict=True):
        assert text.startswith("UsageError: ")
        assert expected in text
        assert "\n" not in text
        assert "secret" not in text
    assert not any("/resolve/" in path for _, path in hub.asked)


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_fails_at_once(locate):
    """The library itself tries again for a minute or two; the time-out of the process is shorter."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for endpoint in (
            "http://127.0.0.1:9",
            f"http://127.0.0.1:{silent.getsockname()[1]}",
            "http://no.such.host.invalid",
        ):
            [[said, warned]] = locate(endpoint, "acme/tiny")
            assert said.startswith("RunError: cannot fetch acme/tiny: ")
            assert endpoint in said
            assert ("did not respond within 1 s; MAIA does not retry" in said) == (
                str(silent.getsockname()[1]) in endpoint
            )
            assert "\n" not in said
            assert not warned


def test_a_missing_folder_is_not_looked_for_on_the_hub(hub, locate):
    results = locate(f"http://127.0.0.1:{hub.server_port}", "./acme", "/acme/tiny", "acme/tiny/model")
    assert all(said.startswith("UsageError: there is no folder") for said, _ in results)
    assert not hub.asked
