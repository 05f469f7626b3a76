"""The documentation as web pages: `make site` builds them, strict about links, without a request to another host."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import maia_core.plugin

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site."""
    folder: Path = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    command += ["--config-file", str(ROOT / "docs" / "site" / "mkdocs.yml"), "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_reference_holds_every_public_name(site):
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    missing = [name for name in maia_core.plugin.__all__ if not re.search(rf'id="maia_core\.[\w.]+\.{name}"', text)]
    assert not missing, f"the reference lacks {', '.join(missing)}"


def test_every_distribution_has_a_page(site):
    for readme in [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("backends/*/README.md")]:
        assert (site / "distributions" / f"{readme.parent.name}.html").is_file()


def test_no_page_loads_anything_from_another_host(site):
    loads = re.compile(
        r"""<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//"""
    )
    for page in site.rglob("*.html"):
        found = loads.search(page.read_text(encoding="utf-8"))
        assert not found, f"{page.relative_to(site)}: {found[0] if found else ''}"


def test_the_search_finds_the_tutorial_and_the_reference(site):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"] for entry in index["docs"]}
    assert "tutorial.html" in places
    assert any(place.startswith("reference/") for place in places)
