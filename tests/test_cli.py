import json
import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

MAIA = [sys.executable, "-c", "from maia_core.cli import main; main()"]


def _maia(*arguments, cwd=None, **environment):
    return subprocess.run(
        [*MAIA, *arguments], capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=120
    )


def test_help_imports_click_and_the_core_only():
    code = """
import sys
before = set(sys.modules)
from maia_core.cli import main
sys.argv = ["maia", "--help"]
try:
    main()
except SystemExit:
    pass
names = {m.partition(".")[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(sorted(n for n in names if not n.startswith("__editable__")), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "Commands:" in done.stdout
    assert done.stderr.strip() == "['click', 'lazy_loader', 'maia_cli', 'maia_core']"


def test_listing_plugins_imports_none_of_them():
    code = """
import sys
from maia_core.cli import main
sys.argv = ["maia", "plugins", "list"]
try:
    main()
except SystemExit:
    pass
packages = {m.split(".")[0] for m in sys.modules if m.startswith("maia_")}
print(sorted(packages - {"maia_core", "maia_cli"}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "dataset_exemplars" in done.stdout
    assert done.stderr.strip() == "[]"


def test_every_plugin_that_a_run_has_one_of_has_a_key_and_an_option():
    from maia_cli.run import run
    from maia_core.config import PluginRef, RunConfig
    from maia_core.kinds import KINDS

    chosen = {kind.name for kind in KINDS.values() if kind.has_option}
    keys = {key for key, field in RunConfig.model_fields.items() if isinstance(field.default, PluginRef)}
    assert keys | {"system"} == chosen
    assert chosen <= {parameter.name for parameter in run.params}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rum"], "no command 'rum'. Did you mean 'run'"),
        (["run"], "--system MODEL:LAYER:UNIT"),
        (["run", "--config", "nowhere.toml"], "nowhere.toml"),
        (["run", "-o", "limits.turn=3"], "Did you mean 'turns'"),
        (["run", "-o", "limits.turns"], "KEY=VALUE"),
        (["run", "-o", "seconds=3"], "write experiment.seconds or limits.seconds"),
        (["run", "-o", "limits.turns=0"], "'limits.turns'"),
        (["run", "-o", "turns=10"], "-o turns: the configuration has no such key; write limits.turns"),
        (["run", "-o", "size=96"], "write generator.size for an option of the generator"),
        (["run", "-o", "sed=3"], "Did you mean 'seed'"),
        (["run", "--without", "reprot"], "no observer 'reprot'"),
        (["run", "--system", "nothing:x:1"], "no model or system 'nothing'"),
        (["plugins", "show", "text2imag"], "Did you mean 'text2image'"),
        (["prompt", "--seed", "x"], "not a valid integer"),
        (["run", "--resume", "x", "--seed", "3"], "leave out --seed"),
        (["run", "--resume", "x", "-o", "generator.size=96"], "leave out -o generator.size"),
        (["run", "--resume", "x", "--json"], "not a run folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, says, tmp_path):
    done = _maia(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_closed_standard_input_is_an_empty_one(tmp_path):
    with tarfile.open(Path(__file__).parent / "fixtures" / "runs" / "format1-failed.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    run = next(tmp_path.rglob("run.json")).parent
    command = shlex.join([*MAIA, "runs", "delete", str(run)])
    done = subprocess.run(["sh", "-c", f"{command} <&-"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no terminal answers; pass --yes" in done.stderr


def test_traceback_shows_the_rest(tmp_path):
    done = _maia("--traceback", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_traceback_after_the_separator_is_an_argument_of_the_command(tmp_path):
    """Cutting it out of the command line took it from commands that have arguments."""
    done = _maia("plugins", "show", "--", "--traceback", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no plugin '--traceback'" in done.stderr
    assert "Traceback" not in done.stderr


def test_control_characters_of_a_message_are_written_out(tmp_path):
    done = _maia("run", "--system", "\x1b[31mred:x:1", cwd=tmp_path)
    assert "\x1b" not in done.stderr
    assert "\\x1b" in done.stderr


@pytest.mark.slow
def test_doctor_finds_nothing_wrong_here():
    done = _maia("doctor")
    assert (done.returncode, "0 problems" in done.stdout) == (0, True), done.stdout


def test_show_prints_options_with_defaults():
    done = _maia("plugins", "show", "dataset_exemplars")
    assert "count: int, default 15." in done.stdout


def test_plugins_of_a_kind_can_be_listed():
    done = _maia("plugins", "list", "task")
    assert "neuron-description" in done.stdout
    assert "text2image" not in done.stdout


def test_json_progress_is_json(capsys):
    from maia_cli.progress import JsonProgress
    from maia_core.events import RunOutcome

    JsonProgress().run_finished(RunOutcome(status="stopped", reason="x"))
    assert json.loads(capsys.readouterr().out)["status"] == "stopped"


def test_a_command_of_a_distribution_that_is_not_installed_names_it():
    code = """
import sys
from maia_cli import main as cli
from maia_core import registry
cli.installed = lambda: registry.Registry(())
sys.argv = ["maia", "eval", "report"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no command 'eval'; install it: pip install maia-eval" in done.stderr
