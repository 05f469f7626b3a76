"""A person in a notebook: `study(unit)` begins a run whose experiments are cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import maia_runs
from maia_core.plugin import MaiaError, PluginRef, Registry, RunConfig, RunReader, load, one_line
from maia_human.handoff import Handoff
from maia_human.notebook_sandbox import recorded_turns
from maia_human.study import Study
from maia_human.study_run import StudyError


def study(
    unit: str | RunConfig | None = None,
    *,
    config: str | Path | None = None,
    resume: str | Path | None = None,
    trusted: bool = False,
    out: str | Path | None = None,
    seed: int | None = None,
    observers: Iterable[object] = (),
    registry: Registry | None = None,
    **options: Any,
) -> Study:
    """Begins a run in which you are the backbone, or resumes one.

        s = study("efficientnet-lite0:head:303", limits={"turns": 40})
        system, tools = s.system, s.tools

    Args:
        unit: The unit, `MODEL:LAYER:UNIT`, or a whole configuration.
        config: Configuration file; `maia.toml` of the working folder where it is None and there is one.
        resume: Folder of a notebook's run to resume, after its kernel ended. MAIA repeats no recorded experiment and
            executes no recorded program: variables of its cells are gone.
        trusted: Whether to resume a run even if its settings were not written on this machine.
        out: The run folder; a new one in the configuration's `runs` where it is None.
        seed: Seed of everything that is drawn.
        observers: Observers beside the installed ones.
        registry: Where plugins are found; the installed ones where it is None.
        **options: Further keys of the configuration, such as `generator="collage"` or `limits={"turns": 40}`.

    Raises:
        StudyError: the run cannot begin or resume; one line says why.
    """
    try:
        if resume is not None:
            _refuse_beside_resume({"unit": unit, "config": config, "out": out, "seed": seed, **options})
            return _resumed(Path(resume), trusted, observers, registry)
        chosen = _configuration(unit, Path(config) if config else None, seed, options)
        folder = Path(out) if out else None
        return Study(
            lambda watch: maia_runs.explain(chosen, out=folder, observers=[watch, *observers], registry=registry)
        )
    except StudyError:
        raise
    except MaiaError as error:
        raise StudyError(one_line(error)) from error


def _configuration(
    unit: str | RunConfig | None, file: Path | None, seed: int | None, options: Mapping[str, Any]
) -> RunConfig:
    if isinstance(unit, RunConfig):
        if file is not None or options:
            raise StudyError("a RunConfig is the whole configuration; set its keys there, or pass the unit's name")
        chosen = unit
    else:
        chosen = load(file, [*([("system", unit)] if unit is not None else []), *_dotted(options)])
    person = chosen.backbone if chosen.backbone.name.partition("@")[0] == "human" else PluginRef(name="human")
    update: dict[str, Any] = {"backbone": person, "sandbox": PluginRef(name="notebook")}
    return chosen.model_copy(update=update if seed is None else update | {"seed": seed})


def _dotted(options: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in options.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _refuse_beside_resume(given: Mapping[str, Any]) -> None:
    beside = [name for name, value in given.items() if value is not None]
    if beside:
        raise StudyError(f"resume uses the configuration that the run began with; leave out {beside[0]}")


def _resumed(folder: Path, trusted: bool, observers: Iterable[object], registry: Registry | None) -> Study:
    reader = RunReader(folder)
    sandbox = reader.manifest.config.get("sandbox")
    if not (isinstance(sandbox, dict) and sandbox.get("name") == "notebook"):
        raise StudyError(f"the run {folder} was not made in a notebook; resume it with maia run --resume {folder}")
    recorded = recorded_turns(reader.events)
    return Study(
        lambda watch: maia_runs.resume(folder, trusted=trusted, observers=[watch, *observers], registry=registry),
        Handoff(recorded),
    )
