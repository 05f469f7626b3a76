"""A whole evaluation of a real network in the offline laboratory, small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from maia_collage.pack import folder_of
from maia_core.config import PluginRef, RunConfig, cache_dir
from maia_core.context import Context
from maia_core.registry import installed
from maia_eval.choices import Spec
from maia_eval.command import evaluate
from maia_eval.explaining import Worker
from maia_eval.results import Folder
from maia_eval.summary import unit_results
from maia_eval.tables import tables

UNITS = ("efficientnet-lite0:head:303", "efficientnet-lite0:head:700")


@pytest.fixture(autouse=True)
def laboratory() -> None:
    for package in ("maia_baselines", "maia_efficientnet", "maia_nearest"):
        pytest.importorskip(package)
    if not folder_of("photographs", cache_dir()).exists():
        pytest.skip("no pack of photographs; run `maia collage fetch`")


@pytest.mark.slow
@pytest.mark.pack
def test_a_summary_of_exemplars_beats_a_label_that_says_nothing(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("unit,label\n" + "".join(f"{unit},images\n" for unit in UNITS))
    out = tmp_path / "evaluation"
    command = [
        "predictive", *UNITS, "--out", str(out), "--explainer", "exemplar-summary",
        "--explainer", f"nothing=human:file={labels}", "--samples", "1", "--images", "20", "-o", "dataset.count=100",
    ]  # fmt: skip
    done = CliRunner().invoke(evaluate, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = Folder(out)
    before = {file: file.read_bytes() for file in out.rglob("*.json")}
    results = unit_results(folder)
    assert [result.unit for result in results] == list(UNITS)
    for result in results:
        assert result.state == "active"
        assert result.scores["exemplar-summary"].plus > result.scores["nothing"].plus
        assert result.scores["nothing"].generated.pearson == 0
        assert result.pool + len(result.dropped) == 28
    settings = json.dumps(folder.manifest.settings)
    assert '"cutouts": "seen"' in settings, "what explainers work with"
    assert '"cutouts": "held-out"' in settings, "what their labels are tested with"
    assert folder.manifest.settings["same engine"] is True
    again = CliRunner().invoke(evaluate, command, catch_exceptions=False)
    assert again.exit_code == 0
    assert {file: file.read_bytes() for file in out.rglob("*.json")} == before, "something was done twice"
    changed = CliRunner().invoke(evaluate, [*command, "--prompts", "5"])
    assert changed.exit_code != 0
    shown = CliRunner().invoke(evaluate, ["report", str(out)], catch_exceptions=False)
    assert "exemplar-summary" in shown.output
    assert (out / "report.html").is_file()
    assert {"scores", "differences", "units", "effort"} <= set(tables(folder))


class InTurn:
    """A runner that is this process."""

    def map(self, function, items):
        return ((item, function(item)) for item in items)


@pytest.mark.slow
@pytest.mark.pack
def test_several_processes_explain_what_one_would(tmp_path: Path) -> None:
    config = RunConfig(dataset=PluginRef(name="collage", count=100))
    specs = [Spec(alias="summary", name="exemplar-summary")]
    settings = {"units": UNITS, "explainers": [each.model_dump(mode="json") for each in specs]}
    found = []
    for runner in (InTurn(), Context(config).build("runner", "processes", workers=2)):
        folder = Folder.begin(tmp_path / str(len(found)), "predictive", settings, installed())
        Worker(config, folder.path / "runs", specs, folder.path, quiet=True).explain(UNITS, runner)
        found.append({key: (each.labels, each.description, each.error) for key, each in folder.explained().items()})
    assert len(found[0]) == len(UNITS)
    assert found[0] == found[1]
