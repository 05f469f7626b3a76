"""What the pool does when machines are gone, against a cluster that never has a place: no Ray is started."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from maia_core.plugin import RunError
from maia_ray import pool
from maia_ray.pool import Pool, Settings
from maia_ray.worker import Done, Started


class Lost(Exception):
    """Ray's error of an actor that died."""


class OneMachine:
    """A cluster of one machine, which is lost as its first worker carries out an item."""

    cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None)
    exceptions = SimpleNamespace(RayError=Lost)

    def __init__(self) -> None:
        self.actors = 0

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Any:
        return lambda function: self

    def options(self, **options: Any) -> Any:
        def actor(job: Any) -> Any:
            self.actors += 1
            started = "started" if self.actors == 1 else "waits for a place"
            return SimpleNamespace(
                start=SimpleNamespace(remote=lambda: started), apply=SimpleNamespace(remote=lambda item: "lost")
            )

        return SimpleNamespace(remote=actor)

    def wait(self, references: list[str], **options: Any) -> tuple[list[str], list[str]]:
        done = [reference for reference in references if reference != "waits for a place"]
        return done, [reference for reference in references if reference not in done]

    def get(self, reference: str) -> Started | Done:
        if reference == "lost":
            raise Lost("The actor died.")
        return Started(problem="", host="here", process=1, node="node", token_auth=True)

    def kill(self, actor: Any) -> None:
        pass

    def available_resources(self) -> dict[str, float]:
        return {}


def test_a_cluster_that_has_lost_its_last_machine_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor that takes the place of a lost one waits for a machine: Ray itself would wait for ever."""
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    items = Pool(OneMachine(), None, Settings(1, {"num_cpus": 1, "num_gpus": 0}, 30.0, 5, False)).map([1])
    with pytest.raises(RunError, match=r"no Ray worker has started in 30 s: .* 0 CPU"):
        next(items)
    assert next(clock) < 100
