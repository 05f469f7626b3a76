"""The template of every kind renders to a plugin that is in order as it stands."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from maia_core.plugin import KINDS, UsageError
from maia_core.testing import CommandSuite, DistributionSuite
from maia_new.command import new
from maia_new.project import TEMPLATE, answers, render, write

ROOT = Path(__file__).parents[3]
AUTHOR = "Ada Lovelace"


class TestNew(CommandSuite):
    @pytest.fixture
    def command(self):
        return new


class TestDistribution(DistributionSuite):
    distribution = "maia-new"


def generated(folder: Path) -> dict[str, Path]:
    """Writes one plugin of each kind and returns their folders."""
    folders = {}
    for kind in KINDS:
        given = answers(kind, f"my-{kind}", author=AUTHOR)
        folders[kind] = folder / given["distribution"]
        write(folders[kind], given)
    return folders


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_part_of_the_template(kind):
    files = render(answers(kind, "my-thing"))
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert set(files) == {
        *("pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/test.yml"),
        *("src/maia_my_thing/__init__.py", "src/maia_my_thing/py.typed", "tests/test_maia_my_thing.py"),
    }
    ((group, entries),) = project["entry-points"].items()
    assert group == KINDS[kind].group
    ((name, target),) = entries.items()
    assert name == ("my_thing" if kind == "tool" else "my-thing")
    names = {getattr(node, "name", "") for node in ast.parse(files["src/maia_my_thing/__init__.py"]).body}
    assert target.partition(":")[2] in names
    assert any(f"{kind.capitalize()}Suite" in files[file] for file in files if file.startswith("tests/"))
    assert "{{" not in "".join(files.values())


def test_files_are_formatted_and_pass_ruff(tmp_path):
    generated(tmp_path)
    run(sys.executable, "-m", "ruff", "format", "--check", ".", cwd=tmp_path)
    run(sys.executable, "-m", "ruff", "check", ".", cwd=tmp_path)


@pytest.mark.parametrize(
    "name",
    ["9lives", "class", "lambda", "grün", "../up", "a/b", "a b", "", "-a", "a-", "a--b", "Big", "a.b", "x" * 31],
)
def test_bad_name_is_refused_with_the_rule_and_nothing_is_written(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="lower-case letters") as refused:
        new.callback("system", name, "", "", "")
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_unknown_kind_core_and_unfit_texts_are_refused():
    with pytest.raises(UsageError, match="Did you mean 'system'"):
        answers("sytem", "a")
    with pytest.raises(UsageError, match="the core itself"):
        answers("system", "core")
    for text in ('say "hi"', "two\nlines", "back\\slash", "x" * 81):
        with pytest.raises(UsageError, match="description"):
            answers("system", "a", description=text)
        with pytest.raises(UsageError, match="author"):
            answers("system", "a", author=text)


def test_folder_that_exists_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maia-a").mkdir()
    (tmp_path / "maia-a" / "mine").write_text("mine")
    with pytest.raises(UsageError, match="it exists"):
        new.callback("system", "a", "", "", "")
    assert [path.name for path in (tmp_path / "maia-a").iterdir()] == ["mine"]


def test_command_line_writes_it_and_ends_with_code_two_on_bad_input(tmp_path):
    maia = "import sys; sys.argv[0] = 'maia'; from maia_core.cli import main; main()"
    told = run(sys.executable, "-c", maia, "new", "system", "dots", "--description", "Counts dots", cwd=tmp_path)
    assert "pip install -e './maia-dots[test]'" in told
    assert 'description = "Counts dots"' in (tmp_path / "maia-dots" / "pyproject.toml").read_text()
    done = subprocess.run(
        [sys.executable, "-c", maia, "new", "system", "dots"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_copier_renders_the_same_files(kind, tmp_path):
    copier = pytest.importorskip("copier")
    data = {"kind": kind, "name": "my-thing", "author": AUTHOR}
    copier.run_copy(str(TEMPLATE), tmp_path / "out", data=data, defaults=True, quiet=True)
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_text()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    found.pop(".copier-answers.yml", None)
    assert found == render(answers(kind, "my-thing", author=AUTHOR))


@pytest.mark.slow
def test_copier_update_merges_a_change_of_the_template(tmp_path):
    copier = pytest.importorskip("copier")
    source, plugin = tmp_path / "template", tmp_path / "plugin"
    run("cp", "-r", TEMPLATE, source)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")

    def commit(folder: Path, tag: str = "") -> None:
        run(*git, "init", "-q", cwd=folder)
        run(*git, "add", "-A", cwd=folder)
        run(*git, "commit", "-q", "-m", "change", cwd=folder)
        if tag:
            run(*git, "tag", tag, cwd=folder)

    commit(source, "v1")
    copier.run_copy(str(source), plugin, data={"kind": "system", "name": "dots"}, defaults=True, quiet=True)
    code = plugin / "src" / "maia_dots" / "__init__.py"
    code.write_text(code.read_text().replace("bright pixels", "dots"))
    commit(plugin)
    workflow = source / "project" / ".github" / "workflows" / "test.yml"
    workflow.write_text(workflow.read_text().replace('"3.11"', '"3.12"'))
    commit(source, "v2")
    copier.run_update(plugin, defaults=True, overwrite=True, quiet=True)
    assert '"3.12"' in (plugin / ".github" / "workflows" / "test.yml").read_text()
    assert "Responds to dots" in code.read_text()


@pytest.mark.slow
def test_every_plugin_passes_its_own_tests_in_a_fresh_environment(tmp_path):
    """Installed beside nothing but core; nothing is edited."""
    folders = generated(tmp_path)
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "install", "-q")
    # A plain path to the checkout: mypy does not follow the other form of an editable installation.
    run(*pip, "--config-settings", "editable_mode=compat", "setuptools>=77", "-e", f"{ROOT}[test]")
    run(*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT / "plugins" / "maia-cli"))
    run(*pip, "--no-deps", "--no-build-isolation", *[word for f in folders.values() for word in ("-e", f)])
    tests = [folder / "tests" for folder in folders.values()]
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests, cwd=tmp_path)
    run(
        python,
        "-m",
        "mypy",
        "--strict",
        *[f / "src" / f.name.replace("-", "_") for f in folders.values()],
        cwd=tmp_path,
    )
    told = run(tmp_path / "venv" / "bin" / "maia", "doctor", cwd=tmp_path)
    assert "maia-my-" not in told
