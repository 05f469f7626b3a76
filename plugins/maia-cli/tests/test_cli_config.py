"""`maia config`, and the one configuration that every command reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from maia_cli import config_options
from maia_cli.config import config as config_command
from maia_core.plugin import RunConfig


@pytest.fixture
def maia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(config_command, arguments, catch_exceptions=False)


def _rows(done: Any) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_every_key_has_its_value_its_source_and_a_meaning(maia: Any, tmp_path: Path) -> None:
    (tmp_path / "maia.toml").write_text('seed = 5\n[limits]\ncost = 2\n[generator]\nname = "collage"\nsize = 96\n')
    rows = _rows(maia("--json", "-o", "limits.turns=7", "-o", "editor={name='collage', cutouts='seen'}"))
    keys: set[str] = set()
    for key, field in RunConfig.model_fields.items():
        inner = getattr(type(field.default), "model_fields", {})
        keys |= {key} if not inner or "name" in inner else {f"{key}.{name}" for name in inner}
    assert len(keys) > 40
    assert keys <= set(rows)
    assert all(row["meaning"] for row in rows.values())
    found = {key: (rows[key]["value"], rows[key]["source"]) for key in rows}
    assert found["seed"] == (5, "maia.toml")
    assert found["limits.cost"] == (2, "maia.toml")
    assert found["limits.turns"] == (7, "option")
    assert found["limits.tokens"] == (1_000_000, "default")
    assert found["generator.size"] == (96, "maia.toml")
    assert found["editor.cutouts"] == ("seen", "option")
    assert found["editor.pack"] == ("", "default")


def test_options_of_a_part_that_the_command_line_replaces_are_those_of_the_new_one(maia: Any, tmp_path: Path) -> None:
    (tmp_path / "maia.toml").write_text('[system]\nname = "torchvision/resnet18:layer4:1"\nweights = "random"\n')
    rows = _rows(maia("--json", "--system", "synthetic:dog"))
    assert rows["system.ref"]["value"] == "dog"
    assert "system.weights" not in rows


def test_the_cache_folder_names_the_variable(maia: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIA_CACHE", "/somewhere")
    row = _rows(maia("--json", "$MAIA_CACHE"))["$MAIA_CACHE"]
    assert (row["value"], row["source"]) == ("/somewhere", "environment")


def test_tables_can_be_chosen(maia: Any) -> None:
    assert set(_rows(maia("--json", "context_policy", "seed"))) == {
        *("context_policy.images", "context_policy.block", "context_policy.exemplars", "context_policy.tokens"),
        "seed",
    }


def test_a_secret_of_the_file_is_not_printed(maia: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `[backbone.params]` of a backbone that takes any parameters."""
    headers = {"Authorization": "Bearer hidden-2", "X-Api-Key": "hidden-3"}
    params = {"api_key": "hidden-1", "max_tokens": 7, "tag": "shown", "extra_headers": headers}
    module = sys.modules["maia_cli.config"]
    row = module.Row("backbone.params", [params], "maia.toml", "Any.")
    monkeypatch.setattr(module, "rows", lambda *arguments: iter([row, row._replace(key="x.token", value="hidden-4")]))
    for arguments in ((), ("--json",), ("--json", "backbone.params")):
        printed = maia(*arguments).stdout
        assert "hidden-" not in printed
        assert "[api_key]" in printed
        assert "shown" in printed
    [value] = _rows(maia("--json"))["backbone.params"]["value"]
    assert (value["max_tokens"], value["api_key"]) == (7, "[api_key]")
    assert value["extra_headers"] == {"Authorization": "[Authorization]", "X-Api-Key": "[X-Api-Key]"}


def test_a_command_reads_the_tables_of_the_file_and_a_bare_key_is_of_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[RunConfig] = []

    @click.command()
    @click.argument("model")
    @config_options("dataset", named_by={"system": "model"}, bare="system")
    def show(model: str, config: RunConfig) -> None:
        seen.append(config)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "maia.toml").write_text(
        '[system]\nname = "acme:a:1"\nweights = "w"\n[dataset]\nname = "folder"\npath = "p"\n'
    )
    for arguments in (["acme"], ["acme", "-o", "size=3"], ["other"]):
        CliRunner().invoke(show, arguments, catch_exceptions=False)
    first, sized, other = seen
    assert first.system is not None
    assert first.system.options == {"weights": "w"}
    assert (first.dataset.name, first.dataset.options) == ("folder", {"path": "p"})
    assert sized.system is not None
    assert sized.system.options == {"weights": "w", "size": 3}
    assert other.system is not None
    assert other.system.options == {}


def test_a_plugin_chosen_by_its_key_has_no_options_of_the_one_in_the_file(maia: Any) -> None:
    """`-o dataset.name=folder` failed by the `count` of the collages in the file, other than `--dataset folder`."""
    (Path("maia.toml")).write_text('[generator]\nname = "other"\nsize = 96\n')
    for options in (["generator.name=collage", "generator.size=64"], ["generator.size=64", "generator.name=collage"]):
        rows = _rows(maia("--json", *(part for option in options for part in ("-o", option))))
        assert (rows["generator"]["value"], rows["generator.size"]["value"]) == ("collage", 64)
    assert _rows(maia("--json", "-o", "generator.name=collage"))["generator.size"]["value"] == 224


def test_systems_show_reads_the_options_of_the_model_from_the_file(tmp_path: Path) -> None:
    """A file that does not fit is refused by `maia run`; other commands ignored it."""
    (tmp_path / "maia.toml").write_text('[system]\nname = "efficientnet-lite0:head:1"\npretrainedd = true\n')
    command = [sys.executable, "-c", "from maia_core.cli import main; main()"]
    for arguments in (["systems", "show", "efficientnet-lite0"],):
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=120,
            env=os.environ | {"MAIA_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
        assert (done.returncode, "unknown key 'pretrainedd'" in done.stderr) == (2, True), done.stderr


def test_the_parts_that_a_task_prefers_are_shown_and_their_options_are_checked(maia: Any) -> None:
    rows = _rows(maia("--json", "--task", "bias", "-o", "verifier.pairs=9"))
    assert rows["verifier"]["value"] == "matched-pairs"
    assert (rows["verifier.pairs"]["value"], rows["verifier.pairs"]["source"]) == (9, "option")


def test_a_choice_is_printed_whatever_its_key_is_called(maia: Any) -> None:
    """The option `token` of a torch model is `patches`, `class` or `all`; its name is that of a secret."""
    rows = _rows(maia("--json", "system.token", "-o", "system=efficientnet-lite0:head:1", "-o", "system.token=class"))
    assert rows["system.token"]["value"] == "class"
