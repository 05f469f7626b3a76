"""Joins what several sessions of one process ask of an engine or a model at the same time: an observer.

A session that is alone waits for nothing. While a call runs, the calls of the other sessions wait; when it has ended,
they become one call, of at most `cache_step` items of the engine, or `MAX_ITEMS`. An engine never runs in two threads
at the same time, unless it has an attribute `batched = False`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

from maia_core.plugin import (
    Context,
    Describer,
    GeneratedImages,
    Image,
    ImageEditor,
    ImageGenerator,
    Usage,
    hookimpl,
    results_of,
)
from maia_hub.joining import Joiner

MAX_ITEMS = 32
"""Most prompts or images of a joined call of an engine without a `cache_step`."""
MAX_IMAGES = 64
"""Most images of a joined pass of a model."""


class _Request(NamedTuple):
    """A call of an engine's method with sequences of one element per item."""

    method: Callable[..., Any]
    arguments: tuple[Sequence[Any], ...]


class _Answer(NamedTuple):
    """The result of a call, and the caller's share of what a joined call used."""

    result: Any
    usage: Usage | None = None


class _Batched:
    """An engine whose calls are joined and never overlap: its other attributes are the engine's own.

    Attributes:
        fingerprint: The engine's.
    """

    def __init__(self, engine: Any, context: Context) -> None:
        """Puts a batcher before an engine.

        Args:
            engine: Carries out the calls.
            context: The context of the runs that call it, one run per thread. They share what a joined call used, by
                their numbers of items.
        """
        self.fingerprint: str = engine.fingerprint
        self._engine, self._context = engine, context
        self._joiner = Joiner(self._run, getattr(engine, "cache_step", None) or MAX_ITEMS)

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "_engine":  # Not set yet, as in a copy.
            raise AttributeError(attribute)
        return getattr(self._engine, attribute)

    def _call(self, method: Callable[..., Any], *arguments: Sequence[Any], alone: bool = False) -> Any:
        sizes = {len(argument) for argument in arguments}
        # Lists of unlike lengths are the caller's mistake: the engine reports it.
        alone = alone or len(sizes) > 1
        answer = self._joiner.call(_Request(method, arguments), max(sizes), method, alone=alone)
        if answer.usage is not None:
            self._context.spend(answer.usage)
        return answer.result

    def _run(self, requests: list[_Request]) -> list[_Answer | None]:
        """Carries out one request, or several as one call; None for one that an error of the call leaves unanswered."""
        method = requests[0].method
        if len(requests) == 1:
            return [_Answer(method(*requests[0].arguments))]
        ends = accumulate((len(request.arguments[0]) for request in requests), initial=0)
        spans = [range(start, end) for start, end in pairwise(ends)]
        columns = zip(*(request.arguments for request in requests), strict=True)
        with self._context.collect() as effects:
            results = _results(method, [list(chain.from_iterable(column)) for column in columns])
            answered = [all(item in results for item in span) for span in spans]
            sizes = [len(span) * each for span, each in zip(spans, answered, strict=True)]
            shares = _shared_out(effects.usage, sizes)
            effects.usage = Usage()
        return [
            _Answer(self._packed([results[item] for item in span]), share) if each else None
            for span, share, each in zip(spans, shares, answered, strict=True)
        ]

    def _packed(self, results: list[Any]) -> Any:
        """Returns what the method returns for items with these results."""
        return GeneratedImages([image for image, _ in results], [warning for _, warning in results])


class BatchedGenerator(_Batched):
    """A generator whose calls of several threads are joined."""

    _engine: ImageGenerator

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """See `maia_core.protocols.ImageGenerator`."""
        result: GeneratedImages = self._call(self._engine.generate, prompts, seeds)
        return result


class BatchedEditor(_Batched):
    """An editor whose calls of several threads are joined."""

    _engine: ImageEditor

    def edit(self, images: Sequence[Image], instructions: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        """See `maia_core.protocols.ImageEditor`."""
        result: GeneratedImages = self._call(self._engine.edit, images, instructions, seeds)
        return result


class BatchedDescriber(_Batched):
    """A describer whose calls of several threads are joined; a summary is one text on all of its images, and is not."""

    _engine: Describer

    def describe(self, images: Sequence[Image]) -> list[str]:
        """See `maia_core.protocols.Describer`."""
        result: list[str] = self._call(self._engine.describe, images)
        return result

    def summarize(self, images: Sequence[Image]) -> str:
        """See `maia_core.protocols.Describer`."""
        result: str = self._call(self._engine.summarize, images, alone=True)
        return result

    def _packed(self, results: list[Any]) -> Any:
        return results


WRAPPERS = {"generator": BatchedGenerator, "editor": BatchedEditor, "describer": BatchedDescriber}
"""The kinds of engines whose calls are joined."""


@hookimpl(trylast=True)  # MAIA calls it before maia-cache, so that the cache stands before the batcher.
def part_built(kind: str, part: Any, context: object) -> object | None:
    """Puts a batcher before an engine, and lets the sessions share the passes of a model, unless `batched = False`."""
    if not isinstance(context, Context) or not getattr(part, "batched", True):
        return None
    if kind == "model" and hasattr(part, "join_passes"):
        part.join_passes(MAX_IMAGES)
    return WRAPPERS[kind](part, context) if kind in WRAPPERS else None


def _results(method: Callable[..., Any], columns: Sequence[list[Any]]) -> dict[int, Any]:
    """Returns the results of a call by item: a text, or an image and its warning.

    Raises:
        Exception: the call failed for all items, or returned a wrong number of results.
    """
    try:
        made = method(*columns)
    except Exception as error:
        if results := results_of(error):
            return results
        raise
    rows = zip(*made, strict=True) if isinstance(made, GeneratedImages) else made
    return dict(zip(range(len(columns[0])), rows, strict=True))


def _shared_out(usage: Usage, sizes: Sequence[int]) -> list[Usage]:
    """Returns the share of each of several callers in what they used together, by their numbers of items."""
    total = sum(sizes) or 1
    used = usage.model_dump()
    until = [
        Usage(
            **{
                name: value * end // total if isinstance(value, int) else value * end / total
                for name, value in used.items()
            }
        )
        for end in accumulate(sizes, initial=0)
    ]
    return [after - before for before, after in pairwise(until)]
