"""Conditions against controls, and where an activation lies."""

from __future__ import annotations

import pytest

from maia_core.config import Limits, PluginConfig, RunConfig
from maia_core.context import Context
from maia_core.errors import ToolError
from maia_core.testing import fake_parts
from maia_core.types import QUANTILES, GeneratedImages
from maia_standard.compare import ComparePrompts
from maia_standard.exemplars import DatasetExemplars
from maia_standard.images import EditImages
from maia_standard.log import Display, LogExperiment
from maia_standard.statistics import percentile


@pytest.fixture
def context(tmp_path):
    return Context(parts=fake_parts("red"), cache=tmp_path)


def _shown(context):
    return [part.text for part in context.take_shown() if part.type == "text"]


def _prompts(*colours):
    return [f"a {colour} disc {k}" for k in range(4) for colour in colours]


def test_the_cause_is_told_from_what_only_varies(context):
    compare = ComparePrompts(ComparePrompts.Config(), context)
    found = compare(context.system, {"red": _prompts("red"), "blue": _prompts("blue")}, _prompts("green"))
    assert {name: list(means) for name, means in found.items()} == {
        "red": _prompts("red"), "blue": _prompts("blue"), "controls": _prompts("green")
    }  # fmt: skip
    lines = _shown(context)[0].splitlines()
    table = [line for line in lines if not line.startswith("    ")]
    assert "    a red disc 0: " in "\n".join(lines), "the mean of each prompt"
    assert table[0].startswith("97.5% intervals"), "two conditions: each at half the level"
    red, blue, controls = table[1:]
    assert "AUC against the controls 1.00 (1.00 to 1.00)" in red
    assert "no sure difference" in blue
    assert "AUC" not in controls
    assert [entry.title for entry in context.logged] == ["red"] * 12 + ["blue"] * 12 + ["controls"] * 12


def test_a_prompt_in_two_conditions_gets_images_of_its_own_in_each(context):
    compare = ComparePrompts(ComparePrompts.Config(samples=2), context)
    compare(context.system, {"one": ["a red disc"], "two": ["a red disc"]}, ["a blue disc"])
    ids = [entry.image.id for entry in context.logged]
    assert len(set(ids)) == len(ids)


def test_a_prompt_that_the_generator_cannot_show_is_left_out_of_the_comparison(context):
    generate = context.generator.generate

    def limited(prompts, seeds):
        made = generate(prompts, seeds)
        images = [i.model_copy(update={"provenance": {"missing": ["egg"]} if "egg" in p else {}}).bind(i.pixels)
                  for p, i in zip(prompts, made.images, strict=True)]  # fmt: skip
        return GeneratedImages(images, ["no egg" if "egg" in p else "" for p in prompts])

    context.generator.generate = limited
    compare = ComparePrompts(ComparePrompts.Config(), context)
    found = compare(context.system, {"red": ["a red disc", "a red egg"]}, ["a blue disc"])
    assert list(found["red"]) == ["a red disc"]
    assert 'Note on "a red egg": no egg' in _shown(context)
    with pytest.raises(ToolError, match="no prompt of 'eggs'"):
        compare(context.system, {"eggs": ["a red egg"]}, ["a blue disc"])


@pytest.mark.parametrize(
    ("conditions", "controls"), [({}, ["a"]), ({"x": []}, ["a"]), ({"x": ["a"]}, []), ({"controls": ["a"]}, ["a"])]
)
def test_what_cannot_be_compared_is_said(context, conditions, controls):
    with pytest.raises(ToolError, match="compare_prompts"):
        ComparePrompts(ComparePrompts.Config(), context)(context.system, conditions, controls)


def test_originals_that_the_budget_cannot_edit_are_not_made(context):
    context.config = RunConfig(limits=Limits(images=6))
    made = []
    generate = context.generator.generate
    context.generator.generate = lambda prompts, seeds: made.extend(prompts) or generate(prompts, seeds)
    edit = EditImages(PluginConfig(), context)
    with pytest.raises(ToolError, match="8 images are asked for, but the run's budget has 6 left"):
        edit(["a red disc"] * 4, "change the colour to blue")
    assert (made, context.generated) == ([], 0)
    originals = edit(["a red disc"] * 2, "change the colour to blue")[0][::2]
    assert (len(made), context.generated) == (2, 4)
    edit(originals, "change the colour to green")
    assert context.generated == 6


def test_activations_stand_beside_the_percentile_once_it_is_known(context):
    log = LogExperiment(PluginConfig(), context)
    image = context.generator.generate(["a red disc"], [1]).images[0]
    log([2.0], [image], ["before"])
    assert _shown(context) == ["before: activation 2"]
    DatasetExemplars(DatasetExemplars.Config(), context)(context.system)
    _shown(context)
    log([99.0, 0.0], [image, image], ["high", "low"])
    assert _shown(context)[:2] == [
        "high: activation 99 (above 99.9% of real images)",
        "low: activation 0 (above 0% of real images)",
    ]


def test_percentile_lies_between_the_known_quantiles():
    quantiles = [float(q) for q in QUANTILES]
    assert percentile(0.6, quantiles) == pytest.approx(0.6)
    assert percentile(-1, quantiles) == 0
    assert percentile(2, quantiles) == 1
    silent = [0.0] * 7 + [4.0, 8.0]
    assert percentile(0.0, silent) == 0, "a silent unit's zero is above nothing"
    assert percentile(2.0, silent) == pytest.approx(0.97)


def test_advice_to_continue_compares_with_the_mean_of_the_exemplars(context):
    activations, images = DatasetExemplars(DatasetExemplars.Config(), context)(context.system)
    mean = sum(activations) / len(activations)
    log = LogExperiment(PluginConfig(), context)
    _shown(context)
    log([mean * 0.99], [images[0]], ["below"])
    assert f"below the mean of the exemplars, {mean:.4g}" in _shown(context)[-1]
    log([mean * 0.99, mean * 1.01], [images[0]] * 2, ["below", "above"])
    assert not any("Continue" in text for text in _shown(context))
    log([mean * 0.1] * 2, [images[0]] * 2, ["control: a car", "controls 2"])
    assert not any("Continue" in text for text in _shown(context)), "controls are meant to be low"


def test_edit_that_removes_gets_a_note_and_one_image_gets_every_instruction(context):
    edit = EditImages(PluginConfig(), context)
    images, titles = edit(["a red disc"], ["remove the red disc", "change the colour to blue"])
    assert len(images) == 4
    assert titles[::2] == ["a red disc"] * 2
    assert titles == [image.title for image in images]
    assert titles[3] == "a red disc: change the colour to blue"
    assert any("replaces works better" in text for text in _shown(context))
    edit(["a red disc"], "change the colour to blue")
    assert not any("replaces" in text for text in _shown(context))


def test_display_shows_values_of_every_kind(context):
    image = context.generator.generate(["a red disc"], [1]).images[0]
    Display(PluginConfig(), context)(image, 3.14159, {"a": [None, (image, 2)]}, True)
    parts = context.take_shown()
    assert [p.text if p.type == "text" else "IMAGE" for p in parts] == [
        *("a red disc:", "IMAGE", "3.142", "a", "None", "a red disc:", "IMAGE", "2", "True")
    ]
