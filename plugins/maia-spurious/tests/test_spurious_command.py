"""The whole protocol, offline, on a small set: trained, studied, resumed; bad input gets one line."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from maia_core.errors import UsageError
from maia_core.events import RunOutcome
from maia_core.testing import CommandSuite
from maia_spurious.classifier import FILE, WEIGHTS
from maia_spurious.command import lines, spurious
from maia_spurious.protocol import check_cells, decision
from maia_spurious.results import AGENT, RESULTS, read

SMALL = (
    *("-o", "dataset.count=80", "-t", "units=16", "-t", "epochs=20", "--units", "4", "--seeds", "2"),
    *("--baseline", "none"),
)


class TestCommand(CommandSuite):
    @pytest.fixture
    def command(self):
        return spurious


def invoked(*arguments):
    return CliRunner().invoke(spurious, [*map(str, arguments)], catch_exceptions=True)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    out = tmp_path_factory.mktemp("spurious") / "twin"
    result = invoked("--out", out, *SMALL)
    assert result.exit_code == 0, result.output
    return out, result.stdout


@pytest.mark.slow
@pytest.mark.pack
def test_the_protocol_runs_offline_to_its_table(studied):
    out, printed = studied
    results = read(out)
    assert len(results.units) == 4
    assert {AGENT, "factorial"} == set(results.units[0].decisions)
    assert results.rows[0].name == "all units, original network"
    assert results.rows[0].units == 16
    assert all((out / unit.decisions[AGENT].run / "report.html").is_file() for unit in results.units)
    assert all(text in printed for text in lines(results))
    for unit in results.units:
        decided = unit.decisions[AGENT]
        assert decided.keep == decided.label.startswith("SELECTIVE")
        assert decided.label.startswith(("SELECTIVE for ", "SPURIOUS"))


@pytest.mark.slow
@pytest.mark.pack
def test_the_page_of_the_study_links_the_page_of_every_run(studied):
    out, _ = studied
    page = (out / "report.html").read_text()
    for unit in read(out).units:
        assert f'href="{unit.decisions[AGENT].run}/report.html"' in page


@pytest.mark.slow
@pytest.mark.pack
def test_without_a_pairing_the_same_command_gains_nothing(studied, tmp_path):
    """Class and environment are shuffled: whoever keeps selective units cannot do better than the network."""
    shuffled = tmp_path / "shuffled"
    result = invoked("--out", shuffled, *SMALL, "-o", "dataset.pairing=none")
    assert result.exit_code == 0, result.output

    def gains(folder):
        rows = read(folder).rows
        fitted = [row.interval()[0] for row in rows if row.training == "unbalanced"]
        return max(fitted[1:]) - fitted[0]

    assert gains(studied[0]) > 0.1, "the pairing costs the network what others regain"
    assert gains(shuffled) < 0.1


@pytest.mark.slow
@pytest.mark.pack
def test_nothing_that_a_run_tells_of_an_exemplar_names_its_environment(studied):
    out, _ = studied
    environments = re.compile(r"\b(grass|snow|sand|forest|ocean|waves|brick)", re.IGNORECASE)
    for journal in (out / "runs").rglob("journal.jsonl"):
        events = [json.loads(line) for line in journal.read_text().splitlines()]
        told = exemplar_texts(events)
        assert sum(text.startswith("exemplar 1") for text in told) > 2, "titles, displays and messages are there"
        assert not [text for text in told if environments.search(text)]


def exemplar_texts(events):
    """Returns all that a program, or the backbone, can read of exemplars.

    These are the texts of the first experiment, which shows exemplars only, each text in front of an exemplar, and the
    readable fields of each exemplar's handle.
    """
    found = []

    def visit(value):
        if isinstance(value, list):
            for part, following in pairwise(value):
                if isinstance(part, dict) and part.get("type") == "text" and is_exemplar(following):
                    found.append(part["text"])
        if isinstance(value, dict) and is_exemplar(value):
            found.extend(str(value.get(name, "")) for name in ("id", "title", "shows"))
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            visit(part)

    def is_exemplar(value):
        value = value.get("image", value) if isinstance(value, dict) else {}
        return str((value.get("provenance") or {}).get("id", "")).startswith("validation-")

    first = next(event for event in events if event["event"] == "execution")
    answered = next(event for event in events[events.index(first) :] if event["event"] == "message")
    found.append(first["execution"]["stdout"])
    parts = [*first["execution"]["displays"], *answered["message"]["parts"]]
    found += [part["text"] for part in parts if part["type"] == "text"]
    visit([event for event in events if event["event"] in ("call", "execution", "message")])
    return found


@pytest.mark.slow
@pytest.mark.pack
def test_a_prompt_of_a_run_holds_no_word_of_the_pairing(studied):
    out, _ = studied
    events = [json.loads(line) for line in next((out / "runs").rglob("journal.jsonl")).read_text().splitlines()]
    told = " ".join(json.dumps(event | {"time": 0}) for event in events if event["event"] == "message")
    assert told
    for word in ("one-to-one", "many-to-many", "0.92", "strength", "pairing"):
        assert word not in told


@pytest.mark.slow
@pytest.mark.pack
def test_a_second_call_measures_and_trains_nothing_again(studied):
    out, printed = studied
    files = [*(out / "measured").iterdir(), out / "classifier" / WEIGHTS]
    before = {path: path.stat().st_mtime_ns for path in [*files, *(out / "runs").rglob("journal.jsonl")]}
    again = invoked("--out", out, *SMALL)
    assert again.exit_code == 0
    assert again.stdout == printed
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-t", "units=8"), "was trained with units = 16, not 8"),
        (("-t", "units=16", "-t", "epochs=20", "--seed", "7"), "was trained with seed = 0, not 7"),
        (("-t", "units=16", "-t", "epochs=20", "-o", "dataset.pairing=none"), "was trained with images = "),
        (("-t", "unit=8"), "unit"),
        (("--units", "17", "-t", "units=16", "-t", "epochs=20"), "units change over 80 images"),
        (("--dataset", "collage"), "has no environments"),
        (("efficientnet-lite0:head",), "has 1000 classes, but"),
        (("efficientnet-lite0:head", "-t", "units=8"), "leave it out"),
        (("--baseline", "exemplar-sumary"), "exemplar-summary"),
    ],
)
def test_bad_input_gets_one_line(studied, arguments, message):
    out, _ = studied
    result = invoked("--out", out, "-o", "dataset.count=80", "--seeds", "2", *arguments)
    assert result.exit_code != 0
    assert message in f"{result.output}{result.exception}"


@pytest.mark.slow
@pytest.mark.pack
def test_runs_of_another_configuration_end_the_command_and_leave_the_results(studied):
    """They counted as SPURIOUS, and the table was overwritten."""
    out, _ = studied
    before = (out / RESULTS).read_bytes()
    result = invoked("--out", out, *SMALL, "-o", "limits.turns=5")
    assert result.exit_code != 0
    assert "4 of 4 agent runs failed" in f"{result.output}{result.exception}"
    assert (out / RESULTS).read_bytes() == before


NET = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
"""
TINY = ("-o", "dataset.count=48", "-o", "dataset.size=64", "--units", "2", "--seeds", "2", "--baseline", "none")


