"""What tools and engines do to a run: the effects of its calls, collected so that the record can repeat them."""

from __future__ import annotations

import math
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from pydantic import JsonValue

from maia_core.config import RunConfig
from maia_core.errors import RunError, ToolError
from maia_core.events import Effects
from maia_core.image import Image
from maia_core.image_store import ImageStore
from maia_core.types import Exemplar, ImagePart, Logged, TextPart, Usage, as_part

MAX_DISPLAYS, MAX_PIXELS = 2_000, 128_000_000
"""Most texts and images that one program may display, and most pixels of them; equal images count once."""

V = TypeVar("V")

_thread: ContextVar[threading.Thread] = ContextVar("maia_run_thread")
"""The thread whose run is meant, also in a thread that works for it in a copy of its context (`contextvars`)."""


class _OfRun(Generic[V]):
    """An attribute of which each run of a context has its own value."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, effects: RunEffects, owner: type) -> V:
        return cast(V, effects._run[self._name])

    def __set__(self, effects: RunEffects, value: V) -> None:
        effects._run[self._name] = value


class RunEffects:
    """The effects of a run so far, and of the call that is running. Each thread may have a run of its own.

    Attributes:
        config: The run's configuration; its limits bound the effects.
        seed: The run's random seed.
        images: The pixels of the run's record; None for a run that is not recorded.
    """

    config = _OfRun[RunConfig]()
    seed = _OfRun[int]()
    images = _OfRun[ImageStore | None]()
    _parts = _OfRun[ChainMap[str, Any]]()
    _effects = _OfRun[list[Effects]]()
    _warnings = _OfRun[list[str]]()
    _warn_to = _OfRun[Callable[[str], None]]()

    def __init__(self, config: RunConfig) -> None:
        self._lock = threading.RLock()
        self._late: WeakSet[threading.Thread] = WeakSet()
        self._shared: dict[str, Any] = {}  # Parts of all runs.
        self._runs: WeakKeyDictionary[threading.Thread, dict[str, Any]] = WeakKeyDictionary()
        self.begin_run(config)

    @property
    def _run(self) -> dict[str, Any]:
        """The values of the calling thread's run; of the run that began last, in a thread that has none."""
        if (thread := threading.current_thread()) in self._late:
            raise RunError("this call was given up: it took too long")
        return self._runs.get(_thread.get(thread), self._latest)

    def begin_run(self, config: RunConfig) -> None:
        """Begins a run in the calling thread, which forgets the parts and effects of its last one."""
        _thread.set(thread := _thread.get(threading.current_thread()))
        # The parts of this run come first, then those of all runs.
        parts, warnings = ChainMap({}, self._shared), list[str]()
        run = {"config": config, "seed": config.seed, "images": None, "_parts": parts, "_effects": [Effects()]}
        run |= {"_warnings": warnings, "_warn_to": warnings.append}
        self._runs[thread] = self._latest = run  # Whole: other threads see it from here on.

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
        """Shows texts and images to the backbone when the present program has ended.

        Raises:
            ToolError: the program has displayed as much as one program may.
        """
        parts = [as_part(item) for item in items]
        parts = [ImagePart(image=self._on_disk(p.image)) if isinstance(p, ImagePart) else p for p in parts]
        shown = [part for effects in self._effects for part in effects.shown] + parts
        characters = sum(len(part.text) for part in shown if isinstance(part, TextPart))
        pictures = {part.image.id: part.image for part in shown if isinstance(part, ImagePart)}
        pixels = sum(image.width * image.height for image in pictures.values())
        most = self.config.experiment.output_chars
        if len(shown) > MAX_DISPLAYS or characters > most or pixels > MAX_PIXELS:
            raise ToolError(
                f"a program may display {MAX_DISPLAYS:,} texts and images with {most:,} characters and {MAX_PIXELS:,} "
                "pixels in all; display less"
            )
        self._effects[-1].shown += parts

    def log(self, title: str, activation: float, image: Image, notes: str = "") -> None:
        """Logs one measured condition: the record, the report and `results` have it.

        Raises:
            ToolError: the activation is not finite.
        """
        if not math.isfinite(activation):
            raise ToolError(f"the activation of '{title:.80}' is {activation}; log finite numbers")
        image = self._on_disk(image)
        self._effects[-1].logged.append(Logged(title=title, activation=activation, image=image, notes=notes))

    def keep(self, exemplars: Sequence[Exemplar]) -> None:
        """Keeps exemplars in the conversation when older images have to leave it; the most important come first."""
        self._effects[-1].kept = [Exemplar(value, self._on_disk(image)) for value, image in exemplars]

    def _on_disk(self, image: Image) -> Image:
        """Returns an image whose pixels are in the run folder, if there is one: a run must not fill the memory."""
        return self.images.on_disk(image) if self.images else image

    def warn(self, line: str) -> None:
        """Takes a line that the record and the report should show: skipped files, a fallback."""
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
        left = max(0, self.config.limits.images - self.generated)
        if count > left:
            raise ToolError(f"{count} images are asked for, but the run's budget has {left} left (limits.images)")
        self._effects[-1].generated += count

    def spend(self, usage: Usage) -> None:
        """Counts what an engine used, so that the run's budget of tokens and money holds for engines too."""
        with self._lock:
            self._effects[-1].usage += usage

    def disown(self, thread: threading.Thread) -> None:
        """Refuses what a thread does from now on: its tool took too long, and another run may have begun meanwhile."""
        self._late.add(thread)
