"""Exemplars of silent and saturated units, occlusion, the generator's vocabulary, and what images say of themselves."""

from __future__ import annotations

import numpy as np
import pytest

from maia_core.config import PluginConfig, RunConfig
from maia_core.context import Context
from maia_core.errors import ToolError
from maia_core.image import Image
from maia_core.testing import fake_parts
from maia_core.types import GeneratedImages, UnitInfo
from maia_standard.exemplars import DatasetExemplars
from maia_standard.images import EditImages, Text2Image
from maia_standard.log import Display, LogExperiment
from maia_standard.regions import HideRegion, KeepRegion
from maia_standard.vocabulary import Vocabulary


class Listed:
    """A data set of plain images, brightness n."""

    name, fingerprint, pictures = "listed", "listed", "test cards"

    def __init__(self, count):
        self.ids = [str(n) for n in range(count)]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return Image.from_pixels(np.full((8, 8, 3), index % 256, np.uint8))


class Unit:
    """Responds to brightness through a function."""

    info = UnitInfo(model="test", layer="layer", unit="0")

    def __init__(self, respond):
        self._respond = respond

    def neuron(self, images):
        mask = np.zeros((8, 8), np.bool_)
        mask[:4] = True
        return [float(self._respond(int(i.pixels()[0, 0, 0]))) for i in images], [i.masked(mask) for i in images]


@pytest.fixture
def context(tmp_path):
    return Context(parts=fake_parts("red"), cache=tmp_path)


def _found(context, respond, *arguments, images=200, **options):
    context._parts["dataset"] = Listed(images)
    unit = context._parts["system"] = Unit(respond)
    activations, shown = DatasetExemplars(DatasetExemplars.Config(), context)(unit, *arguments, **options)
    return activations, shown, "\n".join(part.text for part in context.take_shown() if part.type == "text")


def test_exemplars_with_activation_0_are_left_out_and_counted(context):
    activations, _, text = _found(context, lambda n: max(0, n - 190))
    assert activations == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert "9 of 200 test cards activate the unit." in text


def test_a_unit_that_no_image_activates_keeps_its_exemplars_and_says_so(context):
    activations, _, text = _found(context, lambda n: 0)
    assert activations == [0] * 15
    assert "None of them activates the unit" in text


def test_a_linear_unit_keeps_exemplars_below_0(context):
    assert _found(context, lambda n: n - 300)[0] == [float(n - 300) for n in range(199, 184, -1)]


def test_ties_at_the_top_are_chosen_for_variety_and_counted(context):
    activations, images, text = _found(context, lambda n: min(n, 180))
    assert activations == [180.0] * 15
    shown = [int(image.clean.pixels()[0, 0, 0]) for image in images]
    assert shown[0] == 180
    assert shown[-1] == 199, "the last of the tied ones too, not the first fifteen"
    assert "15 of 20 test cards with the highest activation are shown." in text


def test_the_record_has_the_maps_of_the_exemplars_that_are_shown(context, monkeypatch):
    from maia_standard import exemplars

    class Mapped:
        def __init__(self, source):
            self.exemplars = source.exemplars

        def maps(self, system, ranked):
            return {exemplar.image.clean.id: rank for rank, exemplar in enumerate(ranked)}

    plain = exemplars.exemplar_source
    monkeypatch.setattr(exemplars, "exemplar_source", lambda *given: Mapped(plain(*given)))
    _, images, _ = _found(context, lambda n: min(n, 180))
    known = context.facts[exemplars.MAPS]
    assert set(known) == {image.clean.id for image in images}
    assert max(known.values()) == 19, "of the tied ones that are shown, not of the first fifteen"


def test_more_middle_and_low_exemplars_are_given(context):
    assert len(_found(context, float, count=40)[0]) == 40
    middle = _found(context, float, "middle")[0]
    assert min(middle) > 60
    assert max(middle) < 130
    low, images, _ = _found(context, float, "lowest", 5)
    assert low == [4, 3, 2, 1, 0]
    assert images[0].title == "lowest 1"
    with pytest.raises(ToolError, match="1 to 100"):
        _found(context, float, count=101)


