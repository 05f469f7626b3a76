"""The list of runs, the page of one, and several side by side."""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

import maia_view
from maia_core.plugin import RunReader, UsageError
from maia_view.app import make_app
from maia_view.command import view
from maia_view.library import Library
from maia_view.listing import SORTS, Selection
from maia_view.reading import turn_offsets
from maia_view.rows import FRESH, RunRow, read_row

pytest.importorskip("starlette.testclient")


def keys(client: Any) -> dict[str, str]:
    return {run.name: run.key for run in client.app.view.library.runs()}


def labels(html: str) -> list[str]:
    return re.findall(r'<td class="c-label"><a href="[^"]*">(?:<i>)?([^<]*)', html)


def test_the_list_shows_every_run_at_any_depth(client: Any) -> None:
    html = client.get("/").text
    assert sorted(labels(html)) == ["fire engines", "red things", "snow"]
    for text in ("net:head:7", "second-net:head:12", "script", "verified", "0.80", "$0.03", "1 min 1 s", "sweep/third"):
        assert text in html, text


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"q": "RED"}, ["red things"]),
        ({"q": "second-net 12"}, ["snow"]),
        ({"q": "sweep"}, ["fire engines", "snow"]),
        ({"q": "nothing like it"}, []),
        ({"q": "not verified engines"}, ["fire engines"]),
        ({"backbone": "other"}, ["fire engines"]),
        ({"verdict": "not verified"}, ["fire engines", "snow"]),
        ({"model": "net", "sort": "-label"}, ["red things", "fire engines"]),
        ({"sort": "label"}, ["fire engines", "red things", "snow"]),
        ({"sort": "-unit"}, ["snow", "red things", "fire engines"]),
        ({"sort": "nonsense", "page": "-4", "model": "", "colour": "x"}, None),
        ({"page": "99999999999999999999"}, None),
    ],
)
def test_an_address_chooses_and_sorts(client: Any, query: dict[str, str], shown: list[str] | None) -> None:
    found = labels(client.get("/", params=query).text)
    if shown is None:
        assert sorted(found) == ["fire engines", "red things", "snow"]
    else:
        assert (found if "sort" in query and query["sort"] != "-unit" else sorted(found)) == sorted(
            shown, reverse=query.get("sort") == "-label"
        )
        assert query.get("sort") != "-unit" or found[0] == "snow"


def test_a_run_without_an_end_is_running_while_it_is_written(tmp_path: Path, new_run: Any) -> None:
    import os

    script = new_run(tmp_path / "run")
    script.experiment("a red disc")
    os.utime(tmp_path / "run" / "journal.jsonl", (1, 1))
    assert read_row(tmp_path / "run", "k", "run").status == "running"  # Its writer holds the lock.
    script.writer.close()
    row = read_row(tmp_path / "run", "k", "run")
    assert (row.status, row.turns, row.labels, row.cost) == ("unfinished", 1, (), None)


