"""What a page that follows a run is sent."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maia_core.plugin import RecordError
from maia_view.live import Follower
from maia_view.pages import View

pytest.importorskip("starlette.testclient")


@pytest.fixture
def running(tmp_path: Path, new_run: Any) -> Any:
    script = new_run(tmp_path / "run")
    script.experiment("a red disc")
    return script


def follower(script: Any, after: int) -> Follower:
    view = View.of([script.folder])
    return Follower(view, view.library.runs()[0], after)


def size(script: Any) -> int:
    return (script.folder / "journal.jsonl").stat().st_size


def test_what_a_page_shows_already_is_not_sent_again(running: Any) -> None:
    after = size(running)
    following = follower(running, after)
    assert following.changes() is None
    running.experiment("a green disc", hypotheses=("it likes green",))
    sent = following.changes()
    assert sent is not None
    assert "turn-2" in sent["turns"]
    assert "it likes green" in sent["turns"]["turn-2"]
    assert following.end == size(running)
    assert following.changes() is None
    running.experiment("a blue disc")
    sent = following.changes()
    assert sent is not None
    assert "turn-3" in sent["turns"]
    assert "turn-1" not in sent["turns"]
    assert "<b>Running</b>" in sent["claim"]
    assert "No answer yet" in sent["claim"]


def test_the_page_of_a_running_run_says_so(running: Any) -> None:
    from maia_view.runs import run_page

    view = View.of([running.folder])
    page = run_page(view, view.library.runs()[0], {})
    assert "<b>Running</b>" in page
    assert "No answer yet" in page
    assert "was killed" not in page


def test_a_page_that_lost_its_connection_gets_all_turns_since(running: Any) -> None:
    after = size(running)
    for title in ("a green disc", "a blue disc", "a red square"):
        running.experiment(title)
    sent = follower(running, after).changes()
    assert sent is not None
    assert [*sent["turns"]][-3:] == ["turn-2", "turn-3", "turn-4"]


def test_a_long_run_is_followed_from_its_last_turn(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_view.live.WHOLE", 100)
    running.experiment("a green disc")
    after = size(running)
    following = follower(running, after)
    running.experiment("a blue disc", hypotheses=("it likes blue",))
    sent = following.changes()
    assert sent is not None
    assert [*sent["turns"]] == ["turn-2", "turn-3"]
    assert "it likes blue" in sent["turns"]["turn-3"]
    assert "claim" not in sent


def test_a_torn_line_is_sent_when_it_is_whole(running: Any) -> None:
    following = follower(running, size(running))
    line = json.dumps({"event": "reply", "turn": 2, "reply": {"text": "a whole reply"}})
    journal = running.folder / "journal.jsonl"
    with open(journal, "a") as file:
        file.write(line[:30])
    assert following.changes() is None
    with open(journal, "a") as file:
        file.write(line[30:] + "\n")
    sent = following.changes()
    assert sent is not None
    assert "a whole reply" in sent["turns"]["turn-2"]


def test_the_stream_has_offsets_as_ids_and_stops_at_the_end(running: Any, open_app: Callable[..., Any]) -> None:
    after = size(running)
    running.end("red things")
    client = open_app(running.folder)
    key = client.app.view.library.runs()[0].key
    text = client.get(f"/runs/{key}/live", headers={"last-event-id": str(after)}).text
    assert f"id: {size(running)}\n" in text
    data = json.loads(text.partition("data: ")[2].partition("\n")[0])
    assert data["ended"]
    assert "red things" in data["claim"]
    for wrong in ("x", "-1", "9" * 40):
        assert "data: " in client.get(f"/runs/{key}/live", headers={"last-event-id": wrong}).text


def test_a_run_that_is_removed_ends_the_stream(running: Any, open_app: Callable[..., Any]) -> None:
    following = follower(running, 0)
    client = open_app(running.folder)
    key = client.app.view.library.runs()[0].key
    (running.folder / "run.json").unlink()
    assert "event: gone" in client.get(f"/runs/{key}/live").text
    running.writer.close()
    shutil.rmtree(running.folder)
    with pytest.raises(RecordError):
        following.changes()


@pytest.mark.parametrize("is_removed", [True, False])
def test_the_stream_of_a_run_that_cannot_be_followed_says_why(
    running: Any, open_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, is_removed: bool
) -> None:
    client = open_app(running.folder)
    key = client.app.view.library.runs()[0].key
    running.writer.close()
    real = Follower.changes

    def change(self: Follower) -> Any:
        if is_removed:
            shutil.rmtree(running.folder)
        else:
            with open(running.folder / "journal.jsonl", "a") as journal:
                journal.write("nonsense\n")
        return real(self)

    monkeypatch.setattr(Follower, "changes", change)
    text = client.get(f"/runs/{key}/live").text
    reason = json.loads(text.partition("event: gone\ndata: ")[2].partition("\n")[0])["reason"]
    assert reason == "this run was removed" if is_removed else "not an event" in reason
    assert is_removed or "removed" not in reason
