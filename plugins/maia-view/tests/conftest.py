"""Run folders to look at: an honest one, and what tests need to change it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
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
            effects.facts = {"maia-standard.exemplar_floor": 5.5}
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
