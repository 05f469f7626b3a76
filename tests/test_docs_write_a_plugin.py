"""The pages of docs/write-a-plugin are true: each is written to a folder, installed, tested and used as it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from maia_core import testing
from maia_core.plugin import KINDS
from maia_new.project import answers, render

DOCS = Path(__file__).parents[1] / "docs" / "write-a-plugin"
PAGES = sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")
FILE = re.compile(r"^\*\*`([^`]+)`\*\*\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
NEW = re.compile(r"^\$ maia new (\S+) (\S+)$", re.MULTILINE)
REPLACED = ("backbone", "dataset", "observer", "tool")
"""Pages that replace files of `maia new`."""
FROM_TEMPLATE = [page for page in PAGES if page not in ("generator", "system", *REPLACED)]
"""Pages that show the files of `maia new`."""
TOGETHER = {"editor": "generator", "describer": "generator"}
"""Kinds that share the page of another kind."""
RUN = """
dataset = "discs"
generator = "discs"
editor = "discs"
describer = "discs"
sandbox = "process"
tools = ["text2image", "log_experiment"]
[backbone]
name = "pipe"
command = '''{command}'''
"""
REPLY = """
import json, sys
if len(json.load(sys.stdin)) > 2:
    print("[DESCRIPTION]: strong edges\\n[LABEL]: edges")
