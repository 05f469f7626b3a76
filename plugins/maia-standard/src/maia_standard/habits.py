"""Habits of agents for the paper's API: a wrapper of every sandbox accepts them, and MAIA advertises none of them.

The tables hold the names of the paper's API, of the authors' prompts and of SAIA's. A program that keeps to MAIA's own
API means the same with and without this module.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from maia_core.plugin import Execution, Host, RunContext, Sandbox, SystemRef, UsageError, hookimpl
from maia_standard.blind import hidden_info, is_blind
from maia_standard.exemplars import EXEMPLAR_MEAN
from maia_standard.programs import as_meant

METHODS = {
    "system.call_neuron": "system.neuron",
    "system.call_classifier": "system.neuron",
    "tools.save_experiment_log": "tools.log_experiment",
    "tools.result_list": "tools.results",
    "tools.results_list": "tools.results",
}
"""Other names of what programs call or read."""

KEYWORDS = {
    "system.neuron": {"image": "images", "image_list": "images"},
    "tools.text2image": {"prompt": "prompts", "prompt_list": "prompts"},
    "tools.edit_images": {
        "base_images": "images",
        "editing_instructions": "instructions",
        "editing_instructions_list": "instructions",
        "editing_prompts": "instructions",
        "edits": "instructions",
        "image_list": "images",
        "prompt_list": "images",
        "prompt_list_org_image": "images",
        "prompts": "images",
    },
    "tools.describe_images": {
        "image_list": "images",
        "image_title": "titles",
        "image_titles": "titles",
        "synthetic_image_list": "images",
        "synthetic_image_title": "titles",
    },
    "tools.summarize_images": {"image_list": "images"},
    "tools.log_experiment": {
        "activation_list": "activations",
        "image_list": "images",
        "image_textual_information": "notes",
        "image_titles": "titles",
    },
}
"""Other names of arguments, by method."""

ATTRIBUTES: Mapping[str, Callable[[RunContext], Any]] = {
    "system.layer": lambda context: context.system.info.layer,
    "system.model_name": lambda context: context.system.info.model,
    "system.neuron_num": lambda context: _number(context.system.info.unit),
    "tools.activation_threshold": lambda context: context.facts.get(EXEMPLAR_MEAN, 0.0),
}
"""Attributes of the paper's `System` and `Tools` that programs read."""

ABOUT_THE_UNIT = {"system.layer": "layer", "system.model_name": "model", "system.neuron_num": "unit"}
"""Those that name the unit, with the name."""

LISTS = ("list[", "Sequence[")
"""How annotations of lists begin."""

TAKES_NONE = {"None", "NoneType", "Any", "object"}
"""Types of parameters to which None is a value of its own."""

PLAIN = {"str", "int", "float", "bool", "Image"}
"""Types of items that are never lists themselves."""

TEXTS = {"str", "list[str]", "Sequence[str]"}
"""Types of a parameter that takes one text or several."""

ABOUT_THE_SYSTEM = ("tools.compare_prompts", "tools.dataset_exemplars")
"""Tools whose first argument is the run's system, also where a program leaves it out."""


