"""The line of a terminal names the part that is running."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from maia_cli import progress
from maia_cli.progress import Progress
from maia_cli.running import running_part
from maia_core.plugin import Context, PluginRef, RunConfig
from maia_core.testing import FAKE_RUN, FakeGenerator, ScriptedBackbone, fake_parts
from maia_runs import explain_in


class _Seen:
    """Keeps what the terminal would say while a part works."""

    def __init__(self) -> None:
        self.named: dict[str, str] = {}

    def look(self, name: str) -> None:
        other: list[str] = []
        thread = threading.Thread(target=lambda: other.append(running_part()))
        thread.start()
        thread.join()
        self.named.setdefault(name, other[0])


def test_the_running_part_is_named_not_the_last_one(tmp_path: Path) -> None:
    """It said 'asking the backbone' during 40 s of a search for exemplars."""
    seen = _Seen()

    class Backbone(ScriptedBackbone):
        def complete(self, *arguments: Any) -> Any:
            seen.look("backbone")
            return super().complete(*arguments)

    class Generator(FakeGenerator):
        def generate(self, *arguments: Any) -> Any:
            seen.look("tool")
            return super().generate(*arguments)

    tools = ["text2image", "log_experiment", "dataset_exemplars", "display"]
    config = RunConfig.model_validate({"verify": False, "system": PluginRef(name="fake"), "tools": tools})
    parts = fake_parts() | {"backbone": Backbone(FAKE_RUN), "generator": Generator()}
    explain_in(Context(config, parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    assert seen.named == {"backbone": "asking the backbone", "tool": "tools.text2image"}


def test_the_line_ticks_and_is_cleared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked, ticked = [], threading.Event()

    def part() -> str:
        asked.append(None)
        if len(asked) > 1:  # The first line is printed.
            ticked.set()
        return "building the describer nearest"

    monkeypatch.setattr(progress, "running_part", part)
    with Progress(live=True):
        assert ticked.wait(30)
    shown = capsys.readouterr().err
    assert "s  building the describer nearest ...\r" in shown
    assert shown.endswith("\r")