def test_a_killed_run_stops_to_count_as_running(tmp_path: Path, new_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    script = new_run(tmp_path / "run")
    script.experiment("a red disc")
    script.writer.close()
    library = Library([tmp_path])
    (run,) = library.runs()
    assert library.row(run).status == "running"
    later = time.time() + FRESH + 1
    monkeypatch.setattr("maia_view.rows.time.time", lambda: later)
    assert library.row(run).status == "unfinished"


def test_the_list_can_be_made_while_another_thread_reads_runs(shelf: Path) -> None:
    library = Library([shelf])
    first, *others = library.runs()
    library.row(first)
    readers: list[threading.Thread] = []

    class Watched(dict[str, Any]):
        """Has another thread read runs while somebody goes through it."""

        def items(self) -> Any:
            for item in super().items():
                readers.append(threading.Thread(target=lambda: [library.row(run) for run in others]))
                readers[-1].start()
                readers[-1].join(0.3)
                yield item

    library._rows = Watched(library._rows)
    library._scanned = -1e9
    assert len(library.runs()) == 3
    assert readers
    readers[0].join()
    assert len(library.known_rows()) == 3


def test_missing_values_stand_last_in_either_direction() -> None:
    bare = RunRow("bare", "bare")
    rows = [
        bare,
        *(
            RunRow(f"{n}", f"{n}", "net", "head", f"{n}", "script", labels=(f"label {n}",), turns=n, created=n,
                   verdict=("verified", "not verified")[n % 2], fit=0.1 * n, cost=n, seconds=n)
            for n in (1, 2)
        ),
    ]  # fmt: skip
    for column in SORTS:
        for sort in (column, f"-{column}"):
            assert Selection.of({"sort": sort}).select(rows)[-1] is bare, sort


def test_a_long_run_that_is_removed_while_it_is_read_is_gone(
    copied: Callable[..., Path], shelf: Path, open_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied()
    monkeypatch.setattr("maia_view.reading.WHOLE", 100)
    client = open_app(folder.parent, shelf / "sweep")
    (key,) = [run.key for run in client.app.view.library.runs() if run.path == folder]
    kept = shutil.copytree(folder, folder.parent.parent / "kept")

    def remove(journal: Path) -> Any:
        shutil.rmtree(journal.parent)
        return turn_offsets(journal)

    monkeypatch.setattr("maia_view.reading.turn_offsets", remove)
    answer = client.get(f"/runs/{key}/", params={"turn": 1})
    assert (answer.status_code, "This run is gone" in answer.text) == (404, True)
    shutil.copytree(kept, folder)
    answer = client.get("/compare/", params={"run": [key, key]})
    assert (answer.status_code, "is gone: it was moved or removed" in answer.text) == (200, True)


def test_a_line_longer_than_any_of_a_journal_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal from elsewhere, of 100 GB without a line end, took all memory."""
    monkeypatch.setattr("maia_view.reading.MAX_LINE", 100)
    (tmp_path / "journal.jsonl").write_bytes(b'{"event": "reply"}\n' + bytes(1000) + b"\n")
    assert turn_offsets(tmp_path / "journal.jsonl") == ([0], 19)


def test_a_journal_that_cannot_be_read_says_why(
    copied: Callable[..., Path], open_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(journal: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(journal))

    client = open_app(copied().parent)
    monkeypatch.setattr("maia_view.reading.WHOLE", 100)
    monkeypatch.setattr("maia_view.reading.turn_offsets", fail)
    answer = client.get(f"/runs/{next(iter(keys(client).values()))}/")
    assert (answer.status_code, "Permission denied" in answer.text) == (422, True)


def test_a_torn_last_line_and_late_notes_hide_no_answer(copied: Callable[..., Path]) -> None:
    folder = copied()
    with open(folder / "journal.jsonl", "a") as journal:
        journal.write(json.dumps({"event": "note", "text": "late " + "x" * 200_000}) + "\n")
        journal.write('{"event": "outcome", "status": "fai')
    assert read_row(folder, "k", "run").labels == ("red things",)


def test_the_page_of_a_run_shows_what_its_report_shows(client: Any, shelf: Path) -> None:
    from maia_report.page import render_run

    html = client.get(f"/runs/{keys(client)['first']}/").text

    def words(page: str) -> set[str]:
        return set(re.sub(r"<(style|script|footer).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL).split())

    assert words(render_run(shelf / "first")) <= words(html)
    assert 'class="off">not active<' in html
    assert "base64" not in html
    assert "style=" not in html


def test_a_map_lies_over_the_exemplars_of_which_the_record_has_one(client: Any) -> None:
    place = f"/runs/{keys(client)['first']}/"
    html = client.get(place).text
    assert 'id="masks-map"' in html
    maps = re.findall(
        r'class="veil map" src="([^"]+)"', html.partition('class="exemplars"')[2].partition("</section>")[0]
    )
    assert len(maps) == 8
    with PILImage.open(io.BytesIO(client.get(place + maps[0]).content)) as drawn:
        opacity = np.asarray(drawn)[..., 3]
    assert opacity[:, -8:][:8].mean() > 150 > 60 > opacity[:8, :8].mean()
    other = re.search(r"[0-9a-f]{32}(?=\.outline)", html)
    assert other
    assert client.get(f"{place}{maps[0][: -len('0' * 32 + '.map.png')]}{other[0]}.map.png").status_code == 404


def test_every_image_of_a_page_is_served_and_kept_by_the_browser(client: Any) -> None:
    place = f"/runs/{keys(client)['first']}/"
    html = client.get(place).text
    sources = set(re.findall(r'<img [^>]*src="([^"]+)"', html)) | set(
        re.findall(r'<a class="pic[^>]*href="([^"]+)"', html)
    )
    assert {re.search(r"\.(\w+)\.\w+$", source)[1] for source in sources} == {"thumb", "full", "dark", "outline", "map"}
    for source in sources:
        answer = client.get(place + source)
        assert answer.status_code == 200, source
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["content-type"] in ("image/png", "image/webp")


def test_a_long_run_is_shown_in_parts_that_lead_to_each_other(
    tmp_path: Path, new_run: Any, open_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maia_view.reading.WHOLE", 2000)
    monkeypatch.setattr("maia_view.reading.PART", 20_000)
    script = new_run(tmp_path / "long")
    for n in range(12):
        script.experiment(f"disc number {n}")
    script.end("red things")
    client = open_app(tmp_path)
    place, seen = f"/runs/{keys(client)['long']}/", []
    while place:
        html = client.get(place).text
        seen += re.findall(r'id="turn-(\d+)"', html)
        assert "red things" in html
        assert "exemplar 1" in html
        following = re.search(r'href="([^"]+)#experiments" rel="next"', html)
        place = (
            place.partition("?")[0] + following[1].replace("../../" + place.partition("?")[0][1:], "")
            if following
            else ""
        )
    assert seen == [str(n) for n in range(1, 14)]
    assert re.search(r"<dt>turns</dt><dd class=\"num\">13 ", html)  # Of the whole run.


def test_a_long_run_that_runs_shows_its_newest_turns(
    tmp_path: Path, new_run: Any, open_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maia_view.reading.WHOLE", 2000)
    monkeypatch.setattr("maia_view.live.WHOLE", 2000)
    monkeypatch.setattr("maia_view.reading.PART", 20_000)
    script = new_run(tmp_path / "long")
    for n in range(12):
        script.experiment(f"disc number {n}")
    client = open_app(tmp_path)
    html = client.get(f"/runs/{keys(client)['long']}/").text
    shown = re.findall(r'id="turn-(\d+)"', html)
    assert (shown[-1], len(shown) < 12) == ("12", True)
    assert f'data-live="live?after={(tmp_path / "long" / "journal.jsonl").stat().st_size}"' in html
    assert 'data-live="' not in client.get(f"/runs/{keys(client)['long']}/", params={"turn": 1}).text


def test_runs_of_other_kinds_stand_side_by_side(client: Any) -> None:
    runs = keys(client)
    html = client.get("/compare/", params={"run": list(runs.values())}).text
    for text in (
        "3 runs side by side",
        "red things",
        "fire engines",
        "snow",
        "a red disc",
        "it likes discs",
        "backbone",
        "verify",
        "share of the mean exemplar",
    ):
        assert text in html, text
    assert len(re.findall(r'data-lockstep="e-1"', html)) == 3
    assert len(re.findall(r'data-lockstep="t1-2"', html)) == 3


def test_runs_of_one_unit_share_the_axis_of_activations(client: Any) -> None:
    runs = keys(client)
    html = client.get("/compare/", params={"run": [runs["first"], runs["sweep/second"]]}).text
    assert '<b aria-current="true">activation</b>' in html


@pytest.mark.parametrize("chosen", [[], ["gone"], ["first"], ["first", "first"], ["first", "gone"]])
def test_fewer_than_two_runs_lead_to_a_choice(client: Any, chosen: list[str]) -> None:
    runs = keys(client)
    answer = client.get("/compare/", params={"run": [runs.get(name, name) for name in chosen]})
    assert answer.status_code == 200
    assert "Choose two to six runs" in answer.text
    assert ("is gone" in answer.text) == ("gone" in chosen)


def test_a_run_that_is_removed_while_it_is_shown_leads_back_to_the_list(
    copied: Callable[..., Path], open_app: Callable[..., Any]
) -> None:
    folder = copied()
    client = open_app(folder.parent)
    place = f"/runs/{keys(client)['first']}/"
    assert client.get(place).status_code == 200
    shutil.rmtree(folder)
    answer = client.get(place)
    assert answer.status_code == 404
    assert "The list shows the runs that are there" in answer.text


def test_a_record_of_another_version_says_what_to_do(copied: Callable[..., Path], open_app: Callable[..., Any]) -> None:
    folder = copied()
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(manifest | {"format": 99}))
    client = open_app(folder.parent)
    assert "record format 99" in client.get("/").text
    answer = client.get(f"/runs/{keys(client)['first']}/")
    assert answer.status_code == 422
    assert "upgrade maia-core" in answer.text


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run, index .* in .*maia run"):
        make_app([tmp_path], token="t", hosts=["h:1"])
    with pytest.raises(UsageError, match="is not a folder"):
        make_app([tmp_path / "missing"], token="t", hosts=["h:1"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--host", "0.0.0.0"], "add --remote"),
        (["--host", "0.0.0.0", "--remote"], "add --name"),
        (["--host", "evil.example"], "takes an IP address"),
        (["--port", "TAKEN"], "choose another with --port"),
    ],
)
def test_an_address_that_cannot_be_used_says_what_to_do(shelf: Path, options: list[str], error: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(view, [str(shelf), *(port if option == "TAKEN" else option for option in options)])
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert error in str(result.exception)


def test_a_notebook_shows_a_run_in_a_frame_that_holds_all_of_it(shelf: Path) -> None:
    html = maia_view.show(shelf / "first")._repr_html_()
    assert html.startswith('<iframe sandbox="allow-scripts"')
    assert html.count("<") == 2
    assert "red things" in html


def test_a_part_of_a_journal_is_read_by_offsets(shelf: Path) -> None:
    whole = RunReader(shelf / "first")
    half = RunReader(shelf / "first", stop=whole.end // 2)
    rest = RunReader(shelf / "first", start=half.end)
    assert [*half.events, *rest.events] == whole.events
    assert 0 < len(half.events) < len(whole.events)


def test_a_page_behind_the_last_one_is_the_last_one(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_view.runs.PER_PAGE", 2)
    assert len(labels(client.get("/?page=1").text)) == 2
    last = client.get("/?page=2").text
    assert labels(client.get("/?page=99").text) == labels(last) != []
    assert labels(client.get("/?page=99&sort=label").text) == ["snow"]


def test_a_search_shows_how_far_it_has_read_until_it_has_read_all(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from maia_view.pages import View
    from maia_view.runs import list_page

    new = View.of([shelf])
    monkeypatch.setattr("maia_view.runs.PATIENCE", -1.0)
    html = list_page(new, {"q": "snow"})
    assert "so far: MAIA has read 0 of 3 runs" in html
    assert "data-progress" in html
    assert '<noscript><meta http-equiv="refresh"' in html
    new.library.read_all()
    html = list_page(new, {"q": "snow"})
    assert labels(html) == ["snow"]
    assert "so far" not in html
    assert "data-progress" not in html


def test_a_folder_that_may_not_be_read_is_a_line_of_the_list(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from maia_view.pages import View
    from maia_view.runs import list_page

    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "sweep":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("maia_view.library.os.scandir", scandir)
    html = list_page(View.of([shelf]), {})
    assert f"<code>{shelf / 'sweep'}</code> cannot be shown: Permission denied" in html
    with pytest.raises(UsageError, match="sweep: Permission denied; give yourself the right"):
        View.of([shelf / "sweep"])


def test_more_runs_than_a_page_compares_are_named(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_view.compare.MOST", 2)
    all_keys = list(keys(client).values())
    html = client.get("/compare/", params={"run": all_keys}).text
    assert f"compares at most 2 runs and leaves out {all_keys[2]}" in html


@pytest.mark.parametrize(
    ("place", "title", "button"),
    [
        ("/atlas/nowhere/", "There is no such layer", "All layers"),
        ("/atlas/nowhere/7/", "There is no such unit", "All layers"),
        ("/evaluations/nowhere/", "This evaluation is gone", "All evaluations"),
        ("/runs/nowhere/", "This run is gone", "All runs"),
    ],
)
def test_an_address_of_nothing_leads_to_the_list_of_its_kind(client: Any, place: str, title: str, button: str) -> None:
    answer = client.get(place)
    assert answer.status_code == 404
    assert f"<h1>{title}</h1>" in answer.text
    assert f">{button}</a>" in answer.text