class LenientHost:
    """A host with the other names: they reach the same tools, and the record has the tools' own names."""

    def __init__(self, host: Host, context: RunContext) -> None:
        self._host = host
        self._context = context
        self.number = host.number
        self._methods = {
            name: target
            for name, target in (METHODS | {name: name for name in ATTRIBUTES}).items()
            if name not in host.methods and (target in host.methods or name in ATTRIBUTES)
        }
        aliases = frozenset(self._methods)
        self.hidden = aliases | getattr(host, "hidden", frozenset())
        self.methods = host.methods | aliases
        read = (name for name, target in self._methods.items() if name in ATTRIBUTES or target in host.properties)
        self.properties = host.properties | frozenset(read)

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See `maia_core.protocols.Host`."""
        target = self._methods.get(method, method)
        if is_blind(self._context) and (target == "system.info" or target in ABOUT_THE_UNIT):
            info = hidden_info(self._context.system.info)
            return info if target == "system.info" else info[ABOUT_THE_UNIT[target]]
        if method in self._methods and target in ATTRIBUTES:
            return ATTRIBUTES[target](self._context)
        names = KEYWORDS.get(target, {})
        # A name that the tool has itself, or that is given beside it, keeps its meaning.
        named = {names.get(key, key) if names.get(key) not in kwargs else key: value for key, value in kwargs.items()}
        if target == "tools.display":
            args, named = [*args, *named.values()], {}
        about = [*args[:1], named.get("system")]
        if target in ABOUT_THE_SYSTEM and not any(isinstance(value, SystemRef) for value in about):
            args = [SystemRef(), *args]
        if target in self.properties:
            return self._host.call(target, args, named)
        return self._host.call(target, *with_lists(self._function(target), args, named))

    def _function(self, method: str) -> Callable[..., Any]:
        owner, _, name = method.partition(".")
        if owner == "system":
            try:
                return getattr(self._context.system, name, len)
            except UsageError:  # A sandbox may be tried without a run.
                return len
        chosen = {choice.name.partition("@")[0]: choice for choice in self._context.config.tools}
        return self._context.build("tool", chosen[name].name, **chosen[name].options) if name in chosen else len


def with_lists(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Returns arguments in which a single value stands as a list of one, and None as the default; lists are flat.

    A dict stands for its text where a tool takes one text or several.

    Args:
        function: The tool that takes them; its annotations say where it takes lists only.
        args: Its positional arguments.
        kwargs: Its named arguments.
    """
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return args, kwargs
    for name, value in [*bound.arguments.items()]:
        parameter = signature.parameters[name]
        taken = _choices(re.sub(r"\b(?:\w+\.)+", "", str(parameter.annotation)))
        if value is None and parameter.default is not parameter.empty and not TAKES_NONE.intersection(taken):
            del bound.arguments[name]
        elif "str" in taken and TEXTS.issuperset(taken):
            items = [_text(item) for item in value] if isinstance(value, list | tuple) else None
            bound.arguments[name] = _text(value) if items is None else items
        elif all(kind.startswith(LISTS) for kind in taken) and not isinstance(value, dict):
            values = value if isinstance(value, list | tuple) else [value]
            flat = all(PLAIN.issuperset(_choices(kind.partition("[")[2].removesuffix("]"))) for kind in taken)
            parts = [item if isinstance(item, list | tuple) and flat else [item] for item in values]
            bound.arguments[name] = [item for part in parts for item in part]
    return bound.args, bound.kwargs


def _text(value: Any) -> Any:
    """Returns a dict as text, a line per key; other values as they are."""
    return "\n".join(f"{key}: {item}" for key, item in value.items()) if isinstance(value, dict) else value


def _choices(annotation: str) -> list[str]:
    """Returns the types that an annotation allows: `int | list[str]` and `Union[int, list[str]]` have the same two."""
    kind = annotation.strip()
    if kind.startswith(("Optional[", "Union[")):
        return _choices(kind.partition("[")[2].removesuffix("]").replace(",", "|")) + ["None"] * (kind[0] == "O")
    parts, depth = [""], 0
    for sign in kind:
        depth += (sign == "[") - (sign == "]")
        parts = [*parts, ""] if sign == "|" and not depth else [*parts[:-1], parts[-1] + sign]
    return [part.strip() for part in parts] if len(parts) == 1 else [part for text in parts for part in _choices(text)]


class LenientSandbox:
    """A sandbox that runs programs as they are meant; all else is the sandbox's own."""

    def __init__(self, sandbox: Sandbox, context: RunContext) -> None:
        self._sandbox = sandbox
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sandbox, name)

    def run(self, program: str, host: Host) -> Execution:
        """Runs one program; see `maia_core.protocols.Sandbox`."""
        return self._sandbox.run(as_meant(program), LenientHost(host, self._context))

    def close(self) -> None:
        """Ends the worker. Closing twice is allowed."""
        self._sandbox.close()


@hookimpl
def part_built(kind: str, part: Any, context: RunContext) -> Any:
    """Wraps every sandbox."""
    return LenientSandbox(part, context) if kind == "sandbox" else None


def _number(unit: str) -> int | str:
    return int(unit) if unit.isdecimal() and unit.isascii() else unit
