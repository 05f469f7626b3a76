"""One validated configuration per run, from `maia.toml` and the command line, and one per plugin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maia_core.errors import UsageError, did_you_mean
from maia_core.image import Data
from maia_core.kinds import KINDS
from maia_core.types import ExecutionLimits

CONFIG_FILE = "maia.toml"

TOOLS = (
    *("dataset_exemplars", "text2image", "edit_images", "compare_prompts", "describe_images"),
    *("summarize_images", "hide_region", "keep_region", "vocabulary", "log_experiment", "results", "display"),
)
"""Names of the tools that programs may call by default."""

M = TypeVar("M", bound=BaseModel)


class PluginConfig(BaseModel):
    """Base of a plugin's nested `Config`: its fields are the plugin's options, with types, defaults and docs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PluginRef(BaseModel):
    """Names a plugin of a kind, with its options. `"collage"` and `{name = "collage", size = 224}` both make one."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def options(self) -> dict[str, Any]:
        """The options as written, not yet validated by the plugin."""
        return dict(self.model_extra or {})


class Limits(Data, use_attribute_docstrings=True):
    """What one run may use; at a limit, the backbone is asked for its final answer."""

    turns: int = Field(30, gt=0)
    """Replies of the backbone."""
    seconds: float = Field(3600, gt=0, allow_inf_nan=False)
    """Time of replies and experiments in seconds, also of those before a resume."""
    tokens: int = Field(1_000_000, gt=0)
    """Tokens that the backbone and the engines read and write."""
    cost: float = Field(10.0, gt=0, allow_inf_nan=False)
    """US dollars, as far as the prices are known."""
    experiments: int = Field(30, gt=0)
    """Programs that the backbone runs."""
    verifications: int = Field(3, gt=0)
    """Answers that MAIA tests; an answer that fails the last test is the result, with its verdict."""
    images: int = Field(2_000, gt=0)
    """Images that tools generate or edit."""
    reply_tokens: int = Field(4096, gt=0)
    """Tokens of one reply."""
    reply_seconds: float = Field(120, gt=0, allow_inf_nan=False)
    """Time of one reply in seconds."""
    call_seconds: float = Field(1800, gt=0, allow_inf_nan=False)
    """Time of one call of a tool in seconds (the first may measure a whole data set); a longer call fails the run."""
    malformed: int = Field(5, gt=0)
    """Malformed replies in a row that fail the run."""
    retries: int = Field(6, ge=0)
    """Retries of one call of the backbone after a temporary failure."""
    retry_seconds: float = Field(300, ge=0, allow_inf_nan=False)
    """Total wait of the retries of one call in seconds."""


class ContextPolicy(Data, use_attribute_docstrings=True):
    """Which part of a conversation the backbone gets: see `maia_core.context_policy`."""

    images: int = Field(60, gt=0)
    """Images in one request at most, or as many as the backbone takes. Lines with activations replace older ones."""
    block: int = Field(20, gt=0)
    """Images that leave together, so that a provider's prompt cache breaks once per block."""
    exemplars: int = Field(15, ge=0)
    """Number of the highest exemplars, which always stay."""
    tokens: int | None = Field(None, gt=0)
    """Tokens of one request at most, estimated; the size of the backbone's context window where it is not set."""


class RunConfig(Data, use_attribute_docstrings=True):
    """The configuration of a run. The default parts work offline."""

    system: PluginRef | None = None
    """The unit: `MODEL:LAYER:UNIT`, or the name of a system plugin and its argument."""
    backbone: PluginRef = PluginRef(name="heuristic")
    """Writes the experiments and the answer."""
    task: PluginRef = PluginRef(name="neuron-description")
    """Poses the question, and validates the answer."""
    dataset: PluginRef = PluginRef(name="collage")
    """Holds the real images that exemplars come from."""
    generator: PluginRef = PluginRef(name="collage")
    """Generates images from prompts."""
    editor: PluginRef = PluginRef(name="collage")
    """Edits images by instructions."""
    describer: PluginRef = PluginRef(name="nearest")
    """Describes images in words."""
    sandbox: PluginRef = PluginRef(name="auto")
    """Runs the programs of the backbone."""
    judge: PluginRef = PluginRef(name="embedding")
    """Writes prompts and predicts for verification and evaluation."""
    similarity: PluginRef = PluginRef(name="nearest")
    """Scores texts on images, for baselines and for judges without a language model."""
    verifier: PluginRef = PluginRef(name="held-out")
    """Tests an answer on fresh inputs."""
    verify: bool = True
    """Whether the verifier tests an answer before it counts."""
    tools: tuple[PluginRef, ...] = tuple(PluginRef(name=name) for name in TOOLS)
    """The tools that programs may call."""
    seed: int = Field(0, ge=0)
    """Random seed."""
    runs: str = "runs"
    """Folder in which each run creates its own folder."""
    limits: Limits = Limits()
    """What the run may use."""
    context_policy: ContextPolicy = ContextPolicy()
    """Which part of the conversation the backbone gets."""
    experiment: ExecutionLimits = ExecutionLimits()
    """What one program may use."""


