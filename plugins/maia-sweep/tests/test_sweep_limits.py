from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from maia_core.plugin import BackboneBusy, BackboneInfo, CallLimits, Reply, Usage
from maia_sweep.ledgers import Ledger, SweepLimits
from maia_sweep.pacing import Pacing


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
    refused = paced(Ledger(tmp_path, SweepLimits()), Backbone(BackboneBusy("429", retry_after=30)))
    other = paced(Ledger(tmp_path, SweepLimits()), Backbone())
    with pytest.raises(BackboneBusy):
        call(refused)
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
