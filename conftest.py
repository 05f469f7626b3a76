"""Keeps a full collection of garbage quick: the library and MAIA's tests call it hundreds of times."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Sets aside the modules and test items, which live to the end; collecting then looks at a test's objects alone."""
    gc.collect()
    gc.freeze()
