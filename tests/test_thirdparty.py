"""Distributions of other people, installed by pip: found, chosen by name, used, and kept apart when they are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from maia_core import __version__
from maia_core.events import HostCall
from maia_core.record import RunReader

HERE = Path(__file__).parent / "thirdparty"
GOOD = ("acme-good", "acme-fakes")
BAD = ("acme-broken", "acme-clash", "acme-newer", "acme-outdated", "acme-oldlayout")
OLDEST = "acme-api1"
HEAVY = "acme-heavy"
CONFIG = """
system = "acme-brightness@acme-good"
backbone = "acme-scripted"
dataset = "discs"
generator = "discs"
editor = "discs"
describer = "discs"
sandbox = "process"
tools = ["text2image", "log_experiment", "acme_contrast"]
"""
pytestmark = pytest.mark.slow

Maia = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def sites(tmp_path_factory) -> dict[str, Path]:
    """Installs each distribution with pip into a folder of its own."""
    found = {}
    for name in (*GOOD, *BAD, OLDEST, HEAVY):
        # Built from a copy, so that nothing is written beside the sources.
        folder = tmp_path_factory.mktemp(name)
        source, site = folder / "source", folder / "site"
        subprocess.run(["cp", "-r", str(HERE / name), str(source)], check=True)
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*command, "--target", str(site), str(source)], check=True, capture_output=True)
        found[name] = site
    return found


@pytest.fixture
def maia(sites, tmp_path) -> Maia:
    """Runs the command with the distributions on the path; extra folders and environment by keyword."""

    def run(*arguments: str, names: tuple[str, ...] = (*GOOD, *BAD), extra: tuple[Path, ...] = (), **env: str):
        path = os.pathsep.join(map(str, [*(sites[name] for name in names), *extra]))
        environment = {**os.environ, "PYTHONPATH": path, "ACME_CANARY": str(tmp_path / "imported"), **env}
        code = "from maia_core.cli import main; main()"
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def test_listing_names_them_and_imports_none(maia, tmp_path):
    for arguments in (["plugins", "list"], ["plugins", "list", "system"], ["--help"]):
        listed = maia(*arguments)
        assert listed.returncode == 0, listed.stderr
        assert not (tmp_path / "imported").exists(), f"maia {' '.join(arguments)} imports plugins"
    listed = maia("plugins", "list").stdout
    for line in (
        "acme-brightness",
        "acme_contrast",
        "acme-scripted",
        "acme-notes",
        "acme-good 1.2.0",
        "acme-newer 9.0.0",
    ):
        assert line in listed
    assert "Acme's system, tool, backbone, observer and command" in listed


def test_doctor_names_distribution_version_and_cause(maia):
    told = maia("doctor")
    assert told.returncode == 1
    lines = told.stdout.splitlines()
    for needed in (
        ["system 'acme-broken' (acme-broken 0.3.0)", "No module named 'acme_missing_dependency'"],
        ["command 'acme-broken' (acme-broken 0.3.0)", "No module named 'acme_missing_dependency'"],
        ["observer 'acme-broken' (acme-broken 0.3.0)", "No module named 'acme_missing_dependency'"],
        ["system 'acme-brightness' (acme-good 1.2.0)", "also claimed by acme-clash 2.0.0"],
        ["system 'acme-brightness' (acme-clash 2.0.0)", "also claimed by acme-good 1.2.0"],
        ["backbone 'acme-future' (acme-newer 9.0.0)", f"needs maia-core>=99, this is {__version__}"],
        ["backbone 'acme-future' (acme-newer 9.0.0)", "upgrade maia-core: pip install --upgrade maia-core"],
        ["backbone 'acme-past' (acme-outdated 0.9.0)", "upgrade acme-outdated: pip install --upgrade acme-outdated"],
        [
            "acme-oldlayout 0.4.0",
            "darkness.py line 3 imports maia_core.config, which is private; "
            "write: from maia_core.plugin import PluginConfig, PluginRef",
        ],
        [
            "warning: acme-oldlayout 0.4.0: mean.py line 4 imports maia_core.context, which is private; "
            "write: from maia_core.plugin import RunContext",
        ],
    ):
        assert any(all(part in line for part in needed) for line in lines), (needed, told.stdout)
    assert "Traceback" not in told.stderr


def test_doctor_is_content_with_good_ones(maia):
    told = maia("doctor", names=GOOD)
    assert "acme" not in told.stdout


def test_run_uses_them_by_name_beside_broken_ones(maia, tmp_path):
    """Everything together: the broken, the clashing and the skewed distribution stop nothing."""
    (tmp_path / "maia.toml").write_text(CONFIG)
    notes = tmp_path / "notes"
    done = maia("run", "--out", "out", "--without", "report", "-o", "system.gain=2", ACME_NOTES=str(notes))
    assert done.returncode == 0, done.stderr
    assert "brightness" in done.stdout
    assert notes.read_text() == "answered after 2 turns", "the observer is told"
    run = RunReader(tmp_path / "out")
    assert run.manifest.versions["acme-good"] == "1.2.0"
    assert run.manifest.system.ref == "acme-brightness:whole"
    record = "\n".join(file.read_text() for file in (tmp_path / "out").glob("*.json*"))
    assert "tools.acme_contrast" in record
    assert "Acme wishes you luck." in record
    assert "observer 'acme-broken' of acme-broken 0.3.0 is left out" in record, "the record names what is missing"
    logged = [entry.activation for call in run.of_type(HostCall) for entry in call.effects.logged]
    assert logged == [pytest.approx(2 * 245 / 255), pytest.approx(2 * 128 / 255)], "the option arrived"


def test_a_plugin_for_the_oldest_supported_api_runs(maia, tmp_path):
    """Its source never changes: a change of the core that breaks it breaks plugins that nobody rewrites."""
    chosen = ["--system", "acme-first", "--backbone", "acme-steady", "-o", 'tools=["text2image", "acme_range"]']
    (tmp_path / "maia.toml").write_text(CONFIG)
    ended = tmp_path / "ended"
    done = maia("run", "--out", "out", "--without", "report", *chosen, names=(*GOOD, OLDEST), ACME_FIRST=str(ended))
    assert done.returncode == 0, done.stderr
    assert ended.read_text() == "answered for acme-first:top"
    [call] = [call for call in RunReader(tmp_path / "out").of_type(HostCall) if call.method == "tools.acme_range"]
    assert [entry.title for entry in call.effects.logged] == ["the first image"]
    assert maia("doctor", names=(*GOOD, OLDEST)).returncode == 0


def test_an_observer_is_left_out_by_name(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    notes = tmp_path / "notes"
    chosen = ["--out", "out", "--without", "report", "--without", "acme-notes"]
    done = maia("run", *chosen, names=GOOD, ACME_NOTES=str(notes))
    assert done.returncode == 0, done.stderr
    assert not notes.exists()
    record = "\n".join(file.read_text() for file in (tmp_path / "out").glob("*.json*"))
    assert "Acme wishes you luck." not in record


def test_maia_cache_caches_their_generator(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    made, cache = tmp_path / "made", {"MAIA_CACHE": str(tmp_path / "cache"), "ACME_STRIPES": str(tmp_path / "made")}
    command = ["run", "--generator", "acme-stripes", "--without", "report"]
    first = maia(*command, "--out", "one", names=GOOD, **cache)
    assert first.returncode == 0, first.stderr
    prompts = [line.rpartition(" ")[0] for line in made.read_text().splitlines()]
    assert {"a white disc", "a black disc"} <= set(prompts)
    before = made.read_text()
    assert maia(*command, "--out", "two", names=GOOD, **cache).returncode == 0
    assert made.read_text() == before, "the second run found every image in the cache"
    listed = maia("cache", "list", "--json", names=GOOD, **cache).stdout
    assert json.loads(listed.splitlines()[0])["engine"] == "generator-acme-stripes"
    assert maia(*command, "--without", "cache", "--out", "three", names=GOOD, **cache).returncode == 0
    assert made.read_text() == before + before, "without the observer the generator is asked again"


def test_their_observer_writes_a_file_at_the_end_of_a_run(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    done = maia("run", "--out", "out", names=GOOD)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "acme.txt").read_text() == "answered, 2 turns"
    lines = done.stdout.splitlines()
    assert any(line.startswith("acme summary: ") for line in lines)
    assert any(line.startswith("report: ") for line in lines)
    assert "brightness" in (tmp_path / "out" / "report.html").read_text(), "the report of maia-report is there too"


def test_argument_and_options_reach_the_plugin(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    chosen = ["--system", "acme-brightness:left", "-o", "backbone.label=left light"]
    done = maia("run", "--out", "out", "--without", "report", *chosen, names=GOOD)
    assert done.returncode == 0, done.stderr
    assert "left light" in done.stdout
    assert RunReader(tmp_path / "out").manifest.system.unit == "left"
    wrong = maia("run", "--out", "out2", *chosen, "-o", "backbone.lable=x", names=GOOD)
    assert wrong.returncode == 2
    assert "Did you mean 'label'?" in wrong.stderr
    assert not (tmp_path / "out2").exists()


def test_clash_is_an_error_that_names_both_and_the_way_out(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    clash = maia("run", "--system", "acme-brightness", "--out", "out")
    assert clash.returncode == 2
    for part in ("acme-good 1.2.0", "acme-clash 2.0.0", "acme-brightness@acme-good", "acme-brightness@acme-clash"):
        assert part in clash.stderr
    other = maia("run", "--system", "acme-brightness@acme-clash", "--out", "out", "--without", "report")
    assert other.returncode == 0, other.stderr
    assert RunReader(tmp_path / "out").manifest.system.model == "acme-darkness"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--system", "acme-brigthness"], "Did you mean 'acme-brightness'"),
        (["--backbone", "acme-script"], "Did you mean 'acme-scripted'"),
        (["--system", "acme-broken"], "acme-broken 0.3.0 cannot be loaded"),
        (["--system", "acme-quits"], "acme-broken 0.3.0 cannot be loaded"),
        (["--backbone", "acme-past"], "acme-outdated 0.9.0 needs maia-core<0.1,>=0.0.1"),
        (["--system", "acme-dimness"], "import from maia_core.plugin"),
        (["--backbone", "acme-future"], "acme-newer 9.0.0 needs maia-core>=99"),
        (["--generator", "disks"], "Did you mean 'discs'"),
    ],
)
def test_what_cannot_be_used_is_one_clear_line(maia, tmp_path, arguments, said):
    (tmp_path / "maia.toml").write_text(CONFIG)
    refused = maia("run", *arguments, "--out", "out")
    assert refused.returncode == 2
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1, "no traceback"
    assert not (tmp_path / "out").exists()


def test_prompt_holds_the_foreign_tool_and_section(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    shown = maia("prompt", names=GOOD)
    assert shown.returncode == 0, shown.stderr
    assert "def acme_contrast(self, images: list[Image]) -> list[float]:" in shown.stdout
    assert "Measures how bright images are." in shown.stdout
    assert "Acme wishes you luck." in shown.stdout


def test_command_of_another_distribution(maia, tmp_path):
    listed = maia("--help").stdout
    assert "acme-broken" in listed
    assert not (tmp_path / "imported").exists()
    assert maia("acme").stdout == "hello from acme\n"
    broken = maia("acme-broken")
    assert broken.returncode == 2
    assert "acme-broken 0.3.0" in broken.stderr
    assert "Traceback" not in broken.stderr


def test_show_tells_how_to_choose_it(maia):
    shown = maia("plugins", "show", "acme-brightness", names=GOOD)
    assert "choose with --system acme-brightness" in shown.stdout
    assert "gain: float, default 1.0. Activation of a white image." in shown.stdout
    broken = maia("plugins", "show", "acme-broken")
    assert "No module named 'acme_missing_dependency'" in broken.stdout


def test_metadata_cannot_write_to_the_terminal(maia, tmp_path):
    """A distribution's name, version and summary are other people's text."""
    info = tmp_path / "hostile" / "acme_hostile-1.0.dist-info"
    info.mkdir(parents=True)
    evil = "\x1b]0;owned\x07\x1b[2Jevil\u202e"
    metadata = f"Metadata-Version: 2.1\nName: acme-hostile\nVersion: 1.0{evil}\nSummary: {evil} sum\n  mary\n"
    (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text(f"[maia.systems]\n{evil} = acme_hostile:{evil}\nacme-h = acme_hostile:H\n")
    for arguments in (["plugins", "list"], ["doctor"], ["plugins", "show", "acme-h"], ["--help"]):
        shown = maia(*arguments, extra=(info.parent,))
        for text in (shown.stdout, shown.stderr):
            assert not set("\x1b\x07\u202e") & set(text), arguments
        assert "Traceback" not in shown.stderr
    assert "acme-good 1.2.0" in maia("plugins", "list", extra=(info.parent,)).stdout


def test_ready_for_machines(maia, tmp_path):
    (tmp_path / "maia.toml").write_text(CONFIG)
    done = maia("run", "--out", "out", "--without", "report", "--json", names=GOOD)
    assert done.returncode == 0, done.stderr
    assert all(isinstance(json.loads(line), dict) for line in done.stdout.splitlines())


CONFORMANCE = """
from maia_core.testing import DistributionSuite

