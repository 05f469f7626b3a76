"""The data sets keep the promises of their kind, on the cut-outs and on the real pack."""

from __future__ import annotations

import pytest

from maia_collage.dataset import CollageDataset, CutoutsDataset
from maia_collage.pack import Pack
from maia_core.config import cache_dir
from maia_core.context import Context
from maia_core.testing import DatasetSuite


class TestCutouts(DatasetSuite):
    @pytest.fixture
    def dataset(self, context: Context) -> CutoutsDataset:
        return CutoutsDataset(CutoutsDataset.Config(), context)

    @pytest.fixture
    def twin(self, context: Context) -> CutoutsDataset:
        return CutoutsDataset(CutoutsDataset.Config(), context)


@pytest.mark.pack
class TestCollagesOfPhotographs(DatasetSuite):
    looks = 6

    @pytest.fixture
    def dataset(self, real_pack: Pack) -> CollageDataset:
        return CollageDataset(CollageDataset.Config(), Context(cache=cache_dir()))

    @pytest.fixture
    def twin(self, real_pack: Pack) -> CollageDataset:
        return CollageDataset(CollageDataset.Config(), Context(cache=cache_dir()))
