"""Makes a run from a configuration and drives it to its end."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from maia_core.plugin import (
    ENGINES,
    FORMAT,
    KINDS,
    MANIFEST,
    Backbone,
    Context,
    Event,
    Journal,
    Manifest,
    RecordError,
    Registry,
    RunConfig,
    RunOutcome,
    RunReader,
    RunWriter,
    as_file,
    check_new,
    content_id,
    make_session,
    redacted,
    run,
    validated,
    write_atomically,
)
from maia_runs.chosen import check_names
from maia_runs.signature import check_signature, sign


@dataclass(frozen=True)
class FinishedRun:
    """A run that has ended: where its record is, and how it ended."""

    folder: Path
    outcome: RunOutcome
    lines: tuple[str, ...] = ()
    """Lines for the user from the observers, such as where the report is."""

    def __reduce__(self) -> tuple[type[FinishedRun], tuple[Path, RunOutcome, tuple[str, ...]]]:
        """Returns what another process gets: the pixels of the outcome's images stay in the run folder."""
        outcome = RunOutcome.model_validate_json(self.outcome.model_dump_json())
        return FinishedRun, (self.folder, outcome, self.lines)


def explain(
    config: RunConfig, *, out: Path | None = None, observers: Iterable[object] = (), registry: Registry | None = None
) -> FinishedRun:
    """Explains one unit: builds the parts, runs the loop, writes the record.

    Args:
        config: What to run.
        out: The run folder; a new one in `config.runs` where it is None.
        observers: Observers beside the installed ones, such as a progress display.
        registry: Where plugins are found; the installed ones where it is None.

    Raises:
        PluginError: a name of the configuration is not that of an installed plugin; nothing is loaded before.
        MaiaError: a part cannot be built or the record cannot be written. What fails later ends the run instead: see
            the outcome's status.
        KeyboardInterrupt: the user interrupted; the record is complete up to the last event.
    """
    context = Context(config, registry)
    check_names(context.config, context.registry)
    return _begin(context, out, observers)


def resume(
    folder: Path,
    *,
    trusted: bool = False,
    limits: Mapping[str, Any] | None = None,
    observers: Iterable[object] = (),
    registry: Registry | None = None,
) -> FinishedRun:
    """Resumes a run that was killed, interrupted or failed; nothing that its record holds is done again.

    Args:
        folder: The run folder.
        trusted: Whether its settings are carried out even if they were not written on this machine.
        limits: New values of limits by name, such as `{"turns": 60}`. A run that stopped at one then continues.
        observers: As for `explain`.
        registry: As for `explain`.

    Raises:
        UsageError: the settings come from elsewhere, and are not trusted; or a limit is unknown or has a wrong value.
        RecordError: this is not a run folder, the run has ended, or a part that it was made from has changed since.
            (A run that does not repeat for another reason ends as failed and says where.)
        MaiaError: as for `explain`.
    """
    reader = RunReader(folder)
    if (ended := reader.ended) and (ended.status != "stopped" or not limits):
        raised = "raise the limit (-o limits.NAME=VALUE) or " if ended.status == "stopped" else ""
        raise RecordError(f"the run {folder} has ended ({ended.status}); {raised}start a new one")
    _refuse_old(reader)
    check_signature(reader.manifest.config, reader.manifest.signature, folder, trusted)
    config = validated(RunConfig, reader.manifest.config, str(folder)).model_dump(mode="json")
    config["limits"] |= limits or {}
    context = Context(validated(RunConfig, config, str(folder), {f"limits.{name}" for name in limits or ()}), registry)
    return _go_on(context, reader, observers, raised=bool(limits))


def explain_in(context: Context, folder: Path, *, observers: Iterable[object] = ()) -> FinishedRun:
    """Explains the unit of a context that may be shared by many runs (`Context.restart` goes to the next unit).

    Args:
        context: The parts; its configuration is the run's.
        folder: The run folder. A run that it holds goes on, or is returned as it ended.
        observers: As for `explain`.

    Raises:
        RecordError: the folder holds a run of another configuration, or one that cannot go on.
        MaiaError: as for `explain`.
    """
    if not (folder / MANIFEST).exists():
        return _begin(context, folder, observers)
    reader = RunReader(folder)
    if reader.manifest.config != redacted(context.config.model_dump(mode="json")):
        raise RecordError(f"the run {folder} was begun with another configuration; choose another --out")
    if ended := reader.ended:
        _refuse_changed(context, reader)
        return FinishedRun(folder, ended)
    return _go_on(context, reader, observers)


