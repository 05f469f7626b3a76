"""What tools and engines do to a run: the effects of its calls, collected so that the record can repeat them."""

from __future__ import annotations

import math
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from weakref import WeakSet

from pydantic import JsonValue

from maia_core.config import RunConfig
from maia_core.errors import RunError, ToolError
from maia_core.events import Effects
from maia_core.image import Image
from maia_core.image_store import ImageStore
from maia_core.types import Exemplar, ImagePart, Logged, TextPart, Usage, as_part

MAX_DISPLAYS, MAX_PIXELS = 2_000, 128_000_000
"""Most texts and images that one program may display, and most pixels of them; equal images count once."""


class RunEffects:
    """The effects of a run so far, and of the call that is running.

    Attributes:
        config: The run's configuration; its limits bound the effects.
        images: The pixels of the run's record; None for a run that is not recorded.
    """

    config: RunConfig
    images: ImageStore | None

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._late: WeakSet[threading.Thread] = WeakSet()
        self.begin_effects()

    def begin_effects(self) -> None:
        """Forgets the effects of an earlier run."""
        self._effects = [Effects()]  # Of the run so far; then those of the running call.
        self._warnings: list[str] = []
        self._warn_to: Callable[[str], None] = self._warnings.append

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
        """Shows texts and images to the backbone when the present program has ended.

        Raises:
            ToolError: the program has displayed as much as one program may.
        """
        self._in_time()
        parts = [self._small(as_part(item)) for item in items]
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
        self._in_time()
        if not math.isfinite(activation):
            raise ToolError(f"the activation of '{title:.80}' is {activation}; log finite numbers")
        image = self._on_disk(image)
        self._effects[-1].logged.append(Logged(title=title, activation=activation, image=image, notes=notes))

    def keep(self, exemplars: Sequence[Exemplar]) -> None:
        """Keeps exemplars in the conversation when older images have to leave it; the most important come first."""
        self._in_time()
        self._effects[-1].kept = [Exemplar(value, self._on_disk(image)) for value, image in exemplars]

    def _on_disk(self, image: Image) -> Image:
        """Returns an image whose pixels are in the run folder, if there is one: a run must not fill the memory."""
        return self.images.on_disk(image) if self.images else image

    def _small(self, part: TextPart | ImagePart) -> TextPart | ImagePart:
        return ImagePart(image=self._on_disk(part.image)) if isinstance(part, ImagePart) else part

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
