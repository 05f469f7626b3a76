"""What a plugin may ask of the run that it is built for."""

from __future__ import annotations

import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakSet

from pydantic import JsonValue

from maia_core.config import PluginRef, RunConfig, cache_dir
from maia_core.errors import RunError, ToolError, UsageError
from maia_core.events import Effects
from maia_core.exemplars import BruteForce
from maia_core.image import Image, content_id
from maia_core.image_store import ImageStore
from maia_core.kinds import KINDS
from maia_core.observers import Observers
from maia_core.protocols import (
    Dataset,
    Describer,
    ExemplarSource,
    HasExemplars,
    ImageEditor,
    ImageGenerator,
    Model,
    System,
)
from maia_core.registry import Registry, installed
from maia_core.types import Exemplar, ImagePart, Logged, TextPart, Usage, as_part


class Context:
    """The parts of one run, each built when it is first asked for and then shared.

    Attributes:
        config: The run's configuration.
        seed: The run's seed.
        cache: Folder for what may be computed again; a plugin uses a subfolder of its own name.
        images: The pixels of the run's record.
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
        self.config = config or RunConfig()
        self.registry = registry or installed()
        self.seed = self.config.seed
        self.cache = cache or cache_dir()
        self._parts: dict[str, Any] = dict(parts or {})
        self._lock = threading.RLock()
        self._late: WeakSet[threading.Thread] = WeakSet()
        self._begin()

    def _begin(self) -> None:
        self._effects = [Effects()]  # Of the run so far; then those of the present call.
        self.images: ImageStore | None = None
        self._warnings: list[str] = []
        self._warn_to: Callable[[str], None] = self._warnings.append

    def restart(self, system: PluginRef) -> None:
        """Begins the run of another unit; models, data set and engines are kept, all that belongs to one run is not."""
        with self._lock:
            self.config = self.config.model_copy(update={"system": system})
            own = {kind.name for kind in KINDS.values() if kind.scope == "run"}
            kept = {key: part for key, part in self._parts.items() if key not in own and not key.startswith("tool/")}
            self._parts = kept
            self._begin()

    # The run's parts, typed.

    @property
    def system(self) -> System:
        """The unit that is explained."""
        system: System = self.part("system")
        return system

    @property
    def dataset(self) -> Dataset:
        """The data set that exemplars come from."""
        dataset: Dataset = self.part("dataset")
        return dataset

    @property
    def generator(self) -> ImageGenerator:
        """The image generator."""
        generator: ImageGenerator = self.part("generator")
        return generator

    @property
    def editor(self) -> ImageEditor:
        """The image editor."""
        editor: ImageEditor = self.part("editor")
        return editor

    @property
    def describer(self) -> Describer:
        """The describer; hand it `Image.anonymous()` copies only."""
        describer: Describer = self.part("describer")
        return describer

    def part(self, kind: str) -> Any:
        """Returns the run's one part of a kind, built on first use.

        Raises:
            UsageError: the configuration chooses none.
            PluginError: the chosen plugin is missing or broken.
        """
        with self._lock:
            if kind not in self._parts:
                choice = getattr(self.config, kind, None)
                if choice is None:
                    if kind not in KINDS or not KINDS[kind].has_option:
                        raise UsageError(f"a run has no {kind} of its own; build one by name with context.build")
                    example = "MODEL:LAYER:UNIT" if kind == "system" else "NAME"
                    raise UsageError(f"no {kind} is chosen; pass --{kind} {example} or set '{kind}' in maia.toml")
                build = self._build_system if kind == "system" else self.registry.build
                self._parts[kind] = self._built(kind, choice.name, build(kind, choice.name, choice.options, self))
            return self._parts[kind]

    def build(self, kind: str, name: str, /, **options: Any) -> Any:
        """Returns a part beside the run's own, such as a model that a describer looks with; shared by equal options."""
        key = f"{kind}/{name}/{sorted(options.items())!r}"
        with self._lock:
            if key not in self._parts:
                self._parts[key] = self._built(kind, name, self.registry.build(kind, name, options, self))
            return self._parts[key]

    @cached_property
    def observers(self) -> Observers:
        """The installed observers, loaded on first use."""
        return Observers(self.registry)

    def _built(self, kind: str, name: str, part: Any) -> Any:
        """Returns a new part, or its replacement: every observer may wrap it in turn."""
        part = self.observers.wrap(part, kind=kind, name=name, context=self)
        for problem in self.observers.take_problems():
            self.warn(problem)
        return part

    def model(self, name: str, **options: Any) -> Model:
        """Returns a model by name; `PLUGIN/MODEL` chooses one of the many that a plugin offers, as its option `model`.

        Raises:
            PluginError: there is no such plugin, or it is broken.
            UsageError: the plugin has no such model or option.
        """
        plugin, slash, variant = name.partition("/")
        model: Model = self.build("model", plugin, **({**options, "model": variant} if slash else options))
        return model

    def _build_system(self, kind: str, name: str, options: Mapping[str, Any], context: Context) -> Any:
        made_by, _, ref = name.partition(":")
        if self.made_by_model(name):
            model = self.model(made_by, **options)
            if not ref:
                layers = ", ".join(layer.name for layer in model.layers() if layer.kind != "inner")
                raise UsageError(f"'{name}' is a model; choose one of its units, {name}:LAYER:UNIT, of {layers}")
            return model.unit(ref)
        extra = {"ref": ref} if ref else {}
        return self.registry.build(kind, made_by, {**options, **extra}, context)

    def made_by_model(self, ref: str) -> bool:
        """Says whether a unit's reference begins with a model; if not, with a system. Nothing is built.

        Raises:
            PluginError: it begins with neither.
        """
        plugin = ref.partition(":")[0].partition("/")[0]
        if self.registry.find("model", plugin) is not None:
            return True
        if self.registry.find("system", plugin) is None:
            raise self.registry.missing(plugin, "model", "system")
        return False

    def exemplar_source(self, system: System) -> ExemplarSource:
        """Returns the fastest way to a system's exemplars on the run's data set: its own, or brute force."""
        if isinstance(system, HasExemplars):
            return system.exemplar_source(self.dataset)
        return BruteForce(self.dataset, warn=self.warn)

    def fingerprints(self) -> dict[str, str]:
        """Returns the fingerprints of the parts built so far, by kind (and name, where it is not the run's one)."""
        with self._lock:
            found = {key.partition("/[")[0]: getattr(part, "fingerprint", None) for key, part in self._parts.items()}
        return {key: str(value) for key, value in found.items() if value is not None}

    # What tools do for the backbone.

    @contextmanager
    def collect(self) -> Iterator[Effects]:
        """Collects the effects of one call, and applies them to the run when the block ends, also by an error."""
        effects = Effects()
        self._effects.append(effects)
        try:
            yield effects
        finally:
            self._effects.pop()
            self.apply(effects)

    def apply(self, effects: Effects) -> None:
        """Adds the effects of a call to the run."""
        self._effects[-1].add(effects)

    @property
    def logged(self) -> Sequence[Logged]:
        """The conditions that were logged so far, oldest first."""
        return [entry for effects in self._effects for entry in effects.logged]

    @property
    def facts(self) -> MutableMapping[str, JsonValue]:
        """What tools have found out about the unit, by name; see `maia_core.protocols.RunContext`."""
        self._in_time()
        return ChainMap(*[effects.facts for effects in reversed(self._effects)])

    @property
    def generated(self) -> int:
        """How many images were generated or edited so far."""
        return sum(effects.generated for effects in self._effects)

    @property
    def spent(self) -> Usage:
        """Tokens and money that engines used so far, such as a describer behind a paid service."""
        return sum((effects.usage for effects in self._effects), Usage())

    def show(self, *items: str | Image | TextPart | ImagePart) -> None:
        """Shows texts and images to the backbone when the present program has ended."""
        self._in_time()
        self._effects[-1].shown.extend(map(as_part, items))

    def log(self, title: str, activation: float, image: Image, notes: str = "") -> None:
        """Logs one measured condition: the record, the report and `results` have it."""
        self._in_time()
        self._effects[-1].logged.append(Logged(title=title, activation=activation, image=image, notes=notes))

    def keep(self, exemplars: Sequence[Exemplar]) -> None:
        """Keeps exemplars in the conversation when older images have to leave it; the most important come first."""
        self._in_time()
        self._effects[-1].kept = list(exemplars)

    def warn(self, line: str) -> None:
        """Takes a line that the record and the report should show: skipped files, a fallback."""
        self._in_time()
        self._warn_to(line)

    def warn_to(self, listener: Callable[[str], None]) -> None:
        """Sets where warnings go, and hands over those that came before."""
        self._warn_to = listener
        for line in self._warnings:
            listener(line)

    def take_shown(self) -> list[TextPart | ImagePart]:
        """Returns the texts and images that were shown since `take_shown` was called last."""
        shown, self._effects[-1].shown = self._effects[-1].shown, []
        return shown

    def spend_images(self, count: int) -> None:
        """Counts images that a tool is about to generate or edit.

        Raises:
            ToolError: the run's budget does not hold that many.
        """
        self._in_time()
        left = self.config.limits.images - self.generated
        if count > left:
            raise ToolError(
                f"{count} images are asked for, but the run's budget has {max(left, 0)} left (limits.images)"
            )
        self._effects[-1].generated += count

    def spend(self, usage: Usage) -> None:
        """Counts what an engine used, so that the run's budget of tokens and money holds for engines too."""
        self._in_time()
        with self._lock:
            self._effects[-1].usage += usage

    def disown(self, thread: threading.Thread) -> None:
        """Refuses what a thread does from now on: its tool took too long, and another run may have begun meanwhile."""
        self._late.add(thread)

    def _in_time(self) -> None:
        if threading.current_thread() in self._late:
            raise RunError("this call was given up: it took too long")

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
