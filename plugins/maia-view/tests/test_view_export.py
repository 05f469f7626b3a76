"""Pages in files, and evaluations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from click.testing import CliRunner

from maia_core.plugin import UsageError
from maia_eval.results import Explained, Fit, Manifest, Scores, UnitResult, slug
from maia_view.command import view as command
from maia_view.evaluation_pages import units_page
from maia_view.evaluations import unit_lines
from maia_view.export import export
from maia_view.notes import write_note
from maia_view.pages import View
from maia_view.shortening import Shortener


class Addresses(HTMLParser):
    """Everything that a page leads to or loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src", "action") and value]


def evaluation(folder: Path, runs: Path, label: str = "red things") -> Path:
    """Writes a predictive evaluation of two units and two explainers, one of which made a run."""
    import shutil

    settings = {"units": ["net:head:7", "net:tail:3"], "explainers": [{"alias": "agent"}, {"alias": "plain"}]}
    versions = [{"python": "3.11"}]
    folder.mkdir(parents=True)
    manifest = Manifest(kind="predictive", created=1767268800.0, settings=settings, versions=versions)
    (folder / "eval.json").write_text(manifest.model_dump_json())
    shutil.copytree(runs / "first", folder / "runs" / "agent" / "one")
    fit = Fit(images=10, active=4, pearson=0.5, auprc=0.6)
    for n, unit in enumerate(settings["units"]):
        scores = {
            name: Scores(label=label, own=2, dropped=0, positives=("a",), neutrals=("b",), plus=2 + n, minus=1,
                         generated=fit.model_copy(update={"pearson": 0.1 + n / 2}))
            for name in ("agent", "plain")
        }  # fmt: skip
        result = UnitResult(
            unit=unit, model="net", layer=unit.split(":")[1], level=1, highest=9, state="active", scores=scores
        )
        (folder / "results").mkdir(exist_ok=True)
        (folder / "results" / f"{slug(unit)}.json").write_text(result.model_dump_json())
        for name in ("agent", "plain"):
            said = Explained(
                explainer=name, unit=unit, labels=(label,), run="runs/agent/one" if (n, name) == (0, "agent") else ""
            )
            place = folder / "explanations" / slug(unit)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{slug(name)}.json").write_text(said.model_dump_json())
    return folder


@pytest.fixture
def world(shelf: Path, tmp_path: Path) -> Path:
    """Runs, an evaluation and a note."""
    import shutil

    folder = shutil.copytree(shelf, tmp_path / "world")
    evaluation(folder / "figures", shelf)
    write_note(folder / "first", {"mark": "right", "text": "<script>alert(1)</script>"})
    return folder


def test_each_figure_of_an_evaluation_leads_to_its_units_and_runs(world: Path, open_app: Any) -> None:
    client = open_app(world)
    (place,) = re.findall(r'href="\.\./(evaluations/figures-[0-9a-f]+/)"', client.get("/evaluations/").text)
    page = client.get(f"/{place}").text
    figure = next(
        address for address in Addresses(page).found if "sort=pearson" in address and "explainer=agent" in address
    )
    units = client.get(f"/{place}{figure.split(place)[1]}").text
    rows = re.findall(r"<tr><td>(net:[^<]+)</td>\s*<td>(.*?)</td>", units)
    # From the highest figure to the lowest; the unit with a run leads to the run and to the atlas.
    assert [row[0] for row in rows] == ["net:tail:3", "net:head:7"]
    run, unit = re.findall(r'href="\.\./\.\./\.\./([^"]+)"', rows[1][1])
    for address in (run, unit):
        assert "red things" in client.get(f"/{address}").text
    assert rows[0][1] == "–"


def test_evaluations_of_one_name_are_told_apart(shelf: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("april", "may")]
    for folder in folders:
        evaluation(folder / "figures", shelf)
    evaluation(folders[0] / "other", shelf)
    assert [each.name for each in View.of(folders).evaluations.all()] == ["april/figures", "may/figures", "other"]


def test_groups_choose_the_units_of_a_figure(world: Path) -> None:
    view = View.of([world])
    (found,) = view.evaluations.all()
    assert found.folder is not None
    chosen = [
        [(line.values["unit"], line.values["explainer"]) for line in unit_lines(found.folder, group, explainer, {})]
        for group, explainer in (("net:head", ""), ("all", "plain"), ("net:tail", "agent"), ("", "none"))
    ]
    assert [len(each) for each in chosen] == [2, 2, 1, 0]
    assert chosen[2] == [("net:tail:3", "agent")]


