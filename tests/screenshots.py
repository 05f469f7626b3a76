"""Photographs every page of `maia view`: on a laptop, in the dark and on a phone, into build/screenshots."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "screenshots"
UNITS = ("efficientnet-lite0:head:303", "efficientnet-lite0:head:12", "synthetic:dog")
MAIA = "import sys; from maia_core.cli import main; sys.argv[0] = 'maia'; main()"
SCREENS: dict[str, dict[str, Any]] = {
    "laptop": {"viewport": {"width": 1280, "height": 900}},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 320, "height": 640}, "device_scale_factor": 2},
}


def main() -> None:
    """Makes runs (or takes the folders that are named), and photographs their pages."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folders = sys.argv[1:] or [_runs(Path(scratch))]
        server = subprocess.Popen(
            [sys.executable, "-c", MAIA, "view", *folders, "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        try:
            address = re.search(r"http://\S+", server.stdout.readline())[0]
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                for name, screen in SCREENS.items():
                    _photograph(browser.new_context(**screen, reduced_motion="reduce").new_page(), address, name)
        finally:
            server.terminate()


def _photograph(page: Any, address: str, screen: str) -> None:
    page.set_default_timeout(120_000)
    page.goto(address)
    base = address.partition("/?")[0]
    runs = page.eval_on_selector_all("#runs td.c-label a", "links => links.map(link => link.pathname)")
    chosen = "&".join(f"run={place.split('/')[2]}" for place in runs[:3])
    pages = {
        "runs": "/",
        "run": f"{runs[0]}?masks=outline",
        "run-experiments": f"{runs[0]}#experiments",
        "run-verification": f"{runs[0]}#verification",
        "compare": f"/compare/?{chosen}",
        "compare-choice": "/compare/",
        "gone": "/runs/gone/",
        "atlases": "/atlas/",
        "evaluations": "/evaluations/",
    }
    pages |= _first_below(page, base, "/atlas/", "atlas", "unit")
    pages |= _first_below(page, base, "/evaluations/", "evaluation")
    for name, place in pages.items():
        page.goto(base + place)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=OUT / f"{name}-{screen}.png")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            print(f"{name} on a {screen} is {wide} pixels too wide")
    page.goto(f"{base}/compare/?{chosen}")
    for number in range(1, 5):
        page.evaluate(f"scrollTo(0, {number} * innerHeight * 0.9)")
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(200)
        page.screenshot(path=OUT / f"compare-{number}-{screen}.png")
    for name in ("run", "unit"):
        if name in pages:
            page.goto(base + pages[name])
            if page.locator("#masks-map").count():
                page.locator("#masks-map").check()
                page.wait_for_load_state("networkidle")
                page.screenshot(path=OUT / f"{name}-map-{screen}.png")
    page.goto(f"{base}/compare/?{chosen}")
    page.locator("a.pic").first.click()
    page.wait_for_timeout(300)
    page.screenshot(path=OUT / f"compare-enlarged-{screen}.png")
    print(f"{len(pages) + 5} pages on a {screen} in {OUT}")


def _first_below(page: Any, base: str, place: str, *names: str) -> dict[str, str]:
    """Returns the place of the first page below a page, and of the first one below that, under these names."""
    found = {}
    for name in names:
        page.goto(base + place)
        below = page.eval_on_selector_all("main a", "links => links.map(link => link.pathname)")
        place = next((each for each in below if each.startswith(place) and each.count("/") > place.count("/")), "")
        if not place:
            break
        found[name] = place
    return found


def _runs(folder: Path) -> str:
    for unit in UNITS:
        out = folder / unit.replace(":", "-")
        subprocess.run(
            [sys.executable, "-c", MAIA, "run", "--system", unit, "--out", out, "--without", "report"], check=True
        )
    return str(folder)


if __name__ == "__main__":
    main()
