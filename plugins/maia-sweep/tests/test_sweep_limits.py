from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from maia_core.plugin import BackboneBusy, BackboneInfo, CallLimits, Reply, Usage
from maia_sweep.ledgers import Ledger, SweepLimits
from maia_sweep.pacing import Pacing, SweepPaused


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1e9

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("maia_sweep.ledgers.time", clock)
    monkeypatch.setattr("maia_sweep.pacing.time", clock)
    return clock


class Backbone:
    """Takes some calls and refuses others."""

    info = BackboneInfo(name="service")

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.extra = "kept"

    def complete(self, messages: Any, limits: Any) -> Reply:
        result = self.results.pop(0) if self.results else Reply(text="ok")
        if isinstance(result, Exception):
            raise result
        return result


def paced(ledger: Ledger, backbone: Backbone) -> Any:
    return Pacing(ledger).part_built("backbone", backbone)


def call(backbone: Any) -> Reply:
    return backbone.complete([], CallLimits())


def test_sessions_share_the_calls_of_a_minute(tmp_path: Path, clock: Clock) -> None:
    limits = SweepLimits(calls_per_minute=60)
    sessions = [paced(Ledger(tmp_path, limits), Backbone()) for _ in range(4)]
    started = clock.now
    for _ in range(3):
        for session in sessions:
            call(session)
    assert clock.now - started == pytest.approx(11, abs=0.1), "12 calls, one per second"


def test_a_refusal_holds_all_sessions_back_and_success_speeds_them_up(tmp_path: Path, clock: Clock) -> None:
    Ledger(tmp_path, SweepLimits()).refused(30)
    other = paced(Ledger(tmp_path, SweepLimits()), Backbone())
    started = clock.now
    call(other)
    assert clock.now - started >= 30
    pauses = []
    for _ in range(30):
        before = clock.now
        call(other)
        pauses.append(clock.now - before)
    assert pauses[0] > 0
    assert pauses[-1] == 0
    assert pauses == sorted(pauses, reverse=True)


def test_refusals_in_a_row_slow_down_more_and_more_and_those_at_once_do_so_once(tmp_path: Path, clock: Clock) -> None:
    ledger = Ledger(tmp_path, SweepLimits())
    for _ in range(5):  # Five sessions that had called before the first refusal.
        ledger.refused(None)
    assert ledger.state.pause == 0.5
    clock.now += 10
    ledger.refused(None)
    assert ledger.state.pause == 1.0


def spend(folder: Path) -> None:
    ledger = Ledger(folder, SweepLimits())
    for _ in range(50):
        ledger.spend(Usage(cost=0.01, input_tokens=1))


