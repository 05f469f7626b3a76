"""Runs that MAIA 0.1 recorded (format 1) still open; see `fixtures/runs/README.md`."""

import json
import tarfile
from pathlib import Path

import pytest

from maia_core.config import ContextPolicy
from maia_core.context_policy import sent_requests
from maia_core.errors import RecordError
from maia_core.record import RunReader
from maia_core.types import UnitStatistics
from maia_runs import launch

RUNS = Path(__file__).parent / "fixtures" / "runs"


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Returns the run folders of an archive."""

    def unpack(name):
        folder = tmp_path_factory.mktemp(name)
        with tarfile.open(RUNS / f"format1-{name}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        return sorted(path.parent for path in folder.rglob("run.json"))

    return unpack


@pytest.mark.parametrize("name", ["demo", "failed", "sweep"])
def test_an_old_run_opens_and_no_event_is_lost(old, name):
    for folder in old(name):
        run = RunReader(folder)
        lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
        assert [event.event for event in run.events] == [line["event"] for line in lines]
        assert run.manifest.signature == json.loads((folder / "run.json").read_text())["seal"]
        logged = [entry["title"] for line in lines for entry in line.get("logged", ())]
        assert [entry.title for entry in run.effects.logged] == logged
        assert run.effects.generated == sum(line.get("generated", 0) for line in lines)


@pytest.mark.slow
def test_exemplars_and_statistics_of_an_old_run_are_kept_images_and_facts(old):
    [folder] = old("demo")
    run = RunReader(folder)
    calls = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    found = next(call for call in calls if call.get("method") == "tools.dataset_exemplars")
    activations, images = run.value(found["result"])
    assert [tuple(exemplar) for exemplar in run.effects.kept] == list(zip(activations, images, strict=True))
    assert run.effects.kept[0].image.pixels().shape[2] == 3
    facts = run.effects.facts
    assert facts["maia-standard.exemplar_floor"] == min(activations)
    assert UnitStatistics.model_validate(facts["maia-standard.statistics"]).count > 100


def test_the_report_of_an_old_run_has_its_exemplars(old):
    pytest.importorskip("maia_report")
    from maia_report.page import render_run

    [folder] = old("demo")
    page = render_run(folder)
    assert "image/webp" in page
    assert "xemplar" in page


def test_the_requests_of_an_old_run_are_still_known(old):
    [folder] = old("demo")
    assert all(len(messages) >= 2 for _, messages in sent_requests(ContextPolicy(), RunReader(folder).events))


def test_an_old_run_cannot_be_resumed(old):
    [folder] = old("failed")
    with pytest.raises(RecordError, match=r"older MAIA \(format 1\).*start a new run"):
        launch.resume(folder, trusted=True)
