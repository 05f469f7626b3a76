"""The actors of a sweep: which item each works on, and what happens when one is lost."""

from __future__ import annotations

import math
import pickle
import secrets
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from maia_core.plugin import PluginError, RunError, UsageError
from maia_ray import worker
from maia_ray.worker import Done, Job, Started

TRIES = 2
"""Number of workers that may be lost to one item."""

INTERRUPT_SECONDS = 20.0
"""Time in which interrupted items may end before their workers are killed."""


class Settings(NamedTuple):
    """How many actors there are, and what each reserves.

    Attributes:
        workers: Number of actors.
        needs: Arguments of Ray's `options` that reserve processors, GPUs and other resources.
        start_seconds: Time to wait where no actor has started or is left.
        max_restarts: Number of times that one actor is replaced.
        require_tokens: Whether a worker of a cluster without tokens is refused.
    """

    workers: int
    needs: dict[str, Any]
    start_seconds: float
    max_restarts: int
    require_tokens: bool


class _Slot:
    """One actor and those that replace it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.restarts = 0
        self.actor: Any = None
        self.started: Started | None = None


class _Work(NamedTuple):
    """An item that an actor works on, for the first or the second time."""

    slot: _Slot
    item: Any
    number: int


class Pool:
    """Applies a job's function to items in actors, whose names begin with `maia-`."""

    def __init__(self, ray: Any, job: Job, settings: Settings) -> None:
        self._ray = ray
        self._settings = settings
        self._namespace = f"maia-{socket.gethostname()}-{secrets.token_hex(4)}"
        ray.cloudpickle.register_pickle_by_value(worker)  # Before anything of it is sent.
        self._job = ray.put(job)
        # A retry of Ray's would go to the same actor, and knows nothing of the run folder.
        self._actor = ray.remote(max_restarts=0, max_task_retries=0, **settings.needs)(worker.Worker)
        self._interrupt = ray.remote(num_cpus=0, max_retries=0)(worker.interrupt)
        self._idle: list[_Slot] = []
        self._starting: dict[Any, _Slot] = {}
        self._busy: dict[Any, _Work] = {}
        self._seen = time.monotonic()  # When there was a worker last.

    def map(self, items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Yields each item with its result as it comes.

        Raises:
            PluginError: a worker lacks a distribution, or has another version of it.
            RunError: no worker starts, or none is left.
        """
        source, again = ((item, 1) for item in items), deque[tuple[Any, int]]()
        results: list[tuple[Any, Any]] = []
        self._seen = time.monotonic()
        for number in range(self._settings.workers):
            self._start(_Slot(number))
        try:
            while True:
                while self._idle and (taken := again.popleft() if again else next(source, None)):
                    slot = self._idle.pop()
                    self._busy[slot.actor.apply.remote(pickle.dumps(taken[0]))] = _Work(slot, *taken)
                yield from results  # While the workers already work on.
                if not self._busy and not again:
                    again.extend(islice(source, 1))
                    if not again:
                        return
                results = []
                for reference in self._wait():
                    if reference in self._starting:
                        self._has_started(self._starting.pop(reference), reference)
                        continue
                    work = self._busy.pop(reference)
                    result, lost = self._result(work, reference)
                    if lost and work.number < TRIES:
                        again.append((work.item, work.number + 1))
                    else:
                        results.append((work.item, result))
        finally:
            self._stop()

    def _wait(self) -> list[Any]:
        """Returns the references of actors that have started and of items that have ended, once there are some."""
        references = [*self._busy, *self._starting]
        if not references:
            raise RunError(
                "no Ray worker is left: each was lost too often; look into Ray's logs, and run the command again"
            )
        done: list[Any]
        done, _ = self._ray.wait(references, timeout=1.0)
        now = time.monotonic()
        if self._busy or self._idle:
            self._seen = now
        elif not done and now - self._seen > self._settings.start_seconds:
            free = self._ray.available_resources()
            needs = self._settings.needs
            asked = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"], **needs.get("resources", {})}
            raise RunError(
                f"no Ray worker has started in {self._settings.start_seconds:g} s: each asks for {_listed(asked)}, and "
                f"the cluster has {_listed({name: free.get(name, 0) for name in asked})} free; ask for less with "
                "-o runner.num_cpus, num_gpus or resources, or wait longer with -o runner.start_seconds"
            )
        return done

    def _start(self, slot: _Slot) -> None:
        name = f"maia-{slot.number}" + (f"-{slot.restarts}" if slot.restarts else "")
        slot.actor = self._actor.options(name=name, namespace=self._namespace).remote(self._job)
        self._starting[slot.actor.start.remote()] = slot

    def _replace(self, slot: _Slot) -> None:
        """Ends an actor for certain, and starts another in its place; the last one leaves its place empty."""
        self._ray.kill(slot.actor)
        if slot.restarts < self._settings.max_restarts:
            slot.restarts += 1
            self._start(slot)

    def _has_started(self, slot: _Slot, reference: Any) -> None:
        """Takes an actor that has started into use.

        Raises:
            PluginError: it cannot work.
            RunError: it was lost as it started, and so was the one before it.
        """
        try:
            started: Started = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            if slot.started is None and slot.restarts:
                raise RunError(
                    f"a Ray worker does not start: {_first_line(error)}; look into Ray's logs, and set "
                    "RAY_AUTH_MODE as the cluster does"
                ) from error
            slot.started = None
            self._replace(slot)
            return
        if started.problem:
            raise PluginError(f"cannot use the Ray worker on {started.host}: {started.problem}")
        if self._settings.require_tokens and not started.token_auth:
            raise UsageError(
                f"cannot use the Ray worker on {started.host}: its cluster asks for no token; start the cluster with "
                "RAY_AUTH_MODE=token, or allow it with -o runner.allow_unauthenticated=true"
            )
        slot.started = started
        self._idle.append(slot)

    def _result(self, work: _Work, reference: Any) -> tuple[Any, bool]:
        """Returns an item's result, and whether its worker was lost; replaces a worker that was lost or leaves."""
        try:
            done: Done = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._replace(work.slot)
            return RunError(
                f"its worker was lost {TRIES} times, perhaps for lack of memory ({_first_line(error)}); run the "
                "command again with fewer --workers"
            ), True
        if done.leaves:
            self._replace(work.slot)
        else:
            self._idle.append(work.slot)
        return pickle.loads(done.result) if done.result else RunError("it was interrupted"), done.lost

    def _stop(self) -> None:
        """Interrupts what still runs, which a run folder records, and ends all actors."""
        ray, slots = self._ray, [*self._starting.values(), *self._idle, *(work.slot for work in self._busy.values())]
        try:
            if self._busy:
                here = ray.get_runtime_context().get_node_id()
                for work in self._busy.values():
                    started = work.slot.started
                    if started and started.node == here:
                        worker.interrupt(started.process)
                    elif started:
                        there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(started.node, soft=False)
                        self._interrupt.options(scheduling_strategy=there).remote(started.process)
                ray.wait(list(self._busy), num_returns=len(self._busy), timeout=INTERRUPT_SECONDS)
        finally:
            for slot in slots:
                with suppress(Exception):  # The cluster may be gone.
                    ray.kill(slot.actor)


def needs(ray: Any, workers: int, cpus: float, gpus: float | None, resources: dict[str, float]) -> dict[str, Any]:
    """Returns what each actor reserves, as arguments of Ray's `options`.

    Args:
        ray: The module.
        workers: Number of actors.
        cpus: Processors per actor.
        gpus: GPUs per actor; an equal share of the cluster's where it is None.
        resources: Other resources per actor.
    """
    if gpus is None and (total := ray.cluster_resources().get("GPU", 0)):
        # As many actors on each GPU as are needed so that all find a place.
        gpus = math.floor(10_000 / math.ceil(workers / total)) / 10_000
    return {"num_cpus": cpus, "num_gpus": gpus or 0, **({"resources": resources} if resources else {})}


def _listed(amounts: dict[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items())


def _first_line(error: Exception) -> str:
    """Returns the cause that Ray gives, on one line of bounded length."""
    text = " ".join(str(error).split())
    if "memory" in type(error).__name__.lower():
        return "Ray ended it for lack of memory"
    return text.split(". ")[0][:200]
