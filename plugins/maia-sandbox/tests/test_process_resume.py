"""A run whose workers something kills: it reaches its end, and a resumed run repeats its record."""

import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.journal import Journal
from maia_core.registry import installed
from maia_core.session import make_session
from maia_core.testing import fake_parts

PROGRAMS = [
    "kept = 1\ndef run_experiment(system, tools): return kept",
    "import os, time, random\ndef run_experiment(system, tools): return os.urandom(4), time.time(), random.random()",
    "class Thing: pass\ndef run_experiment(system, tools): return Thing(), id(Thing), globals().get('kept', 'lost')",
    "kept = 2\ndef run_experiment(system, tools): return sum(range(9))",
    "def run_experiment(system, tools): return kept",
]


def run(tmp_path, kills, recorded=(), programs=PROGRAMS):
    """Runs the programs; before those of `kills` the worker and the spare are killed. Returns the events."""
    events = list(recorded)
    config = RunConfig.model_validate({"sandbox": {"name": "process"}})
    context = Context(config, installed(), parts=fake_parts(), cache=tmp_path / "cache")
    session = make_session(context, Journal(events.append, recorded))
    values = []
    for number, program in enumerate(programs, 1):
        if number in kills:
            for worker in (session._sandbox._worker, session._sandbox._pool._spare.result()):
                if worker is not None:
                    worker._process.kill()
        done = session.execute(program)
        session.state.turns.append(done)
        assert done.error == "" or "kept" in done.error or "ZeroDivisionError" in done.error
        values.append((done.value, done.variables_lost))
    session.close()
    return events, values


@pytest.mark.slow
def test_killed_workers_end_no_run_and_the_resumed_run_repeats_it(tmp_path):
    for kills in [{1}, {3}, {2, 5}]:
        events, values = run(tmp_path, kills)
        assert [number for number, (_, lost) in enumerate(values, 1) if lost] == sorted(kills - {1})
        again, repeated = run(tmp_path, set(), events)
        assert (again, repeated) == (events, values)


@pytest.mark.slow
def test_a_program_that_began_anew_and_failed_leaves_no_variables(tmp_path):
    programs = [PROGRAMS[0], "kept = 2\n1 / 0", PROGRAMS[4]]
    events, values = run(tmp_path, {2}, programs=programs)
    assert values == [("1", False), ("", True), ("", False)]
    assert run(tmp_path, set(), events, programs) == (events, values)
