"""The whole protocol, offline, on a small set: trained, studied, resumed; bad input gets one line."""

import json

import pytest
from click.testing import CliRunner

from maia_core.testing import CommandSuite
from maia_spurious.classifier import FILE, WEIGHTS
from maia_spurious.command import lines, spurious
from maia_spurious.protocol import AGENT, RESULTS, read

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
def test_a_prompt_of_a_run_holds_no_word_of_the_pairing(studied):
    out, _ = studied
    events = [json.loads(line) for line in next((out / "runs").rglob("journal.jsonl")).read_text().splitlines()]
    told = " ".join(json.dumps(event) for event in events if event["event"] == "message")
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


def test_broken_results_are_refused_by_name(tmp_path):
    with pytest.raises(Exception, match="holds no results"):
        read(tmp_path)
    (tmp_path / RESULTS).write_text('{"rows": 3}')
    with pytest.raises(Exception, match="is not readable"):
        read(tmp_path)


def test_a_folder_without_a_classifier_is_refused_by_name(tmp_path):
    result = invoked(f"classifier/{tmp_path}:features", "--out", tmp_path / "out", "--baseline", "none")
    assert FILE in f"{result.output}{result.exception}"
