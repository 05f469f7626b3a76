"""The offline laboratory end to end: the real command, network, images, sandbox, backbone, record and report."""

import functools
import os
import signal
import subprocess
import sys
import time

import pytest

from maia_core.config import cache_dir
from maia_core.events import HostCall, Replied
from maia_core.record import RunReader
from maia_core.testing import timeless

MAIA = [sys.executable, "-c", "from maia_core.cli import main; main()"]
UNIT = "efficientnet-lite0:stem:5"
RUN = ["run", "--system", UNIT, "-o", "dataset.count=48", "-o", "dataset.size=96", "-o", "generator.size=96"]
PACKS = cache_dir() / "collage"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.pack,
    pytest.mark.skipif(not PACKS.is_dir() or not any(PACKS.iterdir()), reason="no pack: `maia collage fetch`"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laboratory") / "run"
    done = subprocess.run([*MAIA, *RUN, "--out", folder], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done, folder


def test_it_ends_with_a_label_its_evidence_and_a_report(finished):
    done, folder = finished
    outcome = RunReader(folder).outcome
    assert outcome.status == "answered"
    assert outcome.explanation.labels[0] in done.stdout
    assert outcome.explanation.description[:40] in done.stdout
    assert f"report: {folder}/report.html" in done.stdout
    assert (folder / "report.html").stat().st_size < 10_000_000


def test_the_claim_rests_on_experiments(finished):
    calls = RunReader(finished[1]).of_type(HostCall)
    assert {"tools.dataset_exemplars", "tools.text2image", "system.neuron"} <= {call.method for call in calls}
    assert sum(len(call.effects.logged) for call in calls) > 30


def test_the_same_seed_killed_three_times_and_resumed_reaches_the_same_record(finished, tmp_path):
    """A record that does not repeat with its seed fails here too: all of the run is computed a second time."""
    folder = tmp_path / "killed"
    expected = timeless(finished[1])
    for share in (0.2, 0.5, 0.8):
        command = [*RUN, "--out", folder] if not folder.exists() else ["run", "--resume", folder]
        process = subprocess.Popen([*MAIA, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        journal = folder / "journal.jsonl"
        while not journal.exists() or journal.read_bytes().count(b"\n") < share * len(expected):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.wait()
    subprocess.run([*MAIA, "run", "--resume", folder], capture_output=True, check=True, timeout=600)
    assert timeless(folder) == expected
    again = subprocess.run([*MAIA, "run", "--resume", folder], capture_output=True, text=True, timeout=60)
    assert (again.returncode, "has ended" in again.stderr) == (2, True)


@pytest.mark.parametrize("calls", [1, 6])
def test_interrupt_leaves_a_record_that_is_complete_so_far(tmp_path, calls):
    """Also where a tool is at it in compiled code, in a thread that Python cannot end without an abort."""
    folder = tmp_path / "interrupted"
    # A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [*MAIA, *RUN, "--out", folder]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    journal = folder / "journal.jsonl"
    while not journal.exists() or journal.read_bytes().count(b'"event": "call"') < calls:
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)  # Into the next call.
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "terminate called" not in error
    assert f"resume with: maia run --resume {folder}" in error
    reader = RunReader(folder)
    assert reader.outcome.status == "interrupted"
    assert reader.of_type(Replied)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--system", "efficientnet-lite0:block.3:1"], "blocks.3"),
        (["--system", "efficientnet-lite0:stem:999"], "0 to 31"),
        (["--system", "efficientnet-lite0:prob:tigre"], "tiger"),
        (["--system", "efficientnet-lite0"], "LAYER:UNIT"),
        (["--system", UNIT, "--dataset", "folder", "-o", "dataset.path=nowhere"], "dataset.path"),
        (["--system", UNIT, "--dataset", "folder"], "path"),
        (["--system", UNIT, "-o", "generator.size=big"], "generator"),
        (["--system", UNIT, "--out", "/proc/run"], "cannot write the run folder"),
        (["--system", UNIT, "--out", "."], "exists already"),
        (["--resume", "."], "not a run folder"),
    ],
)
def test_bad_input_is_one_line_that_names_the_mend(tmp_path, arguments, says):
    (tmp_path / "something").write_text("x")
    done = subprocess.run([*MAIA, "run", *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["something"]
