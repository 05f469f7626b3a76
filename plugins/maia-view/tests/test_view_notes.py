"""Notes of a person on runs, and labels from them."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from maia_core.plugin import UsageError
from maia_view.notes import MAX_TEXT, human_labels, note_file, read_note, write_note
from maia_view.rows import read_row

ORIGIN = {"origin": "http://127.0.0.1:7590"}


def note_form(client: Any, key: str) -> str:
    (secret,) = re.findall(r'name="secret" value="([^"]+)"', client.get(f"/runs/{key}/").text)
    return str(secret)


def the_key(client: Any) -> str:
    (key,) = re.findall(r'name="run" value="([^"]+)"', client.get("/").text)
    return str(key)


def test_a_note_is_kept_beside_the_run_and_shown(copied: Any, open_app: Any) -> None:
    run = copied()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    client = open_app(run.parent)
    key = the_key(client)
    form = {"secret": note_form(client, key), "mark": "wrong", "text": "it <b>likes</b>\nsnow", "label": "snow"}
    answer = client.post(f"/runs/{key}/note", data=form, headers=ORIGIN, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"../../runs/{key}/#note")
    assert read_note(run).model_dump(exclude={"changed"}) == {
        "mark": "wrong",
        "text": "it <b>likes</b> snow",
        "label": "snow",
    }
    assert note_file(run).parent == run.parent
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    page = client.get(f"/runs/{key}/").text
    assert 'value="it &lt;b&gt;likes&lt;/b&gt; snow"' in page
    assert 'value="wrong" checked' in page
    assert "✗ wrong" in client.get("/").text
    assert json.loads(client.get("/labels.json").text) == [
        {"unit": "net:head:7", "label": "snow", "description": "it <b>likes</b> snow"}
    ]
    empty = {"secret": form["secret"], "mark": "", "text": " ", "label": ""}
    assert client.post(f"/runs/{key}/note", data=empty, headers=ORIGIN).status_code == 200
    assert not note_file(run).exists()


@pytest.mark.parametrize(
    ("headers", "change", "status"),
    [
        ({}, {}, 403),
        ({"origin": "http://evil.example"}, {}, 403),
        ({"origin": "null"}, {}, 403),
        (ORIGIN | {"sec-fetch-site": "cross-site"}, {}, 403),
        (ORIGIN, {"secret": "guessed"}, 403),
        (ORIGIN, {"secret": ""}, 403),
        (ORIGIN, {"mark": "excellent"}, 422),
        (ORIGIN, {"text": "x" * (MAX_TEXT + 1)}, 422),
        (ORIGIN, {"text": "x" * 20_000}, 413),
        (ORIGIN | {"content-type": "application/json"}, {}, 415),
    ],
)
def test_forms_of_others_and_of_any_size_change_nothing(
    copied: Any, open_app: Any, headers: dict[str, str], change: dict[str, str], status: int
) -> None:
    run = copied()
    client = open_app(run.parent)
    key = the_key(client)
    form = {"secret": note_form(client, key), "mark": "right", "text": "", "label": ""} | change
    assert client.post(f"/runs/{key}/note", data=form, headers=headers).status_code == status
    assert not note_file(run).exists()


def test_without_the_token_no_note_is_taken(copied: Any, open_app: Any) -> None:
    run = copied()
    client = open_app(run.parent)
    key = the_key(client)
    form = {"secret": note_form(client, key), "mark": "right"}
    client.cookies.clear()
    assert client.post(f"/runs/{key}/note", data=form, headers=ORIGIN).status_code == 403
    assert not note_file(run).exists()


def test_only_the_note_changes_something(client: Any) -> None:
    key = re.findall(r'name="run" value="([^"]+)"', client.get("/").text)[0]
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for place in ("/", f"/runs/{key}/", "/compare/", "/atlas/", "/evaluations/", "/labels.json"):
            assert client.request(method, place, headers=ORIGIN).status_code == 405, (method, place)


def test_a_link_in_place_of_a_note_is_not_followed(copied: Any, tmp_path: Path) -> None:
    run, secret = copied(), tmp_path / "secret"
    secret.write_text('{"mark": "right", "text": "a secret"}')
    note_file(run).symlink_to(secret)
    assert read_note(run).text == ""
    write_note(run, {"mark": "right"})
    assert "a secret" in secret.read_text()
    assert not note_file(run).is_symlink()


@pytest.mark.parametrize("data", ["", "[]", '{"mark": "great"}', '{"text": 3}', "[" * 10_000, " " * 20_000, '{"x": 1}'])
def test_a_damaged_note_counts_as_none(copied: Any, data: str) -> None:
    run = copied()
    note_file(run).write_text(data)
    assert read_note(run).mark == ""


def test_a_folder_that_cannot_be_written_is_a_line(copied: Any) -> None:
    run = copied()
    note_file(run).mkdir()
    with pytest.raises(UsageError, match="cannot write the note"):
        write_note(run, {"mark": "right"})


def test_labels_of_people_are_what_the_explainer_human_reads(shelf: Path, tmp_path: Path) -> None:
    human = pytest.importorskip("maia_baselines.human")
    rows = {name: read_row(shelf / name, name, name) for name in ("first", "sweep/second", "sweep/third")}
    from maia_view.notes import Note

    found = human_labels([
        (rows["first"], Note(mark="right", changed=1)),
        (rows["sweep/second"], Note(mark="wrong", label="engines", changed=2)),
        (rows["sweep/third"], Note(mark="wrong", changed=3)),
    ])  # fmt: skip
    # Of two notes on one unit the newer counts; a wrong label without a better one is none.
    assert found == [{"unit": "net:head:7", "label": "engines"}]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps([*found, {"unit": "net:head:8", "label": ["a", "b"], "description": "both"}]))
    entries = human.read(file)
    assert (entries["net:head:7"].labels, entries["net:head:8"].labels) == (("engines",), ("a", "b"))


def test_labels_of_a_sweeps_table_stand_in_the_atlas(shelf: Path, tmp_path: Path, open_app: Any) -> None:
    import shutil

    from maia_view.pages import View

    folder = shutil.copytree(shelf, tmp_path / "copy")
    with open(folder / "sweep" / "labels.csv", "w", newline="") as file:
        table = csv.DictWriter(file, ["unit", "stage", "label", "explainer", "pearson"])
        table.writeheader()
        stated = [
            ("net:head:7", "cheap", "0.1"),
            ("net:head:30", "a <i>cheap</i> label", "0.4"),
            ("net:head:31", "", ""),
            ("nonsense", "x", "x"),
            ("net:head:32", "odd", "nan"),
        ]
        for unit, label, fit in stated:
            table.writerow(
                {"unit": unit, "stage": "first", "label": label, "explainer": "clip-dissect", "pearson": fit}
            )
    view = View.of([folder])
    (atlas,) = [found for found in view.atlases.all() if found.model == "net"]
    units = {row.unit: (row.label, row.fit, row.status) for row in atlas.rows}
    assert units["30"] == ("a <i>cheap</i> label", 0.4, "proposed")
    assert units["32"] == ("odd", None, "proposed")
    # A run's own label stands before the proposed one.
    assert units["7"][0] == "red things"
    assert set(units) == {"7", "30", "32"}
    page = open_app(folder).get(f"/atlas/{atlas.key}/").text
    assert "&lt;i&gt;cheap&lt;/i&gt;" in page
    # Of a sweep of which one run alone is named, the other labels are not shown.
    (run,) = [run for run in view.library.runs() if run.path.parent == folder / "sweep"][:1]
    alone = View.of([run.path])
    assert not any(row.proposed for found in alone.atlases.all() for row in found.rows)
    os.unlink(folder / "sweep" / "labels.csv")
    (atlas,) = [found for found in view.atlases.all() if found.model == "net"]
    assert len(atlas.rows) == 1
