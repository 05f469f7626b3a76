"""The pages in a real browser: live, side by side, by keyboard, on a phone, in the dark, and with hostile texts."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def visit(serve: Callable[..., str], new_reader: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Opens the printed address of a new server of some folders, or of the server of another reader."""
    readers: list[Any] = []

    def start(*folders: Path, base: str = "", **settings: Any) -> Any:
        readers.append(new_reader(base or serve(*folders), **settings))
        return readers[-1]

    yield start
    for reader in readers:
        reader.context.close()
        assert reader.complaints == []
        assert {address.split("/")[2] for address in reader.asked} == {reader.base.removeprefix("http://")}


def places(reader: Any) -> dict[str, str]:
    """Returns the place of each run by its label."""
    links = reader.goto("/").query_selector_all("#runs td.c-label a")
    return {link.inner_text(): link.evaluate("a => a.pathname") for link in links}


def every_page(reader: Any) -> list[str]:
    runs = places(reader)
    keys = "&".join(f"run={place.split('/')[2]}" for place in runs.values())
    return ["/", "/?q=nothing+fits", "/compare/", f"/compare/?{keys}", *runs.values()]


SETTINGS = {
    "laptop": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 320, "height": 640}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_page_fits_its_screen_and_is_accessible(visit: Callable[..., Any], shelf: Path, name: str) -> None:
    axe = pytest.importorskip("axe_core_python.sync_playwright").Axe()
    reader = visit(shelf, **SETTINGS[name])
    for place in every_page(reader):
        page = reader.goto(place)
        for details in page.query_selector_all("details"):
            details.evaluate("d => { d.open = true; }")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.viewport_size["width"], f"{place} is {width} wide"
        found = axe.run(page)["violations"]
        assert not found, [
            (rule["id"], rule["nodes"][0]["html"][:300], rule["nodes"][0]["failureSummary"]) for rule in found
        ]


