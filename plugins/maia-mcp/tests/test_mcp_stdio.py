"""The server as a host starts it: a process with frames on its standard output, and nothing else."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from mcp import StdioServerParameters

from maia_core.plugin import HostCall, RunReader

MAIA = str(Path(sys.executable).with_name("maia"))
ANSWER = {"description": "Red discs.", "label": "red"}


@pytest.fixture
def server(arguments, environment, tmp_path):
    return StdioServerParameters(command=MAIA, args=["mcp", *arguments], env=environment, cwd=tmp_path)


def _folder(tmp_path):
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_run_over_stdio(server, open_client, tmp_path, mode):
    async def main():
        async with open_client(server, "tester", mode) as call:
            await call("start_run", unit="colours:red")
            made = await call("text2image", prompts=["a red disc", "a blue disc"])
            measured = await call("neuron", images=made.ids)
            return measured, await call("submit_answer", **ANSWER)

    measured, ended = anyio.run(main)
    assert re.search(r"a red disc, activation [\d.]+", measured.text)
    assert "MAIA takes your answer" in ended.text
    assert RunReader(_folder(tmp_path)).ended.status == "answered"


class Raw:
    """A client without the SDK: it sees every byte of the server's standard output."""

    def __init__(self, arguments, environment, folder):
        self.process = subprocess.Popen(
            [MAIA, "mcp", *arguments], cwd=folder, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines = []
        client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        self.ask("initialize", client)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def ask(self, method, params):
        number = len(self.lines) + 1
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        while line := self.process.stdout.readline():
            self.lines.append(line)
            message = json.loads(line)
            if message.get("id") == number:
                return message.get("result", message)
        raise AssertionError(self.process.stderr.read())

    def call(self, tool, **arguments):
        (text, *_) = self.ask("tools/call", {"name": tool, "arguments": arguments})["content"]
        while ticket := re.search(r'Call wait\(ticket="([^"]+)"\)', text["text"]):
            (text, *_) = self.ask("tools/call", {"name": "wait", "arguments": {"ticket": ticket[1]}})["content"]
        return text["text"]

    def start(self, **arguments):
        return re.match(r"The run is ([\w-]+)", self.call("start_run", **arguments))[1]


@pytest.mark.slow
def test_nothing_but_frames_on_stdout(arguments, environment, tmp_path):
    raw = Raw(arguments, environment, tmp_path)
    run = raw.start(unit="colours:red")
    text = raw.call("noisy", run=run, text="printed by a tool")
    assert "child 0" in text, text
    assert "printed" not in text
    raw.call("submit_answer", run=run, **ANSWER)
    rest, errors = raw.process.communicate(timeout=60)
    assert rest == ""
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in raw.lines)
    for noise in ("printed by a tool", "written past Python", "from a child", "size_average", "left in the buffer"):
        assert noise in errors
    assert raw.process.returncode == 0


@pytest.mark.slow
def test_killed_and_resumed(arguments, environment, tmp_path):
    raw = Raw(arguments, environment, tmp_path)
    run = raw.start(unit="colours:red")
    raw.call("text2image", run=run, prompts=["a red disc"])
    raw.process.send_signal(signal.SIGKILL)
    raw.process.communicate()
    record = RunReader(_folder(tmp_path))
    assert record.outcome is None
    again = Raw(arguments, environment, tmp_path)
    assert again.start(resume=run) == run
    ids = re.findall(r"\[image ([0-9a-f]{12})", again.call("run_program", run=run, program=SHOW))
    assert "activation" in again.call("neuron", run=run, images=ids)
    again.call("submit_answer", run=run, **ANSWER)
    again.process.communicate(timeout=60)
    ended = RunReader(_folder(tmp_path))
    assert ended.ended.status == "answered"
    assert ended.events[: len(record.events)] == record.events
    assert [call.method for call in ended.of_type(HostCall)].count("tools.text2image") == 1


SHOW = "def run_experiment(system, tools):\n    return result_1"
"""Variables of the programs before the kill are there again."""


@pytest.mark.slow
def test_a_client_that_disappears_in_the_middle_of_a_call_loses_nothing(arguments, environment, tmp_path):
    raw = Raw(arguments, environment, tmp_path)
    run = raw.start(unit="colours:red")
    slow = {"name": "slow", "arguments": {"run": run, "seconds": 2.0}}
    raw.send({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": slow})
    journal = _folder(tmp_path) / "journal.jsonl"
    while "tools.slow" not in journal.read_text():
        time.sleep(0.1)
    raw.process.stdin.close()
    raw.process.wait(60)
    assert RunReader(_folder(tmp_path)).outcome.status == "interrupted"
    again = Raw(arguments, environment, tmp_path)
    assert again.start(resume=run) == run
    assert "awake" in again.call("wait", ticket=f"{run}.0")
    again.process.stdin.close()
    again.process.wait(60)
    assert not os.path.exists(tmp_path / "runs" / "None")