class TestGood(DistributionSuite):
    distribution = "acme-good"

class TestFakes(DistributionSuite):
    distribution = "acme-fakes"

class TestHeavy(DistributionSuite):
    distribution = "acme-heavy"

class TestBroken(DistributionSuite):
    distribution = "acme-broken"

class TestNoPlugin(DistributionSuite):
    distribution = "click"
"""


def test_distribution_suite_tells_good_from_bad(sites, tmp_path):
    (tmp_path / "test_conformance.py").write_text(CONFORMANCE)
    path = os.pathsep.join(str(sites[name]) for name in ("acme-good", "acme-fakes", "acme-heavy", "acme-broken"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rfEp",
        "-p",
        "no:cacheprovider",
        "--tb=line",
        "test_conformance.py",
    ]
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False).stdout
    failed = {line.split()[1].partition("::")[2] for line in told.splitlines() if line.startswith(("FAILED", "ERROR"))}
    assert failed == {
        "TestHeavy::test_plugins_load_and_can_be_built",
        "TestHeavy::test_options_are_documented",
        "TestHeavy::test_loading_imports_nothing_heavy",
        "TestHeavy::test_declares_what_it_imports",
        "TestBroken::test_plugins_load_and_can_be_built",
        "TestBroken::test_options_are_documented",
        "TestBroken::test_loading_imports_nothing_heavy",
        "TestBroken::test_declares_what_it_imports",
        "TestNoPlugin::test_metadata_says_what_it_is",
        "TestNoPlugin::test_plugins_are_found",
    }, told
