"""All that the describer knows: the library, the backgrounds and how to read confidences; learned once, then cached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, LabelledDataset, Model, Pixels, UnreadableImage
from maia_nearest import background, confidence, library, store
from maia_nearest.image_parts import CROPS, ImageParts, image_parts
from maia_nearest.whitening import Whitening

Progress = Callable[[int, int], None]
"""Gets the number of crops that the model has seen, and of all that it will see."""

FIELDS = ("mean", "axes", "damping", "scale")
"""The arrays of a `Whitening`."""

ARRAYS = frozenset(
    ["names", "lengths", "views", "background_names", "background_lengths", "background_views", "coefficients"]
    + [f"{space}_{field}" for space in ("space", "background_space") for field in FIELDS]
)
"""The arrays of a cache file."""


def quiet(done: int, total: int) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class Memory:
    """Everything that the describer learned.

    Attributes:
        library: The named objects.
        backgrounds: The named backgrounds.
        coefficients: How similarities are read as probabilities.
    """

    library: library.Library
    backgrounds: background.Backgrounds
    coefficients: confidence.Coefficients

    @property
    def frequency(self) -> Counter[str]:
        """How many library objects are of each kind."""
        return Counter(kind for names in self.library.concepts for kind in names[1:])


def recall(path: Path, learn: Callable[[], Memory], warn: Callable[[str], None]) -> Memory:
    """Reads what was learned from its cache file, or learns it and writes the file."""
    arrays = store.read(path, ARRAYS)
    if arrays is not None:
        try:
            return unpack(arrays)
        except (ValueError, IndexError):
            pass  # Arrays that do not fit together: learn again.
    memory = learn()
    try:
        store.write(path, pack(memory))
    except OSError as error:
        warn(f"cannot keep the describer's features in {path.parent} ({error.strerror}): the next run recomputes them")
    return memory


def learn(
    model: Model,
    layer: str,
    objects: LabelledDataset,
    grounds: LabelledDataset | None,
    warn: Callable[[str], None],
    progress: Progress = quiet,
) -> Memory:
    """Shows the model every library object, and learns what its confidences mean from scenes made of them."""
    items, concepts = library.cutouts(objects, warn)
    views = library.views(items, seed=0)
    done, total = 0, len(views) + confidence.SCENES * CROPS

    def count(pictures: int) -> None:
        nonlocal done
        done += pictures
        progress(done, total)

    seen = library.features(model, layer, views, seen=count)
    seen = seen.reshape(len(items), -1, seen.shape[-1])
    whitening = Whitening.fit(seen)
    known = library.Library(concepts, whitening, whitening(seen))
    pictures, names = surroundings(grounds, warn) if grounds is not None else ([], [])
    images, shown = confidence.scenes(items, pictures)

    def see(images: Sequence[Image]) -> NDArray[np.float32]:
        return features(model, layer, [image_parts(image) for image in images], count)

    return Memory(
        known,
        background.learn(pictures, names),
        confidence.calibrate(known, see, images, shown),
    )


def features(
    model: Model, layer: str, parts: Sequence[ImageParts], count: Callable[[int], None] = lambda crops: None
) -> NDArray[np.float32]:
    """Returns what the model sees in each image: shape (images, crops, units); `count` gets the crops of each batch."""
    seen = library.features(model, layer, [crop for each in parts for crop in each.crops()], seen=count)
    return seen.reshape(len(parts), CROPS, -1)


def surroundings(dataset: LabelledDataset, warn: Callable[[str], None]) -> tuple[list[Pixels], list[tuple[str, ...]]]:
    """Reads backgrounds and their names; images that cannot be read are counted and skipped."""
    pictures: list[Pixels] = []
    names: list[tuple[str, ...]] = []
    skipped = 0
    for index in range(len(dataset)):
        concepts = tuple(dataset.concepts(index))
        try:
            image = dataset[index]
        except UnreadableImage:
            skipped += 1
            continue
        if concepts:
            pictures.append((image.clean or image).pixels())
            names.append(concepts)
    if skipped:
        warn(f"{skipped} images of {dataset.name} cannot be read and were skipped")
    return pictures, names


def pack(memory: Memory) -> store.Arrays:
    """Turns what was learned into arrays."""
    arrays: store.Arrays = {"coefficients": memory.coefficients}
    parts: tuple[tuple[str, str, library.Library | background.Backgrounds], ...] = (
        ("", "space", memory.library),
        ("background_", "background_space", memory.backgrounds),
    )
    for prefix, space, part in parts:
        arrays[f"{prefix}names"] = np.asarray([name for names in part.concepts for name in names], np.str_)
        arrays[f"{prefix}lengths"] = np.asarray([len(names) for names in part.concepts], np.int64)
        arrays[f"{prefix}views"] = part.views
        arrays |= {f"{space}_{field}": getattr(part.whitening, field) for field in FIELDS}
    return arrays


def unpack(arrays: store.Arrays) -> Memory:
    """Turns arrays back into what was learned.

    Raises:
        ValueError: the arrays do not fit together.
    """

    def concepts(prefix: str) -> list[tuple[str, ...]]:
        names = iter(arrays[f"{prefix}names"].tolist())
        return [tuple(next(names) for _ in range(length)) for length in arrays[f"{prefix}lengths"].tolist()]

    def space(name: str) -> Whitening:
        mean, axes, damping, scale = (arrays[f"{name}_{field}"] for field in FIELDS)
        return Whitening(mean, axes, damping, scale)

    known = library.Library(concepts(""), space("space"), arrays["views"])
    grounds = background.Backgrounds(concepts("background_"), space("background_space"), arrays["background_views"])
    if len(known.concepts) != len(known.views) or known.views.ndim != 3:
        raise ValueError("names and views differ in number")
    return Memory(known, grounds, arrays["coefficients"])