COMMAND_LINE = "the command line"


def read(
    path: Path | None, overrides: Iterable[tuple[str, Any]], defaults_of: Callable[[str], Mapping[str, Any]]
) -> RunConfig:
    """Reads a configuration file and applies overrides; see `maia_core.plugin.load`.

    A table without a name holds options of the part that the task prefers; one that an
    override makes holds options of the default part where the task prefers none.

    Args:
        path: The file, which must exist; None for `maia.toml`, which need not.
        overrides: Dotted keys and values, later ones win: `("generator.size", "256")`.
        defaults_of: Returns the parts that a task prefers, by their keys.

    Raises:
        UsageError: names the file, the key and what is allowed.
    """
    file = path or Path(CONFIG_FILE)
    data: dict[str, Any] = {}
    if path is not None or file.is_file():
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise UsageError(f"cannot read the configuration {file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:  # Not TOML, not UTF-8, a number too long, or too many levels.
            raise UsageError(f"{file} is not valid TOML: {error}") from error
    where, overrides = str(file) if data else COMMAND_LINE, list(overrides)
    for key, value in overrides:
        _set(data, key, value)
    task = data.get("task")
    preferred = defaults_of(str(task.get("name") if isinstance(task, dict) else task)) if task else {}
    tables = preferred.keys() | {key.partition(".")[0] for key, _ in overrides if "." in key}
    for key in RunConfig.model_fields.keys() & tables:
        part, own = preferred.get(key, RunConfig.model_fields[key].default), data.get(key)
        if own is None:
            data[key] = part
        elif isinstance(part, PluginRef) and isinstance(own, dict) and "name" not in own:
            data[key] = part.model_dump() | own
    return validated(RunConfig, data, where, {key for key, _ in overrides})


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        child = data.get(parent)
        if isinstance(child, str):
            child = {"name": child}
        elif child is not None and not isinstance(child, dict):
            raise UsageError(f"cannot set '{key}': '{parent}' is not a table")
        data[parent] = data = dict(child or {})
    old = data.get(last)
    if isinstance(old, dict) and last in KINDS and isinstance(value, str) and not parents:
        # Options of the plugin (or model) that the file chooses do not hold for another one.
        same = str(old.get("name", value)).partition(":")[0] == value.partition(":")[0]
        value = {**(old if same else {}), "name": value}
    data[last] = value


def validated(model: type[M], data: Mapping[str, Any], where: str, overridden: Container[str] = ()) -> M:
    """Validates `data`; an error is one line with the file, the key and the allowed values.

    Args:
        model: The pydantic model to validate against; a string is read as the type of its field.
        data: The values by key.
        where: Names the source of the values in errors.
        overridden: Keys whose values came from the command line, which errors name instead.

    Raises:
        UsageError: a key is unknown or missing, or has a wrong value.
    """
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        where = COMMAND_LINE if key in overridden else where
        if first["type"] == "extra_forbidden":
            known = _fields(model, first["loc"][:-1])
            hint = did_you_mean(str(first["loc"][-1]), known) or f" Allowed: {', '.join(known) or 'no options'}."
            raise UsageError(f"{where}: unknown key '{key}'.{hint}") from error
        value = "" if first["type"] == "missing" or first["input"] is None else f", not {first['input']!r:.80}"
        if where == COMMAND_LINE and first["type"] == "string_type":
            value += f"; for a text write {key}='\"...\"'"
        kind = first.get("ctx", {}).get("class_name", first["type"])
        fallback = first["msg"].removeprefix("Value error, ").replace("Input should be ", "must be ", 1)
        rule = _RULES.get(kind) or _RULES.get(first["type"], fallback)
        raise UsageError(f"{where}: '{key}': {rule[0].lower()}{rule[1:]}{value}") from error


_RULES = {
    "PluginRef": "must be the name of a plugin, or a table with its name and options",
    **dict.fromkeys(("model_type", "dict_type"), "must be a table"),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), "must be an integer"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "must be a list"),
    "string_type": "must be a text",
    "missing": "is missing",
}
"""What a value must be, by the type of pydantic's error or the class that it names."""


def _fields(model: type[BaseModel], path: Iterable[Any]) -> list[str]:
    for part in path:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)


def cache_dir() -> Path:
    """Returns the folder for data that can be computed or fetched again: `$MAIA_CACHE`, or a user's cache folder."""
    import platformdirs

    return Path(os.environ.get("MAIA_CACHE") or platformdirs.user_cache_path("maia", appauthor=False))
