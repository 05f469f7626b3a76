"""The runner `ray`: a function is applied to many items by actors of a Ray cluster."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydantic import Field

from maia_core.plugin import PluginConfig, RecordError, RunConfig, RunContext, installed
from maia_ray.cluster import check_address, cluster, token_auth
from maia_ray.pool import Pool, Settings, needs
from maia_ray.worker import Job
from maia_runs.chosen import chosen_plugins

ALWAYS = ("maia-core", "maia-cli")
"""Distributions that every worker needs."""


class RayRunner:
    """Maps items onto named actors that each keep the function, and so what it has loaded, from item to item.

    Ray never retries an item: what is done is decided by the results alone, such as the run folders of a sweep.
    """

    class Config(PluginConfig):
        """Options of the runner."""

        workers: int = Field(2, ge=1, le=10_000)
        """Number of actors; each loads its own models."""
        address: str | None = None
        """Address of the cluster, HOST:PORT or auto; without one, and without $RAY_ADDRESS, start Ray here."""
        num_cpus: float | None = Field(None, ge=0)
        """Processors per worker [default: 1 on a cluster, an equal share of a machine on which MAIA starts Ray]."""
        num_gpus: float | None = Field(None, ge=0)
        """GPUs per worker [default: an equal share of the cluster's]."""
        resources: dict[str, float] = Field({})
        """Other resources of Ray per worker, such as {a100 = 1}."""
        object_store_memory: int = Field(100 * 2**20, ge=75 * 2**20)
        """Bytes of Ray's object store where MAIA starts Ray; units and results are small."""
        start_seconds: float = Field(120, gt=0)
        """Time to wait where no worker has started or is left; longer where a cluster has to add machines."""
        max_restarts: int = Field(100, ge=0)
        """Number of times that one worker is replaced after it was lost."""
        allow_unauthenticated: bool = False
        """Whether to use a cluster beyond this machine that asks for no token: whoever reaches it can run code."""
        environment: tuple[str, ...] = ()
        """Names of environment variables that workers get from this process, such as OPENAI_API_KEY."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Checks the address, before anything is loaded.

        Raises:
            UsageError: the address is malformed, or is that of a cluster without tokens.
            RunError: nothing listens there.
        """
        self._config = config
        if address := config.address or os.environ.get("RAY_ADDRESS"):
            check_address(address, config.allow_unauthenticated)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """See `maia_core.protocols.Runner`.

        If the function has an attribute `folder`, every worker must see this folder. If it has a `run_config`, every
        worker must have the plugins that this run's configuration chooses; if it has `plugins`, pairs of kind and name,
        these too.

        Raises:
            UsageError: the address cannot be used.
            PluginError: a worker lacks a plugin, or has another version of it.
            RunError: there is no cluster, or it has no room for a worker.
        """
        source = iter(items)
        first = list(islice(source, 1))
        if not first:
            return  # Nothing starts for nothing.
        config, processors = self._config, os.cpu_count() or 1
        share = max(1, processors // config.workers)
        local = {
            "num_cpus": max(processors, math.ceil(config.workers * (config.num_cpus or share))),
            "resources": {name: amount * config.workers for name, amount in config.resources.items()} or None,
            "object_store_memory": config.object_store_memory,
        }
        with (
            _token(getattr(function, "folder", None)) as token,
            cluster(config.address, local, config.allow_unauthenticated) as (ray, started_here),
        ):
            cpus = config.num_cpus if config.num_cpus is not None else share if started_here else 1
            settings = Settings(
                config.workers,
                needs(ray, config.workers, cpus, config.num_gpus, config.resources),
                config.start_seconds,
                config.max_restarts,
                require_tokens=not started_here and not config.allow_unauthenticated and token_auth(),
            )
            job = _job(function, ray.cloudpickle.dumps(function), token, config.environment)
            yield from Pool(ray, job, settings).map(chain(first, source))


def _job(function: Any, pickled: bytes, token: Path | None, environment: Iterable[str]) -> Job:
    """Returns what every worker gets.

    Args:
        function: The function, whose attributes `run_config` and `plugins` tell which plugins are required.
        pickled: The pickled function.
        token: File in the folder of the results.
        environment: Names of the variables that workers get.
    """
    registry, config = installed(), getattr(function, "run_config", None)
    versions = {plugin.distribution: plugin.version for plugin in registry.plugins}
    versions |= {name: metadata.version(name) for name in ALWAYS}
    chosen = chosen_plugins(config, registry) if isinstance(config, RunConfig) else ()
    names = [(plugin.kind, plugin.name) for plugin in chosen] + list(getattr(function, "plugins", ()))
    required = {registry.get(kind, name).distribution for kind, name in names}
    variables = {name: os.environ[name] for name in environment if name in os.environ}
    return Job(pickled, versions, frozenset({*ALWAYS, *required}), token, Path.cwd(), variables)


@contextmanager
def _token(folder: Path | None) -> Iterator[Path | None]:
    """Writes a file into a folder by which workers find out whether they see the folder; removes it at the end.

    Raises:
        RecordError: the folder cannot be written.
    """
    if folder is None:
        yield None
        return
    file = folder.absolute() / f".ray-{secrets.token_hex(8)}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(file.name, encoding="ascii")
    except OSError as error:
        raise RecordError(f"cannot write {file}: {error.strerror}; make room or choose another --out") from error
    try:
        yield file
    finally:
        with suppress(OSError):
            file.unlink()
