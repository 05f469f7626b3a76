"""MCP: the time that the server adds to a call, and the size of a result of ten images."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.types import Implementation

from maia_core.config import RunConfig, validated
from maia_core.registry import Registry
from maia_core.testing import photograph
from maia_core.types import ImagePart, TextPart
from maia_mcp.content import content, tokens
from maia_mcp.desk import Desk
from maia_mcp.server import McpServer

CALLS = 25
PARTS = ("dataset", "generator", "editor", "describer", "verifier")


def _site(folder: Path) -> Path:
    """Makes core's fakes plugins named `discs`, once the folder is on the path."""
    info = folder / "discs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: discs\nVersion: 1.0\n")
    groups = {"models": "FakeModel"} | {f"{part}s": f"Fake{part.title()}" for part in PARTS}
    lines = [f"[maia.{group}]\ndiscs = maia_core.testing.fakes:{name}\n" for group, name in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


async def _calls(server: Any) -> list[float]:
    """Returns how long each of several measurements of one image took for a client."""
    seconds = []
    async with Client(server, client_info=Implementation(name="bench", version="1")) as client:

        async def call(tool: str, **arguments: Any) -> str:
            result = await client.call_tool(tool, arguments)
            return str(getattr(result.content[0], "text", ""))

        started = await call("start_run", unit="colours:red")
        while ticket := re.search(r'Call wait\(ticket="([^"]+)"\)', started):
            started = await call("wait", ticket=ticket[1])
        name = re.match(r"The run is ([\w-]+)", started)
        assert name, started
        made = await call("text2image", run=name[1], prompts=["a red disc"])
        (image,) = set(re.findall(r"\[image ([0-9a-f]{12})", made))
        for _ in range(CALLS):
            began = time.perf_counter()
            await call("neuron", run=name[1], images=[image])
            seconds.append(time.perf_counter() - began)
    return seconds


def _added(seconds: list[float], runs: Path) -> str:
    """Compares each call with its turn: the record says when a reply came and when MAIA asked again."""
    (folder,) = runs.iterdir()
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    replied = [event["time"] for event in events if event["event"] == "reply"][1:]
    asked = [event["time"] for event in events if event["event"] == "asked"][2:]
    tool = [event["seconds"] for event in events if event.get("method") == "system.neuron"]
    turns = [after - before for before, after in zip(replied, asked, strict=True)]
    server = statistics.median(1000 * (call - turn) for call, turn in zip(seconds, turns, strict=True))
    run = statistics.median(1000 * (turn - work) for turn, work in zip(turns, tool, strict=True))
    beyond = statistics.median(1000 * (call - work) for call, work in zip(seconds, tool, strict=True))
    return (
        f"{beyond:5.1f} ms a call beyond the tool; of it {server:.1f} ms added to a turn; the turn of any backbone "
        f"takes {run:.1f} ms beyond the tool, for sandbox and record (medians of {CALLS} calls, one image each)"
    )


def _ten_images() -> str:
    images = [photograph(seed, 224).retitled(f"photograph {seed}") for seed in range(10)]
    parts = [TextPart(text="Returned:"), *(ImagePart(image=image) for image in images)]
    began = time.perf_counter()
    blocks = content(parts, lambda image: 1.0, "inline", "run")
    seconds = time.perf_counter() - began
    data = "".join(getattr(block, "data", "") or getattr(block, "text", "") for block in blocks)
    said = f"{len(data):,} bytes, {tokens(blocks):,.0f} tokens by MAIA's estimate, {1000 * seconds:.0f} ms to lay out"
    spec = importlib.util.find_spec("litellm")
    if spec and spec.origin and importlib.util.find_spec("tokenizers"):
        from tokenizers import Tokenizer

        file = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers" / "anthropic_tokenizer.json"
        counted = len(Tokenizer.from_file(str(file)).encode(data).ids)
        said += f", {counted:,} tokens by a tokenizer that reads base64 as text"
    return said


def main() -> None:
    """Prints the figures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        site = _site(folder / "site")
        sys.path.insert(0, str(site))
        os.environ["MAIA_CACHE"] = str(folder / "cache")
        tools = ["text2image", "log_experiment", "results", "display"]
        chosen = dict.fromkeys(PARTS, "discs")
        given = {"system": "discs", "runs": str(folder / "memory"), "tools": tools, **chosen}
        desk = Desk(validated(RunConfig, given, "the benchmark"), registry=Registry())
        memory = anyio.run(_calls, McpServer(desk).server)
        desk.close()
        print("in memory:", _added(memory, folder / "memory"))
        words = ["mcp", "--system", "discs", *(word for part in PARTS for word in (f"--{part}", "discs"))]
        words += ["-o", f"runs={folder / 'stdio'}", "-o", f"tools={tools}".replace("'", '"')]
        stdio = StdioServerParameters(
            command=str(Path(sys.executable).with_name("maia")),
            args=words,
            env={**os.environ, "PYTHONPATH": str(site)},
            cwd=folder,
        )
        print("stdio:    ", _added(anyio.run(_calls, stdio), folder / "stdio"))
    print("ten images:", _ten_images())


if __name__ == "__main__":
    main()
