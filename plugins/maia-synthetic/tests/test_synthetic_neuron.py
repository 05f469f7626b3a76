from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maia_collage.dataset import CollageDataset
from maia_collage.detector import CollageDetector
from maia_collage.scene import image, render
from maia_core.context import Context
from maia_core.errors import ToolError, UsageError
from maia_core.image import Image
from maia_core.testing import SystemSuite
from maia_labels.expression import And, Concept, Expression, Given, Not, Or
from maia_labels.parser import parse
from maia_synthetic.system import SyntheticNeuron

TEXTS = ["tiger", "cat family", "mammal", "animal", "red thing", "fruit", "grass", "water", "plain background"]


class TestOverDiscs(SystemSuite):
    """A neuron of a detector that takes any image."""

    ref: ClassVar[str] = "zorbaq OR (quuxle AND NOT green)"

    @pytest.fixture
    def system(self, over_discs: Callable[..., SyntheticNeuron]) -> SyntheticNeuron:
        return over_discs(self.ref, dilation=1)


class TestGivenOverDiscs(TestOverDiscs):
    ref: ClassVar[str] = "zorbaq | quuxle"


class TestOverCollages(SystemSuite):
    """The default detector takes collages only, so the suite's images are collages of different sizes."""

    @pytest.fixture
    def system(self, neuron: Callable[..., SyntheticNeuron]) -> SyntheticNeuron:
        return neuron("mammal OR red thing")

    @pytest.fixture
    def images(self, collages: CollageDataset) -> list[Image]:
        sizes = (32, 48, 96, 64, 224, 33)
        return [image(collages.scene(n), collages.pack, size, f"collage {n}") for n, size in enumerate(sizes)]

    def test_large_image_is_measured(self, system: SyntheticNeuron) -> None:  # type: ignore[override]
        with pytest.raises(ToolError, match="not a collage of this pack"):
            super().test_large_image_is_measured(system)


# --- the semantics on random scenes, against the masks that these were drawn with ---

