"""What every `maia_core.protocols.Dataset` does."""

from __future__ import annotations

import random
from typing import ClassVar

import pytest

from maia_core.errors import UnreadableImage
from maia_core.image import Image
from maia_core.protocols import Dataset, LabelledDataset
from maia_core.testing.suites.samples import in_threads


class DatasetSuite:
    """Subclass it and return the data set from the fixture `dataset`.

    Attributes:
        looks: How many of its images are read.
        unreadable: Indices of images that cannot be read: give the data set at least one, if it can have any.
    """

    looks: ClassVar[int] = 16
    unreadable: ClassVar[tuple[int, ...]] = ()

    @pytest.fixture
    def dataset(self) -> Dataset:
        """The data set under test."""
        raise NotImplementedError("override the fixture `dataset`: it returns the data set under test")

    @pytest.fixture
    def twin(self) -> Dataset | None:
        """A second instance made in the same way, or None where that costs too much."""
        return None

    def test_is_named_and_sized(self, dataset: Dataset) -> None:
        assert len(dataset) == len(dataset.ids) > 0
        assert all(isinstance(value, str) and value.strip() for value in (dataset.name, dataset.fingerprint))

    def test_ids_are_unique_texts(self, dataset: Dataset) -> None:
        ids = list(dataset.ids)
        assert all(isinstance(name, str) and name for name in ids)
        assert len(set(ids)) == len(ids)

    def test_images_carry_their_id_and_no_title(self, dataset: Dataset) -> None:
        """A title would reach the backbone: with a file's name in it, it tells the answer."""
        for index in self.some(dataset):
            image = dataset[index]
            assert isinstance(image, Image)
            assert image.title == ""
            assert dataset.ids[index] in image.provenance.values()
            assert image.pixels().shape == (image.height, image.width, 3)

    @pytest.mark.parametrize("beyond", [0, 1000, -1], ids=["at the end", "far beyond", "negative"])
    def test_index_out_of_range_is_refused(self, dataset: Dataset, beyond: int) -> None:
        """An old-style `for` loop over a data set ends at this error."""
        with pytest.raises(IndexError):
            dataset[len(dataset) + beyond if beyond >= 0 else beyond]

    def test_reading_again_and_in_another_order_gives_the_same(self, dataset: Dataset) -> None:
        indices = self.some(dataset)
        first = {index: dataset[index].id for index in indices}
        shuffled = random.Random(0).sample(indices, len(indices))
        assert {index: dataset[index].id for index in shuffled} == first

    def test_threads_do_not_disturb_each_other(self, dataset: Dataset) -> None:
        indices = self.some(dataset)
        expected = [self.content(dataset, index) for index in indices]
        forwards, backwards = in_threads(
            lambda: [self.content(dataset, index) for index in indices],
            lambda: [self.content(dataset, index) for index in indices[::-1]],
        )
        assert all(found == expected for found in forwards)
        assert all(found[::-1] == expected for found in backwards)

    def test_twin_holds_the_same(self, dataset: Dataset, twin: Dataset | None) -> None:
        if twin is None:
            pytest.skip("no twin is given")
        assert list(twin.ids) == list(dataset.ids)
        assert twin.fingerprint == dataset.fingerprint
        for index in self.some(dataset):
            assert self.content(twin, index) == self.content(dataset, index)

    def test_unreadable_image_is_named_and_others_are_read(self, dataset: Dataset) -> None:
        if not self.unreadable:
            pytest.skip("no unreadable image is given")
        for index in self.unreadable:
            with pytest.raises(UnreadableImage):
                dataset[index]
        assert all(dataset[index].width for index in self.some(dataset))

    def test_labels_name_what_is_shown(self, dataset: Dataset) -> None:
        if not isinstance(dataset, LabelledDataset):
            pytest.skip("it has no labels")
        for index in self.some(dataset):
            concepts = dataset.concepts(index)
            assert not isinstance(concepts, str)
            assert all(isinstance(concept, str) and concept.strip() for concept in concepts)

    def some(self, dataset: Dataset) -> list[int]:
        """Returns up to `looks` readable indices, the first and the last among them."""
        readable = [index for index in range(len(dataset)) if index not in self.unreadable]
        step = max(1, len(readable) // self.looks)
        return sorted({*readable[::step][: self.looks], readable[-1]})

    def content(self, dataset: Dataset, index: int) -> tuple[str, bytes]:
        """Returns an image's id and pixels."""
        image = dataset[index]
        return image.id, image.pixels().tobytes()
