"""Run folders to look at: an honest one, and what tests need to change it."""

from __future__ import annotations

import base64
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_core.plugin import (
    Asked,
    Effects,
    Executed,
    Execution,
    Exemplar,
    Explanation,
    HostCall,
    Image,
    Logged,
    Manifest,
    Message,
    MessageAdded,
    Prediction,
    Probe,
    ProgramStarted,
    Replied,
    Reply,
    RunOutcome,
    RunWriter,
    TextPart,
    UnitInfo,
    Usage,
    Verdict,
)  # fmt: skip
from maia_view.app import make_app

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
TOKEN = "a-token-of-tests"
HOST = "127.0.0.1:7590"
SIDE = 64


def picture(seed: int, title: str = "", kept: float = 0.5) -> Image:
    """A noisy image with a mask that keeps a square of it; nothing where `kept` is 0."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), dtype=np.bool_)
    side = int(SIDE * kept)
    mask[4 : 4 + side, 4 : 4 + side] = True
    return Image.from_pixels(pixels, title=title).masked(mask)


class Script:
    """Writes a run, turn by turn."""

    def __init__(
        self, folder: Path, unit: str = "7", backbone: str = "script", model: str = "net", **config: Any
    ) -> None:
        self.folder = folder
        settings = {"backbone": {"name": backbone}, "verify": True, "limits": {"turns": 30}} | config
        manifest = Manifest(
            id="20260101-120000-abcd", created=1767268800.0, config=settings, seed=0,
            system=UnitInfo(model=model, layer="head", unit=unit), versions={"maia-core": "0.2.0"},
        )  # fmt: skip
        self.writer = RunWriter.create(folder, manifest)
        self.turn = 0
        self.writer.append(MessageAdded(message=Message(role="user", parts=(TextPart(text="Explain the unit."),))))

    def experiment(
        self, *titles: str, hypotheses: tuple[str, ...] = ("it likes red",), level: float = 2.0, images: int = 3
    ) -> None:
        """Adds a turn that logs some images under each title; the first turn shows exemplars too."""
        self.turn += 1
        self.writer.append(Asked(turn=self.turn, max_images=60))
        self.writer.append(
            Replied(
                turn=self.turn, reply=Reply(text="[CODE]", usage=Usage(input_tokens=900, output_tokens=80, cost=0.01))
            )
        )
        self.writer.append(
            ProgramStarted(
                turn=self.turn, program="def run_experiment(system, tools):\n    pass", hypotheses=hypotheses
            )
        )
        effects = Effects()
        if self.turn == 1:
            effects.kept = [Exemplar(9.0 - n / 4, picture(n, f"exemplar {n + 1}")) for n in range(15)]
            levels = base64.b64encode(bytes([0, 255, 90, 30])).decode()
            unit_map = {"shape": [2, 2], "levels": levels, "box": [0, 0, SIDE, SIDE]}
            maps = {image.clean.id: unit_map for _, image in effects.kept[:8] if image.clean}
            effects.facts = {"maia-standard.exemplar_floor": 5.5, "maia-standard.maps": maps}
        for number, title in enumerate(titles):
            for n in range(images):
                seed = 1000 * self.turn + 50 * number + n
                image = picture(seed, title, 0.0 if n == 2 else 0.4)
                effects.logged.append(
                    Logged(title=title, activation=max(0.0, level - number + n / 9), image=image, notes="")
                )
        self.writer.append(
            HostCall(turn=self.turn, order=0, method="tools.log_experiment", arguments_hash="", effects=effects)
        )
        self.writer.append(Executed(turn=self.turn, execution=Execution(stdout="done\n", seconds=0.4)))

    def end(self, *labels: str, passed: bool = True, status: str = "answered") -> Path:
        """Ends the run with an answer."""
        probes = tuple(
            Probe(
                image=picture(9000 + n, "fresh"),
                activation=6.0 - n,
                text=labels[0] if labels else "",
                condition="positive",
            )
            for n in range(4)
        )
        prediction = Prediction(on="generated", images=4, pearson=(0.8, 0.6, 0.9), points=((0.1, 0.2), (0.9, 6.0)))
        verdict = Verdict(passed=passed, predictions=(prediction,), summary="It holds.", probes=probes)
        explanation = Explanation(description="It likes them.", labels=labels) if labels else None
        self.turn += 1
        self.writer.append(Replied(turn=self.turn, reply=Reply(text="[LABEL 1]: " + " ".join(labels))))
        self.writer.append(
            RunOutcome(
                status=status,
                explanation=explanation,
                verdict=verdict if labels else None,
                turns=self.turn,
                usage=Usage(input_tokens=900 * self.turn, cost=0.01 * self.turn),
                seconds=61.0,
            )
        )
        self.writer.close()
        return self.folder


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three runs: two of one unit, one of another model."""
    folder = tmp_path_factory.mktemp("runs")
    for name, label, settings in (
        ("first", "red things", {}),
        ("sweep/second", "fire engines", {"backbone": "other", "verify": False}),
        ("sweep/third", "snow", {"unit": "12", "model": "second-net"}),
    ):
        script = Script(folder / name, **settings)
        script.experiment("a red disc", "a green disc")
        script.experiment("a red square", "a red disc", hypotheses=("it likes red", "it likes discs"))
        script.end(label, passed=name == "first")
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def client(shelf: Path) -> Any:
    return browser(shelf)


def browser(*folders: Path) -> Any:
    """A client that holds the token, as a browser after the first page."""
    testclient = pytest.importorskip("starlette.testclient")
    app = make_app(folders, token=TOKEN, hosts=[HOST, "localhost:7590"])
    made = testclient.TestClient(app, base_url=f"http://{HOST}", raise_server_exceptions=False)
    assert made.get("/", params={"token": TOKEN}).status_code == 200
    return made


@pytest.fixture
def copied(shelf: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies a run of the shelf into a folder of its own, to be changed."""
    return lambda name="first": shutil.copytree(shelf / name, tmp_path / "copy" / Path(name).name)


@pytest.fixture(scope="session")
def new_run() -> type[Script]:
    return Script


@pytest.fixture
def open_app() -> Callable[..., Any]:
    return browser


class Reader:
    """A reader with a browser.

    Attributes:
        base: The address of the server; empty for pages in files.
        complaints: What its pages complained about.
        asked: The addresses that its pages asked for.
    """

    def __init__(self, browser: Any, base: str, **settings: Any) -> None:
        self.base = base
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda line: line.type in ("error", "warning") and self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda box: (self.complaints.append(f"dialog {box.message}"), box.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        if base:
            self.page.goto(f"{base}/?token={TOKEN}")

    def goto(self, place: str) -> Any:
        self.page.goto(self.base + place)
        return self.page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Root may not use Chromium's own sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def new_reader(chromium: Any) -> Iterator[Callable[..., Reader]]:
    """Makes readers, each with a browser that has opened the printed address."""
    readers: list[Reader] = []

    def make(base: str = "", **settings: Any) -> Reader:
        readers.append(Reader(chromium, base, **settings))
        return readers[-1]

    yield make
    for reader in readers:
        reader.context.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., str]]:
    """Starts servers of some folders, and returns their addresses."""
    uvicorn = pytest.importorskip("uvicorn")
    servers: list[tuple[Any, threading.Thread]] = []

    def start(*folders: Path, **settings: Any) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
        app = make_app(folders, token=TOKEN, hosts=[host], **settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))
        app.view.is_stopping = lambda: server.should_exit
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://{host}"

    yield start
    for server, _ in servers:
        server.should_exit = True
    for _, thread in servers:
        thread.join(10)
