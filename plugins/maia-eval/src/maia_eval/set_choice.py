"""The four-sets test of the paper's Appendix E: can a reader of a label tell which images activate the unit?

A question is a label and four sets of four held-out images: one set activates the unit strongly, three are drawn at
random. Who answers is the subject: a judge, which predicts each image's activation from the label, a backbone, which
sees the sets, or people. Chance is 25 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import Field

from maia_core.plugin import Data, Dataset, Image, Judge, System, Usage, UsageError, content_id
from maia_eval import metrics
from maia_eval.metrics import Estimate
from maia_eval.results import Folder
from maia_exemplars.held_out import HeldOutImages

SETS, SIZE = 4, 4
"""Sets in a question, and images in a set."""

MIN_IMAGES = 2 * SETS * SIZE
"""Fewest held-out images: twice what a question shows."""

CHANCE = 1 / SETS

LETTERS = "ABCD"

PLACE = "set-choice"
"""Subfolder of an evaluation that holds the answers."""

TILE = 160
"""Side of an image in a grid of four, in pixels."""


class Choice(Data):
    """The answer to one question.

    Attributes:
        hit: 1 for the right set, 0 for another; a share where the subject could not tell some sets apart.
        picked: The set, from 0; None where it gave no answer or could not tell.
    """

    hit: float
    picked: int | None = None


class UnitChoices(Data):
    """One subject's answers on one unit.

    Attributes:
        unit: The unit's reference.
        subject: Who answered, in words; the folder's name tells apart who was asked differently.
        skipped: Why there are no questions; the same for all explainers.
        choices: By explainer, one for each question.
        usage: What a backbone used.
        fingerprints: Of the parts that made the questions.
    """

    unit: str
    subject: str = ""
    skipped: str = ""
    choices: dict[str, tuple[Choice, ...]] = Field(default_factory=dict)
    usage: Usage = Usage()
    fingerprints: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """Four sets of images, and which of them activates the unit."""

    sets: tuple[tuple[Image, ...], ...]
    right: int

    def grids(self) -> list[Image]:
        """Returns each set as one image of two by two, titled with its letter."""
        return [grid(images).retitled(f"set {letter}") for letter, images in zip(LETTERS, self.sets, strict=True)]


class SetImages(HeldOutImages):
    """Held-out images as they are: a synthetic neuron knows a collage by where it comes from. Subjects see no names."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        """Reads up to `count` images, evenly from the whole data set.

        Raises:
            UsageError: fewer than 32 can be read.
        """
        super().__init__(dataset, count)
        if len(self.images) < MIN_IMAGES:
            raise UsageError(
                f"the data set '{dataset.name}' has {len(self.images)} images; the test needs {MIN_IMAGES}"
            )


def questions_of(system: System, held: SetImages, count: int, seed: int, unit: str) -> list[Question]:
    """Makes up to `count` questions about a unit, the same ones for the same seed.

    The strongly activating images are the highest, `4 * count` of them, dealt to the questions at random; the others
    are drawn from the rest.

    Returns:
        Fewer where fewer images activate the unit more than the median image does, or where there are too few others;
        none where not even four do.
    """
    activations = held.activations(system)
    order = np.argsort(-activations, kind="stable")
    strong = [int(i) for i in order[: SIZE * count] if activations[i] > np.median(activations)]
    count = min(count, len(strong) // SIZE, (len(activations) - len(strong)) // (SIZE * (SETS - 1)))
    rng = np.random.default_rng(int(content_id(f"set-choice/{seed}/{unit}".encode()), 16))
    dealt = rng.permutation(strong)[: count * SIZE].reshape(count, SIZE)
    others = rng.permutation(order[len(strong) :])[: count * SIZE * (SETS - 1)].reshape(count, SETS - 1, SIZE)
    made = []
    for high, rest in zip(dealt, others, strict=True):
        right = int(rng.integers(SETS))
        sets = [*rest[:right], high, *rest[right:]]
        made.append(Question(tuple(tuple(held.images[int(i)].anonymous() for i in each) for each in sets), right))
    return made


def choose(judge: Judge, label: str, question: Question) -> Choice:
    """Has a judge predict each image's activation from the label; the set with the highest mean is its choice.

    Sets of the same mean share the choice, so a label that says nothing gets a quarter and not a lucky guess.
    """
    predicted = np.asarray(judge.predict(label, [image for images in question.sets for image in images]), np.float64)
    return _highest(predicted.reshape(SETS, SIZE).mean(1), question.right)


def _highest(means: NDArray[np.float64], right: int) -> Choice:
    best = np.flatnonzero(means >= means.max() - 1e-9)
    return Choice(hit=float(right in best) / len(best), picked=int(best[0]) if len(best) == 1 else None)


def grid(images: Sequence[Image]) -> Image:
    """Returns four images as one, two by two, each fitted into a square."""
    canvas = PILImage.new("RGB", (2 * TILE + 4, 2 * TILE + 4), "white")
    for number, image in enumerate(images):
        tile = image.pil()
        tile.thumbnail((TILE, TILE))
        row, column = divmod(number, 2)
        corner = column * (TILE + 4) + (TILE - tile.width) // 2, row * (TILE + 4) + (TILE - tile.height) // 2
        canvas.paste(tile, corner)
    return Image.from_pil(canvas)


class Row(NamedTuple):
    """How often one subject found the right set with the labels of one explainer.

    Attributes:
        subject: Tells apart who was asked, and what.
        called: Who was asked, in words.
        explainer: Whose labels.
        units: On how many units.
        share: How often.
    """

    subject: str
    called: str
    explainer: str
    units: int
    share: Estimate


def choice_rows(folder: Folder) -> list[Row]:
    """Returns the share of right choices of every subject, judge, backbone or person, by explainer."""
    found = []
    for place in sorted((folder.path / PLACE).glob("*/*.json")):
        read = folder.read(UnitChoices, PLACE, place.parent.name, place.stem)
        if read is not None:
            found.append((place.parent.name, read))
    made = []
    for subject in dict.fromkeys(name for name, _ in found):
        called = next((each.subject for name, each in found if name == subject and each.subject), "")
        for explainer in folder.explainers:
            own = [each.choices[explainer] for name, each in found if name == subject and explainer in each.choices]
            hits = [choice.hit for choices in own for choice in choices]
            if hits:
                share = metrics.share(sum(hits), len(hits))
                made.append(Row(subject, called or subject.partition("@")[0], explainer, len(own), share))
    return made
