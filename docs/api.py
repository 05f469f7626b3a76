"""The public API as data, and what changed between two versions of it: the gate that protects authors of plugins.

`snapshot()` describes every public name: signatures with types and defaults, members of protocols, JSON schemas of
models, hooks, entry-point groups, events of the record, commands with their options, exit codes. `compare` names the
changes in both directions. A *caller* uses a name; an *implementer* writes a class that MAIA calls, or reads what MAIA
passes. A member that is added to a protocol breaks no caller and every implementer.
"""

from __future__ import annotations

import enum
import inspect
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import click
from pydantic import BaseModel

Snapshot = dict[str, Any]
MISSING = object()


@dataclass(frozen=True)
class Change:
    """One difference between two snapshots.

    Attributes:
        where: The name that changed, such as `names.System.neuron`.
        what: What changed, in words.
        breaks: `callers`, `implementers`, `both`, or empty for a change that breaks nobody.
    """

    where: str
    what: str
    breaks: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" + (f" (breaks {self.breaks})" if self.breaks else "")


# --- the snapshot ---


def snapshot() -> Snapshot:
    """Returns the public API of the installed core, as JSON."""
    import maia_core
    import maia_core.plugin as facade
    from maia_cli.main import maia
    from maia_core import hookspecs
    from maia_core.kinds import KINDS

    names = {name: _described(getattr(facade, name)) for name in sorted(facade.__all__)}
    hooks = {
        name: _signature(value)
        for name, value in sorted(vars(hookspecs).items())
        if inspect.isfunction(value) and hasattr(value, "maia_spec")
    }
    return {
        "api": maia_core.API,
        "names": names,
        "hooks": hooks,
        "groups": {name: kind.group for name, kind in KINDS.items()},
        "events": {name: _schema(getattr(facade, name)) for name in sorted(_events(facade))},
        "commands": dict(_core_commands(maia)),
    }


def _events(facade: Any) -> Iterator[str]:
    for event in typing.get_args(facade.Event):
        yield event.__name__


def _described(value: Any) -> Snapshot:
    """Describes one public name."""
    if inspect.isfunction(value):
        return {"kind": "function", **_signature(value)}
    if not inspect.isclass(value):
        text = repr(value)
        return {
            "kind": "value",
            "value": text if "0x" not in text and "object at" not in text else type(value).__name__,
        }
    if issubclass(value, BaseModel):
        return {"kind": "model", "schema": _schema(value), "members": _members(value, set(value.model_fields))}
    if getattr(value, "_is_protocol", False):
        return {"kind": "protocol", "members": _members(value)}
    if issubclass(value, BaseException):
        codes = {"exit_code": value.exit_code} if hasattr(value, "exit_code") else {}
        return {
            "kind": "error",
            "bases": [base.__name__ for base in value.__bases__],
            **codes,
            **_signature(value.__init__),
        }
    if issubclass(value, enum.Enum):
        return {"kind": "enum", "values": [member.name for member in value]}
    return {"kind": "class", "members": _members(value), **_signature(value.__init__)}


def _members(cls: type, without: set[str] = frozenset()) -> Snapshot:  # type: ignore[assignment]
    """Describes the public members that a class and its public bases define."""
    found: Snapshot = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] not in ("maia_core", cls.__module__.partition(".")[0]):
            continue
        for name, kind in inspect.get_annotations(base).items():
            if not name.startswith("_") and name not in without:
                found[name] = {"kind": "attribute", "type": _type(kind)}
        for name, member in vars(base).items():
            if name.startswith("_") or name in without or name == "model_config":
                continue
            inner = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
            if isinstance(member, property):
                found[name] = {"kind": "attribute", "type": _signature(member.fget)["returns"]}
            elif inspect.isfunction(inner):
                found[name] = {"kind": "method", **_signature(inner)}
    return dict(sorted(found.items()))


def _signature(function: Any) -> Snapshot:
    parameters = []
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        one = {"name": parameter.name, "kind": parameter.kind.name, "type": _type(parameter.annotation)}
        if parameter.default is not parameter.empty:
            default = repr(parameter.default)
            one["default"] = default if " at 0x" not in default else "..."
        parameters.append(one)
    return {"parameters": parameters, "returns": _type(signature.return_annotation)}


def _type(annotation: Any) -> str:
    if annotation is inspect.Signature.empty:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _schema(model: type[BaseModel]) -> Snapshot:
    """Returns the JSON schema of a model, without its texts."""
    fields = {}
    for name, field in model.model_fields.items():
        one: Snapshot = {"type": _type(field.annotation), "required": field.is_required()}
        if not field.is_required():
            one["default"] = repr(field.get_default(call_default_factory=True))
        if field.metadata:
            one["bounds"] = sorted(repr(item) for item in field.metadata if " at 0x" not in repr(item))
        fields[name] = one
    return fields