else:
    print('''[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a white disc", "nothing"]
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
```''')
"""
pytestmark = pytest.mark.slow


def shown(page: str) -> dict[str, str]:
    """Returns the files that a page shows, by path."""
    return dict(FILE.findall((DOCS / f"{page}.md").read_text(encoding="utf-8")))


def written(page: str) -> dict[str, str]:
    """Returns the files of a page's plugin: those of its `maia new`, and over them those that the page shows."""
    new = NEW.search((DOCS / f"{page}.md").read_text(encoding="utf-8"))
    return {**(render(answers(*new.groups())) if new else {}), **shown(page)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The files of each page, in a folder of its own."""
    found = {}
    for page in PAGES:
        folder = tmp_path_factory.mktemp(page)
        for name, text in written(page).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        found[page] = folder
    return found


@pytest.fixture(scope="module")
def environment(folders, tmp_path_factory) -> dict[str, str]:
    """Installs every page's distribution, and the fakes, with pip; the variables with which they are found."""
    site = tmp_path_factory.mktemp("site")
    fakes = tmp_path_factory.mktemp("fakes")
    subprocess.run(["cp", "-r", str(Path(__file__).parent / "thirdparty" / "acme-fakes"), str(fakes)], check=True)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    sources = [str(folder) for folder in (*folders.values(), fakes / "acme-fakes")]
    done = subprocess.run([*command, "--target", str(site), *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scripts = Path(sys.executable).parent
    return {
        **os.environ,
        "PYTHONPATH": str(site),
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # The tests of the pages use none; loading takes longer than they do.
    }


def call(command: str | list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command) if isinstance(command, str) else command
    if words[0] in ("maia", "pytest"):
        module = "import sys; sys.argv[0] = 'maia'; from maia_core.cli import main; main()"
        words = [sys.executable, *(["-c", module] if words[0] == "maia" else ["-m", "pytest"]), *words[1:]]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("page", PAGES)
def test_example_passes_its_own_tests(page, folders, environment):
    done = call("pytest -q -p no:cacheprovider tests", folders[page], environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_commands_print_what_the_page_shows(page, folders, environment):
    folder = folders[page]
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for block in CONSOLE.findall(text):
        for command, shown in COMMAND.findall(block):
            if not shown:
                continue  # Run by the tests below.
            done = call(command, folder, environment)
            assert done.returncode == 0, done.stderr
            assert _timeless(done.stdout) == _timeless(shown), f"{page}.md: the output of `{command}` has changed"


def _timeless(text: str) -> str:
    return re.sub(r" in [\d.]+s", " in 0s", text).strip()


def test_run_with_the_new_plugins(folders, environment, tmp_path):
    """The command of the page, with a backbone and engines that need no pack."""
    (tmp_path / "reply.py").write_text(REPLY)
    (tmp_path / "maia.toml").write_text(RUN.format(command=shlex.join([sys.executable, str(tmp_path / "reply.py")])))
    assert "$ maia run --system edges:vertical\n" in (DOCS / "system.md").read_text(encoding="utf-8")
    done = call("maia run --system edges:vertical --without report", tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "strong edges" in done.stdout
    assert "maia prompt --system edges:vertical" in (DOCS / "system.md").read_text(encoding="utf-8")
    told = call("maia prompt --system edges:vertical", tmp_path, environment)
    assert "from 0, flat, to 1, black beside white" in told.stdout


def test_run_with_every_engine_of_the_pages(folders, environment, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, image in enumerate(testing.samples()):
        image.pil().save(photos / f"{number}.png")
    (tmp_path / "reply.py").write_text(REPLY)
    (tmp_path / "maia.toml").write_text(RUN.format(command=shlex.join([sys.executable, str(tmp_path / "reply.py")])))
    listed = tomllib.loads((folders["tool"] / "maia.toml").read_text())["tools"]
    chosen = "maia run --system edges --without report --generator plain --editor plain --describer plain"
    command = [*chosen.split(), "--dataset", "my-photos", "-o", "dataset.path=photos", "-o", f"tools={listed}"]
    done = call(command, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", FROM_TEMPLATE)
def test_page_shows_the_files_of_maia_new(page):
    kind, name = NEW.search((DOCS / f"{page}.md").read_text(encoding="utf-8")).groups()
    assert kind == page
    files = render(answers(kind, name))
    package = answers(kind, name)["package"]
    assert set(shown(page)) == {f"src/{package}/__init__.py", f"tests/test_{package}.py"}
    for path, text in shown(page).items():
        assert text == files[path], f"{page}.md shows another {path} than `maia new {kind} {name}` writes"


@pytest.mark.parametrize("page", REPLACED)
def test_page_replaces_files_of_maia_new(page):
    kind, name = NEW.search((DOCS / f"{page}.md").read_text(encoding="utf-8")).groups()
    assert kind == page
    assert {path for path in shown(page) if path != "maia.toml"} < set(render(answers(kind, name)))


@pytest.mark.parametrize("page", FROM_TEMPLATE)
def test_last_command_of_the_page_uses_its_plugin(page, folders, environment, tmp_path):
    """The command as the page shows it, with a backbone and engines that need no pack."""
    (tmp_path / "reply.py").write_text(REPLY)
    config = RUN.format(command=shlex.join([sys.executable, str(tmp_path / "reply.py")]))
    (tmp_path / "maia.toml").write_text('judge = "words"\n' + config)  # The judge of judge.md.
    testing.samples()[0].pil().save(tmp_path / "photo.png")
    *_, (command, _) = COMMAND.findall((DOCS / f"{page}.md").read_text(encoding="utf-8"))
    name = NEW.search((DOCS / f"{page}.md").read_text(encoding="utf-8")).group(2)
    assert command.startswith("maia ")
    assert name in command
    done = call(command, tmp_path, environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kind_has_a_page_that_the_index_links():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {kind: TOGETHER.get(kind, kind) for kind in KINDS}
    assert {kind for kind, page in pages.items() if page not in PAGES} == set()
    rows = {kind: f"`{row.group}`" for kind, row in KINDS.items()}
    for kind, group in rows.items():
        lines = [line for line in index.splitlines() if line.startswith("|") and group in line]
        assert any(f"({pages[kind]}.md)" in line for line in lines), f"index.md links no page for {kind}"


def test_doctor_has_nothing_to_say_of_them(folders, environment, tmp_path):
    told = call("maia doctor", tmp_path, environment).stdout
    for page in PAGES:
        project = tomllib.loads((folders[page] / "pyproject.toml").read_text())["project"]
        assert project["name"] not in told


def test_index_names_every_page_and_suite():
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert [page for page in PAGES if f"({page}.md)" not in index] == []
    assert [suite for suite in testing.__all__ if suite.endswith("Suite") and f"`{suite}`" not in index] == []
    for target in re.findall(r"\]\(([^)#]+)\)", index):
        assert (DOCS / target).exists(), target