def test_the_units_of_an_evaluation_read_the_runs_a_fixed_number_of_times(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View.of([world])
    (found,) = view.evaluations.all()
    assert found.folder is not None
    (one,) = [line for line in unit_lines(found.folder, "", "", view.evaluations.run_keys()) if line.run]
    searched = []
    real = view.library.runs
    monkeypatch.setattr(view.library, "runs", lambda: searched.append(1) or real())
    calls = []
    for lines in (1, 200):
        monkeypatch.setattr("maia_view.evaluation_pages.unit_lines", lambda *_, n=lines: [one] * n)
        searched.clear()
        assert units_page(view, found, found.folder, {}).count('/">unit</a>') == lines
        calls.append(len(searched))
    assert calls[0] == calls[1]


def test_a_damaged_evaluation_is_a_page_that_says_so(world: Path, open_app: Any) -> None:
    for file in (world / "figures" / "results").iterdir():
        file.write_text("{")
    client = open_app(world)
    (place,) = re.findall(r'href="\.\./(evaluations/figures-[0-9a-f]+/)"', client.get("/evaluations/").text)
    answer = client.get(f"/{place}")
    assert (answer.status_code, "is damaged" in answer.text) == (422, True)
    (world / "figures" / "eval.json").write_text("[]")
    assert "is damaged" in open_app(world).get("/evaluations/").text


def pages(site: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(site.rglob("*.html")):
        yield path, path.read_text()


def test_files_lead_to_files_and_nowhere_else(world: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    done = export([world], site)
    assert done.problems == []
    assert (done.pages, done.pictures) == (
        len(list(pages(site))),
        len([*site.glob("images/*"), *site.glob("atlas/*/sheets/*")]),
    )
    for path, page in pages(site):
        assert "default-src 'none'" in page
        assert not re.search(r"""(?:src|href)="(?:[a-z]+:|//|/)""", page), path
        for address in Addresses(page).found:
            target = urlparse(address).path
            assert not target or (path.parent / unquote(target)).is_file(), (path, address)
    assert "&lt;script&gt;alert(1)" in (next((site / "runs").glob("first-*")) / "index.html").read_text()
    assert json.loads((site / "labels.json").read_text())[0]["label"] == "red things"


def test_a_picture_is_written_once(world: Path, tmp_path: Path) -> None:
    export([world], tmp_path / "site")
    files = [path.read_bytes() for path in (tmp_path / "site" / "images").iterdir()]
    assert len(files) == len(set(files))
    # Four runs have the same exemplars, and so do the pages of their units: fifteen images, of 64 pixels.
    runs = [page for path, page in pages(tmp_path / "site") if path.parent.parent.name == "runs"]
    shared = set.intersection(*(set(re.findall(r"images/[0-9a-f]{32}\.webp", page)) for page in runs))
    assert len(shared) >= 15


def test_the_index_and_the_runs_of_a_comparison_are_scripts(world: Path, tmp_path: Path) -> None:
    export([world], tmp_path / "site")
    text = (tmp_path / "site" / "runs.js").read_text()
    rows = json.loads(text.removeprefix("globalThis.maiaRuns = ").removesuffix(";\n"))
    assert {row["label"] for row in rows} == {"red things", "fire engines", "snow"}
    for row in rows:
        script = (tmp_path / "site" / "compare" / f"{row['key']}.js").read_text()
        name, data = json.loads("[" + script.removeprefix("globalThis.maiaRun(").removesuffix(");\n") + "]")
        assert name == row["key"]
        assert data["unit"] == pytest.approx(7.25)
        assert {each["title"] for each in data["rows"]} == {"a red disc", "a green disc", "a red square"}
        assert "images/" in data["exemplars"]
        assert not re.search(r"images/[a-z0-9-]+/", script)


@pytest.mark.slow
def test_an_export_replaces_an_earlier_one_and_nothing_else(world: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    export([world], site)
    export([world], site)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="it holds something else"):
        export([world], tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_no_file_of_an_export_names_folders_of_the_machine(new_run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "secret place" / "runs"
    secrets = {
        "dataset": {"name": "folder", "path": "/home/alice/pri pri & vate klandestin/photos"},
        "segmenter": {"name": "local", "weights": ["/mnt/bob's disk/nets/net.pt", "~/carol/x.pt"], "root": "/datadisk"},
        "similarity": {"name": "clip:/srv/dave/clip.bin"},
    }
    for name, model in (("one", "net"), ("two", "/opt/erin/model.pt")):
        script = new_run(folder / name, model=model, **secrets)
        script.experiment("a red disc")
        script.end("red things")
    new_run(folder / "bad", unit="9").writer.close()
    (folder / "bad" / "journal.jsonl").write_text("nonsense\n")
    new_run(folder / "new", unit="10").writer.close()
    manifest = folder / "new" / "run.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    done = export([folder], tmp_path / "site")
    texts = {
        path: path.read_text() for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".js", ".csv")
    }
    for path, text in texts.items():
        if "static" not in path.parts:
            for secret in (
                "alice",
                "klandestin",
                "bob",
                "carol",
                "dave",
                "erin",
                "secret place",
                "/datadisk",
                str(tmp_path),
            ):
                assert secret not in text.lower(), (path, secret)
    for table in (tmp_path / "site").rglob("*.parquet"):
        assert b"erin" not in table.read_bytes()
    (page,) = (tmp_path / "site" / "runs").glob("one-*")
    for kept in ("photos", "net.pt", "x.pt", "clip:clip.bin", "datadisk"):
        assert kept in texts[page / "index.html"], kept
    assert "<code>runs</code>" in texts[tmp_path / "site" / "index.html"]
    assert {problem.partition(": ")[2].partition("/")[0] for problem in done.problems} == {"bad", "new"}


def test_paths_are_shortened_and_addresses_are_not() -> None:
    shorten = Shortener()
    page = '<a href="../home/x/y">http://host/home/x/y</a></home>'
    assert shorten(page) == page
    shorten.add({"path": ["/home/x/y", "note: see /var/lib/z now"], "n": 5, "root": "/"})
    assert shorten(page) == page
    for text, short in (
        ("/home/x/y", "y"),
        ("(/HOME/x/other/file.png)", "(other/file.png)"),
        ("file:///home/x/y", "file://y"),
        ("folder:/home/x/y", "folder:y"),
        ("at /var/lib/z", "at z"),
        ("/elsewhere/z", "/elsewhere/z"),
    ):
        assert shorten(text) == short, text


@pytest.mark.slow
def test_a_later_export_deletes_the_pages_of_removed_runs_and_no_other_file(world: Path, tmp_path: Path) -> None:
    import shutil

    site = tmp_path / "site"
    export([world], site)
    assert [*site.rglob("third-*")]
    (site / "CNAME").write_text("example.org")
    mine = tmp_path / "mine.html"
    mine.write_text("x")
    names = (site / ".maia-view").read_text()
    (site / ".maia-view").write_text(f"{names}../mine.html\n{mine}\nlink/mine.html\n")
    (site / "link").symlink_to(tmp_path)
    shutil.rmtree(world / "sweep" / "third")
    export([world], site)
    assert not [*site.rglob("third-*")]
    assert not any("second-net" in page for _, page in pages(site))
    assert [*site.rglob("first-*")]
    assert (site / "CNAME").read_text() == "example.org"
    assert mine.read_text() == "x"
    known = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file() and not path.is_symlink()}
    assert known - {"CNAME", ".maia-view"} == set((site / ".maia-view").read_text().splitlines()[1:])


def test_a_full_folder_behind_a_missing_one_is_refused(world: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="it holds something else"):
        export([world], tmp_path / "missing" / ".." / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    with pytest.raises(UsageError):
        export([world], tmp_path / "link")


def test_a_run_that_cannot_be_read_is_named_and_the_rest_is_written(world: Path, tmp_path: Path) -> None:
    with open(world / "first" / "journal.jsonl", "a") as journal:
        journal.write("nonsense\n")
    result = CliRunner().invoke(command, [str(world), "--export", str(tmp_path / "site")])
    assert result.exit_code == 0, result.output
    assert "note: first: " in result.output
    assert "pages, " in result.output
    (page,) = (tmp_path / "site" / "runs").glob("first-*")
    assert "This run cannot be shown" in (page / "index.html").read_text()


def test_an_image_that_lies_about_its_hash_stays_its_runs_own(world: Path, tmp_path: Path) -> None:
    import shutil

    images = sorted((world / "first" / "images").glob("*.png"))
    clean = [path for path in images if ".mask" not in path.name]
    shutil.copy(clean[1], clean[0])  # The second run has another image of this name.
    export([world], tmp_path / "site")
    files = [path.read_bytes() for path in (tmp_path / "site" / "images").iterdir()]
    assert len(files) == len(set(files))