def _core_commands(group: click.Group) -> Iterator[tuple[str, Snapshot]]:
    """Yields the group's own options, and those of each command that the core brings; other commands are not loaded."""
    from maia_core.registry import installed

    yield "maia", dict(_commands(click.Command("maia", params=group.params), "maia"))["maia"]
    for plugin in installed().of_kind("command"):
        if plugin.distribution == "maia-core":
            yield from _commands(plugin.load(), f"maia {plugin.name}")


def _commands(command: click.Command, name: str = "maia") -> Iterator[tuple[str, Snapshot]]:
    """Yields a command with its options, then its subcommands."""
    context = click.Context(command, info_name=name)
    options = {}
    for parameter in command.params:
        spelled = "/".join([*parameter.opts, *parameter.secondary_opts])
        options[spelled] = {"required": parameter.required, "multiple": bool(getattr(parameter, "multiple", False))}
    yield name, dict(sorted(options.items()))
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _commands(found, f"{name} {inner}")


# --- what changed ---


def compare(old: Snapshot, new: Snapshot) -> list[Change]:
    """Returns the changes from one snapshot to another, in the order of their names."""
    changes: list[Change] = []
    for name, before, after in _pairs(old["names"], new["names"]):
        where = f"maia_core.plugin.{name}"
        if after is MISSING:
            changes.append(Change(where, "removed", "both"))
        elif before is MISSING:
            changes.append(Change(where, "added"))
        else:
            changes += _of_name(where, before, after)
    for name, before, after in _pairs(old["hooks"], new["hooks"]):
        changes += _of_hook(f"hook {name}", before, after)
    for name, before, after in _pairs(old["groups"], new["groups"]):
        if after is MISSING or (before is not MISSING and before != after):
            changes.append(Change(f"kind {name}", "its entry-point group changed or is gone", "implementers"))
        elif before is MISSING:
            changes.append(Change(f"kind {name}", "added"))
    for name, before, after in _pairs(old["events"], new["events"]):
        if after is MISSING or before is MISSING:
            changes.append(
                Change(f"event {name}", "removed" if after is MISSING else "added", "both" if after is MISSING else "")
            )
        else:
            changes += _of_schema(f"event {name}", before, after)
    for name, before, after in _pairs(old["commands"], new["commands"]):
        changes += _of_command(f"`{name}`", before, after)
    return changes


def breaking(changes: list[Change]) -> list[Change]:
    """Returns those changes that break callers or implementers."""
    return [change for change in changes if change.breaks]


def _pairs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*old, *new}):
        yield name, old.get(name, MISSING), new.get(name, MISSING)


def _of_name(where: str, old: Snapshot, new: Snapshot) -> Iterator[Change]:
    if old["kind"] != new["kind"]:
        yield Change(where, f"was a {old['kind']}, is a {new['kind']}", "both")
        return
    kind = old["kind"]
    if kind == "value" and old["value"] != new["value"]:
        yield Change(where, f"was {old['value']}, is {new['value']}", "callers")
    if kind == "model":
        yield from _of_schema(where, old["schema"], new["schema"])
    if kind == "enum" and old["values"] != new["values"]:
        gone = set(old["values"]) - set(new["values"])
        yield Change(where, f"its values are {', '.join(new['values'])}", "both" if gone else "")
    if kind == "error":
        if old["bases"] != new["bases"]:
            yield Change(where, f"its bases are {', '.join(new['bases'])}", "callers")
        if old.get("exit_code") != new.get("exit_code"):
            yield Change(where, f"its exit code was {old.get('exit_code')}, is {new.get('exit_code')}", "callers")
    if "parameters" in old:
        yield from _of_call(where, old, new)
    if "members" in old:
        yield from _of_members(where, old["members"], new["members"], kind == "protocol")


def _of_members(where: str, old: Snapshot, new: Snapshot, protocol: bool) -> Iterator[Change]:
    for name, before, after in _pairs(old, new):
        inner = f"{where}.{name}"
        if after is MISSING:
            yield Change(inner, "removed", "callers")
        elif before is MISSING:
            yield Change(inner, "added to the protocol" if protocol else "added", "implementers" if protocol else "")
        elif before["kind"] != after["kind"]:
            yield Change(inner, f"was a {before['kind']}, is a {after['kind']}", "both")
        elif before["kind"] == "attribute":
            if before["type"] != after["type"]:
                yield Change(inner, f"its type was {before['type']}, is {after['type']}", "both")
        else:
            yield from _of_call(inner, before, after, protocol)


