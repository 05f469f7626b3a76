"""The atlas, evaluations, notes and pages in files, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.plugin import Context, PluginRef, RunConfig
from maia_exemplars import MeasuredLayer, Preprocessing
from maia_exemplars.build import build
from maia_exemplars.counting import ArrayCounter
from maia_view.export import export
from maia_view.notes import read_note, write_note

UNITS = 2048
EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"

pytestmark = pytest.mark.slow


class Many:
    """A measurer of very many units: mixtures of the colours of an image's quarters."""

    preprocess = Preprocessing(32)

    def __init__(self) -> None:
        shared = {"model": "net", "model_fingerprint": "1", "kind": "main", "preprocessing": {"size": 32}}
        self.layers = [MeasuredLayer(layer="head", key="head", shape=(UNITS, 2, 2), **shared)]
        self.mix = np.random.default_rng(1).random((UNITS, 3), np.float32)

    def read(self, pixels: Any, receive: Callable[..., None]) -> None:
        quarters = np.asarray(pixels).reshape(-1, 2, 16, 2, 16, 3).mean((2, 4)).astype(np.float32)
        values = np.einsum("nrcd,ud->nurc", quarters, self.mix)
        receive(0, 0, values.max((2, 3)), values)

    def maps(self, values: Any, images: Any, units: Any) -> Any:
        return values[images, units]

    def counter(self, histograms: Any) -> Any:
        return ArrayCounter(histograms)

    def faster(self) -> None:
        return None

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, shelf: Path, new_run: Any) -> tuple[Path, RunConfig]:
    """Runs, one of them hostile, with a note, and an index of many units; the data set has hostile file names."""
    folder = tmp_path_factory.mktemp("world")
    photographs = folder / "photographs"
    photographs.mkdir()
    rng = np.random.default_rng(0)
    for n in range(24):
        small = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        name = f"{n} {EVIL.replace('/', '')}.png"
        PILImage.fromarray(small).resize((32, 32), 0).save(photographs / name)
    config = RunConfig(dataset=PluginRef(name="folder", path=str(photographs)))
    build(Many(), Context(config).dataset, folder / "index")
    shutil.copytree(shelf, folder / "runs")
    script = new_run(folder / "runs" / "evil", unit="9")
    script.experiment(EVIL, "a red disc")
    write_note(script.end(EVIL), {"mark": "unclear", "text": EVIL, "label": EVIL})
    return folder, config


@pytest.fixture(scope="module")
def base(world: tuple[Path, RunConfig], serve: Callable[..., str]) -> str:
    """The address of a server."""
    return serve(world[0], config=world[1])


