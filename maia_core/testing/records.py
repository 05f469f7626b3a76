"""Compares runs: what must be equal between a run and its repetition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maia_core.record import JOURNAL


def timeless(folder: Path) -> list[Any]:
    """Returns the events of a run folder as JSON, without when they happened and how long they took."""
    return [_timeless(json.loads(line)) for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines()]


def _timeless(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _timeless(value) for key, value in data.items() if key not in ("seconds", "time")}
    return [_timeless(item) for item in data] if isinstance(data, list) else data
