"""The runner on a real Ray that it starts on this machine; one cluster for the module."""

from __future__ import annotations

import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from maia_core.context import Context
from maia_core.errors import PluginError, RunError, UsageError
from maia_core.plugin import RunConfig, installed
from maia_core.testing import DistributionSuite, RunnerSuite
from maia_ray import runner as runner_module
from maia_ray.cluster import cluster
from maia_ray.pool import needs
from maia_ray.runner import RayRunner
from maia_ray.worker import Job, Worker
from maia_sweep.stages import FirstWorker

needs_ray = pytest.mark.skipif(not metadata.packages_distributions().get("ray"), reason="Ray is not installed")


class TestDistribution(DistributionSuite):
    distribution = "maia-ray"


def ray_runner(**options: object) -> RayRunner:
    runner: RayRunner = Context().build("runner", "ray", **options)
    return runner


@pytest.fixture(scope="module")
def started() -> Iterator[None]:
    """A cluster of two processors, which the runners of this module find and keep."""
    with cluster(None, {"num_cpus": 2, "object_store_memory": 100 * 2**20}, False) as (ray, _):
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("started")
class TestRayRunner(RunnerSuite):
    @pytest.fixture
    def runner(self) -> RayRunner:
        return ray_runner(workers=2)


class Waits:
    """Works on an item for a minute, and writes how that ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, number: int) -> int:
        (self.folder / f"begun-{number}").write_text(str(os.getpid()))
        try:
            time.sleep(60 if number else 0)
        except KeyboardInterrupt:
            (self.folder / f"interrupted-{number}").touch()
            raise
        return number


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path.name} did not come")


def lives(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("started")
def test_what_still_runs_is_interrupted_when_the_sweep_stops(tmp_path: Path) -> None:
    """A run then ends as interrupted, with everything recorded, and no worker stays behind."""
    results = ray_runner(workers=1).map(Waits(tmp_path), range(3))
    assert next(iter(results)) == (0, 0)
    wait_for(tmp_path / "begun-1")
    results.close()
    assert (tmp_path / "interrupted-1").exists()
    process = int((tmp_path / "begun-1").read_text())
    for _ in range(100):
        if not lives(process):
            break
        time.sleep(0.1)
    assert not lives(process)
    assert not list(tmp_path.glob(".ray-*")), "the token stayed in the folder"


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("started")
def test_an_actor_that_is_killed_is_replaced_and_its_item_done_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Once(Waits):
        def __call__(self, number: int) -> int:
            begun = self.folder / f"begun-{number}"
            if number == 1 and not begun.exists():
                begun.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return number

    assert dict(ray_runner(workers=1).map(Once(tmp_path), range(4))) == {n: n for n in range(4)}
    assert capfd.readouterr() == ("", ""), "Ray printed between the results"


class Fails:
    """Fails at every item but the last, and returns the process with the error."""

    def __call__(self, number: int) -> int:
        if number < 4:
            raise ValueError(os.getpid())
        return os.getpid()


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("started")
def test_a_worker_in_which_item_after_item_fails_leaves() -> None:
    """An engine in it may be dead, and would fail every later item too."""
    results = dict(ray_runner(workers=1).map(Fails(), range(5)))
    processes = [int(str(results[n])) for n in range(5)]
    assert processes[0] == processes[1] == processes[2] != processes[3] == processes[4]


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("started")
def test_a_worker_for_which_there_is_no_room_is_one_line() -> None:
    with pytest.raises(RunError, match="asks for 1 CPU, 8 GPU, and the cluster has 2 CPU, 0 GPU free") as caught:
        list(ray_runner(num_gpus=8, start_seconds=3).map(Fails(), [4]))
    assert "\n" not in str(caught.value)


def job(tmp_path: Path, **changes: object) -> Job:
    return Job(**{
        "function": b"", "versions": {"maia-core": metadata.version("maia-core")}, "required": frozenset({"maia-core"}),
        "token": None, "folder": tmp_path, "environment": {}, **changes,
    })  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def same_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undoes what a worker changes in its process."""
    monkeypatch.chdir(".")
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("same_process")
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"versions": {"maia-core": "9.1"}}, "it has maia-core 0.2.0, and this machine has 9.1; install the same"),
        (
            {"versions": {"maia-acme": "1.5"}, "required": frozenset({"maia-acme"})},
            "maia-acme is not installed on it; run pip install 'maia-acme==1.5' there",
        ),
        ({"token": Path("/nowhere/shared/.ray-1")}, "it does not see /nowhere/shared; choose a folder"),
        ({"function": b"not a pickle"}, "it cannot load the work ("),
    ],
)
def test_a_worker_that_cannot_work_reports_why(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    assert Worker(job(tmp_path, **changes))._problem.startswith(problem)


def make_lock(number: int) -> Any:
    return threading.Lock()


class BrokenCuda:
    """Torch after a fault on the GPU: CUDA keeps failing until the process ends."""

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def synchronize() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")


@pytest.mark.usefixtures("same_process")
def test_a_unit_whose_gpu_is_broken_is_done_in_another_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(job(tmp_path, function=pickle.dumps(Fails())))
    assert worker.apply(pickle.dumps(4)).lost is False
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=BrokenCuda))
    assert worker.apply(pickle.dumps(4)).lost is False, "the unit succeeded"
    done = worker.apply(pickle.dumps(1))
    assert (done.lost, done.leaves) == (True, True)


