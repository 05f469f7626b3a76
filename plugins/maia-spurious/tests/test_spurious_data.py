"""The data sets, the task and the label rule: nothing tells a program what goes with what."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.errors import ReplyError, UsageError
from maia_core.testing import DatasetSuite, DistributionSuite, TaskSuite
from maia_core.types import UnitInfo
from maia_spurious.cells import CellDataset
from maia_spurious.paired import PairedDataset
from maia_spurious.protocol import names_one_class
from maia_spurious.spawrious import CLASSES, ENVIRONMENTS, VARIANTS, SpawriousDataset
from maia_spurious.task import SpuriousFeature

PER_FOLDER = 40
"""Images per folder of the small copy; 3,168 in the published one."""


@pytest.fixture(scope="session")
def spawrious(tmp_path_factory) -> Path:
    """The published layout, with pictures of a colour; every picture has another content."""
    root = tmp_path_factory.mktemp("spawrious") / "spawrious224"
    for folder in (0, 1):
        for place in ENVIRONMENTS:
            for breed in CLASSES:
                where = root / str(folder) / place / breed
                where.mkdir(parents=True)
                for number in range(PER_FOLDER):
                    colour = (10 * ENVIRONMENTS.index(place), 10 * CLASSES.index(breed) + folder, number)
                    PILImage.new("RGB", (8, 8), colour).save(where / f"{place}_{breed}_{number}.png")
    return root


def opened(root, **options):
    config = SpawriousDataset.Config(root=root, per_folder=PER_FOLDER, **options)
    return SpawriousDataset(config, Context())


class TestDistribution(DistributionSuite):
    distribution = "maia-spurious"


class TestSpawrious(DatasetSuite):
    @pytest.fixture
    def dataset(self, spawrious):
        return opened(spawrious)

    @pytest.fixture
    def twin(self, spawrious):
        return opened(spawrious.parent)


@pytest.mark.pack
class TestPaired(DatasetSuite):
    @pytest.fixture
    def dataset(self):
        return PairedDataset(PairedDataset.Config(count=40, size=64), Context())

    @pytest.fixture
    def twin(self):
        return PairedDataset(PairedDataset.Config(count=40, size=64), Context())


class TestTask(TaskSuite):
    @pytest.fixture
    def task(self):
        return asked()

    @pytest.fixture
    def sections(self):
        return {"REASONING": ["Only penguins."], "DECISION": ["SELECTIVE"], "CLASS": ["penguin"]}


def asked(**options):
    config = {"classes": ("rabbit", "penguin"), "environments": ("snow", "grass"), **options}
    return SpuriousFeature(SpuriousFeature.Config(**config), Context())


@pytest.mark.parametrize("variant", VARIANTS)
def test_training_and_test_have_the_published_pairing_and_equal_counts(spawrious, variant):
    made = {split: opened(spawrious, variant=variant, split=split) for split in ("train", "validation", "test")}
    assert all(isinstance(data, CellDataset) for data in made.values())
    paired = np.concatenate([made["train"].cells, made["validation"].cells])
    # 25,344 each in the published size: eight folders' worth of images.
    assert len(paired) == len(made["test"]) == 8 * PER_FOLDER
    assert len(made["train"]) == round(0.9 * len(paired))
    assert not set(made["train"].ids) & set(made["validation"].ids)
    assert not set(made["test"].ids) & {*made["train"].ids, *made["validation"].ids}
    per_class = np.bincount(paired[:, 0])
    assert per_class.tolist() == [2 * PER_FOLDER] * 4
    own = {tuple(cell) for cell in np.unique(made["test"].cells, axis=0).tolist()}
    seen = {tuple(cell) for cell in np.unique(paired, axis=0).tolist()}
    assert not own & seen, "no class stands in the test where it stood in training"
    if variant.startswith("o2o"):
        filler = ENVIRONMENTS.index(VARIANTS[variant].filler)
        # int(0.97 * 40) and int(0.87 * 40) of the own environment: 8 of 80 are left for the filler.
        assert (paired[:, 1] == filler).sum() == 4 * 8
        assert filler not in made["test"].cells[:, 1]


def test_files_are_cut_in_the_order_of_their_names(spawrious):
    data = opened(spawrious, variant="o2o_easy", split="train")
    valid = opened(spawrious, variant="o2o_easy", split="validation")
    pixels = [valid[n].pixels()[0, 0].tolist() for n in range(len(valid))] + [
        data[n].pixels()[0, 0].tolist() for n in range(len(data))
    ]
    bulldogs = {number for place, breed, number in pixels if (place, breed) == (0, 0)}
    names = sorted(f"desert_bulldog_{n}.png" for n in range(PER_FOLDER))[: int(0.97 * PER_FOLDER)]
    assert bulldogs == {int(name.split("_")[-1][:-4]) for name in names}


@pytest.mark.parametrize(("variant", "environments"), [("o2o_hard", 5), ("m2m_easy", 4)])
def test_balanced_has_every_breed_in_every_environment_and_no_training_image(spawrious, variant, environments):
    balanced = opened(spawrious, variant=variant, split="balanced")
    found, counts = np.unique(balanced.cells, axis=0, return_counts=True)
    assert len(found) == 4 * environments
    assert set(counts) == {40}
    if variant.startswith("m2m"):  # A folder of the small copy has just the 40 files that `balanced` takes.
        trained = {
            name for split in ("train", "validation") for name in opened(spawrious, variant=variant, split=split).ids
        }
        assert not trained & set(balanced.ids)


def test_ids_names_and_provenance_tell_neither_breed_nor_environment(spawrious):
    data = opened(spawrious)
    told = " ".join([data.name, *data.ids, data[0].title, str(dict(data[0].provenance))])
    assert not re.search("|".join([*CLASSES, *ENVIRONMENTS]), told)
    assert data.concepts(0)[0] in CLASSES
    assert not set(data.concepts(0)) & set(ENVIRONMENTS)


def test_missing_folders_and_other_counts_are_refused_by_name(spawrious, tmp_path):
    with pytest.raises(UsageError, match=r"desert.bulldog must hold 3168 PNG images: found 40"):
        SpawriousDataset(SpawriousDataset.Config(root=spawrious), Context())
    with pytest.raises(UsageError, match="no such folder"):
        SpawriousDataset(SpawriousDataset.Config(root=tmp_path), Context())
    with pytest.raises(UsageError, match="there is no folder"):
        SpawriousDataset(SpawriousDataset.Config(root=tmp_path / "none"), Context())


@pytest.mark.pack
def test_the_twin_pairs_in_training_switches_in_the_test_and_crosses_in_balanced():
    def cells(**options):
        return PairedDataset(PairedDataset.Config(count=960, size=32, **options), Context()).cells

    paired = cells(split="validation")
    assert (paired[:, 0] == paired[:, 1]).mean() == pytest.approx(0.92, abs=0.03)
    assert set(paired[paired[:, 0] != paired[:, 1], 1]) == {4, 5}
    test = cells(split="test")
    assert (test[:, 1] == (test[:, 0] + 1) % 4).all()
    assert set(np.unique(cells(split="balanced"), axis=0, return_counts=True)[1]) == {40}
    many = cells(split="test", pairing="many-to-many")
    assert (many[:, 1] // 2 == 1 - many[:, 0] // 2).all()
    free = cells(split="validation", pairing="none")
    assert abs(np.corrcoef(free.T)[0, 1]) < 0.1


@pytest.mark.pack
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ("rabbit", "penguin", "pig", "pingvin")}, "no 'pingvin' for a class"),
        ({"environments": ("grass", "snow", "sand", "forest", "brick", "brick")}, "give 6 different names"),
        ({"environments": ("grass", "snow", "sand", "forest", "brick", "moonscape")}, "no background 'moonscape'"),
        ({"scale": (0.5, 0.2)}, "not a range"),
    ],
)
def test_the_twin_refuses_what_the_pack_has_not(options, message):
    with pytest.raises(UsageError, match=message):
        PairedDataset(PairedDataset.Config(**options), Context())


def test_a_blind_task_names_neither_unit_nor_layer():
    options = {"blind": True, "classes": ("rabbit", "penguin"), "environments": ("snow", "grass")}
    task = Context(RunConfig(task=PluginRef(name="spurious-feature", **options))).part("task")
    info = UnitInfo(model="net", layer="layer4", unit="122")
    prompt = task.prompt(info)
    assert "The unit of a neural network" in prompt
    assert "122" not in prompt
    assert "layer4" not in prompt
    assert "Unit 122 of layer layer4 of a neural network" in asked().prompt(info)


def test_the_prompt_names_classes_and_environments_in_an_order_that_tells_no_pairing():
    """The classes of the data set stand in the order of their environments; the prompt must not repeat it."""
    info = UnitInfo(model="classifier/out", layer="features", unit="3")
    names = {"classes": ("wildebeest", "rabbit", "penguin", "pig")}
    places = ("grass", "snow", "sand", "forest", "ocean waves", "brick")
    first = asked(**names, environments=places).prompt(info)
    assert first == asked(**names, environments=places[::-1]).prompt(info)
    assert not re.search("correlat|pairing|paired|together with|bias", first)
    assert "brick, forest, grass" in first


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"REASONING": ["r"], "DECISION": ["MAYBE"]}, "'MAYBE' is neither"),
        ({"REASONING": ["r"]}, "is missing"),
        ({"DECISION": ["SPURIOUS"]}, "lacks"),
        ({"REASONING": ["r"], "DECISION": ["SELECTIVE"], "CLASS": ["tiger"]}, "with one of penguin, rabbit"),
        ({"REASONING": ["r"], "DECISION": ["SELECTIVE"]}, "with one of"),
    ],
)
def test_an_answer_that_is_neither_word_is_sent_back(sections, message):
    with pytest.raises(ReplyError, match=message):
        asked().parse(sections)


def test_words_are_read_with_the_marks_that_models_put_around_them():
    answer = asked().parse({"REASONING": ["r"], "DECISION": ["**selective**."], "CLASS": ["`Penguin`"]})
    assert (answer.decision, answer.selected) == ("SELECTIVE", "penguin")
    assert asked().explanation(answer).labels == ("SELECTIVE for penguin",)


@pytest.mark.parametrize(
    ("label", "keeps"),
    [
        ("penguins", True),
        ("a penguin", True),
        ("penguin in the snow", False),
        ("penguin OR rabbit", False),
        ("pigment", False),
    ],
)
def test_a_label_keeps_a_unit_if_it_names_one_class_and_no_environment(label, keeps):
    assert names_one_class(label, ("penguin", "rabbit", "pig"), ("snow", "grass")) is keeps


def test_the_task_needs_classes_and_environments():
    with pytest.raises(UsageError, match=r"set task\.classes"):
        asked(classes=())