def test_processes_count_together(tmp_path: Path) -> None:
    processes = [multiprocessing.get_context("fork").Process(target=spend, args=(tmp_path,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert Ledger(tmp_path, SweepLimits()).state.tokens == 200
    assert (
        Ledger(tmp_path, SweepLimits(cost=2.0)).used_up() == ""
        or "$2.00 of $2.00" in Ledger(tmp_path, SweepLimits(cost=2.0)).used_up()
    )
    assert "200 of 150 tokens" in Ledger(tmp_path, SweepLimits(tokens=150)).used_up()
    assert Ledger(tmp_path, SweepLimits(cost=2.5, tokens=201)).used_up() == ""


def test_a_wrapped_backbone_is_otherwise_as_it_was(tmp_path: Path) -> None:
    wrapped = paced(Ledger(tmp_path, SweepLimits()), Backbone())
    assert wrapped.info.name == "service"
    assert wrapped.extra == "kept"
    assert Pacing(Ledger(tmp_path, SweepLimits())).part_built("generator", object()) is None


def test_a_torn_ledger_starts_at_zero_and_costs_no_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, SweepLimits())
    ledger.spend(Usage(cost=1.0))
    (tmp_path / "ledger.json").write_bytes(b'{"cost": 1')
    ledger.spend(Usage(cost=0.5))
    assert ledger.state.cost == 0.5


def test_a_long_retry_after_pauses_the_run_and_does_not_fail_it(tmp_path: Path, clock: Clock) -> None:
    started = clock.now
    assert call(paced(Ledger(tmp_path, SweepLimits()), Backbone(BackboneBusy("429", retry_after=900)))).text == "ok"
    assert 900 <= clock.now - started < 1000


def test_the_time_that_a_session_waited_stands_apart_in_its_next_reply(tmp_path: Path, clock: Clock) -> None:
    ledger = Ledger(tmp_path, SweepLimits(calls_per_minute=6))
    unnamed, named = BackboneBusy("429"), BackboneBusy("429", retry_after=900)
    backbone = paced(ledger, Backbone(Reply(text="first"), unnamed, named))
    assert call(backbone).waited == 0
    with pytest.raises(BackboneBusy):
        call(backbone)  # It waited for its turn, 10 s.
    assert call(backbone).waited == pytest.approx(10 + 10 + 900)
    clock.now += 100
    assert call(backbone).waited == 0


def test_a_refusal_for_hours_ends_the_sweep_and_the_next_command_asks_again(tmp_path: Path, clock: Clock) -> None:
    ledger = Ledger(tmp_path, SweepLimits())
    started = clock.now
    with pytest.raises(SweepPaused, match=r"refuses calls for 24\.0 hours"):
        call(paced(ledger, Backbone(BackboneBusy("429", retry_after=86400))))
    assert clock.now == started
    assert "24.0 hours" in ledger.used_up()
    assert ledger.begin() == ""
    assert ledger.used_up() == ""
    assert call(paced(ledger, Backbone())).text == "ok"


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e300, -5.0])
def test_a_senseless_retry_after_leaves_the_counts(tmp_path: Path, clock: Clock, seconds: float) -> None:
    ledger = Ledger(tmp_path, SweepLimits())
    ledger.spend(Usage(cost=1.0))
    ledger.refused(seconds)
    assert ledger.state.cost == 1.0
    assert ledger.state.blocked <= clock.now + 31 * 24 * 3600


def test_a_service_that_names_no_time_is_left_to_the_retries_of_the_run(tmp_path: Path, clock: Clock) -> None:
    for seconds in (None, float("inf")):
        with pytest.raises(BackboneBusy) as raised:
            call(paced(Ledger(tmp_path, SweepLimits()), Backbone(BackboneBusy("429", retry_after=seconds))))
        assert raised.value.retry_after is None


def test_the_slots_of_a_slow_command_do_not_outlive_it(tmp_path: Path, clock: Clock) -> None:
    slow = Ledger(tmp_path, SweepLimits(calls_per_minute=1))
    for _ in range(64):
        slow.slot()
    assert Ledger(tmp_path, SweepLimits(calls_per_minute=600)).slot() <= 0.11
    now, clock.now = clock.now, clock.now + 600  # A machine whose clock is ahead.
    slow.slot()
    clock.now = now
    assert slow.slot() <= 60


def test_what_a_run_has_used_is_counted_once(tmp_path: Path) -> None:
    ledger, run = Ledger(tmp_path, SweepLimits()), tmp_path / "run"
    run.mkdir()
    for cost in (1.0, 3.0, 0.5, 2.0, 3.0, 4.0):  # It was killed, and resumed.
        ledger.book(run, Usage(cost=cost, input_tokens=int(cost)))
    assert (ledger.state.cost, ledger.state.tokens) == (4.0, 4)


def test_a_backbone_checks_the_limit_before_a_call_that_a_resumed_run_repeats(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, SweepLimits(cost=1.0))
    ledger.spend(Usage(cost=1.0))
    with pytest.raises(SweepPaused, match="--max-cost"):
        call(paced(ledger, Backbone()))


def test_a_garbage_ledger_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, SweepLimits())
    assert ledger.begin() == ""
    (tmp_path / "ledger.json").write_text("garbage")
    assert "counted from 0" in ledger.begin()
