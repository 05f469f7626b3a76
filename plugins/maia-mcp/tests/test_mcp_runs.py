"""A run that a client drives, in memory: the record, the budgets, the errors, and what a client may not see."""

import json
import re
import threading
from types import SimpleNamespace

import anyio
import pytest
from click.testing import CliRunner

from maia_cli.main import maia
from maia_core.plugin import HostCall, RunReader, UsageError
from maia_core.testing.fakes import FakeModel
from maia_mcp import desk as desk_module
from maia_mcp import resources
from maia_mcp import server as server_module
from maia_mcp.clients import Client
from maia_mcp.content import MAX_TOKENS, tokens
from maia_mcp.run import ClientRun
from maia_runs import resume

ERAS = ["auto", "legacy"]
ANSWER = {"description": "Red discs.", "label": "red"}


def _folder(tmp_path):
    (folder,) = (tmp_path / "runs").iterdir()
    return folder


async def _explain(call):
    """Explains the unit for red discs: exemplars, images by a call, images by id, a program, the answer."""
    await call("start_run", unit="colours:red")
    await call("dataset_exemplars")
    made = await call("text2image", prompts=["a red disc", "a blue disc"])
    measured = await call("neuron", images=made.ids)
    program = (
        "def run_experiment(system, tools):\n    activations, images = result_3\n"
        "    tools.log_experiment(activations, images, ['red', 'blue'])"
    )
    logged = await call("run_program", program=program, hypotheses=["red"])
    return measured, logged, await call("submit_answer", **ANSWER)


@pytest.mark.parametrize("mode", ERAS)
def test_a_run_is_an_ordinary_run(make_desk, drive, tmp_path, registry, monkeypatch, mode):
    measured, logged, ended = drive(make_desk(), _explain, "tester", mode)
    red, blue = [float(value) for value in re.findall(r"activation ([\d.]+)", measured.text)]
    assert red > 0.5
    assert blue == 0
    assert "red: activation" in logged.text
    assert "MAIA takes your answer" in ended.text
    folder = _folder(tmp_path)
    record = RunReader(folder)
    assert record.ended.status == "answered"
    assert record.ended.explanation.labels == ("red",)
    assert record.ended.verdict is not None
    assert record.ended.turns == 5
    assert {entry.title for entry in record.effects.logged} == {"red", "blue"}
    assert record.manifest.config["backbone"] == {"name": "mcp", "client": "tester"}
    assert "mcp:tester" in (folder / "journal.jsonl").read_text()
    assert (folder / "report.html").exists()
    shown = CliRunner().invoke(maia, ["runs", "list", str(folder.parent)])
    assert "answered" in shown.output, shown.output
    assert "mcp:tester" in shown.output


def test_a_client_gets_the_task_and_the_library_word_for_word(make_desk, drive):
    desk = make_desk()

    async def work(call):
        started = await call("start_run", unit="colours:red")
        prompt = await call.client.get_prompt("task", {"run": call.run})
        (run,) = desk.runs(Client("tester"))
        return started.text, prompt.messages[0].content.text, run.session.conversation.messages

    started, prompt, messages = drive(desk, work)
    assert messages[0].text in started
    assert messages[1].text in started
    assert prompt == messages[1].text


def test_the_tools_are_those_of_the_library(make_desk, drive):
    desk = make_desk(tools=["text2image", "results", "display"])

    async def work(call):
        before = (await call.client.list_tools()).tools
        await call("start_run", unit="colours:red")
        after = (await call.client.list_tools(cache_mode="refresh")).tools
        (run,) = desk.runs(Client("tester"))
        return before, after, run.session.conversation.messages[0].text

    before, after, library = drive(desk, work)
    own = {"start_run", "run_program", "wait", "results", "submit_answer", "stop"}
    assert {tool.name for tool in after} == own | {"neuron", "text2image", "display"}
    assert [(tool.name, tool.input_schema) for tool in before] == [(tool.name, tool.input_schema) for tool in after]
    for tool in after:
        if tool.name not in own:
            for line in filter(None, map(str.strip, tool.description.splitlines())):
                assert line in library


def test_results_lists_what_was_logged_without_a_turn(make_desk, drive, tmp_path):
    desk = make_desk()

    async def work(call):
        await call("start_run", unit="colours:red")
        empty = await call("results")
        made = await call("text2image", prompts=["a red disc"])
        await call("log_experiment", activations=[4.25], images=made.ids, titles=["a red disc"])
        return empty.text, (await call("results")).text, made.ids, desk.runs(Client("tester"))[0].turn

    empty, listed, ids, turn = drive(desk, work)
    assert empty == "Nothing is logged yet."
    assert listed == f"a red disc: activation 4.25 [image {ids[0]}]"
    assert turn == 2


