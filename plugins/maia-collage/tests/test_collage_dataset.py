from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from maia_collage.dataset import COMPANIONS, BackgroundsDataset, CollageDataset, CutoutsDataset
from maia_collage.pack import Pack
from maia_collage.scene import render, scene_of
from maia_collage.textures import PAINTERS, SIDE
from maia_core.context import Context
from maia_core.protocols import LabelledDataset
from maia_core.testing import DatasetSuite, DistributionSuite


class TestDistribution(DistributionSuite):
    distribution = "maia-collage"
    optional = frozenset({"resvg_py", "safetensors", "tokenizers"})


class TestCollageDataset(DatasetSuite):
    @pytest.fixture
    def dataset(self, context: Context) -> CollageDataset:
        return CollageDataset(CollageDataset.Config(count=100, size=64), context)

    @pytest.fixture
    def twin(self, context: Context) -> CollageDataset:
        return CollageDataset(CollageDataset.Config(count=100, size=64), context)


class TestBackgroundsDataset(DatasetSuite):
    @pytest.fixture
    def dataset(self, context: Context) -> BackgroundsDataset:
        return BackgroundsDataset(BackgroundsDataset.Config(size=48, each=1), context)


def test_every_cutout_appears_about_equally_often(context: Context, pack: Pack) -> None:
    dataset = CollageDataset(CollageDataset.Config(count=320, size=32), context)
    scenes = [dataset.scene(index) for index in range(len(dataset))]
    firsts = Counter(scene.objects[0].cutout for scene in scenes if scene.objects)
    assert set(firsts) == {id for id, cutout in pack.cutouts.items() if cutout.concept not in COMPANIONS}
    assert max(firsts.values()) - min(firsts.values()) <= 1
    assert Counter(len(scene.objects) for scene in scenes)[0] == 20
    alone = [[o for o in scene.objects if pack.cutout(o.cutout).concept not in COMPANIONS] for scene in scenes]
    assert 50 < Counter(map(len, alone))[2] < 110
    assert len({scene.background.kind for scene in scenes}) > 12


def test_a_leash_comes_with_two_of_three_dogs_and_with_nothing_else(context: Context) -> None:
    """Without leashes no image would activate `dog | leash`; without dogs that have none it would be just `dog`."""
    dataset = CollageDataset(CollageDataset.Config(count=600, size=32), context)
    shown = [set(dataset.concepts(index)) for index in range(600)]
    dogs = [concepts for concepts in shown if "dog" in concepts]
    assert all("dog" in concepts for concepts in shown if "leash" in concepts)
    assert 0.5 < sum("leash" in concepts for concepts in dogs) / len(dogs) < 0.8


def test_image_does_not_hang_on_how_many_there_are(context: Context) -> None:
    few, many = (CollageDataset(CollageDataset.Config(count=n, size=32), context) for n in (10, 500))
    assert [few[i].id for i in range(10)] == [many[i].id for i in range(10)]


def test_split_and_seed_give_other_scenes(context: Context) -> None:
    train, held_out, other = (
        CollageDataset(CollageDataset.Config(count=40, size=32, **options), context)
        for options in ({}, {"split": "held-out"}, {"seed": 1})
    )
    assert len({train.fingerprint, held_out.fingerprint, other.fingerprint}) == 3
    assert not set(train.ids) & set(held_out.ids)
    assert not {train[i].id for i in range(40)} & {held_out[i].id for i in range(40)}


def test_concepts_go_from_objects_to_broader_ones_to_the_background(context: Context, pack: Pack) -> None:
    dataset = CollageDataset(CollageDataset.Config(count=60, size=32), context)
    assert isinstance(dataset, LabelledDataset)
    for index in range(60):
        scene, concepts = dataset.scene(index), dataset.concepts(index)
        shown = [pack.cutout(placed.cutout).concept for placed in scene.objects]
        assert concepts[: len(set(shown))] == list(dict.fromkeys(shown))
        assert concepts[-len(scene.background.names()) :] == scene.background.names()
    alone = [dataset.concepts(i) for i in range(60) if len(dataset.scene(i).objects) == 1]
    assert ["cat family", "mammal", "animal"] in [concepts[1:4] for concepts in alone if concepts[0] == "tiger"]


def test_scene_is_in_the_provenance_and_nowhere_else(context: Context, pack: Pack) -> None:
    dataset = CollageDataset(CollageDataset.Config(count=20, size=32), context)
    picture = dataset[3]
    assert scene_of(picture, pack) == dataset.scene(3)
    assert picture.title == ""
    assert scene_of(picture.anonymous(), pack) is None


def test_library_shows_every_cutout_and_masks_it(context: Context, pack: Pack) -> None:
    library = CutoutsDataset(CutoutsDataset.Config(size=64), context)
    assert len(library) == len(pack.cutouts)
    for index in range(len(library)):
        picture = library[index]
        mask = picture.mask()
        assert mask is not None
        assert picture.clean is not None
        assert 0.05 < mask.mean() < 0.95
        outside = picture.clean.pixels()[~mask]
        assert (outside == outside[0]).all()
        assert library.ids[index] in picture.provenance.values()
    [tiger] = [i for i in range(len(library)) if library.concepts(i)[0] == "tiger"]
    assert library.concepts(tiger) == ["tiger", "cat family", "mammal", "animal"]


def test_backgrounds_are_named(context: Context) -> None:
    dataset = BackgroundsDataset(BackgroundsDataset.Config(size=48, each=2), context)
    names = [dataset.concepts(index)[0] for index in range(len(dataset))]
    assert {"grass", "snow", "sand", "red background", "blue stripes", "ocean waves"} <= set(names)
    assert names.count("grass") == 2
    grass = [dataset[i].id for i, name in enumerate(names) if name == "grass"]
    assert len(set(grass)) == 2


@pytest.mark.parametrize("kind", list(PAINTERS))
def test_painted_background_is_full_size_varied_and_repeatable(kind: str) -> None:
    one, again, other = (PAINTERS[kind](np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (SIDE, SIDE, 3)
    assert one.dtype == np.uint8
    assert (one == again).all()
    assert (one != other).mean() > 0.2
    assert one.std() > 2


def test_pack_option_names_a_folder(pack: Pack, tmp_path: Path) -> None:
    elsewhere = Context(cache=tmp_path)
    dataset = CollageDataset(CollageDataset.Config(count=5, size=32, pack=str(pack.folder)), elsewhere)
    assert render(dataset.scene(0), pack, 32).pixels.shape == (32, 32, 3)
