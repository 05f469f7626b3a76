"""A world of coloured discs as installed plugins, and people to work in it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.registry import Registry
from maia_core.testing import fake_parts
from maia_human import Study, study
from maia_human.backbone import Human

PARTS = ("dataset", "generator", "editor", "describer")


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder that makes core's fakes plugins named `discs`, once it is on the path."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "discs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: discs\nVersion: 1.0\nSummary: discs\n")
    groups = {"models": "FakeModel"} | {f"{part}s": f"Fake{part.title()}" for part in (*PARTS, "verifier")}
    lines = [f"[maia.{group}]\ndiscs = maia_core.testing.fakes:{name}\n" for group, name in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def registry(site, monkeypatch) -> Registry:
    """The installed plugins and the discs."""
    monkeypatch.syspath_prepend(str(site))
    return Registry()


@pytest.fixture
def environment(site, tmp_path) -> dict[str, str]:
    """The environment of a process that finds the discs, and nothing of this machine's terminal."""
    kept = {key: value for key, value in os.environ.items() if key not in ("COLORTERM", "NO_COLOR", "EDITOR", "VISUAL")}
    return kept | {
        "PYTHONPATH": str(site),
        "MAIA_CACHE": str(tmp_path / "cache"),
        "TERM": "xterm",
        "TMPDIR": str(tmp_path),
    }


@pytest.fixture
def discs() -> list[str]:
    """The arguments of `maia run` that choose the discs and a person."""
    return ["--system", "discs:colours:red", "--backbone", "human", *(w for p in PARTS for w in (f"--{p}", "discs"))]


@pytest.fixture
def make_human() -> Callable[..., tuple[Human, io.StringIO]]:
    """Makes a person who types given lines, and what is shown to them."""

    def make(typed: str, **options: Any) -> tuple[Human, io.StringIO]:
        out = io.StringIO()
        context = Context(RunConfig(), parts=fake_parts())
        return Human(Human.Config(**options), context, source=io.StringIO(typed), out=out), out

    return make


@pytest.fixture
def begin(registry, tmp_path, monkeypatch) -> Iterator[Callable[..., Study]]:
    """Begins studies of the unit for red discs; they are left afterwards."""
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    begun: list[Study] = []

    def make(**options: Any) -> Study:
        if "resume" not in options:
            options = {"unit": "discs:colours:red", "out": tmp_path / "run", **dict.fromkeys(PARTS, "discs")} | options
        begun.append(study(registry=registry, **options))
        return begun[-1]

    yield make
    for one in begun:
        one.close()


@pytest.fixture
def shell() -> Iterator[Any]:
    """An IPython shell in this process."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    made = InteractiveShell.instance(config=config)
    yield made
    made.history_manager.end_session()
    InteractiveShell.clear_instance()
