"""`maia sweep --runner ray` as a user runs it: real clusters, real kills, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not metadata.packages_distributions().get("ray"), reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="kills processes by number, mounts a small disk"),
]

SOURCE = Path(__file__).parent / "discs" / "maia_discs.py"


def discs() -> Any:
    spec = util.spec_from_file_location("maia_discs", SOURCE)
    assert spec
    assert spec.loader
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DISCS = discs()
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5a" * 32}


def environment(**changes: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return clean | changes


def sweep(out: Path, units: list[int], path: str, *options: str, **changes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from maia_core.cli import main; main()", "sweep"]
    command += [f"discs:colours:{unit}" for unit in units]
    command += [*DISCS.OPTIONS, "--runner", "ray", "--out", str(out), *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment(PYTHONPATH=path, **changes), cwd=out.parent, text=True, **pipes)


def until(holds: Callable[[], Any], what: str) -> Any:
    for _ in range(1200):
        if value := holds():
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen in two minutes")


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def replies(folder: Path) -> list[str]:
    """The unit and the turn of every reply that a worker asked its backbone for."""
    return sorted(file.name.rpartition("-")[0] for file in folder.glob("*-*-*"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(DISCS.install(tmp_path / "path"))


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    folder = tmp_path / "seen"
    folder.mkdir()
    return folder


def test_a_worker_that_is_killed_is_replaced_and_its_run_resumes(tmp_path: Path, path: str, seen: Path) -> None:
    driver = sweep(tmp_path / "out", [0, 1, 2], path, DISCS_FOLDER=str(seen), DISCS_KILLS="1")
    out, err = driver.communicate(timeout=300)
    assert driver.returncode == 0, err
    assert out.count("red") >= 3
    assert "raylet" not in out + err
    assert (seen / "killed").exists()
    # The reply at which the process was killed is asked for again, and the one before it is not.
    assert replies(seen) == sorted(["0-0", "0-1", "0-2", "1-0", "1-1", "1-1", "1-2", "2-0", "2-1", "2-2"])


@contextmanager
def cluster_of_another(python: str = sys.executable, **changes: str) -> Iterator[str]:
    """Starts a cluster as its owner does, and gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-")  # A longer path is too long for its sockets.
    options = [f"--port={port}", f"--temp-dir={folder}", "--num-cpus=2", "--object-store-memory=100000000"]
    options += ["--include-dashboard=false", "--disable-usage-stats"]
    process = subprocess.Popen(
        [python, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options],
        env=environment(**AUTH, **changes),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    while line := process.stdout.readline():
        if "--block" in line:
            break
    assert process.poll() is None
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A cluster whose workers have maia-discs 2.0; its address and path."""
    path = str(DISCS.install(tmp_path_factory.mktemp("head") / "path", version="2.0"))
    with cluster_of_another(PYTHONPATH=path) as address:
        yield address, path


def on(head: tuple[str, str]) -> list[str]:
    """Options of a sweep on the cluster of the module, whose workers get the variables of maia-discs."""
    return ["-o", f"runner.address={head[0]}", "-o", 'runner.environment=["DISCS_FOLDER", "DISCS_SECONDS"]']


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_no_process_and_resumes(
    tmp_path: Path, head: tuple[str, str], seen: Path, number: signal.Signals
) -> None:
    """The command that is stopped has started its own cluster; the one that resumes its sweep uses another's."""
    out = tmp_path / "out"
    driver = sweep(out, [0, 1, 2], head[1], DISCS_FOLDER=str(seen), DISCS_SECONDS="1.5")
    until(lambda: list(seen.glob("*-1-*")) or driver.poll() is not None, "the second reply of a run")
    driver.send_signal(number)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == (-number if number == signal.SIGKILL else 130), err
    workers = {int(file.name.rpartition("-")[2]) for file in seen.glob("*-*-*")}
    assert workers
    until(lambda: not any(map(lives, workers)), "the end of the workers")
    before = replies(seen)
    again = sweep(out, [0, 1, 2], head[1], *on(head), DISCS_FOLDER=str(seen), **AUTH)
    printed, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert printed.count("red") >= 3
    assert set(before) <= set(replies(seen))
    assert replies(seen).count(before[0]) == 1, "a reply that the record holds was asked for again"


def test_a_sweep_on_a_full_disk_ends_with_one_line_and_resumes(tmp_path: Path, path: str, seen: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 4_000_000)
        driver = sweep(disk / "out", [0, 1, 2], path, "--workers", "1")
        printed, err = driver.communicate(timeout=300)
        assert driver.returncode in (1, 2), printed + err
        assert "No space left on device" in printed + err
        assert "Traceback" not in printed + err
        filler.unlink()
        again = sweep(disk / "out", [0, 1, 2], path, "--workers", "1")
        printed, err = again.communicate(timeout=300)
        assert again.returncode == 0, printed + err
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("maia-discs", "it has maia-discs 2.0, and this machine has 1.0; install the same version on both"),
        ("maia-other", "maia-other is not installed on it; run pip install 'maia-other==1.0' there"),
    ],
)
def test_a_worker_with_other_plugins_is_one_line(
    tmp_path: Path, head: tuple[str, str], name: str, message: str
) -> None:
    path = DISCS.install(tmp_path / "path", name=name)
    driver = sweep(tmp_path / "out", [0, 1, 2], path, "-o", f"runner.address={head[0]}", **AUTH)
    printed, err = driver.communicate(timeout=120)
    assert driver.returncode == 2
    assert [line for line in (printed + err).splitlines() if "explain" not in line] == [
        f"maia: cannot use the Ray worker on {socket.gethostname()}: {message}"
    ]


