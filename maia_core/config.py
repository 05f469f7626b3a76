"""One validated configuration a run, from `maia.toml` and the command line, and one per plugin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maia_core.errors import UsageError, did_you_mean
from maia_core.kinds import KINDS
from maia_core.types import Data, ExecutionLimits

CONFIG_FILE = "maia.toml"

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


class Limits(Data):
    """What one run may use; reaching a limit asks the backbone for its final answer with what it has."""

    turns: int = Field(30, gt=0)
    seconds: float = Field(3600, gt=0, allow_inf_nan=False)
    """Time of replies and experiments, resumed parts included."""
    tokens: int = Field(1_000_000, gt=0)
    cost: float = Field(10.0, gt=0, allow_inf_nan=False)
    """US dollars, as far as the backbone knows its price."""
    experiments: int = Field(30, gt=0)
    verifications: int = Field(3, gt=0)
    """Answers that are tested; one that fails the last test stands, with its verdict."""
    images: int = Field(2_000, gt=0)
    """Images generated or edited."""
    reply_tokens: int = Field(4096, gt=0)
    reply_seconds: float = Field(120, gt=0, allow_inf_nan=False)
    call_seconds: float = Field(1800, gt=0, allow_inf_nan=False)
    """Longest single call of a tool (the first may measure a whole data set); one that hangs ends the run as failed."""
    malformed: int = Field(5, gt=0)
    """Malformed replies in a row before the run ends as failed."""
    retries: int = Field(6, ge=0)
    """How often one call of the backbone is tried again after a passing failure."""
    retry_seconds: float = Field(300, ge=0, allow_inf_nan=False)
    """Longest time that the retries of one call wait together."""


class ContextPolicy(Data):
    """What of a conversation the backbone is sent: see `maia_core.context_policy`."""

    images: int = Field(60, gt=0)
    """Most images in one request, or as many as the backbone takes. Older ones leave a line with their activation."""
    block: int = Field(20, gt=0)
    """Images leave in blocks of this many, so that a provider's prompt cache breaks once a block."""
    exemplars: int = Field(15, ge=0)
    """This many of the highest exemplars stay."""
    tokens: int | None = Field(None, gt=0)
    """Most tokens of one request, estimated; the backbone's own window where it is not set."""


class RunConfig(Data):
    """Everything that a run is made from. The defaults are the offline laboratory."""

    system: PluginRef | None = None
    """The unit: `MODEL:LAYER:UNIT`, or the name of a system plugin and its argument."""
    backbone: PluginRef = PluginRef(name="heuristic")
    task: PluginRef = PluginRef(name="neuron-description")
    dataset: PluginRef = PluginRef(name="collage")
    generator: PluginRef = PluginRef(name="collage")
    editor: PluginRef = PluginRef(name="collage")
    describer: PluginRef = PluginRef(name="nearest")
    sandbox: PluginRef = PluginRef(name="auto")
    judge: PluginRef = PluginRef(name="embedding")
    """Writes prompts and predicts for verification and evaluation."""
    similarity: PluginRef = PluginRef(name="nearest")
    """Scores texts on images: for judges that are no language model, and for baselines."""
    verifier: PluginRef = PluginRef(name="held-out")
    verify: bool = True
    """Whether an answer is tested on fresh inputs before it counts."""
    tools: tuple[PluginRef, ...] = tuple(
        PluginRef(name=name)
        for name in [
            "dataset_exemplars",
            "text2image",
            "edit_images",
            "compare_prompts",
            "describe_images",
            "summarize_images",
            "log_experiment",
            "results",
            "display",
        ]
    )
    seed: int = Field(0, ge=0)
    runs: str = "runs"
    """Folder in which a run makes its own folder."""
    limits: Limits = Limits()
    context_policy: ContextPolicy = ContextPolicy()
    experiment: ExecutionLimits = ExecutionLimits()


COMMAND_LINE = "the command line"


def load(path: Path | None = None, overrides: Iterable[tuple[str, Any]] = ()) -> RunConfig:
    """Reads `maia.toml` (of the working folder where no path is given and there is one) and applies overrides.

    Args:
        path: A file that must exist, or None.
        overrides: Dotted keys and values, later ones win: `("generator.size", "256")`.

    Raises:
        UsageError: names the file, the key and what is allowed.
    """
    file = path or Path(CONFIG_FILE)
    data: dict[str, Any] = {}
    if path is not None or file.is_file():
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"cannot read the configuration {file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file} is not valid TOML: {error}") from error
    where, overrides = str(file) if data else COMMAND_LINE, list(overrides)
    for key, value in overrides:
        _set(data, key, value)
    return validated(RunConfig, data, where, {key for key, _ in overrides})


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        child = data.get(parent)
        if isinstance(child, str):
            child = {"name": child}
        elif child is not None and not isinstance(child, dict):
            raise UsageError(f"cannot set '{key}': '{parent}' is not a table")
        elif child is None and _names_plugin(parent):
            default = RunConfig.model_fields[parent].default
            child = {"name": default.name if default else None}
        data[parent] = child = dict(child or {})
        data = child
    old = data.get(last)
    if isinstance(old, dict) and _names_plugin(last) and isinstance(value, str) and not parents:
        # The options of another plugin (or of another model, for a system) are not those of the one that is chosen now.
        same = str(old.get("name", value)).partition(":")[0] == value.partition(":")[0]
        value = {**(old if same else {}), "name": value}
    data[last] = value


def _names_plugin(key: str) -> bool:
    return key in KINDS and KINDS[key].has_option


def validated(model: type[M], data: Mapping[str, Any], where: str, overridden: Container[str] = ()) -> M:
    """Validates `data`, and turns what is wrong into one line with file, key and what is allowed.

    Strings from the command line are read as the type that the field asks for; keys that it has overridden are its own.
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
        given = "" if first["type"] == "missing" else f", not {first['input']!r}"
        if where == COMMAND_LINE and first["type"] == "string_type":
            given += f"; for a text write {key}='\"...\"'"
        raise UsageError(f"{where}: '{key}': {first['msg'][0].lower()}{first['msg'][1:]}{given}") from error


def _fields(model: type[BaseModel], path: Iterable[Any]) -> list[str]:
    for part in path:
        kind = model.model_fields[part].annotation if part in model.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)


def cache_dir() -> Path:
    """Returns the folder for what may be computed or fetched again: `$MAIA_CACHE`, else `maia` in the user's cache."""
    if own := os.environ.get("MAIA_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "maia"