def new_run_id() -> str:
    """Returns a name for a run folder that sorts by time."""
    return time.strftime("%Y%m%d-%H%M%S-") + os.urandom(2).hex()


def _begin(context: Context, out: Path | None, observers: Iterable[object]) -> FinishedRun:
    run_id = new_run_id()
    check_new(out or Path(context.config.runs) / run_id)
    backbone = _build(context)
    folder = out or Path(context.config.runs) / f"{run_id}-{folder_name(context.system.info.ref)}"
    writer = RunWriter.create(folder, _manifest(run_id, context))
    return _drive(context, backbone, writer, (), observers)


def _refuse_old(reader: RunReader) -> None:
    if reader.manifest.format != FORMAT:
        raise RecordError(
            f"cannot resume {reader.folder}: it was recorded by an older MAIA (format {reader.manifest.format}), "
            "which MAIA can report but not resume; start a new run"
        )


def _refuse_changed(context: Context, reader: RunReader) -> None:
    """Refuses a run of other weights, data or engines than the context has built."""
    before = reader.manifest.fingerprints
    changed = [name for name, value in context.fingerprints().items() if before.get(name, value) != value]
    if changed:
        raise RecordError(
            f"the run {reader.folder} cannot go on: since it began, {', '.join(changed)} changed; start a new one"
        )


def _go_on(context: Context, reader: RunReader, observers: Iterable[object], raised: bool = False) -> FinishedRun:
    _refuse_old(reader)
    backbone = _build(context)
    _refuse_changed(context, reader)
    folder = reader.folder
    writer = RunWriter.reopen(folder)
    # Read again now that no other process writes it: one may have gone on with it meanwhile.
    reader = RunReader(folder)
    if (ended := reader.ended) and not (raised and ended.status == "stopped"):
        writer.close()
        return FinishedRun(folder, ended)
    if raised:
        config = context.config.model_dump(mode="json")
        manifest = reader.manifest.model_copy(update={"config": config, "signature": sign(config)})
        write_atomically(folder / MANIFEST, as_file(manifest))
    return _drive(context, backbone, writer, reader.events, observers)


def folder_name(ref: str) -> str:
    """Returns the name of a unit's run folder: its reference, and a hash where a folder's name cannot hold it."""
    name = re.sub(r"[^A-Za-z0-9.:]+", "-", ref)[:80]
    return name.replace(":", "-") + ("" if name == ref else f"-{content_id(ref.encode())[:8]}")


def _build(context: Context) -> Backbone:
    """Builds the parts before the first question, so that a missing one costs no paid turn.

    The system and the describer load networks, so they come last: a missing key, folder or tool is named before. An
    engine that no tool uses is not built.
    """
    backbone: Backbone = context.part("backbone")
    users = [context.build("tool", tool.name, **tool.options) for tool in context.config.tools]
    users += [context.part("verifier")] if context.config.verify else []
    used = {engine for user in users for engine in getattr(user, "uses", ENGINES)}
    early = [kind.name for kind in KINDS.values() if kind.early or kind.scope == "run"]
    for kind in sorted(early, key=("system", "describer").__contains__):
        if kind not in ENGINES or kind in used:
            context.part(kind)
    return backbone


def _drive(
    context: Context, backbone: Backbone, writer: RunWriter, recorded: Sequence[Event], observers: Iterable[object]
) -> FinishedRun:
    context.images = writer.images
    try:
        session = make_session(context, Journal(writer.append, recorded, lambda: writer.full), observers)
        try:
            outcome = run(session, backbone)
            return FinishedRun(writer.folder, outcome, session.lines)
        finally:
            session.close()
    finally:
        writer.close()


def _manifest(run_id: str, context: Context) -> Manifest:
    config = context.config.model_dump(mode="json")
    return Manifest(
        id=run_id,
        created=time.time(),
        config=config,
        seed=context.config.seed,
        system=context.system.info,
        versions=_versions(context.registry),
        fingerprints=context.fingerprints(),
        signature=sign(config),
    )


def _versions(registry: Registry) -> dict[str, str]:
    """Versions of every plugin's distribution and of what these directly require."""
    names = {plugin.distribution for plugin in registry.plugins}
    for name in list(names):
        with suppress(metadata.PackageNotFoundError):  # A plugin that somebody uninstalled while this process runs.
            for requirement in metadata.requires(name) or []:
                if "extra ==" not in requirement:
                    names.add(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in sorted(names, key=str.lower):
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
