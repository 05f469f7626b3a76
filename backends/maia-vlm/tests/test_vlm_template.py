"""A template from a file runs in a process of its own, with limits on time and memory."""

from __future__ import annotations

import os
import threading

import pytest

from maia_core.errors import BackboneError
from maia_vlm import bounded


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (lambda: 7**100_000_000, "longer than"),
        (lambda: [None for _ in iter(int, 1)], "longer than|MemoryError|memory|MB"),
        (lambda: "a" * 10**11, "MemoryError"),
        (lambda: 1 // 0, "ZeroDivisionError"),
        (lambda: os._exit(0), "ends its process"),
        (lambda: object(), "not JSON serializable"),
        (lambda: "a" * 50_000_000, "more than 16 MB"),
    ],
)
def test_a_template_has_limits(template, says, monkeypatch):
    monkeypatch.setattr("maia_vlm.template.MAX_SECONDS", 0.5)
    with pytest.raises((BackboneError, TimeoutError), match=says):
        bounded(template)


def test_threads_get_their_own_values():
    values = {}
    threads = [
        threading.Thread(target=lambda n=n: values.update({n: bounded(lambda: [n, "x" * 200_000])})) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == {n: [n, "x" * 200_000] for n in range(6)}


def test_no_process_stays(monkeypatch):
    monkeypatch.setattr("maia_vlm.template.MAX_SECONDS", 0.2)
    children, fork = [], os.fork
    monkeypatch.setattr(os, "fork", lambda: children.append(child := fork()) or child)
    with pytest.raises(TimeoutError):
        bounded(lambda: 7**100_000_000)
    (child,) = children
    with pytest.raises(ChildProcessError):
        os.waitpid(child, os.WNOHANG)
