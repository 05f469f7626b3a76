"""What a plugin may ask of the run that it is built for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, cast

from maia_core.config import PluginRef, RunConfig, cache_dir, read
from maia_core.errors import UsageError
from maia_core.image import content_id
from maia_core.kinds import ENGINES, KINDS, NONE
from maia_core.observers import Observers
from maia_core.protocols import Dataset, Describer, ImageEditor, ImageGenerator, Model, System
from maia_core.registry import Registry, installed
from maia_core.run_effects import RunEffects, V


class _Part(Generic[V]):
    """The run's one part of a kind, which is the name of the attribute; built on first use."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._kind = name

    def __get__(self, context: Context, owner: type) -> V:
        return cast(V, context.part(self._kind))


def load(path: Path | None = None, overrides: Iterable[tuple[str, Any]] = ()) -> RunConfig:
    """Reads a configuration file, `maia.toml` in the working folder by default, and applies overrides.

    Where neither chooses a part, the part is the one that the task prefers (`maia_core.protocols.Task`).

    Args:
        path: The file, which must exist; None for `maia.toml`, which need not.
        overrides: Dotted keys and values, later ones win: `("generator.size", "256")`.

    Raises:
        UsageError: names the file, the key and what is allowed.
        PluginError: the plugin of the task is broken.
    """
    return read(path, overrides, installed().defaults_of)


