"""The runs of one server: it starts them, finds them by name, and decides what a client may know of a failure."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from maia_core.plugin import (
    Context,
    Event,
    PluginRef,
    RecordError,
    Registry,
    RunConfig,
    RunReader,
    ToolError,
    UsageError,
    did_you_mean,
    installed,
    one_line,
    redacted,
)
from maia_mcp.api import RESERVED, Method, methods_before_a_run
from maia_mcp.clients import Client
from maia_mcp.content import Images
from maia_mcp.run import ClientRun
from maia_runs import FinishedRun, explain, folder_name, new_run_id, resume

MAX_RUNS = 8
"""Most runs that a server holds open: each holds a model."""
IDLE_SECONDS = 3600.0
"""Time without a call after which a run makes room for another; it can be resumed."""
MAX_ENDED = 64
"""Most ended runs whose results a server keeps for its clients."""
LEAVE_SECONDS = 5.0
"""Time that the server gives each open run to end when the server ends."""

_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
_UNIT = re.compile(r"[\w .,'()+-]{1,200}(:[\w .,'()+-]{1,200})*", re.ASCII)
"""A unit of a model. A client cannot name a file: a slash and an equals sign are not among the characters."""
_FILE = re.compile(r"[^\s'\"]*[/\\][^\s'\"]*")

NOT_STARTED = (
    "MAIA could not start the run, by a fault that is not yours. The person who started the server finds the reason in "
    "its log."
)

NOT_RESUMED = (
    "The run {run} cannot be resumed: another process drives it, or a part of it has changed. The person who started "
    "the server finds the reason in its log."
)


OWN = "; start your own with start_run"


class Desk:
    """The runs of a server, by their names.

    Attributes:
        say: Takes lines for the person who started the server.
        fields: The arguments of `submit_answer`, and the tags of the answer that they stand for.
        has_unit: Whether the server's configuration chooses the unit; else a client names one of the model's.
    """

    def __init__(
        self,
        config: RunConfig,
        images: Images = "inline",
        say: Callable[[str], None] = lambda line: None,
        registry: Registry | None = None,
    ) -> None:
        """Makes a desk without runs.

        Args:
            config: The configuration of every run. Its system is the unit, or the model whose units a client names.
            images: How clients get images that do not choose it.
            say: Takes lines for the person who started the server.
            registry: Where plugins are found; the installed ones where it is None.

        Raises:
            UsageError: the configuration has no system, or there is no such unit.
        """
        if config.system is None:
            raise UsageError(
                "cannot serve runs: no model or unit is chosen; pass --system MODEL (clients choose the unit) or "
                "--system MODEL:LAYER:UNIT"
            )
        self.say, self._config, self._images, self._registry = say, config, images, registry or installed()
        self._system = config.system
        self._context = Context(config, self._registry)
        self.has_unit = ":" in self._system.name or not self._context.made_by_model(self._system.name)
        self._check_unit()
        tags: tuple[str, ...] = self._context.part("task").tags
        self.fields = {re.sub(r"\W+", "_", tag.lower()): tag for tag in tags}
        self._runs: dict[str, ClientRun] = {}
        self._lock = threading.Lock()
        self._before: dict[str, Method] | None = None

    def _check_unit(self) -> None:
        """Builds the server's one unit once, and forgets it: no client can mend a wrong one.

        The command has checked a unit of a model that can check its own without being loaded.
        """
        made_by = self._system.name.partition(":")[0].partition("/")[0]
        model = self._registry.find("model", made_by)
        if self.has_unit and not (model and hasattr(model.load(), "check_unit")):
            _ = Context(self._config, self._registry).system

    def methods(self) -> dict[str, Method]:
        """Returns the methods of the open runs; without a run, those that a run will have."""
        with self._lock:
            runs = [run.methods for run in self._runs.values() if run.methods and not run.ended]
            if runs:
                return {name: method for methods in runs for name, method in methods.items()}
            if self._before is None:
                self._before = methods_before_a_run(self._context)
            return self._before

    def start(self, client: Client, unit: str = "", resumed: str = "", images: str = "") -> ClientRun:
        """Starts a run, or resumes one, and returns it at once; its first result comes when its parts are built.

        Raises:
            ToolError: the unit's name is not one, the run does not exist or is another client's, or too many are open.
        """
        how: Any = images or self._images
        if resumed:
            return self._resume(client, resumed, how)
        name = new_run_id()
        system = self._system
        if not self.has_unit:
            if not _UNIT.fullmatch(unit):
                raise ToolError(f"unit is LAYER:UNIT, such as layer4:122, without the model's name, not {unit!r:.80}")
            system = PluginRef(name=f"{system.name}:{unit}", **system.options)
        config = self._config.model_copy(
            update={"system": system, "backbone": PluginRef(name="mcp", client=client.name)},
        )
        folder = Path(config.runs) / f"{name}-{folder_name(system.name)}"
        run = ClientRun(name, client, how)

        def drive(observer: object) -> FinishedRun:
            return explain(config, out=folder, observers=[observer], registry=self._registry)

        return self._open(run, drive)

    def of(self, name: object, client: Client) -> ClientRun:
        """Returns an open run by its name.

        Raises:
            ToolError: there is none, or another client drives it.
        """
        if name is None:
            raise ToolError('name the run, as start_run returned it: run="20261130-152400-1a2b"')
        run = self._runs.get(name) if isinstance(name, str) else None
        if run is None:
            raise ToolError(
                f"there is no open run {str(name)!r:.80}. start_run starts one; start_run(resume=RUN) resumes one"
            )
        if not client.drives(run.client):
            again = f'; start_run(resume="{run.name}") takes it over' if run.client.name == client.name else ""
            raise ToolError(f"the run {run.name} is driven by another client{again or OWN}")
        return run

    def refuse(self, tool: str, run: ClientRun) -> NoReturn:
        """Raises the error of a tool that a run does not have.

        Raises:
            ToolError: always.
        """
        if run.ended:
            raise ToolError(run.over())
        if not run.methods:
            raise ToolError(f'the run {run.name} is not ready: wait(ticket="{run.name}.0")')
        raise ToolError(f"there is no tool {tool!r:.80}.{did_you_mean(tool, [*run.methods, *RESERVED])}")

    def why(self, run: ClientRun) -> ToolError:
        """Returns what a client reads of a run that could not begin.

        Only a unit that the client has named is its own mistake; other reasons may name files, keys or the unit.
        """
        if run.resumes:
            return ToolError(NOT_RESUMED.format(run=run.name))
        mistake = isinstance(run.failure, UsageError) and not self.has_unit
        return ToolError(_FILE.sub("…", one_line(run.failure)) if mistake and run.failure else NOT_STARTED)

    def note(self, name: str, text: str) -> None:
        """Adds a note to the record of a run, if it is open."""
        if (run := self._runs.get(name)) is not None:
            run.note(text)

    def runs(self, client: Client) -> list[ClientRun]:
        """Returns the runs of a client that have started."""
        return [run for run in list(self._runs.values()) if client.drives(run.client) and run.methods]

    def close(self) -> None:
        """Ends every open run as interrupted; one that cannot end now stays as a kill would leave it."""
        runs = [run for run in list(self._runs.values()) if not run.ended]
        for run in runs:
            run.leave()
        until = time.monotonic() + LEAVE_SECONDS
        for run in runs:
            run.join(max(0.0, until - time.monotonic()))

    def _open(self, run: ClientRun, drive: Callable[[object], FinishedRun]) -> ClientRun:
        with self._lock:
            before = self._runs.get(run.name)
            if before is not None and not before.ended:
                raise ToolError(f'another call resumes the run {run.name}; wait for it: wait(ticket="{run.name}.0")')
            opened = [each for each in self._runs.values() if not each.ended]
            if len(opened) >= MAX_RUNS:
                idle = min(opened, key=lambda each: each.touched)
                if time.monotonic() - idle.touched < IDLE_SECONDS:
                    raise ToolError(
                        f"the server holds {len(opened)} open runs, its most; end one with submit_answer or stop"
                    )
                idle.leave()
            for ended in [each.name for each in self._runs.values() if each.ended][:-MAX_ENDED]:
                del self._runs[ended]
            self._runs.pop(run.name, None)
            self._runs[run.name] = run
            run.start(drive, self.say)
        self.say(f"run {run.name} is started by {run.client.name}")
        return run

    def _resume(self, client: Client, name: str, images: Images) -> ClientRun:
        before = self._runs.get(name)
        if before is not None and not before.ended:
            if before.left:
                raise ToolError(f"the run {name} stops when its present call has ended; resume it then")
            if before.client.name == client.name:
                before.client = client  # A client that lost its session knows the run by its name.
            return self.of(name, client)
        reader = self._recorded(name)
        backbone: Any = reader.manifest.config.get("backbone")
        if backbone.get("name") != "mcp" or backbone.get("client") != client.name:
            raise ToolError(f"the run {name} is not yours{OWN}")
        if not self._serves(reader.manifest.config.get("system")):
            raise ToolError(f"the run {name} is of a unit that this server does not serve{OWN}")
        if reader.ended:
            raise ToolError(f"the run {name} has ended ({reader.ended.status}); start another with start_run")
        events: list[Event] = reader.events
        run = ClientRun(name, client, images, events)

        def drive(observer: object) -> FinishedRun:
            return resume(reader.folder, observers=[observer], registry=self._registry)

        return self._open(run, drive)

    def _serves(self, recorded: Any) -> bool:
        """Returns whether a client of this server may choose a recorded system."""
        allowed = redacted(self._system.model_dump(mode="json"))
        if not self.has_unit and isinstance(recorded, dict):
            unit = str(recorded.get("name")).removeprefix(f"{self._system.name}:")
            allowed["name"] += f":{unit}"
        return bool(recorded == allowed)

    def _recorded(self, name: str) -> RunReader:
        """Returns the record of a run of this server's folder."""
        folders = sorted(Path(self._config.runs).glob(f"{name}-*")) if _NAME.fullmatch(name) else []
        try:
            if folders:
                return RunReader(folders[0])
        except RecordError as error:
            self.say(one_line(error))
        raise ToolError(f"there is no run {name!r:.80} to resume")
