import re
import subprocess
import sys
from pathlib import Path

import pytest

from maia_core.record import MAX_BYTES, MAX_EVENTS, MAX_LINE, ImageStore

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*/*/README.md"))]


@pytest.mark.slow
def test_pages_that_show_output_are_what_the_commands_print():
    done = subprocess.run([sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr + "\nrun `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_configuration_shown_in_the_docs_is_valid(tmp_path):
    from maia_core.context import load

    page = (ROOT / "docs" / "use" / "configuration.md").read_text(encoding="utf-8")
    for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        file = tmp_path / "maia.toml"
        file.write_text(block)
        load(file)


def test_bounds_of_a_run_folder_in_the_docs_are_those_of_the_reader():
    page = " ".join((ROOT / "docs/use/run-folder.md").read_text().split())
    bounds = (
        f"a journal of at most {MAX_BYTES >> 30} GiB, {MAX_EVENTS:,} events and {MAX_LINE >> 20} MiB per line, "
        f"images of at most {ImageStore.MAX_PIXELS // 1_000_000} million pixels"
    )
    assert bounds in page


def test_the_overview_names_every_module_of_the_core_and_no_other():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "design" / "overview.md").read_text(encoding="utf-8"), re.M)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    core = ROOT / "maia_core"
    modules = {path.stem for path in core.glob("*.py") if not path.stem.startswith("__")} | {"testing"}
    assert named & set(modules) == modules
    assert not {name for name in named if re.fullmatch("[a-z_]+", name)} - modules
