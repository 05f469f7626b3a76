"""Names on the hub, with the real library against a server of this machine that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maia_core.testing import disc

datasets = pytest.importorskip("datasets")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PARQUET = "data/train-00000-of-00001.parquet"

SCRIPT = """
import json, sys, time
from pathlib import Path
from maia_core.context import Context
from maia_core.errors import one_line
from maia_datasets import hub
from maia_datasets.huggingface import HuggingFaceDataset

hub.SECONDS = 0.5
context = Context(parts={}, cache=Path(sys.argv[1]))
for options in json.loads(sys.argv[2]):
    warnings, begun = [], time.monotonic()
    context.warn_to(warnings.append)
    try:
        dataset = HuggingFaceDataset(HuggingFaceDataset.Config(**options), context)
        found = [dataset.name, len(dataset), dataset.concepts(1), dataset[1].id]
    except Exception as error:
        found = [type(error).__name__, one_line(error)]
    print(json.dumps({"found": found, "warnings": warnings, "seconds": time.monotonic() - begun}))
"""


class Hub(BaseHTTPRequestHandler):
    """`someone/discs` holds one parquet file; others are missing, gated or never answer."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    asked: list[str]

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.asked.append(f"{self.command} {path}")
        if "/silent" in path:
            time.sleep(2)  # Longer than the client waits.
            self.close_connection = True
        elif "/gated" in path:
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif "someone/discs" not in path:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif "/wrong" in path:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif "/tree/" in path:
            self.tree(path.split("/tree/")[1].partition("/")[2], "recursive=true" in query.lower())
        elif "/resolve/" in path:
            self.file(path.split("/resolve/")[1].partition("/")[2])
        else:
            siblings = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            self.answer_json({"id": "someone/discs", "sha": COMMIT, "tags": [], "siblings": siblings})

    do_HEAD = do_GET

    def tree(self, folder: str, recursive: bool) -> None:
        inside = {
            n: c for n, c in self.files.items() if n.startswith(folder) and (recursive or "/" not in n[len(folder) :])
        }
        entries = [{"type": "file", "path": n, "size": len(c), "oid": _etag(c)} for n, c in inside.items()]
        folders = [] if recursive else [{"type": "directory", "path": "data", "size": 0, "oid": "0"}]
        self.answer_json([*entries, *folders])

    def file(self, name: str) -> None:
        if name in self.files:
            self.answer(200, self.files[name], {"ETag": f'"{_etag(self.files[name])}"', "X-Repo-Commit": COMMIT})
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    def answer_json(self, content: object) -> None:
        self.answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def answer(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture
def hub(tmp_path, encoded) -> Iterator[ThreadingHTTPServer]:
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["even", "odd"])})
    rows = {"image": [{"bytes": encoded(n), "path": None} for n in range(4)], "label": [0, 1, 0, 1]}
    datasets.Dataset.from_dict(rows, features=kinds).to_parquet(tmp_path / "x.parquet")
    Hub.files, Hub.asked = {"README.md": b"# Discs\n", PARQUET: (tmp_path / "x.parquet").read_bytes()}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_names_on_the_hub(tmp_path, hub):
    """In a process of its own: the library reads the hub's address when it is imported."""
    discs = {"path": "someone/discs"}
    wanted = [discs, discs, discs | {"split": "test"}, discs | {"revision": "wrong"}]
    wanted += [{"path": "someone/gone"}, {"path": "someone/gated"}, {"path": "someone/silent"}]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {"HF_HOME": str(tmp_path / "home")}
    environment["HF_ENDPOINT"] = f"http://127.0.0.1:{hub.server_port}"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "cache"), json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    fetched, cached, split, revision, gone, gated, silent = map(json.loads, done.stdout.splitlines())
    assert fetched["found"] == cached["found"] == ["discs/train", 4, ["odd"], disc("red", 1).id]
    assert "fetching someone/discs from the hub" in fetched["warnings"][0]
    assert cached["warnings"] == []
    assert Hub.asked.count(f"GET /datasets/someone/discs/resolve/{COMMIT}/{PARQUET}") == 1
    assert split["found"][0] == "UsageError"
    assert "has the splits train" in split["found"][1]
    assert revision["found"] == ["UsageError", "someone/discs on the hub has no revision 'wrong'"]
    assert "no such data set on the hub" in gone["found"][1]
    assert "accepted its terms" in gated["found"][1]
    assert silent["found"][0] == "RunError"
    assert "fetching it from the hub" in silent["found"][1]
    assert max(line["seconds"] for line in (split, revision, gone, gated, silent)) < 10, (
        "the library tried again and again"
    )
