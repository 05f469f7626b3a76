"""Sessions that draw from one pack at the same time."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from maia_collage.generator import CollageGenerator
from maia_collage.pack import Pack

SESSIONS = 6


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keeps one decoded cut-out, so that sessions throw out each other's; threads take turns as often as they can."""
    monkeypatch.setattr("maia_collage.pack.CACHED_CUTOUTS", 1)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def ids(generator: CollageGenerator, session: int) -> list[str]:
    """Returns the images of a session."""
    words = list(generator.vocabulary("things"))
    prompts = [
        f"a {words[(session + 7 * n) % len(words)]} and a {words[(3 * session + n) % len(words)]}" for n in range(6)
    ]
    return [image.id for image in generator.generate(prompts, list(range(6))).images]


def test_sessions_draw_from_one_pack_as_one_after_another(generator: CollageGenerator) -> None:
    alone = [ids(generator, session) for session in range(SESSIONS)]
    with ThreadPoolExecutor(SESSIONS) as pool:
        for _ in range(3):
            assert list(pool.map(lambda session: ids(generator, session), range(SESSIONS))) == alone


def test_without_its_lock_a_pack_loses_a_picture(pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session throws a cut-out out after this one has seen that it is there."""

    class NoLock:
        __enter__ = __exit__ = lambda self, *args: None

    class Meddled(OrderedDict[str, Any]):
        def move_to_end(self, key: str, last: bool = True) -> None:
            if isinstance(pack._lock, NoLock):  # Nobody holds it, so another session may run here.
                self.clear()
            super().move_to_end(key, last)

    monkeypatch.setattr(pack, "_decoded", Meddled())
    cutout = next(iter(pack.cutouts.values()))
    for _ in range(2):
        assert pack.picture(cutout).size
    monkeypatch.setattr(pack, "_lock", NoLock())
    with pytest.raises(KeyError):
        pack.picture(cutout)
