"""Exemplars as pictures, made from an index and the data set: no network is run."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image as PILImage
from PIL import ImageDraw, ImageFont

from maia_core.plugin import Dataset, Image, UsageError
from maia_exemplars.info import IndexInfo
from maia_exemplars.layer import LayerIndex, Unit
from maia_exemplars.masks import active
from maia_exemplars.preprocess import Preprocessing

SIDE, GAP, LINE = 224, 8, 22
"""Pixels of a contact sheet: side of an image, space between two, height of a line of text."""

COLUMNS = 5


def same_data(index: LayerIndex, dataset: Dataset) -> None:
    """Makes sure that places in an index are places in a data set.

    Raises:
        UsageError: the index was built on other images.
    """
    info = index.info
    if (info.dataset_fingerprint, info.images) != (dataset.fingerprint, len(dataset)):
        raise UsageError(
            f"{index.folder} was built on {info.images:,} images of '{info.dataset}', not on these "
            f"{len(dataset):,} of '{dataset.name}': choose it with --dataset, its options with -o dataset.KEY=VALUE"
        )


def preprocessing(info: IndexInfo) -> Preprocessing:
    """Returns how the model sees images.

    Raises:
        UsageError: the sheet is broken.
    """
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in info.preprocessing.items()}
    try:
        return Preprocessing(**fields)  # type: ignore[arg-type]  # The fields were checked when the index was read.
    except TypeError as error:
        raise UsageError(f"the preprocessing in the index of {info.model}:{info.layer} cannot be read") from error


def masked(unit: Unit, images: Sequence[Image], preprocess: Preprocessing, quantile: float) -> list[Image]:
    """Masks a unit's exemplars to where its map exceeds a quantile of it over the data set.

    Args:
        unit: The unit.
        images: Its first exemplars.
        preprocess: How the model sees images.
        quantile: Which quantile.

    Returns:
        The masked images: those of the first ranks, whose maps are kept.
    """
    threshold = unit.threshold(quantile)
    found: list[Image] = []
    for rank, image in enumerate(images):
        unit_map = unit.map(rank)
        if unit_map is None or threshold is None:
            break
        box = preprocess.box(image.width, image.height)
        found.append(image.masked(active(unit_map, threshold, image.width, image.height, box)))
    return found


def contact_sheet(title: str, images: Sequence[Image], captions: Sequence[str]) -> PILImage.Image:
    """Draws images in rows of `COLUMNS`, each with a line of text below, under a title."""
    rows = -(-len(images) // COLUMNS)
    width, height = COLUMNS * (SIDE + GAP) + GAP, LINE + GAP + rows * (SIDE + LINE + GAP)
    info = PILImage.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(info), ImageFont.load_default(14)
    draw.text((GAP, GAP // 2), title, "black", font)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = GAP + number % COLUMNS * (SIDE + GAP)
        top = LINE + GAP + number // COLUMNS * (SIDE + LINE + GAP)
        small = image.pil()
        small.thumbnail((SIDE, SIDE))
        info.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
        draw.text((left, top + SIDE + 2), caption, "black", font)
    return info
