"""A wrong name, key or folder is named before a network is loaded and before a folder is created."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

UNIT = ["--system", "efficientnet-lite0:head:303"]
CODE = """
import atexit, sys
atexit.register(lambda: print("torch" in sys.modules))
from maia_core.cli import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--system", "efficientnet-lite00:head:3"], "Did you mean 'efficientnet-lite0'"),
        (
            ["run", "--system", "nets/colours.py:net:0"],
            "is a file; name the network in it as Python imports it: module/nets",
        ),
        (["run", "--system", "efficientnet-lite0:head:1280"], "it has units 0 to 1279"),
        (["run", "--system", "efficientnet-lite0:haed:3"], "no layer 'haed' in efficientnet-lite0; nearest: head"),
        (["run", "--system", "module/nosuch.make:layer:1"], "there is no Python module 'nosuch'"),
        (["run", "--system", "timm:resnet18:1"], "timm stands for many models: write timm/NAME"),
        (["systems", "show", "./colours.py"], "module/colours.NAME"),
        (["run", "--system", "layer:efficientnet:x"], "no model 'efficientnet'"),
        (["run", *UNIT, "-o", "tools=['text2imag']"], "no tool 'text2imag'. Did you mean 'text2image'"),
        (["run", *UNIT, "-o", "tools=[{name='dataset_exemplars', cuont=3}]"], "unknown key 'cuont'"),
        *(
            (["run", *UNIT, f"--{kind}", "x"], f"there is no {kind} 'x'")
            for kind in (
                *("backbone", "dataset", "describer", "editor", "generator"),
                *("judge", "sandbox", "similarity", "task", "verifier"),
            )
        ),
        (["run", *UNIT, "-o", "system.dtipe=float32"], "unknown key 'dtipe'. Did you mean 'dtype'"),
        (["run", *UNIT, "-o", "generator.size=big"], "'size'"),
        (["run", *UNIT, "--dataset", "folder", "-o", "dataset.path=/nowhere"], "/nowhere"),
        (["run", *UNIT, "--backbone", "litellm", "-o", "backbone.model=openai/gpt-4o"], "OPENAI_API_KEY"),
        (["run", *UNIT, "--out", __file__], "is a file"),
        (["run", *UNIT, "--out", str(Path(__file__).parent)], "exists already"),
        (["sweep", "efficientnet-lite0:head:3", "--out", "sweep", "--judge", "x"], "no judge 'x'"),
        (["ask", "efficientnet-lite0:head", "why?", "--editor", "x"], "no editor 'x'"),
        (["eval", "predictive", "efficientnet-lite0:head:3", "--out", "eval", "--verifier", "x"], "no verifier 'x'"),
        (["prompt", *UNIT, "--task", "x"], "no task 'x'"),
    ],
    ids=lambda value: " ".join(value[:6]) if isinstance(value, list) else "",
)
def test_wrong_input_is_named_before_anything_is_loaded_or_created(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == "False\n", "torch was loaded"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"task": "no-such-task"}, "no task"), ({"tools": ["text2imag"]}, "no tool"), ({"verifier": "x"}, "no verifier")],
)
def test_a_script_gets_no_run_folder_for_a_wrong_name(changes: dict[str, object], says: str, tmp_path: Path) -> None:
    """A mistyped tool left a run folder that could not be resumed."""
    from maia_core.plugin import Context, PluginError, PluginRef, RunConfig
    from maia_core.testing import fake_parts
    from maia_runs import explain_in

    config = RunConfig.model_validate({"system": PluginRef(name="fake"), "verify": "verifier" in changes, **changes})
    context = Context(config, parts={key: part for key, part in fake_parts().items() if key not in changes})
    with pytest.raises(PluginError, match=says):
        explain_in(context, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_wrong_option_names_its_file_and_table(tmp_path):
    (tmp_path / "mine.toml").write_text('[system]\nname = "efficientnet-lite0:head:303"\ndtipe = "float32"\n')
    command = [sys.executable, "-c", CODE, "run", "--config", "mine.toml", "--out", "run"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "options of model 'efficientnet-lite0' ([system] of mine.toml): unknown key 'dtipe'" in done.stderr


def test_units_of_a_sweep_are_not_one_unit():
    from maia_cli.chosen import check_names_and_options
    from maia_core.plugin import PluginRef, RunConfig, UsageError

    config = RunConfig(system=PluginRef(name="efficientnet-lite0:head:0-3"))
    check_names_and_options(config, one_unit=False)
    with pytest.raises(UsageError, match="is not a number"):
        check_names_and_options(config)
