"""The life of runs in a server: what it keeps of ended ones, and two calls that resume one run."""

import gc
import re
import threading
import weakref

import anyio

from maia_mcp import desk as desk_module
from maia_mcp.clients import Client

UNIT = "colours:red"


def test_an_ended_run_lets_go_of_its_model(make_desk, drive):
    desk = make_desk()

    async def work(call):
        await call("start_run", unit=UNIT)
        await call("text2image", prompts=["a red disc"])
        run = call.run
        await call("stop")
        await call("start_run", resume=run)
        session = desk.of(run, Client("tester")).session
        held = [weakref.ref(session), weakref.ref(session.context.system), weakref.ref(session.task)]
        del session
        await call("stop")
        return held, await call("results")

    held, results = drive(desk, work)
    gc.collect()
    assert [ref() for ref in held] == [None] * 3
    assert not results.is_error, "the ended run still answers"


def test_a_run_that_could_not_begin_lets_go_of_its_parts(make_desk, drive, monkeypatch):
    desk, held = make_desk(), []

    class Part:
        pass

    def fails(*rest, **options):
        part = Part()
        held.append(weakref.ref(part))
        raise ValueError("the disk is full")

    monkeypatch.setattr(desk_module, "explain", fails)

    async def work(call):
        return await call("start_run", unit=UNIT)

    assert drive(desk, work).is_error
    gc.collect()
    assert held[0]() is None


def test_the_oldest_ended_runs_are_forgotten(make_desk, drive, monkeypatch):
    monkeypatch.setattr(desk_module, "MAX_ENDED", 2)

    async def work(call):
        names = []
        for _ in range(4):
            await call("start_run", unit=UNIT)
            names.append(call.run)
            await call("stop")
        await call("start_run", unit=UNIT)
        return [(await call.once("results", run=name)).is_error for name in names]

    assert drive(make_desk(), work) == [True, True, False, False]


def test_two_calls_that_resume_one_run_make_one_run(make_desk, drive, monkeypatch):
    desk, read, both = make_desk(), desk_module.RunReader, threading.Barrier(2)

    def slow(folder):
        both.wait(60)  # Neither call has begun to resume when the other looks.
        return read(folder)

    async def work(call):
        await call("start_run", unit=UNIT)
        await call("text2image", prompts=["a red disc"])
        await call("stop")
        monkeypatch.setattr(desk_module, "RunReader", slow)
        heard = []

        async def one():
            heard.append(await call.once("start_run", resume=call.run))

        async with anyio.create_task_group() as group:
            group.start_soon(one)
            group.start_soon(one)
        return heard, await call("text2image", prompts=["a blue disc"])

    heard, after = drive(desk, work)
    (refused,) = [each.text for each in heard if each.is_error]
    assert "another call resumes the run" in refused
    assert not after.is_error


def test_a_ticket_of_before_the_resume_is_refused_at_once(make_desk, drive):
    async def work(call):
        await call("start_run", unit=UNIT)
        await call("text2image", prompts=["a red disc"])
        await call("text2image", prompts=["a blue disc"])
        await call("stop")
        await call("start_run", resume=call.run)
        call.progress.clear()
        waits = [await call.once("wait", ticket=f"{call.run}.{turn}") for turn in (1, 2, 3)]
        made = await call("text2image", prompts=["a green disc"])
        waits += [await call.once("wait", ticket=f"{call.run}.{turn}") for turn in (0, 1, 3)]
        return waits, made, call.progress

    waits, made, progress = drive(make_desk(), work)
    assert not made.is_error
    assert ["before the resume" in each.text for each in waits] == [True, False, False, False, True, False]
    assert re.search("has come to turn 2", waits[2].text)
    assert waits[5].text == made.text
    assert progress == []