def test_the_reference_of_a_run_stays_when_a_program_asks_for_one_exemplar(context):
    _found(context, float)
    before = dict(context.facts)
    _found(context, float, count=1)
    assert dict(context.facts) == before


def test_hide_and_keep_region_fill_the_other_side_with_the_mean_of_what_stays(context):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 200
    mask = np.zeros((8, 8), np.bool_)
    mask[:4] = True
    masked = Image.from_pixels(pixels, "a sky").masked(mask)
    [hidden] = HideRegion(HideRegion.Config(), context)([masked])
    [kept] = KeepRegion(KeepRegion.Config(fill="grey"), context)([masked])
    assert hidden.pixels().max() == 0
    assert hidden.title == "a sky: region hidden"
    assert kept.pixels()[0, 0, 0] == 200
    assert kept.pixels()[7, 7, 0] == 128
    with pytest.raises(ToolError, match="'plain' has no mask"):
        HideRegion(HideRegion.Config(), context)([Image.from_pixels(pixels, "plain")])
    [same, _] = KeepRegion(KeepRegion.Config(), context)([masked.masked(np.zeros((8, 8), np.bool_)), masked])
    assert (same.id, same.title) == (masked.clean.id, "a sky: no active region")
    assert context.take_shown()[0].text == "The unit is not active in 1 of 2 images; they are as they were."


def test_vocabulary_is_offered_only_where_the_generator_is_limited(context):
    assert not Vocabulary(PluginConfig(), context).is_offered
    context.generator.vocabulary = lambda kind: ["dog", "cat"] if kind else ["things"]
    tool = Vocabulary(PluginConfig(), context)
    assert tool.is_offered
    assert tool() == ["things"]
    assert tool("things") == ["dog", "cat"]
    context.config = RunConfig(generator="none")
    assert not Vocabulary(PluginConfig(), context).is_offered


def test_an_image_of_something_else_is_titled_with_what_it_shows_and_notes_are_merged(context):
    generate = context.generator.generate

    def stands_in(prompts, seeds):
        images = [image.showing("a fox on grass") for image in generate(prompts, seeds).images]
        return GeneratedImages(images, ["'wolf' is not here; drew 'fox' instead"] * len(images))

    context.generator.generate = stands_in
    images = Text2Image(PluginConfig(), context)(["a wolf", "a wolf", "two wolves"])
    assert images[0].title == "a fox on grass (asked for: a wolf)"
    assert images[0].shows == "a fox on grass"
    [note] = [part.text for part in context.take_shown()]
    assert note == "Note on \"a wolf\", \"two wolves\": 'wolf' is not here; drew 'fox' instead"


def test_a_prompt_in_edit_images_gives_the_originals_of_text2image(context):
    drawn = Text2Image(PluginConfig(), context)(["a red disc"] * 2)
    pairs, _ = EditImages(PluginConfig(), context)(["a red disc"] * 2, "change the colour to blue")
    assert [image.id for image in pairs[::2]] == [image.id for image in drawn]


def test_what_the_backbone_sees_names_images_without_an_active_region(context):
    """They are not darkened, so that nothing else tells them from images that are active everywhere."""
    image = Image.from_pixels(np.full((8, 8, 3), 9, np.uint8))
    masks = [np.zeros((8, 8), np.bool_), np.ones((8, 8), np.bool_)]
    images = [*(image.masked(mask) for mask in masks), image]
    LogExperiment(PluginConfig(), context)([0.0, 2.0, 2.0], images, ["a cup", "a dog", "a car"])
    Display(PluginConfig(), context)(*images)
    texts = [part.text for part in context.take_shown() if part.type == "text"]
    assert texts[0].startswith("a cup: activation 0, no active region")
    assert not any("no active region" in text for text in texts[1:3])
    assert texts[-1:] == ["no active region:"]