EXPRESSIONS = st.recursive(
    st.sampled_from(TEXTS).map(Concept),
    lambda inner: st.one_of(
        inner.map(Not),
        st.tuples(inner, inner).map(And),
        st.tuples(inner, inner).map(Or),
        st.tuples(inner, inner).map(lambda pair: Given(*pair)),
    ),
    max_leaves=5,
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def truth(expression: Expression, known: dict[str, np.ndarray]) -> tuple[bool, np.ndarray | None]:
    """Says in plain logic whether an expression is there, and where; `known` holds the mask of every concept."""
    match expression:
        case Concept(text):
            mask = known[text]
            return bool(mask.any()), mask
        case Not(part):
            return not truth(part, known)[0], None
        case And(parts) | Or(parts):
            found = [truth(part, known) for part in parts]
            there = (all if isinstance(expression, And) else any)(is_there for is_there, _ in found)
            masks = [mask for is_there, mask in found if is_there and mask is not None]
            return there, np.any(masks, axis=0) if masks else None
        case Given(part, condition):
            there, mask = truth(part, known)
            return there and truth(condition, known)[0], mask


def known_masks(collages: CollageDataset, index: int, size: int) -> dict[str, np.ndarray]:
    """Returns the mask of every concept of `TEXTS`, from what the scene was drawn of; red things are known by name."""
    scene = collages.scene(index)
    objects = render(scene, collages.pack, size).masks
    masks = {text: np.zeros((size, size), np.bool_) for text in TEXTS}
    for placed, mask in zip(scene.objects, objects, strict=True):
        concept = collages.pack.cutout(placed.cutout).concept
        names = {
            "tiger": ["tiger", "cat family", "mammal", "animal"],
            "lion": ["cat family", "mammal", "animal"],
            "husky": ["mammal", "animal"],
            "crow": ["animal"],
            "apple": ["fruit", "red thing"],
            "banana": ["fruit"],
            "car": ["red thing"],
            "leash": ["red thing"] if placed.cutout in ("painted/leash-0", "painted/leash-5") else [],
        }[concept]
        for name in names:
            masks[name] |= mask
    behind = ~np.any(objects, axis=0) if objects else np.ones((size, size), np.bool_)
    for name in {
        "grass": ["grass"], "plain background": ["plain background"], "calm water": ["water"],
    }.get(scene.background.kind, []):  # fmt: skip
        masks[name] |= behind
    return masks


@QUICK
@given(expression=EXPRESSIONS, index=st.integers(0, 399), data=st.data())
def test_value_and_mask_are_exactly_those_of_the_scene(
    expression: Expression,
    index: int,
    data: Any,
    collages: CollageDataset,
    neuron: Callable[..., SyntheticNeuron],
) -> None:
    from maia_labels.expression import text_of

    size = 48
    system = neuron(text_of(expression), dilation=0)
    others = [collages[n] for n in data.draw(st.lists(st.integers(0, 399), max_size=3))]
    activations, masked = system.neuron([*others, collages[index]])
    there, where = truth(expression, known_masks(collages, index, size))
    # Every score of the ground truth is 1, so that each value is 0 or 1: no sum, no noise, nothing of another image.
    assert activations[-1] == float(there)
    expected = np.zeros((size, size), np.bool_)
    if there:
        expected = np.ones((size, size), np.bool_) if where is None else where
    mask = masked[-1].mask()
    assert mask is not None
    assert np.array_equal(mask, expected)


def test_both_of_either_or_are_shown_and_a_condition_is_not(
    collages: CollageDataset, neuron: Callable[..., SyntheticNeuron], detector: CollageDetector
) -> None:
    both = next(
        picture
        for n in range(len(collages))
        if {"tiger", "apple"} <= set(collages.concepts(n)) and (picture := collages[n])
    )
    [[tiger]], [[apple]] = detector.detect([both], "tiger"), detector.detect([both], "apple")
    cases = {"tiger OR apple": tiger.mask | apple.mask, "tiger AND apple": tiger.mask | apple.mask}
    cases |= {"tiger | apple": tiger.mask, "apple | tiger": apple.mask}
    for text, expected in cases.items():
        [activation], [masked] = neuron(text, dilation=0).neuron([both])
        mask = masked.mask()
        assert activation == 1.0
        assert mask is not None
        assert np.array_equal(mask, expected), text


def test_mask_is_widened_and_stays_empty_where_nothing_is(
    collages: CollageDataset, neuron: Callable[..., SyntheticNeuron]
) -> None:
    images = [collages[n] for n in range(12)]
    plain, wide = neuron("animal", dilation=0).neuron(images), neuron("animal", dilation=2).neuron(images)
    assert plain[0] == wide[0]
    for activation, narrow, widened in zip(plain[0], plain[1], wide[1], strict=True):
        one, other = narrow.mask(), widened.mask()
        assert one is not None
        assert other is not None
        assert not (one & ~other).any()
        assert (other.sum() > one.sum()) if activation else not other.any()


# --- what it is made from ---


def test_concept_that_the_detector_does_not_know_is_refused_before_the_run(
    neuron: Callable[..., SyntheticNeuron],
) -> None:
    with pytest.raises(UsageError, match=r"does not know 'tgier'\. Did you mean 'tiger'"):
        neuron("mammal OR tgier")


def test_concepts_that_the_laboratory_does_not_hold_need_another_detector(
    neuron: Callable[..., SyntheticNeuron], over_discs: Callable[..., SyntheticNeuron]
) -> None:
    for ref in ("paper/85", "suit | tie"):
        with pytest.raises(
            UsageError, match=r"know 'suit'\..*set system\.detector\.name=transformers and .*\.model=MODEL$"
        ):
            neuron(ref)
    assert over_discs("suit").concepts, "a network is asked for anything"


def test_reference_is_needed(neuron: Callable[..., SyntheticNeuron]) -> None:
    with pytest.raises(UsageError, match="name what the neuron responds to"):
        neuron(" ")


def test_fingerprint_changes_with_truth_and_masks_only(neuron: Callable[..., SyntheticNeuron]) -> None:
    same = {neuron(text).fingerprint for text in ("tiger OR dog", "Tiger or  dog", "(tiger) OR dog")}
    assert len(same) == 1
    others = {neuron("dog OR tiger").fingerprint, neuron("tiger | dog").fingerprint}
    assert len(same | others | {neuron("tiger OR dog", dilation=0).fingerprint}) == 4


def test_detector_with_options_is_chosen_as_in_a_file(context: Context) -> None:
    from maia_core.config import RunConfig

    config = RunConfig.model_validate(
        {"system": {"name": "synthetic:tiger", "detector": {"name": "collage", "pack": "x"}}}
    )
    made = Context(config, cache=context.cache)
    with pytest.raises(UsageError, match="no pack in"):
        _ = made.system
    plain = RunConfig.model_validate({"system": {"name": "synthetic:tiger", "detector": "collage"}})
    assert isinstance(Context(plain, cache=context.cache).system, SyntheticNeuron)


def test_name_says_nothing_and_is_the_machines_own(
    neuron: Callable[..., SyntheticNeuron], over_discs: Callable[..., SyntheticNeuron], context: Context
) -> None:
    system = neuron("tiger")
    assert system.info.ref == f"synthetic:{system.info.unit}"
    assert len(system.info.unit) == 4
    assert neuron("tiger").info == system.info
    assert neuron("lion").info != system.info
    # Hashing every likely expression finds the truth only with the secret of the same cache.
    names = {text: (neuron(text).info.unit, over_discs(text).info.unit) for text in ("tiger", "lion", "dog", "crow")}
    assert any(here != there for here, there in names.values())


def test_parsed_truth_is_kept(neuron: Callable[..., SyntheticNeuron]) -> None:
    assert neuron("tiger | grass").expression == parse("tiger | grass")
