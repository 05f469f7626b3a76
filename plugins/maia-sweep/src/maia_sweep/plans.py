"""The plan of a sweep: its configuration and its units, in `plan.json`. Units can be added, the rest stays."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue, ValidationError, field_validator

from maia_core.plugin import (
    MANIFEST,
    Data,
    RecordError,
    RunConfig,
    UsageError,
    as_file,
    open_plain,
    redacted,
    write_atomically,
)
from maia_sweep.leases import Leases
from maia_sweep.tables import PLAN
from maia_sweep.units import Found, Selection

FORMAT = 1
MAX_BYTES = 1 << 28


class Added(Data):
    """One choice of units.

    Attributes:
        key: Tells the choice, with the content of its files, from others.
        selection: The choice.
        units: Number of units that it added.
        inactive: Number of its units that are never active.
        dense: Number of its dense latents.
        missing: Its words of units that do not exist, and why.
        time: When, in seconds since 1970.
    """

    key: str
    selection: Selection
    units: int
    inactive: int
    dense: int = 0
    missing: dict[str, str]
    time: float


class Plan(Data):
    """What a sweep does.

    Attributes:
        format: Version of the file.
        config: The configuration of every run, but for the unit.
        first: The explainer of the first stage with its options; None where the agent explains all units.
        take: Number of units that the agent takes after the first stage; None: all.
        added: The choices of units, oldest first.
        units: References of all units, each once, in the order in which they were added.
    """

    format: int = FORMAT
    config: dict[str, JsonValue]
    first: dict[str, JsonValue] | None = None
    take: int | None = Field(None, ge=0)
    added: tuple[Added, ...] = ()
    units: tuple[str, ...] = ()

    @field_validator("first")
    @classmethod
    def _has_a_name(cls, first: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if first is not None and not isinstance(first.get("name"), str):
            raise ValueError("the explainer of the first stage has no name")
        return first

    @property
    def missing(self) -> dict[str, str]:
        """Words of units that do not exist, and why."""
        return {word: why for each in self.added for word, why in each.missing.items()}

    @property
    def inactive(self) -> int:
        """Number of units that are never active and were left out."""
        return sum(each.inactive for each in self.added)

    @property
    def dense(self) -> int:
        """Number of dense latents that were left out."""
        return sum(each.dense for each in self.added)

    def has(self, selection: Selection) -> bool:
        """Returns whether a choice of units is part of the plan already.

        One with units that did not exist is looked up again; a draw from other units would be another one.
        """
        return any(each.key == selection.key and (not each.missing or selection.draw) for each in self.added)

    def with_units(self, selection: Selection, found: Found) -> Plan:
        """Returns the plan with the units of a choice."""
        units = tuple(dict.fromkeys((*self.units, *found.units)))
        key = selection.key
        before = sum(each.units for each in self.added if each.key == key)
        added = Added(
            key=key,
            selection=selection,
            units=len(units) - len(self.units) + before,
            inactive=found.inactive,
            dense=found.dense,
            missing=found.missing,
            time=time.time(),
        )
        others = (each for each in self.added if each.key != key)
        return self.model_copy(update={"units": units, "added": (*others, added)})

    def shard(self, number: int, of: int) -> list[str]:
        """Returns every `of`-th unit, from the `number`-th, which counts from 1. Adding units moves none."""
        return list(self.units[number - 1 :: of])


def read_plan(folder: Path) -> Plan | None:
    """Returns the plan in a folder; None where there is none.

    Raises:
        RecordError: the file is not a plan.
    """
    path = folder / PLAN
    try:
        with open_plain(path) as file:
            data = json.loads(file.read(MAX_BYTES))
        if data.get("format") != FORMAT:
            raise RecordError(f"{path} has format {data.get('format')}; this MAIA reads {FORMAT}; upgrade maia-sweep")
        return Plan.model_validate(data)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror}; choose another with --out") from error
    except (ValueError, AttributeError, RecursionError, ValidationError) as error:
        raise RecordError(f"{path} is not the plan of a sweep; choose another folder with --out") from error


def begin(folder: Path, config: RunConfig, first: dict[str, JsonValue] | None) -> Plan:
    """Returns the plan in a folder, or a new one; nothing is written.

    Raises:
        UsageError: the folder holds a run, or the sweep of another configuration; the message names what differs.
        RecordError: the plan cannot be read.
    """
    if (folder / MANIFEST).exists():
        raise UsageError(f"{folder} is the folder of one run; choose another with --out")
    settings = settings_of(config)
    plan = read_plan(folder)
    if plan is None:
        return Plan(config=settings, first=first)
    differences = list(_differences(plan.config | {"first": plan.first}, settings | {"first": first}))
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise UsageError(
            f"{folder} holds a sweep of another configuration: {'; '.join(differences[:3])}{more}; "
            "use its configuration, or choose another folder with --out"
        )
    return plan


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Returns a configuration as JSON, without secrets and the unit; the options of its model are kept."""
    settings: dict[str, Any] = redacted(config.model_dump(mode="json"))
    named = settings.get("system") or {}
    model = {"name": str(named.get("name", "")).partition(":")[0]}
    options = {key: value for key, value in named.items() if key != "name"}
    return settings | {"system": model | options if options else None}


@contextmanager
def writing(folder: Path, leases: Leases) -> Iterator[None]:
    """Holds the plan of a folder, so that two drivers do not add units at the same time."""
    while not leases.take(PLAN):
        time.sleep(0.1)
    try:
        yield
    finally:
        leases.release(PLAN)


def save(folder: Path, plan: Plan) -> None:
    """Writes a plan in one step.

    Raises:
        RecordError: the folder cannot be written.
    """
    try:
        write_atomically(folder / PLAN, as_file(plan))
    except OSError as error:
        raise RecordError(f"cannot write {folder / PLAN}: {error.strerror}; choose another with --out") from error


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """Yields what differs between two configurations, such as `seed is 5, was 0`."""
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differences(old, new, f"{at}{key}.")
        else:
            yield f"{at}{key} is {_short(new)}, was {_short(old)}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"