@pytest.mark.usefixtures("same_process")
def test_a_result_that_cannot_be_pickled_is_an_error(tmp_path: Path) -> None:
    worker = Worker(job(tmp_path, function=pickle.dumps(make_lock)))
    result = pickle.loads(worker.apply(pickle.dumps(1)).result)
    assert isinstance(result, RunError)
    assert str(result).startswith("its result cannot be pickled: TypeError")


@pytest.mark.parametrize(
    ("gpus", "workers", "share"), [(0, 8, 0), (1, 1, 1), (1, 4, 0.25), (3, 8, 0.3333), (4, 2, 1), (8, 8, 1)]
)
def test_workers_share_the_gpus_so_that_each_finds_a_place(gpus: int, workers: int, share: float) -> None:
    """Ray puts as many workers on one GPU as their shares add up to one."""
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 64.0, **({"GPU": float(gpus)} if gpus else {})})
    assert needs(ray, workers, 1, None, {})["num_gpus"] == share
    assert needs(ray, workers, 1, 0.5, {"a100": 1})["num_gpus"] == 0.5
    assert not share or gpus * int(1 / share) >= workers


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("10.0.0.5:6379", UsageError, "no token for it"),
        ("cluster.example:6379", UsageError, "no token for it"),
        ("[2001:db8::1]:6379", UsageError, "no token for it"),
        ("0.0.0.0:6379", UsageError, "no token for it"),
        ("ray://127.0.0.1:10001", UsageError, "neither HOST:PORT nor auto"),
        ("6379", UsageError, "neither HOST:PORT nor auto"),
        ("localhost:99999", UsageError, "neither HOST:PORT nor auto"),
        ("127.0.0.1:1", RunError, "cannot reach a Ray cluster at 127.0.0.1:1: Connection refused"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, address: str, error: type[Exception], message: str
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    for options, variable in (({"address": address}, ""), ({}, address)):
        monkeypatch.setenv("RAY_ADDRESS", variable)
        with pytest.raises(error, match=re.escape(message)) as caught:
            ray_runner(**options)
        assert "\n" not in str(caught.value)


def test_options_are_checked() -> None:
    for options in ({"workers": 0}, {"num_gpus": -1}, {"resources": {"a100": "many"}}, {"adress": "auto"}):
        with pytest.raises(UsageError, match=next(iter(options))):
            ray_runner(**options)


def test_without_ray_the_runner_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PluginError, match="pip install ray"):
        list(ray_runner().map(len, ["x"]))


def test_nothing_starts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "cluster", None)
    assert list(ray_runner().map(len, [])) == []


def test_every_worker_needs_the_explainer_of_the_first_stage_too() -> None:
    explain: Any = SimpleNamespace(folder=None, run_config=RunConfig())
    worker = FirstWorker(explain, {"name": "exemplar-summary"}, 10, "hash")
    assert (
        installed().get("explainer", "exemplar-summary").distribution
        in runner_module._job(worker, b"", None, ()).required
    )