@pytest.mark.slow
@pytest.mark.pack
def test_a_function_of_the_users_and_a_file_of_weights_are_studied(tmp_path, monkeypatch):
    torchvision = pytest.importorskip("torchvision")
    from safetensors.torch import save_file

    (tmp_path / "net_of_spurious.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    save_file(torchvision.models.resnet18(num_classes=4).state_dict(), tmp_path / "mine.safetensors")
    weights = ("-o", f"system.weights={tmp_path / 'mine.safetensors'}", "-o", "system.size=64")
    for system, options in (("module/net_of_spurious.make:1", ()), ("torchvision/resnet18:layer4", weights)):
        out = tmp_path / system.split("/")[0]
        result = invoked(system, *options, "--out", out, *TINY)
        assert result.exit_code == 0, result.output
        assert len(read(out).units) == 2


@pytest.mark.slow
@pytest.mark.pack
def test_a_resnet_is_trained_from_scratch_and_resumed_with_the_same_options_alone(tmp_path):
    resnet = ("-t", "base=torchvision/resnet18", "-t", "base.weights=random", "-t", "layer=layer4", "-t", "units=0")
    training = (*resnet, "-t", "train=all", "-t", "epochs=1", "-t", "batch=16")
    result = invoked("--out", tmp_path, *training, "-t", "base.size=64", *TINY)
    assert result.exit_code == 0, result.output
    assert read(tmp_path).rows[0].units == 512
    other = invoked("--out", tmp_path, *training, "-t", "base.size=96", *TINY)
    assert "was trained with base options = " in f"{other.output}{other.exception}"


class Cells:
    name = "cells"

    def __init__(self, *cells):
        self.cells = np.array(cells)


def test_a_split_with_one_class_or_one_environment_is_refused_before_anything_is_measured():
    with pytest.raises(UsageError, match="the validation images of cells show 1 class only"):
        check_cells(Cells([0, 0], [0, 1]), "validation")
    with pytest.raises(UsageError, match="the balanced images of cells show 1 environment only"):
        check_cells(Cells([0, 0], [1, 0]), "balanced")
    check_cells(Cells([0, 0], [1, 0]), "test")


def test_a_run_without_an_answer_keeps_nothing_and_its_label_says_how_it_ended():
    outcome = RunOutcome(status="stopped", reason="30 turns are used up", seconds=1.0)
    found = decision(outcome, "runs/one")
    assert (found.keep, found.answered, found.run) == (False, False, "runs/one")
    assert found.label == "stopped: 30 turns are used up"


def test_broken_results_are_refused_by_name(tmp_path):
    with pytest.raises(Exception, match="holds no results"):
        read(tmp_path)
    (tmp_path / RESULTS).write_text('{"rows": 3}')
    with pytest.raises(Exception, match="is not readable"):
        read(tmp_path)


def test_a_folder_without_a_classifier_is_refused_by_name(tmp_path):
    result = invoked(f"classifier/{tmp_path}:features", "--out", tmp_path / "out", "--baseline", "none")
    assert FILE in f"{result.output}{result.exception}"
    assert "make one with `maia spurious --out DIR`" in f"{result.output}{result.exception}"


def test_the_folder_of_a_run_is_refused_and_nothing_is_written_there(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    failed = invoked("--out", tmp_path, *SMALL)
    assert isinstance(failed.exception, UsageError)
    assert "it is the folder of a run; choose another --out" in str(failed.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
