"""Keeps a full collection of garbage quick: MAIA and its tests call it hundreds of times."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Sets aside the modules and test items, which live to the end; collecting then looks at a test's objects alone."""
    gc.collect()
    gc.freeze()