@pytest.fixture
def visit(base: str, new_reader: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    readers: list[Any] = []

    def start(**settings: Any) -> Any:
        readers.append(new_reader(base, **settings))
        return readers[-1]

    yield start
    for reader in readers:
        reader.context.close()
        assert reader.complaints == []
        assert {address.split("/")[2] for address in reader.asked if not address.startswith("data:")} <= {
            base.split("/")[2]
        }


def until(page: Any, condition: str) -> None:
    """Waits for a condition of the page; the policy of the pages forbids Playwright's own way."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition} does not come true on {page.url}")


def to_layer(page: Any) -> None:
    page.get_by_role("link", name="Atlas").click()
    page.locator(".layers a", has_text="net head").first.click()
    page.wait_for_selector("#units li")


def shown(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all("#units li .name a", "all => all.map(a => a.textContent)")
    return found


def test_an_atlas_of_many_units_fetches_what_is_on_the_screen(visit: Callable[..., Any]) -> None:
    reader = visit()
    page = reader.page
    to_layer(page)
    page.wait_for_load_state("networkidle")
    assert len(shown(page)) == UNITS
    sheets = [address for address in reader.asked if "/sheets/" in address]
    assert 10 < len(sheets) < UNITS // 4
    seen = (
        "(unit => { unit.scrollIntoView({behavior: 'instant'}); return unit.querySelector('img').naturalWidth > 0; })"
    )
    until(page, f"{seen}(document.getElementById('u-2000'))")
    assert any("/sheets/2000." in address for address in reader.asked)


def test_search_order_and_filters_need_no_request(visit: Callable[..., Any]) -> None:
    reader = visit()
    page = reader.page
    to_layer(page)
    page.wait_for_load_state("networkidle")
    before = {address for address in reader.asked if "/sheets/" not in address}
    page.get_by_role("searchbox").fill("red things")
    until(page, "document.querySelectorAll('#units li').length === 1")
    assert shown(page) == ["7"]
    assert page.locator("#count b").inner_text() == "1"
    assert "q=red+things" in page.url
    assert "q=red+things" in page.locator("#csv").get_attribute("href") or "q=red+things" in page.evaluate(
        "document.getElementById('csv').href"
    )
    page.get_by_role("searchbox").fill("highest")  # A word of every tile, and of no unit.
    until(page, "document.querySelectorAll('#units li').length === 0")
    page.get_by_role("searchbox").fill("")
    until(page, "document.querySelectorAll('#units li').length > 5")
    page.locator("select[name=sort]").select_option("highest")
    until(page, "document.querySelector('#units li').dataset.place !== '1'")
    highest = page.eval_on_selector_all("#units li", "all => all.map(li => Number(li.dataset.highest))")
    assert highest == sorted(highest, reverse=True)
    assert {address for address in reader.asked if "/sheets/" not in address} == before
    page.locator("select[name=verdict]").select_option("verified")
    until(page, "document.querySelectorAll('#units li').length < 5")
    assert set(shown(page)) == {"7", "9"}
    page.reload()
    # The address shows the same view again.
    assert set(shown(page)) == {"7", "9"}
    page.locator("#masks-outline").check()
    until(page, "[...document.querySelectorAll('.sheet img')].every(i => i.src.includes('.outline.'))")


def test_the_atlas_works_without_javascript(new_reader: Callable[..., Any], base: str) -> None:
    page = new_reader(base, java_script_enabled=False).page
    page.get_by_role("link", name="Atlas").click()
    page.locator(".layers a", has_text="net head").first.click()
    page.get_by_role("searchbox").fill("red things")
    page.get_by_role("button", name="Apply").click()
    assert page.locator("#units li").count() == 1
    page.locator("#units .name a").click()
    assert page.locator("h1").inner_text() == "red things"
    page.locator("table a", has_text="red things").click()
    page.get_by_label("unclear").check()
    page.get_by_label("Remark").fill("two words")
    page.get_by_role("button", name="Keep the note").click()
    assert page.get_by_label("Remark").input_value() == "two words"
    page.get_by_label("not marked").check()
    page.get_by_label("Remark").fill("")
    page.get_by_role("button", name="Keep the note").click()


def test_a_note_is_made_with_the_keyboard_alone(visit: Callable[..., Any], world: tuple[Path, RunConfig]) -> None:
    page = visit().page
    page.locator("#runs a", has_text="snow").click()
    page.locator("#note input[type=radio]").last.focus()
    page.keyboard.press("ArrowRight")  # From the last choice to the first one.
    page.keyboard.press("Tab")
    page.keyboard.type("snow on grass")
    page.keyboard.press("Tab")
    page.keyboard.type("the test images show grass")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url.endswith("#note")
    note = read_note(world[0] / "runs" / "sweep" / "third")
    assert (note.mark, note.label, note.text) == ("right", "snow on grass", "the test images show grass")


@pytest.mark.parametrize("settings", [{"viewport": {"width": 320, "height": 700}}, {"color_scheme": "dark"}, {}])
def test_pages_fit_a_phone_and_the_dark_and_run_nothing_of_a_record(
    visit: Callable[..., Any], settings: dict[str, Any]
) -> None:
    page = visit(**settings).page
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()

    def check() -> None:
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 21, 20)"
        assert dark == (settings.get("color_scheme") == "dark")
        if "/runs/" not in page.url:  # The page of a run has its own test.
            found = axe.run(page, options={"resultTypes": ["violations"]})["violations"]
            assert found == [], [(each["id"], each["nodes"][0]["html"]) for each in found]

    for place in ("atlas", "layer", "unit", "evil", "evaluations"):
        if place == "atlas":
            page.get_by_role("link", name="Atlas").click()
        elif place == "layer":
            page.locator(".layers a", has_text="net head").first.click()
            page.wait_for_load_state("networkidle")
            page.get_by_role("searchbox").fill("onerror")
            until(page, "document.querySelectorAll('#units li').length === 1")
        elif place == "unit":
            page.locator("#units li .name a").click()
        elif place == "evil":
            page.locator("table a", has_text="onerror").first.click()
        else:
            page.get_by_role("link", name="Evaluations").click()
        check()


def test_pages_in_files_search_sort_and_compare(
    new_reader: Callable[..., Any], world: tuple[Path, RunConfig], tmp_path: Path
) -> None:
    export([world[0] / "runs"], tmp_path / "site")
    reader = new_reader()
    page = reader.page
    page.goto(f"file://{tmp_path}/site/index.html")
    rows = page.locator("#runs tbody tr:visible")
    page.get_by_role("searchbox").fill("things")
    assert rows.count() == 1
    page.get_by_role("searchbox").fill("")
    page.locator("th a", has_text="label").click()
    order = [text.split("\n")[0].strip() for text in rows.all_inner_texts()]
    assert order == sorted(order, key=str.casefold)
    page.reload()
    assert [text.split("\n")[0].strip() for text in rows.all_inner_texts()] == order
    for label in ("fire engines", "red things"):
        page.locator("tr", has_text=label).locator("input").check()
    page.get_by_role("button", name="Compare 2 chosen runs").click()
    page.wait_for_selector("#heads section")
    assert page.locator("#heads h2").all_inner_texts() == ["fire engines", "red things"]
    assert page.locator("#exemplars .lane").count() == 2
    assert page.locator("#exemplars .tile").count() == 30
    assert "a red disc" in page.locator("#plots h3").all_inner_texts()
    assert page.locator("table.turns li.new").count() > 0
    assert "backbone" in page.locator("table.differs").inner_text()
    # The exemplars of both are enlarged side by side.
    page.locator("#exemplars a.pic").first.click()
    assert page.locator("#viewer figure").count() == 2
    until(page, "[...document.querySelectorAll('#viewer img:not(.veil)')].every(i => i.naturalWidth > 0)")
    page.keyboard.press("Escape")
    page.locator("#heads h2 a", has_text="red things").click()
    assert "red things" in page.title()
    page.get_by_role("link", name="Atlas").click()
    page.locator(".layers a", has_text="net head").first.click()
    page.get_by_role("searchbox").fill("red things")
    until(page, "document.querySelectorAll('#units li').length === 1")
    with page.expect_download() as download:
        page.locator("#csv").click()
    header, line = Path(download.value.path()).read_text().splitlines()
    assert (header.split(",")[:4], "red things" in line) == (["model", "layer", "unit", "label"], True)
    page.locator("#units li .name a").click()
    until(page, "[...document.querySelectorAll('.pic img')].every(i => i.naturalWidth > 0 || i.loading === 'lazy')")
    page.get_by_role("link", name="Evaluations").click()
    reader.context.close()
    assert reader.complaints == []
    assert all(address.startswith(("file://", "data:", "blob:")) for address in reader.asked)
