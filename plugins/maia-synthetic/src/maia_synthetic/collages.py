"""Reads the contents of a data set's collages from their scenes, without drawing."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from maia_core.plugin import Dataset, Detector
from maia_synthetic.response import Vector

if TYPE_CHECKING:
    from maia_collage.dataset import CollageDataset
    from maia_collage.scene import Scene


def known_scores(detector: Detector, dataset: Dataset, text: str) -> Vector | None:
    """Returns what the ground-truth detector of collages would find in each image of a data set, without drawing any.

    Returns:
        Its best score by image, 1 or 0; None for another detector or data set.

    Raises:
        UsageError: the detector does not know the text.
    """
    # A part of the laboratory has been built by its package, so that these imports cost nothing.
    if type(detector).__module__ != "maia_collage.detector" or not in_laboratory(dataset):
        return None
    from maia_collage.detector import CollageDetector

    assert isinstance(detector, CollageDetector)
    return presence(dataset, text) if dataset.pack.fingerprint == detector.pack.fingerprint else None


def in_laboratory(dataset: Dataset) -> TypeGuard[CollageDataset]:
    """Tells whether a data set draws collages, as many as it is asked for."""
    if type(dataset).__module__ != "maia_collage.dataset":
        return False
    from maia_collage.dataset import CollageDataset

    return isinstance(dataset, CollageDataset)


def presence(dataset: CollageDataset, text: str) -> Vector:
    """Returns in which collages there is what a text names: float64 of shape (images,), 1 or 0.

    Raises:
        UsageError: the text names nothing that a pack may hold.
    """
    from maia_collage import select
    from maia_collage.detector import query
    from maia_labels.phrase import Phrase

    phrase = behind = query(text)
    named = phrase.entry or phrase.generic or phrase.wildcard
    if not named:  # A colour alone is one of an object, or of the background.
        behind = Phrase(colours=phrase.colours, generic=True)
    objects = not named or phrase.wildcard or (phrase.entry is not None and not phrase.entry.background)

    def there(scene: Scene) -> bool:
        return (objects and bool(select.objects(phrase, scene, dataset.pack))) or (
            not phrase.wildcard and select.is_background(behind, scene)
        )

    return np.array([there(scene) for scene in _scenes(dataset)], dtype=np.float64)


@lru_cache(maxsize=4)
def _scenes(dataset: CollageDataset) -> tuple[Scene, ...]:
    return tuple(dataset.scene(index) for index in range(len(dataset)))
