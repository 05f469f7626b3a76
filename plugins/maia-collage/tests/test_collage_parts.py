"""What was explained with one half of the cut-outs is tested with the other."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from maia_collage.command import collage
from maia_collage.dataset import CollageDataset, CutoutsDataset
from maia_collage.detector import CollageDetector
from maia_collage.editor import CollageEditor
from maia_collage.generator import CollageGenerator
from maia_collage.pack import Pack
from maia_collage.scene import KEY
from maia_core.context import Context
from maia_core.image import Image


def shown(image: Image) -> set[str]:
    scene = image.provenance[KEY]["scene"]  # type: ignore[index,call-overload]
    return {placed["cutout"] for placed in scene.get("objects", [])}  # type: ignore[union-attr,index,call-overload,misc]


def several(pack: Pack) -> str:
    """A concept with more than one cut-out of its own."""
    own = [c.concept for c in pack.members(None)]
    return next(name for name in own if own.count(name) > 1)


def test_halves_share_no_cutout_of_a_concept_that_has_several(pack: Pack) -> None:
    seen, held_out = pack.part("seen"), pack.part("held-out")
    concept = several(pack)
    own = [{c.id for c in part.members(concept) if c.concept == concept} for part in (pack, seen, held_out)]
    assert own[1]
    assert own[2]
    assert own[1] | own[2] == own[0]
    assert not own[1] & own[2]
    assert {c.concept for c in seen.members(None)} == {c.concept for c in held_out.members(None)}


def test_generator_editor_and_data_set_draw_from_their_half(context: Context, pack: Pack) -> None:
    concept = several(pack)
    allowed = {c.id for c in pack.part("held-out").members(None)}
    generator = CollageGenerator(CollageGenerator.Config(size=48, cutouts="held-out"), context)
    drawn = generator.generate([f"a {concept}"] * 12, range(12)).images
    assert set.union(*map(shown, drawn)) <= allowed
    editor = CollageEditor(CollageEditor.Config(cutouts="held-out"), context)
    tiger = CollageGenerator(CollageGenerator.Config(size=48), context).generate(["a tiger on grass"] * 8, range(8))
    edited = editor.edit(tiger.images, [f"replace the tiger with a {concept}"] * 8, range(8)).images
    assert set.union(*map(shown, edited)) <= allowed
    dataset = CollageDataset(CollageDataset.Config(size=48, count=60, cutouts="held-out"), context)
    assert set.union(*(shown(dataset[i]) for i in range(60))) <= allowed
    library = CutoutsDataset(CutoutsDataset.Config(size=48, cutouts="held-out"), context)
    assert set.union(*(shown(library[i]) for i in range(len(library)))) == allowed


def test_the_truth_of_a_half_is_known_to_the_detector(context: Context) -> None:
    generator = CollageGenerator(CollageGenerator.Config(size=48, cutouts="held-out"), context)
    detector = CollageDetector(CollageDetector.Config(), context)
    assert detector.detect(generator.generate(["a tiger"], [1]).images, "tiger")[0]


@pytest.mark.parametrize("factory", [CollageGenerator, CollageEditor, CollageDataset, CutoutsDataset])
def test_a_half_has_a_fingerprint_of_its_own_and_all_keeps_the_old_one(context: Context, factory: type) -> None:
    made = [factory(factory.Config(**options), context).fingerprint for options in ({}, {"cutouts": "seen"})]
    assert made[0] != made[1]
    assert made[0] == factory(factory.Config(cutouts="all"), context).fingerprint


def test_a_pack_of_single_cutouts_is_all_in_both(pack: Pack) -> None:
    single = [c.concept for c in pack.members(None)]
    once = {name for name in single if single.count(name) == 1}
    for part in ("seen", "held-out"):
        assert once <= {c.concept for c in pack.part(part).members(None)}  # type: ignore[arg-type]


def test_prompts_are_of_things_with_several_cutouts(
    context: Context, pack: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIA_CACHE", str(context.cache))
    wanted = json.loads(CliRunner().invoke(collage, ["prompts"]).output)
    assert {"prompt": "an apple", "kind": "thing", "words": ["apple"], "query": "apple"} in wanted
    own = [c.concept for c in pack.members(None)]
    assert {one["query"] for one in wanted} <= {name for name in own if own.count(name) > 1}