class Context(RunEffects):
    """The parts of a run, each built when it is first asked for and then shared.

    Threads that call `restart` have runs of their own, which share the models, the data set and the engines.

    Attributes:
        cache: Folder for data that can be computed again; a plugin uses a subfolder of its own name.
        images: The pixels of the run's record.
        system: The unit that is explained.
        dataset: The data set that exemplars come from.
        generator: The image generator.
        editor: The image editor.
        describer: The describer; hand it `Image.anonymous()` copies only.
    """

    def __init__(
        self,
        config: RunConfig | None = None,
        registry: Registry | None = None,
        *,
        parts: Mapping[str, Any] | None = None,
        cache: Path | None = None,
    ) -> None:
        """Makes the context of a run.

        Args:
            config: Which plugins to build; the defaults where it is None.
            registry: Where plugins are found; the installed ones where it is None.
            parts: Ready-made parts by kind, used instead of building them.
            cache: The cache folder; `config.cache_dir()` where it is None.
        """
        self.registry = registry or installed()
        config = config or RunConfig()
        preferred = self.registry.defaults_of(config.task.name) if "task" in config.model_fields_set else {}
        chosen = {k: preferred[k] for k in preferred.keys() - config.model_fields_set}
        self.cache = cache or cache_dir()
        super().__init__(config.model_copy(update=chosen))
        for kind, part in (parts or {}).items():
            self._shelf(kind.partition("/")[0])[kind] = part

    def restart(self, system: PluginRef, config: RunConfig | None = None) -> None:
        """Begins the run of another unit in the calling thread; models, data set and engines are kept.

        Args:
            system: The unit.
            config: All else of the run; that of the thread's last run where it is None.
        """
        self.begin_run((config or self.config).model_copy(update={"system": system}))

    system = _Part[System]()
    dataset = _Part[Dataset]()
    generator = _Part[ImageGenerator]()
    editor = _Part[ImageEditor]()
    describer = _Part[Describer]()

    def part(self, kind: str) -> Any:
        """Returns the run's one part of a kind, built on first use.

        Raises:
            UsageError: the configuration chooses none.
            PluginError: the chosen plugin is missing or broken.
        """
        if kind in self._parts:
            return self._parts[kind]
        choice = getattr(self.config, kind, None)
        if choice is None or (choice.name == NONE and kind in ENGINES):
            if kind not in KINDS or not KINDS[kind].has_option:
                raise UsageError(f"a run has no {kind} of its own; build one by name with context.build")
            example = "MODEL:LAYER:UNIT" if kind == "system" else "NAME"
            raise UsageError(f"no {kind} is chosen; pass --{kind} {example} or set '{kind}' in maia.toml")
        return self._built(kind, kind, choice.name, choice.options)

    def tools(self) -> dict[str, Callable[..., Any]]:
        """Returns the tools that programs can call, by the names under which they do."""
        tools = {c.name.partition("@")[0]: self.build("tool", c.name, **c.options) for c in self.config.tools}
        return {name: tool for name, tool in tools.items() if getattr(tool, "is_offered", True)}

    def build(self, kind: str, name: str, /, **options: Any) -> Any:
        """Returns a part beside the run's own, such as a model that a describer looks with; shared by equal options."""
        return self._built(f"{kind}/{name}/{sorted(options.items())!r}", kind, name, options)

    @cached_property
    def observers(self) -> Observers:
        """The installed observers, loaded on first use."""
        return Observers(self.registry)

    def _built(self, key: str, kind: str, name: str, options: Mapping[str, Any]) -> Any:
        """Returns a part, which is built at the first call; every observer may replace it in turn."""
        with self._lock:
            if key not in self._parts:
                build = self._build_system if key == "system" else self.registry.build
                part = self.observers.wrap(build(kind, name, options, self), kind=kind, name=name, context=self)
                for problem in self.observers.take_problems():
                    self.warn(problem)
                self._shelf(kind)[key] = part
            return self._parts[key]

    def _shelf(self, kind: str) -> MutableMapping[str, Any]:
        """Returns where parts of a kind are kept: with those of this run alone, or with those of all runs."""
        return self._parts.maps[0] if kind == "tool" or KINDS[kind].scope == "run" else self._shared

    def model(self, name: str, **options: Any) -> Model:
        """Returns a model by name; `PLUGIN/MODEL` chooses one of the many that a plugin offers, as its option `model`.

        Raises:
            PluginError: there is no such plugin, or it is broken.
            UsageError: the plugin has no such model or option.
        """
        plugin, slash, variant = name.partition("/")
        return cast(Model, self.build("model", plugin, **({**options, "model": variant} if slash else options)))

    def _build_system(self, kind: str, name: str, options: Mapping[str, Any], context: Context) -> Any:
        made_by, _, ref = name.partition(":")
        if self.made_by_model(name):
            model = self.model(made_by, **options)
            if not ref:
                layers = ", ".join(layer.name for layer in model.layers() if layer.kind != "inner")
                raise UsageError(f"'{name}' is a model; choose one of its units, {name}:LAYER:UNIT, of {layers}")
            return model.unit(ref)
        return self.registry.build(kind, made_by, {**options, "ref": ref} if ref else options, context)

    def made_by_model(self, ref: str) -> bool:
        """Says whether a unit's reference begins with a model; if not, with a system. Nothing is built.

        Raises:
            PluginError: it begins with neither.
        """
        plugin = ref.partition(":")[0].partition("/")[0]
        is_model = self.registry.find("model", plugin) is not None
        if not is_model and self.registry.find("system", plugin) is None:
            raise self.registry.missing(plugin, "model", "system")
        return is_model

    def fingerprints(self) -> dict[str, str]:
        """Returns the fingerprints of the parts built so far, by kind (and name, where it is not the run's one)."""
        found = {key.partition("/[")[0]: getattr(part, "fingerprint", None) for key, part in self._parts.items()}
        return {key: str(value) for key, value in found.items() if value is not None}

    def seeds(self, prompts: Sequence[str]) -> list[int]:
        """Derives one seed a prompt from (run, prompt, occurrence in `prompts`): replicates differ, repeats agree.

        Returns:
            Integers in [0, 2**31).
        """
        seen: dict[str, int] = {}
        seeds = []
        for prompt in prompts:
            occurrence = seen[prompt] = seen.get(prompt, -1) + 1
            name = content_id(str(self.seed).encode(), prompt.encode("utf-8", "replace"), str(occurrence).encode())
            seeds.append(int(name[:8], 16) >> 1)
        return seeds