def test_a_machine_without_maia_is_one_line(tmp_path: Path, path: str) -> None:
    """Its Python environment has Ray and what Ray needs, and nothing of ours."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    packages = next((tmp_path / "bare" / "lib").glob("python*")) / "site-packages"
    for file in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "maia" not in file.name:
            (packages / file.name).symlink_to(file)
    with cluster_of_another(str(tmp_path / "bare" / "bin" / "python")) as address:
        driver = sweep(tmp_path / "out", [0], path, "-o", f"runner.address={address}", **AUTH)
        _, err = driver.communicate(timeout=120)
    assert driver.returncode == 2
    assert err.splitlines()[-1].startswith(f"maia: cannot use the Ray worker on {socket.gethostname()}: maia-")
    assert " is not installed on it; run pip install 'maia-" in err


def test_another_token_is_one_line(tmp_path: Path, head: tuple[str, str]) -> None:
    address = f"runner.address={head[0]}"
    driver = sweep(tmp_path / "out", [0], head[1], "-o", address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="6b" * 32)
    printed, err = driver.communicate(timeout=120)
    assert (driver.returncode, printed) == (1, "")
    *progress, said = err.splitlines()
    assert said.startswith(f"maia: cannot connect to the Ray cluster {head[0]}: it asks for another token; set ")
    assert progress == ["1 unit to explain (the agent)"]


def test_two_commands_on_one_folder_share_its_units(tmp_path: Path, head: tuple[str, str], seen: Path) -> None:
    changes = {"DISCS_FOLDER": str(seen), "DISCS_SECONDS": "0.3", **AUTH}
    drivers = [
        sweep(tmp_path / "out", list(range(6)), head[1], "--workers", "1", *on(head), **changes) for _ in range(2)
    ]
    for driver in drivers:
        printed, err = driver.communicate(timeout=300)
        assert driver.returncode == 0, printed + err
    assert replies(seen) == sorted(f"{unit}-{turn}" for unit in range(6) for turn in range(3))
    workers = {file.name.rpartition("-")[2] for file in seen.glob("*-*-*")}
    assert len(workers) == 2, "one of the commands did nothing"
