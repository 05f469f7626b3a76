"""A world of coloured discs as installed plugins, served to clients."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import Implementation

from maia_core.config import RunConfig, validated
from maia_core.registry import Registry, installed
from maia_mcp.desk import Desk
from maia_mcp.server import McpServer

PARTS = ("dataset", "generator", "editor", "describer", "verifier")

TOOLS = '''
"""Tools that do what a server must survive."""

import os
import subprocess
import sys
import time
import warnings

from maia_core.plugin import PluginConfig, UnitInfo
from maia_core.testing import is_colour


class Noisy:
    """Prints in every way."""

    def __init__(self, config, context):
        pass

    def __call__(self, text: str) -> str:
        """Prints, warns, and starts a process that prints.

        Args:
            text: What is printed.
        """
        print(text, flush=True)
        print("left in the buffer of stdout", end="")
        sys.__stdout__.write("left in the buffer of the first stdout")
        os.write(1, b"written past Python\\n")
        warnings.warn("this is deprecated", stacklevel=1)
        child = "import sys; print('from a child'); print(repr(sys.stdin.read()))"
        done = subprocess.run([sys.executable, "-c", child], timeout=60)
        import torch
        torch.nn.functional.nll_loss(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), size_average=True)
        return f"child {done.returncode}"


class Broken:
    """Fails by a fault of its own."""

    def __init__(self, config, context):
        pass

    def __call__(self) -> None:
        """Fails."""
        raise RuntimeError("cannot open /home/person/secret.txt")


class Withheld:
    """A unit whose truth is in its reference, and in nothing that a backbone sees."""

    class Config(PluginConfig):
        """The truth."""

        ref: str = ""

    def __init__(self, config, context):
        self.truth = config.ref
        self.info = UnitInfo(model="a model")

    def neuron(self, images):
        """Measures the unit on a batch of images.

        Args:
            images: The images.
        """
        masks = [is_colour((image.clean or image).pixels(), "yellow") for image in images]
        return [10 * float(mask.mean()) for mask in masks], [i.masked(m) for i, m in zip(images, masks)]


class Slow:
    """Takes its time."""

    def __init__(self, config, context):
        pass

    def __call__(self, seconds: float) -> str:
        """Waits.

        Args:
            seconds: How long.
        """
        time.sleep(seconds)
        return "awake"
'''


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """A folder that makes core's fakes plugins named `discs`, and odd tools plugins too, once it is on the path."""
    folder = tmp_path_factory.mktemp("site")
    info = folder / "discs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: discs\nVersion: 1.0\nSummary: discs\n")
    groups = {"models": "FakeModel"} | {f"{part}s": f"Fake{part.title()}" for part in PARTS}
    lines = [f"[maia.{group}]\ndiscs = maia_core.testing.fakes:{name}\n" for group, name in groups.items()]
    tools = "".join(f"{name.lower()} = discs_tools:{name}\n" for name in ("Noisy", "Broken", "Slow"))
    own = [f"[maia.tools]\n{tools}", "[maia.systems]\nwithheld = discs_tools:Withheld\n"]
    (info / "entry_points.txt").write_text("\n".join([*lines, *own]))
    (folder / "discs_tools.py").write_text(TOOLS)
    return folder


@pytest.fixture
def registry(site, monkeypatch) -> Iterator[Registry]:
    """The installed plugins and the discs."""
    monkeypatch.syspath_prepend(str(site))
    yield Registry()
    installed.cache_clear()


@pytest.fixture
def environment(site, tmp_path) -> dict[str, str]:
    """The environment of a server's process that finds the discs."""
    return dict(os.environ) | {"PYTHONPATH": str(site), "MAIA_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    """The arguments of `maia mcp` that choose the discs."""
    tools = ["dataset_exemplars", "text2image", "log_experiment", "results", "display", "noisy", "slow"]
    return [
        *("--system", "discs"),
        *(word for part in PARTS for word in (f"--{part}", "discs")),
        *("-o", f"runs={tmp_path / 'runs'}", "-o", f"tools={tools}".replace("'", '"')),
    ]


@pytest.fixture
def make_desk(registry, tmp_path, monkeypatch) -> Iterator[Callable[..., Desk]]:
    """Makes desks on the discs; they are closed afterwards. `make_desk.said` holds the lines for the person."""
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    desks: list[Desk] = []

    def make(images: Any = "inline", **config: Any) -> Desk:
        given = {"system": "discs", "runs": str(tmp_path / "runs"), **dict.fromkeys(PARTS, "discs")} | config
        desks.append(Desk(validated(RunConfig, given, "the test"), images, make.said.append, registry))  # type: ignore[attr-defined]
        return desks[-1]

    make.said = []  # type: ignore[attr-defined]
    yield make
    for desk in desks:
        desk.close()


class Heard:
    """What a client is told by one result."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.is_error = result.is_error
        self.text = "\n".join(block.text for block in result.content if block.type == "text")
        self.ids = re.findall(r"\[image ([0-9a-f]{12})", self.text)


class Caller:
    """A client of a test: calls tools and keeps what it was told."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.run = ""
        self.progress: list[str] = []

    async def once(self, tool: str, **arguments: Any) -> Heard:
        """Calls a tool once."""

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            self.progress.append(message or "")

        return Heard(await self.client.call_tool(tool, arguments, progress_callback=heard))

    async def __call__(self, tool: str, **arguments: Any) -> Heard:
        """Calls a tool of the run, and waits for its result with tickets where it takes long."""
        given = arguments if tool in ("start_run", "wait") else {"run": self.run, **arguments}
        heard = await self.once(tool, **given)
        while ticket := re.search(r'Call wait\(ticket="([^"]+)"\)', heard.text):
            heard = await self.once("wait", ticket=ticket[1])
        if tool == "start_run" and (name := re.match(r"The run is ([\w-]+)", heard.text)):
            self.run = name[1]
        return heard


@pytest.fixture
def open_client() -> Callable[..., Any]:
    """Opens a client of anything that the SDK connects to: `async with open_client(server, name, mode) as call`."""

    @asynccontextmanager
    async def opened(server: Any, name: str = "tester", mode: Any = "auto") -> AsyncIterator[Caller]:
        async with Client(server, client_info=Implementation(name=name, version="1"), mode=mode) as client:
            yield Caller(client)

    return opened


@pytest.fixture
def connect(open_client) -> Callable[..., Any]:
    """Opens a client of a server in this process: `async with connect(desk, name, mode) as call`."""

    def make(desk: Desk, *rest: Any) -> Any:
        return open_client(McpServer(desk).server, *rest)

    return make


@pytest.fixture
def drive(connect) -> Callable[..., Any]:
    """Returns the result of an async function that is called with a client of a desk."""

    def run(desk: Desk, work: Callable[[Caller], Any], *rest: Any) -> Any:
        async def main() -> Any:
            async with connect(desk, *rest) as call:
                return await work(call)

        return anyio.run(main)

    return run