def test_mistakes_have_the_text_that_a_program_gets(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        single = await call("dataset_exemplars", count="many")
        program = "def run_experiment(system, tools):\n    tools.dataset_exemplars(system, count='many')"
        return single, await call("run_program", program=program)

    single, program = drive(make_desk(), work)
    assert single.is_error
    assert program.is_error
    said = [re.search("ToolError: (.*)", result.text)[1] for result in (single, program)]
    assert said[0] == said[1]
    assert "count is 'many'" in said[0]


def test_a_fault_is_sanitised_and_its_traceback_is_in_the_record(make_desk, drive, tmp_path):
    async def work(call):
        await call("start_run", unit="colours:red")
        return [await call("broken") for _ in range(3)]

    faults = drive(make_desk(tools=["text2image", "broken"]), work)
    assert all(fault.is_error for fault in faults)
    assert "not of your program" in faults[0].text
    assert "The run has failed" in faults[-1].text
    assert not any("secret" in fault.text for fault in faults)
    assert "cannot open /home/person/secret.txt" in (_folder(tmp_path) / "journal.jsonl").read_text()


def test_a_fault_of_the_server_is_sanitised_too(make_desk, drive, monkeypatch):
    def fails(*rest):
        raise RuntimeError("cannot open /home/person/secret.txt")

    async def work(call):
        await call("start_run", unit="colours:red")
        monkeypatch.setattr(server_module, "program_of", fails)
        fault = await call("text2image", prompts=["a red disc"])
        monkeypatch.undo()
        return fault, await call("text2image", prompts=["a red disc"])

    fault, after = drive(make_desk(), work)
    assert fault.is_error
    assert "secret" not in fault.text
    assert not after.is_error
    assert any("secret.txt" in line for line in make_desk.said)


def test_budgets_hold_and_the_client_is_asked_for_its_answer(make_desk, drive, tmp_path):
    async def work(call):
        await call("start_run", unit="colours:red")
        await call("text2image", prompts=["a red disc"])
        last = await call("text2image", prompts=["a blue disc"])
        late = await call("text2image", prompts=["a green disc"])
        return last, late, await call("submit_answer", **ANSWER)

    last, late, ended = drive(make_desk(limits={"turns": 2}), work)
    assert "The run ends here" in last.text
    assert late.is_error
    assert "submit_answer" in late.text
    assert "MAIA takes your answer" in ended.text
    assert RunReader(_folder(tmp_path)).ended.status == "answered"


def test_the_quota_of_images_holds(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        return await call("text2image", prompts=["a red disc"] * 9)

    refused = drive(make_desk(limits={"images": 8}), work)
    assert refused.is_error
    assert "8" in refused.text


def test_a_call_without_a_run_is_asked_for_it(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        return await call.once("text2image", prompts=["a red disc"])

    refused = drive(make_desk(), work)
    assert refused.is_error
    assert refused.text.startswith("name the run, as start_run returned it")


def test_an_answer_of_the_wrong_form_costs_no_turn(make_desk, drive, tmp_path):
    async def work(call):
        await call("start_run", unit="colours:red")
        await call("text2image", prompts=["a red disc"])
        wrong = [
            await call("submit_answer", description="Red discs."),
            await call("submit_answer", description=" ", label="red"),
            await call("submit_answer", description="Red discs.", label=["red (150 %)"]),
        ]
        return wrong, await call("submit_answer", **ANSWER)

    wrong, ended = drive(make_desk(), work)
    assert all(result.is_error for result in wrong)
    assert "'label' is a required property" in wrong[0].text
    assert "150 %" in wrong[2].text
    assert not ended.is_error
    assert RunReader(_folder(tmp_path)).ended.turns == 2


@pytest.mark.slow
def test_a_long_call_returns_a_ticket_and_reports_progress(make_desk, drive, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_SECONDS", 0.3)
    monkeypatch.setattr(server_module, "PROGRESS_SECONDS", 0.1)

    async def work(call):
        await call("start_run", unit="colours:red")
        call.progress.clear()
        ticket = await call.once("slow", run=call.run, seconds=1.0)
        busy = await call("text2image", prompts=["a red disc"])
        name = re.search(r'ticket="([^"]+)"', ticket.text)[1]
        return ticket, busy, await call("wait", ticket=name), await call("wait", ticket=name), call.progress

    ticket, busy, done, again, progress = drive(make_desk(tools=["text2image", "slow"]), work)
    assert "This takes longer" in ticket.text
    assert busy.is_error
    assert "works on another call" in busy.text
    assert "awake" in done.text
    assert again.text == done.text, "a lost result can be had again"
    assert "turn 1" in progress[0]


def test_two_clients_drive_a_run_each_at_once(make_desk, connect, tmp_path):
    desk = make_desk()

    async def main():
        ended = {}

        async def one(name, mode):
            async with connect(desk, name, mode) as call:
                ended[name] = (await _explain(call))[-1]

        async with anyio.create_task_group() as group:
            group.start_soon(one, "first", "auto")
            group.start_soon(one, "second", "legacy")
        return ended

    ended = anyio.run(main)
    assert all("MAIA takes your answer" in result.text for result in ended.values()), [r.text for r in ended.values()]
    clients = {RunReader(folder).manifest.config["backbone"]["client"] for folder in (tmp_path / "runs").iterdir()}
    assert clients == {"first", "second"}


def test_another_client_does_not_touch_a_run(make_desk, connect):
    desk = make_desk()

    async def main():
        async with connect(desk, "first") as call, connect(desk, "second") as other:
            made = await call("start_run", unit="colours:red")
            made = await call("text2image", prompts=["a red disc"])
            other.run = call.run
            refused = [
                await other("text2image", prompts=["a red disc"]),
                await other("results"),
                await other("stop"),
                await other("wait", ticket=f"{call.run}.1"),
                await other("start_run", resume=call.run),
            ]
            listed = (await other.client.list_resources()).resources
            with pytest.raises(Exception, match="another client"):
                await other.client.read_resource(f"maia://{call.run}/images/{made.ids[0]}")
            return refused, listed, await call("text2image", prompts=["a blue disc"])

    refused, listed, after = anyio.run(main)
    assert all(result.is_error and "another client" in result.text for result in refused)
    assert listed == []
    assert not after.is_error


def test_a_stopped_run_says_how_to_resume_it(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        await call("stop")
        return call.run, await call("text2image", prompts=["a red disc"])

    run, late = drive(make_desk(), work)
    assert late.text == f'the run {run} is stopped; start_run(resume="{run}") resumes it'


def test_progress_names_the_test_of_an_answer():
    run = ClientRun("20261130-152400-1a2b", Client("tester"), "inline")
    run.session = SimpleNamespace(state=SimpleNamespace(turns=[], final=False))
    run._waits = True
    run.submit(lambda turn: "answer", is_answer=True)
    assert run.progress() == "turn 1: testing the answer"


def test_stop_and_resume_repeats_nothing(make_desk, drive, tmp_path):
    desk = make_desk()

    async def first(call):
        await call("start_run", unit="colours:red")
        made = await call("text2image", prompts=["a red disc", "a blue disc"])
        stopped = await call("stop")
        return call.run, made.ids, stopped

    run, ids, stopped = drive(desk, first)
    assert not stopped.is_error
    calls = len(RunReader(_folder(tmp_path)).of_type(HostCall))

    async def second(call):
        resumed = await call("start_run", resume=run)
        measured = await call("neuron", images=ids)
        return resumed, measured, await call("submit_answer", **ANSWER), await call("start_run", resume=run)

    resumed, measured, ended, again = drive(make_desk(), second, "tester", "legacy")
    assert f"The run is {run}" in resumed.text
    assert "resumed after turn 1" in resumed.text
    assert set(resumed.ids) == set(ids)
    assert "activation 0" in measured.text
    assert "MAIA takes your answer" in ended.text
    assert "has ended" in again.text
    assert len(RunReader(_folder(tmp_path)).of_type(HostCall)) == calls + 1


def test_a_terminal_does_not_resume_a_client_s_run(make_desk, drive, tmp_path):
    async def work(call):
        await call("start_run", unit="colours:red")
        await call("stop")

    drive(make_desk(), work)
    with pytest.raises(Exception, match="maia mcp"):
        resume(_folder(tmp_path))


def test_a_run_that_another_server_drives_is_not_resumed(make_desk, connect):
    here, there = make_desk(), make_desk()

    async def main():
        async with connect(here) as call, connect(there) as other:
            await call("start_run", unit="colours:red")
            refused = await other("start_run", resume=call.run)
            return refused, await call("text2image", prompts=["a red disc"])

    refused, after = anyio.run(main)
    assert refused.is_error
    assert "cannot be resumed: another process drives it" in refused.text
    assert not after.is_error


def test_too_many_runs_are_refused_and_an_idle_one_makes_room(make_desk, drive, monkeypatch):
    monkeypatch.setattr(desk_module, "MAX_RUNS", 1)

    async def work(call):
        await call("start_run", unit="colours:red")
        first, refused = call.run, await call("start_run", unit="colours:blue")
        monkeypatch.setattr(desk_module, "IDLE_SECONDS", 0.0)
        await call("start_run", unit="colours:blue")
        second, call.run = call.run, first
        return first, refused, second, await call("text2image", prompts=["a red disc"])

    first, refused, second, late = drive(make_desk(), work)
    assert refused.is_error
    assert "holds 1 open runs" in refused.text
    assert second != first
    assert f'is stopped; start_run(resume="{first}") resumes it' in late.text


HOSTILE = [
    ("start_run", {"unit": "../../etc/passwd"}),
    ("start_run", {"unit": "/etc/passwd:1"}),
    ("start_run", {"unit": "sae=/etc/passwd:3"}),
    ("start_run", {"unit": "colours:red", "out": "/tmp/x"}),
    ("start_run", {"resume": "../../.."}),
    ("start_run", {"resume": "20200101-000000-0000"}),
    ("start_run", {"images": "all"}),
    ("start_run", {"unit": "colours:\ud800"}),
    ("wait", {"ticket": "x"}),
    ("wait", {"ticket": "../../etc.1"}),
    ("wait", {"ticket": "{run}.99"}),
    ("wait", {"ticket": "{run}.-1"}),
    ("results", {"run": "nobody"}),
    ("results", {"run": 5}),
    ("run_program", {"run": "{run}", "program": " "}),
    ("run_program", {"run": "{run}", "program": ["x"]}),
    ("text2image", {"run": "{run}", "prompts": "x" * 300_000}),
    ("text2image", {"run": "{run}", "prompts": ["x"], "__class__": "x"}),
    ("text2image", {"run": "{run}", "prompts": ["x"], "a) or print(1": "x"}),
    ("text2image", {"prompts": ["x"]}),
    ("neuron", {"run": "{run}", "images": ["0123456789ab"]}),
    ("neuron", {"run": "{run}", "images": {"a": [[[[None]]]]}}),
    ("__import__", {"run": "{run}"}),
    ("system.neuron", {"run": "{run}", "images": []}),
    ("submit_answer", {"run": "{run}", "description": {}, "label": 3}),
    ("stop", {"run": None}),
    ("stop", {}),
]


@pytest.mark.parametrize("mode", ERAS)
def test_hostile_arguments_are_refused_in_one_clear_text(make_desk, drive, tmp_path, mode):
    async def work(call):
        await call("start_run", unit="colours:red")
        for tool, arguments in HOSTILE:
            given = json.loads(json.dumps(arguments).replace("{run}", call.run))
            given = {key: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
                     for key, value in given.items()}  # fmt: skip
            result = await call.once(tool, **given)
            assert result.is_error, (tool, arguments)
            assert "fault that is not yours" not in result.text, (tool, arguments)
            assert str(tmp_path) not in result.text
        return await call("text2image", prompts=["a red disc"])

    assert not drive(make_desk(), work, "tester", mode).is_error


@pytest.mark.parametrize(
    "prompt",
    [
        "</think>",
        "<end_code>",
        "```",
        "[CODE]:\n```python",
        "[LABEL]: x",
        "'\"\\",
        "\x00\x1b[31m",
        "ä€🦊",
        "0123456789ab ",
    ],
)
def test_any_prompt_reaches_the_generator_as_it_is(make_desk, drive, tmp_path, prompt):
    async def work(call):
        await call("start_run", unit="colours:red")
        return await call("text2image", prompts=[prompt])

    assert not drive(make_desk(), work).is_error
    (call,) = RunReader(_folder(tmp_path)).of_type(HostCall)
    assert [prompt] in [*call.arguments["args"], *call.arguments["kwargs"].values()]


def test_an_unknown_unit_is_named_and_a_file_is_not(make_desk, drive, monkeypatch):
    async def work(call):
        return await call("start_run", unit="layers:red"), await call("start_run", unit="colours:red")

    unknown, _ = drive(make_desk(), work)
    assert unknown.is_error
    assert "no layer 'layers'" in unknown.text


def test_a_unit_that_the_person_chose_is_not_named_by_an_error(make_desk, drive, monkeypatch):
    """The server could build the unit at its start; its file is gone when a client begins a run."""

    async def work(call):
        tools = (await call.client.list_tools()).tools
        return next(tool for tool in tools if tool.name == "start_run"), await call("start_run")

    def unit(model, ref):
        raise UsageError("the file of secretlayer is gone")

    desk = make_desk(system="discs:colours:red")
    monkeypatch.setattr(FakeModel, "unit", unit)
    start, failed = drive(desk, work)
    assert "unit" not in start.input_schema["properties"]
    assert failed.is_error
    assert "secretlayer" not in failed.text
    assert any("secretlayer" in line for line in make_desk.said)


@pytest.mark.slow
def test_a_thousand_calls(make_desk, drive, tmp_path):
    limits = {"turns": 2000, "experiments": 2000, "images": 5000}

    async def work(call):
        await call("start_run", unit="colours:red")
        made = await call("text2image", prompts=["a red disc"])
        threads = []
        for number in range(999):
            result = await call("neuron", images=made.ids)
            assert not result.is_error
            if number in (100, 998):
                threads.append(threading.active_count())
        return await call("submit_answer", **ANSWER), threads

    ended, (early, late) = drive(make_desk(limits=limits), work)
    assert "MAIA takes your answer" in ended.text
    assert late - early < 5, "a call leaves a thread behind"
    assert RunReader(_folder(tmp_path)).ended.turns == 1001


def test_a_server_of_one_unit_resumes_no_other(make_desk, drive):
    async def first(call):
        await call("start_run", unit="colours:yellow")
        await call("stop")
        return call.run

    run = drive(make_desk(), first)

    async def second(call):
        return await call("start_run", resume=run)

    for system in ("discs:colours:red", "withheld:zebrafish"):
        refused = drive(make_desk(system=system), second)
        assert refused.is_error
        assert "this server does not serve" in refused.text
    assert not drive(make_desk(system="discs:colours:yellow"), second).is_error


def test_a_wrong_name_of_a_run_leads_to_no_other(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        return call.run, await call.once("results", run=f"{call.run[:-1]}x")

    run, refused = drive(make_desk(), work)
    assert refused.is_error
    assert run not in refused.text


def test_an_answer_before_the_first_experiment_leads_to_a_tool(make_desk, drive):
    async def work(call):
        await call("start_run", unit="colours:red")
        return await call("submit_answer", **ANSWER)

    refused = drive(make_desk(), work)
    assert "no experiment of yours has succeeded yet. Send an experiment first" in refused.text
    assert "[CODE]" not in refused.text


def test_the_start_of_a_resumed_run_fits_a_host(make_desk, drive):
    program = "def run_experiment(system, tools):\n    print(*[n / 7 for n in range(9000)])"

    async def work(call):
        await call("start_run", unit="colours:red")
        await call("run_program", program=program)
        await call("stop")
        return await call("start_run", resume=call.run)

    resumed = drive(make_desk(), work)
    assert tokens(resumed.result.content) < MAX_TOKENS
    assert "0.1429 0.2857" in resumed.text
    assert "more characters; the record has all of them" in resumed.text


@pytest.mark.slow
def test_links_fit_a_host_and_pages_list_all_images(make_desk, drive, monkeypatch):
    program = (
        "def run_experiment(system, tools):\n    for n in range(150):\n"
        "        tools.display(*tools.text2image([f'a red disc {n}']))"
    )

    async def work(call):
        await call("start_run", unit="colours:red")
        shown = await call("run_program", program=program)
        monkeypatch.setattr(resources, "PAGE", 40)
        pages, cursor = [], None
        while not pages or cursor:
            page = await call.client.list_resources(cursor=cursor)
            pages.append(page.resources)
            cursor = page.next_cursor
        with pytest.raises(Exception, match="not a cursor"):
            await call.client.list_resources(cursor="-1")
        return shown, pages

    shown, pages = drive(make_desk("link"), work)
    links = [block for block in shown.result.content if block.type == "resource_link"]
    assert tokens(shown.result.content) < MAX_TOKENS
    listed = {str(each.uri) for page in pages for each in page}
    assert links
    assert {str(link.uri) for link in links} <= listed
    assert len(listed) == 1 + len(set(shown.ids))
    assert [len(page) for page in pages] == [40, len(listed) - 40]
