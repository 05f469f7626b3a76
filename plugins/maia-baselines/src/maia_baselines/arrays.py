"""Arrays that are computed once and cached by everything that decides them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, Image, RunContext, UnreadableImage, UsageError, content_id, write_atomically
from maia_exemplars.measured import NotFiniteError
from maia_exemplars.prefetch import prefetched

Matrix = NDArray[np.float32]

BATCH = 64
"""Images of one call; as many more are read ahead."""


def cached(context: RunContext, what: str, parts: tuple[str, ...], compute: Callable[[], Matrix]) -> Matrix:
    """Returns an array from the cache folder, or computes and caches it.

    Args:
        context: Has the cache folder.
        what: Name of the subfolder, such as `activations`.
        parts: All that the array depends on, fingerprints among them.
        compute: Computes it; called only where there is no sound file.
    """
    path = context.cache / "baselines" / what / f"{content_id(*(part.encode() for part in parts))}.npy"
    try:
        stored: Matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        if stored.dtype == np.float32:
            return stored
    except (OSError, ValueError, EOFError):
        pass  # Missing or damaged: it is computed again.
    computed = np.ascontiguousarray(compute(), np.float32)
    buffer = io.BytesIO()
    np.save(buffer, computed, allow_pickle=False)
    try:
        write_atomically(path, buffer.getvalue())
    except OSError as error:
        context.warn(f"cannot cache {what} in {path.parent}: {error.strerror}; the next run computes them again")
    return computed


def over_images(dataset: Dataset, measure: Callable[[list[Image]], Matrix], context: RunContext) -> Matrix:
    """Measures every image of a data set in batches.

    Args:
        dataset: The images.
        measure: Returns one row per image.
        context: Is warned of images that cannot be read.

    Returns:
        float32 of shape (images, columns); NaN in the rows of images that cannot be read or give no finite values.

    Raises:
        UsageError: the data set holds no readable image.
    """
    rows: list[tuple[list[int], Matrix]] = []
    skipped: list[str] = []
    for indices, images in _batches(dataset, skipped):
        try:
            rows.append((indices, np.asarray(measure(images), np.float32)))
        except NotFiniteError:
            for index, image in zip(indices, images, strict=True):
                try:
                    rows.append(([index], np.asarray(measure([image]), np.float32)))
                except NotFiniteError:
                    skipped.append(dataset.ids[index])
    if skipped:
        named = ", ".join(skipped[:5])
        context.warn(f"{len(skipped)} images of {dataset.name} cannot be read or measured and were skipped: {named}")
    if not rows:
        raise UsageError(f"the data set {dataset.name} holds no readable image")
    result = np.full((len(dataset), rows[0][1].shape[1]), np.nan, np.float32)
    for indices, values in rows:
        result[indices] = values
    return result


def _batches(dataset: Dataset, skipped: list[str]) -> Iterator[tuple[list[int], list[Image]]]:
    """Yields places and images of each batch; threads read the next one meanwhile."""

    def load(index: int) -> Image | None:
        try:
            return dataset[index]
        except UnreadableImage:
            return None

    loaded = prefetched(load, range(len(dataset)), ahead=BATCH)
    for start in range(0, len(dataset), BATCH):
        batch = {start + row: image for row, image in enumerate(islice(loaded, BATCH)) if image is not None}
        skipped += [
            dataset.ids[index] for index in range(start, min(start + BATCH, len(dataset))) if index not in batch
        ]
        if batch:
            yield list(batch), list(batch.values())