def test_all_images_load_when_they_come_into_view(visit: Callable[..., Any], shelf: Path) -> None:
    reader = visit(shelf)
    page = reader.goto(places(reader)["red things"])
    page.evaluate("document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0


def test_a_running_run_grows_on_the_screen_and_resumes_after_a_reload(
    visit: Callable[..., Any], tmp_path: Path, new_run: Any
) -> None:
    script = new_run(tmp_path / "run")
    script.experiment("a red disc")
    reader = visit(tmp_path)
    page = reader.goto(next(iter(places(reader).values())))
    page.wait_for_selector("#live:text('live')")
    assert page.locator(".step").count() == 1
    written = time.monotonic()
    script.experiment("a green disc", hypotheses=("it likes green",))
    page.wait_for_selector("#turn-2 :text('it likes green')", timeout=5000)
    assert time.monotonic() - written < 5  # The goal of a second is measured in tests/bench, on a quiet machine.

    # A line that is still being written shows nothing.
    journal = tmp_path / "run" / "journal.jsonl"
    line = '{"event": "note", "text": "torn"}'
    with open(journal, "a") as file:
        file.write(line[:12])
        file.flush()
        page.wait_for_timeout(600)
        assert page.locator("#live:text('removed')").count() == 0
        file.write(line[12:] + "\n")

    page.reload()
    page.wait_for_selector("#live:text('live')")
    assert page.locator(".step").count() == 2
    script.experiment("a blue disc", hypotheses=("it likes blue",))
    page.wait_for_selector("#turn-3 :text('it likes blue')", timeout=5000)
    assert [step.get_attribute("id") for step in page.query_selector_all(".step")] == ["turn-1", "turn-2", "turn-3"]

    script.end("red things")
    page.wait_for_selector("h1:has-text('red things')", timeout=10_000)
    assert page.locator("#verification").count() == 1


def test_a_run_that_is_removed_while_it_is_followed_says_so(
    visit: Callable[..., Any], tmp_path: Path, new_run: Any
) -> None:
    script = new_run(tmp_path / "run")
    script.experiment("a red disc")
    new_run(tmp_path / "other").end("snow")
    reader = visit(tmp_path)
    page = reader.goto(places(reader)["no answer yet"])
    page.wait_for_selector("#live:text('live')")
    script.writer.close()
    shutil.rmtree(tmp_path / "run")
    page.wait_for_selector("#live:has-text('was removed')", timeout=5000)
    page.close()
    reader.complaints.clear()  # Images that came into view too late.


def test_runs_are_chosen_and_compared_by_keyboard(visit: Callable[..., Any], shelf: Path) -> None:
    reader = visit(shelf)
    page = reader.goto("/")
    assert page.locator("[data-needs-two]").is_disabled()
    boxes = page.locator("#runs input[type=checkbox]")
    boxes.nth(0).focus()
    page.keyboard.press("Space")
    boxes.nth(2).focus()
    page.keyboard.press("Space")
    page.locator("[data-needs-two]").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare/?run=*&run=*")
    assert page.locator("h1").inner_text() == "2 runs side by side"
    page.locator("a.pic").first.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("#viewer")
    assert dialog.locator("figure").count() == 2
    first = dialog.locator("figcaption").all_inner_texts()
    page.keyboard.press("ArrowRight")
    assert dialog.locator("figcaption").all_inner_texts() != first
    assert {text[0] for text in first} == {"A", "B"}
    page.keyboard.press("ArrowLeft")
    assert dialog.locator("figcaption").all_inner_texts() == first
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_list_is_searched_as_the_reader_types_and_the_address_shows_it_again(
    visit: Callable[..., Any], shelf: Path
) -> None:
    reader = visit(shelf)
    page = reader.goto("/")
    page.get_by_label("Search").press_sequentially("snow")
    page.wait_for_url("**/?q=snow")
    assert page.locator("#runs td.c-label a").all_inner_texts() == ["snow"]
    page.reload()
    assert page.locator("#runs td.c-label a").all_inner_texts() == ["snow"]


def test_the_reader_chooses_how_masks_are_drawn_with_and_without_a_script(
    visit: Callable[..., Any], shelf: Path
) -> None:
    def drawn(page: Any) -> dict[str, bool]:
        return {name: page.locator(f".exemplars .veil.{name}").first.is_visible() for name in ("dark", "outline")}

    reader = visit(shelf)
    place = places(reader)["red things"]
    page = reader.goto(place)
    assert drawn(page) == {"dark": True, "outline": False}
    page.get_by_label("outline").check()
    assert drawn(page) == {"dark": False, "outline": True}
    assert page.evaluate("location.search") == "?masks=outline"
    page.reload()
    assert drawn(page) == {"dark": False, "outline": True}

    bare = visit(base=reader.base, java_script_enabled=False)
    page = bare.goto(f"{place}?masks=off")
    assert drawn(page) == {"dark": False, "outline": False}
    page.get_by_label("outline").check()
    assert drawn(page) == {"dark": False, "outline": True}


def test_without_a_script_the_list_is_searched_and_runs_are_compared(visit: Callable[..., Any], shelf: Path) -> None:
    reader = visit(shelf, java_script_enabled=False)
    page = reader.goto("/")
    page.get_by_label("Search").fill("snow")
    page.get_by_role("button", name="Apply").click()
    assert page.locator("#runs td.c-label a").all_inner_texts() == ["snow"]
    page = reader.goto("/")
    for box in page.locator("#runs input[type=checkbox]").all()[:2]:
        box.check()
    page.get_by_role("button", name="Compare").click()
    assert page.locator("h1").inner_text() == "2 runs side by side"
    with page.expect_navigation():
        page.locator("a.pic").first.click()
    assert ".full.png" in page.url


EVIL = (
    "</script>\"'><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>{{7*7}}javascript:alert(4)"
)


def test_hostile_texts_are_shown_and_never_run(visit: Callable[..., Any], tmp_path: Path, new_run: Any) -> None:
    for name in ("one", 'two"><img src=x onerror=alert(5)>'):
        script = new_run(tmp_path / name, unit=EVIL, model=EVIL, backbone=EVIL)
        script.experiment(EVIL, hypotheses=(EVIL,))
        script.end(EVIL)
    running = new_run(tmp_path / "running", unit=EVIL)
    running.experiment(EVIL, hypotheses=(EVIL,))
    reader = visit(tmp_path)
    for place in every_page(reader):
        page = reader.goto(place)
        page.wait_for_timeout(300)
        assert page.evaluate("document.querySelectorAll('[onerror], [onload], img[src=x]').length") == 0, place
        assert page.locator("script").count() == 1
    page = reader.goto(f"/?q={EVIL}")
    assert page.get_by_label("Search").input_value() == EVIL
    page = reader.goto(next(place for label, place in places(reader).items() if label.startswith("no answer")))
    page.wait_for_selector("#live:text('live')")
    running.experiment(EVIL, hypotheses=(EVIL,))
    page.wait_for_selector("#turn-2")
    page.wait_for_timeout(300)
    assert page.evaluate("document.querySelectorAll('[onerror], [onload], img[src=x]').length") == 0


def test_a_page_of_another_server_gets_nothing(visit: Callable[..., Any], shelf: Path, chromium: Any) -> None:
    import http.server

    reader = visit(shelf)
    body = f"<iframe src='{reader.base}/'></iframe><img src='{reader.base}/static/icon.svg'>".encode()

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        page = reader.context.new_page()  # It holds the cookie.
        page.goto(f"http://localhost:{other.server_port}/")
        assert page.evaluate("document.querySelector('img').naturalWidth") == 0
        assert "red things" not in "".join(frame.content() for frame in page.frames)
        refused = page.evaluate(
            f"fetch('{reader.base}/', {{credentials: 'include'}}).then(() => 'read', () => 'refused')"
        )
        assert refused == "refused"
        other.shutdown()
    reader.complaints.clear()
    reader.asked = [f"{reader.base}/"]
