"""`maia view`: first rows of 5,000 runs, memory of the server, opening a run of 100 MB, an event on its way."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from maia_core.plugin import (
    Effects,
    Executed,
    Execution,
    Exemplar,
    Explanation,
    HostCall,
    Image,
    Logged,
    Manifest,
    ProgramStarted,
    Replied,
    Reply,
    RunOutcome,
    RunWriter,
    UnitInfo,
    dumped,
)  # fmt: skip

RUNS, MEGABYTES, EVENTS = 5000, 100, 20


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        _many(root / "many")
        with _Server(root / "many") as server:
            print(f"{RUNS:,} runs: address after {server.started:.2f} s, first rows {server.seconds('/'):.2f} s later")
            started, first = time.perf_counter(), server.seconds("/?q=red")
            while "so far: MAIA has read" in server.text("/?q=red"):
                pass
            whole, again = time.perf_counter() - started, server.seconds("/?q=4711")
            print(f"  search in all labels: first answer {first:.2f} s, all runs {whole:.2f} s, again {again:.2f} s")
            print(f"  memory {server.memory()} MB")
        _long(root / "long" / "run")
        size = (root / "long/run/journal.jsonl").stat().st_size
        with _Server(root / "long") as server:
            key = re.search(r"runs/([^/]+)/", server.text("/"))[1]
            print(f"a run of {size / 1e6:.0f} MB: opens in {server.seconds(f'/runs/{key}/'):.2f} s")
            last = re.search(r"of (\d+)\.?<", server.text(f"/runs/{key}/"))[1]
            seconds = server.seconds(f"/runs/{key}/?turn={last}")
            print(f"  its last turns (of {last}) in {seconds:.2f} s, memory {server.memory()} MB")
        _follow(root / "live")


def _follow(root: Path) -> None:
    writer = _new(root / "run", "7")
    _turn(writer, 1, 8)
    with _Server(root) as server:
        key = re.search(r"runs/([^/]+)/", server.text("/"))[1]
        after = (root / "run/journal.jsonl").stat().st_size
        stream = server.get(f"/runs/{key}/live?after={after}")
        arrived: list[float] = []

        def listen() -> None:
            for line in iter(stream.readline, b""):
                if line.startswith(b"data: "):
                    arrived.append(time.perf_counter())

        threading.Thread(target=listen, daemon=True).start()
        waits = []
        for n in range(EVENTS):
            seen, written = len(arrived), time.perf_counter()
            writer.append(Replied(turn=n + 2, reply=Reply(text="Let me think again.")))
            while len(arrived) == seen and time.perf_counter() - written < 10:
                time.sleep(0.002)
            waits.append(time.perf_counter() - written)
            time.sleep(0.05)
        median, longest = sorted(waits)[len(waits) // 2] * 1e3, max(waits) * 1e3
        print(f"event to the reader: median {median:.0f} ms, longest {longest:.0f} ms")
    writer.close()


class _Server:
    def __init__(self, folder: Path) -> None:
        started = time.perf_counter()
        code = "import sys; from maia_core.cli import main; sys.argv[:1] = ['maia', 'view']; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder), "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        address = re.search(r"http://(\S+)/\?token=(\S+)", self._process.stdout.readline())
        self.started = time.perf_counter() - started
        self._host, self._token = address[1], address[2]

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()

    def get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(self._host)
        connection.request("GET", path, headers={"cookie": f"maia_view_{self._host.rpartition(':')[2]}={self._token}"})
        return connection.getresponse()

    def text(self, path: str) -> str:
        return self.get(path).read().decode()

    def seconds(self, path: str) -> float:
        started = time.perf_counter()
        self.text(path)
        return time.perf_counter() - started

    def memory(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def _new(folder: Path, unit: str) -> RunWriter:
    config = {"backbone": {"name": "heuristic"}, "verify": True}
    manifest = Manifest(
        id="20260101-120000-abcd", created=1767268800.0, config=config, seed=0, versions={},
        system=UnitInfo(model="resnet152", layer="layer4", unit=unit),
    )  # fmt: skip
    return RunWriter.create(folder, manifest)


def _turn(writer: RunWriter, turn: int, images: int) -> None:
    rng = np.random.default_rng(turn)
    handles = [
        Image.from_pixels(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8), f"a scene {n}") for n in range(images)
    ]
    effects = Effects(
        kept=[Exemplar(9 - n / 4, image) for n, image in enumerate(handles[:15])],
        logged=[Logged(title=f"scene {n // 4}", activation=n / 8, image=image) for n, image in enumerate(handles)],
    )
    writer.append(Replied(turn=turn, reply=Reply(text="[CODE]")))
    writer.append(ProgramStarted(turn=turn, program="def run_experiment(system, tools):\n" + "    x = 1\n" * 60))
    writer.append(HostCall(turn=turn, order=0, method="tools.log_experiment", arguments_hash="", effects=effects))
    writer.append(Executed(turn=turn, execution=Execution(stdout="printed " * 2000)))


def _many(root: Path) -> None:
    first = root / "unit-0"
    writer = _new(first, "0")
    _turn(writer, 1, 8)
    explanation = Explanation(description="It responds to red things.", labels=("red things",))
    writer.append(RunOutcome(status="answered", explanation=explanation, turns=1, seconds=60))
    writer.close()
    manifest, journal = (first / "run.json").read_text(), (first / "journal.jsonl").read_text()
    for n in range(1, RUNS):
        folder = root / f"unit-{n}"
        folder.mkdir()
        (folder / "run.json").write_text(manifest.replace('"unit": "0"', f'"unit": "{n}"'))
        (folder / "journal.jsonl").write_text(journal)


def _long(folder: Path) -> None:
    """Writes turns with 60 images each until the journal has its size."""
    writer = _new(folder, "7")
    _turn(writer, 1, 60)
    writer.close()
    journal = folder / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    size, turn = journal.stat().st_size, 1
    with open(journal, "a") as file:
        while size < MEGABYTES * 1_000_000:
            turn += 1
            size += sum(file.write(dumped(event | {"turn": turn}) + "\n") for event in events)


if __name__ == "__main__":
    main()
