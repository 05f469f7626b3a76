from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from maia_core.plugin import RecordError
from maia_sweep import leases as module
from maia_sweep.leases import LEASES, Leases

UNIT = "efficientnet-lite0:blocks.5:7"


def age(folder: Path, seconds: float) -> None:
    """Makes all leases older than they are."""
    for path in (folder / LEASES).iterdir():
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers that are made after a lease was taken run on another machine, where its process cannot be seen."""
    machines = iter(range(1000))
    monkeypatch.setattr(module, "_machine", lambda: f"machine {next(machines)}")


def test_one_unit_has_one_holder(tmp_path: Path) -> None:
    first, second = Leases(tmp_path), Leases(tmp_path)
    assert first.take(UNIT)
    assert not second.take(UNIT)
    assert first.take(UNIT), "a driver that holds a unit is refused it"
    assert [(lease.unit, lease.owner, lease.expired) for lease in second.all()] == [(UNIT, first.owner, False)]
    first.release(UNIT)
    assert second.take(UNIT)


def test_an_expired_lease_is_taken_over_once_and_its_holder_notices(tmp_path: Path, elsewhere: None) -> None:
    slow = Leases(tmp_path, seconds=0.4)
    assert slow.take(UNIT)
    age(tmp_path, 60)
    second, third = Leases(tmp_path, seconds=60), Leases(tmp_path, seconds=60)
    age(tmp_path, 60)
    assert second.take(UNIT)
    assert not third.take(UNIT)
    assert not slow.holds(UNIT)
    with slow:
        time.sleep(0.3)  # Its thread touches nothing of the other driver.
    assert second.holds(UNIT), "the driver that lost the unit has given it back for the other one"
    assert [lease.owner for lease in second.all()] == [second.owner]


@pytest.mark.slow
def test_a_driver_that_lives_keeps_its_leases(tmp_path: Path, elsewhere: None) -> None:
    with Leases(tmp_path, seconds=0.4) as first:
        assert first.take(UNIT)
        second = Leases(tmp_path, seconds=0.4)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert not second.take(UNIT)
            time.sleep(0.05)
    assert second.take(UNIT), "a driver that left kept the unit"


DRIVER = """
import sys, time
from pathlib import Path
from maia_sweep.leases import Leases

with Leases(Path(sys.argv[1])) as leases:
    assert leases.take(sys.argv[2])
    print("taken", flush=True)
    time.sleep(60)
"""


def test_the_lease_of_a_killed_driver_of_this_machine_is_free_at_once(tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, tmp_path, UNIT], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "taken\n"
    leases = Leases(tmp_path)
    assert not leases.take(UNIT)
    driver.kill()
    driver.communicate()
    assert leases.take(UNIT)


def test_of_many_drivers_that_want_an_expired_lease_one_gets_it(tmp_path: Path, elsewhere: None) -> None:
    assert Leases(tmp_path).take(UNIT)
    age(tmp_path, 1000)
    drivers = [Leases(tmp_path) for _ in range(16)]
    start, taken = threading.Barrier(len(drivers)), []

    def take(leases: Leases) -> None:
        start.wait()
        if leases.take(UNIT):
            taken.append(leases)

    threads = [threading.Thread(target=take, args=(leases,)) for leases in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"unit": UNIT, "owner": "x", "machine": 1})])
def test_a_torn_lease_expires_by_its_age(tmp_path: Path, text: str) -> None:
    first = Leases(tmp_path)
    assert first.take(UNIT)
    next((tmp_path / LEASES).iterdir()).write_text(text)
    second = Leases(tmp_path)
    assert not second.take(UNIT)
    age(tmp_path, 1000)
    assert second.take(UNIT)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / LEASES).write_text("a file")
    with pytest.raises(RecordError, match=r"cannot write .*leases"):
        Leases(tmp_path)


def test_a_driver_that_wakes_does_not_steal_a_lease_of_the_same_name(tmp_path: Path, elsewhere: None) -> None:
    suspended, second = Leases(tmp_path, seconds=0.4), Leases(tmp_path)
    assert suspended.take(UNIT)
    age(tmp_path, 1000)
    assert second.take(UNIT)
    second.release(UNIT)
    third = Leases(tmp_path)
    assert third.take(UNIT)
    assert not suspended.holds(UNIT)
    with suspended:
        pass
    assert not Leases(tmp_path).take(UNIT)

    late = Leases(tmp_path)
    late._held[UNIT] = third._held[UNIT]  # It was suspended between its last look and its release.
    late.release(UNIT)
    assert not Leases(tmp_path).take(UNIT)