def _of_call(where: str, old: Snapshot, new: Snapshot, protocol: bool = False) -> Iterator[Change]:
    before = {parameter["name"]: parameter for parameter in old["parameters"]}
    after = {parameter["name"]: parameter for parameter in new["parameters"]}
    for name, one, other in _pairs(before, after):
        text = f"parameter '{name}'"
        if other is MISSING:
            yield Change(where, f"{text} removed", "both" if protocol else "callers")
        elif one is MISSING:
            optional = "default" in other or other["kind"].startswith("VAR_")
            # Core passes it: the method of an old plugin does not take it.
            yield Change(where, f"{text} added", "implementers" if protocol else "" if optional else "callers")
        else:
            if one["type"] != other["type"]:
                yield Change(where, f"{text} was {one['type']}, is {other['type']}", "both")
            if one.get("default") != other.get("default"):
                was, now = one.get("default", "required"), other.get("default", "required")
                yield Change(where, f"the default of {text} was {was}, is {now}", "callers")
            if one["kind"] != other["kind"]:
                yield Change(where, f"{text} was {one['kind']}, is {other['kind']}", "both")
    names = [name for name in before if name in after]
    if names != [name for name in after if name in before]:
        yield Change(where, "its parameters have another order", "both")
    if old["returns"] != new["returns"]:
        yield Change(where, f"returned {old['returns'] or 'anything'}, returns {new['returns'] or 'anything'}", "both")


def _of_schema(where: str, old: Snapshot, new: Snapshot) -> Iterator[Change]:
    for name, before, after in _pairs(old, new):
        inner = f"{where}.{name}"
        if after is MISSING:
            yield Change(inner, "field removed", "both")
        elif before is MISSING:
            yield Change(inner, "field added", "both" if after["required"] else "")
        else:
            if before["required"] != after["required"]:
                yield Change(inner, "field became " + ("required" if after["required"] else "optional"), "both")
            elif before.get("default") != after.get("default"):
                yield Change(inner, f"its default was {before.get('default')}, is {after.get('default')}", "callers")
            if before["type"] != after["type"]:
                yield Change(inner, f"its type was {before['type']}, is {after['type']}", "both")
            if before.get("bounds", []) != after.get("bounds", []):
                yield Change(inner, f"its bounds are {', '.join(after.get('bounds', [])) or 'gone'}", "both")


def _of_hook(where: str, old: Any, new: Any) -> Iterator[Change]:
    if new is MISSING or old is MISSING:
        yield Change(where, "removed" if new is MISSING else "added", "implementers" if new is MISSING else "")
        return
    before = {parameter["name"]: parameter["type"] for parameter in old["parameters"]}
    after = {parameter["name"]: parameter["type"] for parameter in new["parameters"]}
    for name, one, other in _pairs(before, after):
        if other is MISSING:
            yield Change(where, f"argument '{name}' removed", "implementers")
        elif one is MISSING:  # pluggy passes only the arguments that a hook takes.
            yield Change(where, f"argument '{name}' added")
        elif one != other:
            yield Change(where, f"argument '{name}' was {one}, is {other}", "implementers")
    if old["returns"] != new["returns"]:
        yield Change(where, f"took {old['returns']}, takes {new['returns']}", "implementers")


def _of_command(where: str, old: Any, new: Any) -> Iterator[Change]:
    if new is MISSING or old is MISSING:
        yield Change(where, "removed" if new is MISSING else "added", "callers" if new is MISSING else "")
        return
    for name, before, after in _pairs(old, new):
        if after is MISSING:
            yield Change(where, f"option {name} removed", "callers")
        elif before is MISSING:
            yield Change(where, f"option {name} added", "callers" if after["required"] else "")
        elif before != after:
            worse = (after["required"] and not before["required"]) or before["multiple"] != after["multiple"]
            yield Change(where, f"option {name} changed", "callers" if worse else "")


# --- the gate ---


def gate(released: Snapshot, now: Snapshot, changelog: str) -> list[str]:
    """Returns why the API of this checkout may not be released: breaking changes under the old API number.

    Args:
        released: The snapshot of the last release.
        now: The snapshot of this checkout.
        changelog: Text of the changelog; a new API number must stand in it as `API N`.
    """
    broken = breaking(compare(released, now))
    if not broken:
        return []
    if now["api"] <= released["api"]:
        number = released["api"] + 1
        return [
            f"{change}; set maia_core.API = {number} and add a line 'API {number}' to docs/changelog.md"
            for change in broken
        ]
    if f"API {now['api']}" not in changelog:
        return [f"docs/changelog.md has no line 'API {now['api']}' that says what plugin authors must change"]
    return []


def dumped(value: Snapshot) -> str:
    """Returns a snapshot as the text of a file: one line per name, so that a change is read in a diff."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
