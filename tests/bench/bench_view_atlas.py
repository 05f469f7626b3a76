"""Atlas and export of `maia view`: seconds of the first view, long tasks while scrolling, size and time of an export.

Needs Chromium and playwright. The atlas is an index of 2,048 units on 240 images; the sweep is copies of the runs of a
folder (`--runs FOLDER`), and left out without one.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image as PILImage

from maia_core.plugin import Context, PluginRef, RunConfig
from maia_exemplars import MeasuredLayer, Preprocessing
from maia_exemplars.build import build
from maia_exemplars.counting import ArrayCounter

UNITS, IMAGES = 2048, 240

LONG_TASKS = """
window.longTasks = [];
new PerformanceObserver((list) => list.getEntries().forEach((e) => window.longTasks.push(e.duration))).observe(
  { type: "longtask", buffered: true });
"""
FIRST_VIEW = """
window.unitsAt = window.picturesAt = 0;
const look = () => {
  const units = [...document.querySelectorAll("#units > li")].slice(0, 10);
  if (units.length === 10) {
    window.unitsAt ||= performance.now();
    if (units.every((unit) => unit.querySelector("img").complete)) window.picturesAt ||= performance.now();
  }
  if (!window.picturesAt) requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
SCROLL = """async () => {
  const start = window.longTasks.length;
  const step = innerHeight * 0.9;
  for (let y = 0; y < document.documentElement.scrollHeight; y += step) {
    scrollTo({ top: y, behavior: "instant" });
    await new Promise((done) => setTimeout(done, 50));
  }
  return [window.longTasks.slice(0, start), window.longTasks.slice(start)];
}"""


class Many:
    """A measurer of many units: mixtures of the colours of an image's cells."""

    preprocess = Preprocessing(112)

    def __init__(self) -> None:
        shared = {"model": "net", "model_fingerprint": "1", "kind": "main", "preprocessing": {"size": 112}}
        self.layers = [MeasuredLayer(layer="head", key="head", shape=(UNITS, 7, 7), **shared)]
        self.mix = np.random.default_rng(1).random((UNITS, 3), np.float32)

    def read(self, pixels, receive):
        cells = np.asarray(pixels).reshape(-1, 7, 16, 7, 16, 3).mean((2, 4)).astype(np.float32)
        values = np.einsum("nrcd,ud->nurc", cells, self.mix)
        receive(0, 0, values.max((2, 3)), values)

    def maps(self, values, images, units):
        return values[images, units]

    def counter(self, histograms):
        return ArrayCounter(histograms)

    def faster(self):
        return None

    def close(self):
        pass


def index_in(folder: Path) -> RunConfig:
    """Writes images and an index of them; returns the configuration that finds the images."""
    photographs = folder / "photographs"
    photographs.mkdir()
    rng = np.random.default_rng(0)
    for n in range(IMAGES):
        small = PILImage.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        small.resize((160, 160), PILImage.Resampling.BICUBIC).save(photographs / f"{n}.jpg")
    config = RunConfig(dataset=PluginRef(name="folder", path=str(photographs)))
    build(Many(), Context(config).dataset, folder / "index")
    return config


def atlas(folder: Path, config: RunConfig) -> None:
    """Prints the figures of the atlas."""
    import uvicorn
    from playwright.sync_api import sync_playwright

    from maia_view.app import make_app

    listener = socket.create_server(("127.0.0.1", 0))
    base = f"127.0.0.1:{listener.getsockname()[1]}"
    app = make_app([folder / "index"], token="t", hosts=[base], config=config)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(LONG_TASKS + FIRST_VIEW)
        page.goto(f"http://{base}/atlas/?token=t")
        address = page.locator(".layers h2 a").first.evaluate("link => link.href")
        for name in ("first view, nothing cached", "first view, again"):
            page.goto(address, wait_until="commit")
            while not page.evaluate("window.picturesAt"):  # The pages forbid the string that wait_for_function runs.
                page.wait_for_timeout(100)
            units, pictures = page.evaluate("[window.unitsAt / 1000, window.picturesAt / 1000]")
            print(f"atlas of {UNITS:,} units: {name}: units after {units:.2f} s, their pictures after {pictures:.2f} s")
            page.wait_for_load_state("networkidle", timeout=120_000)
        loading, scrolling = page.evaluate(SCROLL)
        for name, tasks in (("while loading", loading), ("while scrolling", scrolling)):
            over = [round(each) for each in tasks if each > 100]
            print(f"atlas of {UNITS:,} units: tasks over 100 ms {name}: {len(over)} {over[:6]}")
        box = page.locator("input[name=q]")
        page.evaluate("window.longTasks.length = 0")
        box.fill("77")
        page.wait_for_timeout(600)
        page.locator("select[name=sort]").select_option("highest")
        page.wait_for_timeout(600)
        longest = max(page.evaluate("window.longTasks"), default=0)
        print(f"atlas of {UNITS:,} units: longest task of a search and a sort: {longest:.0f} ms")
        browser.close()
    server.should_exit = True
    print(f"peak memory of server and bench: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def exported(folder: Path, runs: Path) -> None:
    """Prints size and seconds of an export of a sweep of 100 units."""
    from maia_view.export import export

    sweep = folder / "sweep"
    sources = sorted(path.parent for path in runs.glob("*/run.json"))
    for n in range(100):
        copy = shutil.copytree(sources[n % len(sources)], sweep / f"unit-{n}")
        text = (copy / "run.json").read_text().replace('"unit": "', f'"unit": "{n}-', 1)
        (copy / "run.json").write_text(text)
    start = time.perf_counter()
    done = export([sweep], folder / "site")
    seconds = time.perf_counter() - start
    size = f"{done.bytes / 1e6:.0f} MB, {done.pages} pages, {done.pictures} pictures"
    print(f"export of a sweep of 100 units: {seconds:.0f} s, {size}")


def main() -> None:
    """Prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="folder of run folders to export copies of")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        atlas(folder, index_in(folder))
        if chosen.runs:
            exported(folder, chosen.runs)


if __name__ == "__main__":
    main()
