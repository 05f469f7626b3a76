"""What is drawn: every family, batches, seeds, options, prompts that are too long, images that are blanked."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from maia_core.config import PluginConfig, RunConfig
from maia_core.context import Context, load
from maia_core.errors import RunError, ToolError, UsageError
from maia_core.image import Image
from maia_core.testing import disc
from maia_diffusers.options import TOLERANCE
from maia_standard.images import EditImages, Text2Image

Make = Callable[..., Any]
PROMPTS = ["a red disc", "a blue cat on the green", "a dog", "a red disc", "white"]


def farthest(a: Image, b: Image) -> float:
    return float(np.abs(a.pixels().astype(np.int16) - b.pixels()).max())


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux"])
def test_every_family_draws_alike_in_any_batch(family: str, generate: Make, tmp_path: Any) -> None:
    def fresh(name: str) -> Context:
        return Context(parts={}, cache=tmp_path / name)

    together = generate(family, batch=5, context=fresh("a")).generate(PROMPTS, [1, 2, 3, 4, 5])
    by_two = generate(family, batch=2, context=fresh("b")).generate(PROMPTS[::-1], [5, 4, 3, 2, 1]).images[::-1]
    exact = generate(family, exact=True, context=fresh("c")).generate(PROMPTS, [1, 2, 3, 4, 5]).images
    assert together.warnings == [""] * 5
    assert len({image.id for image in together.images}) == 5
    for one, two, three in zip(together.images, by_two, exact, strict=True):
        assert max(farthest(one, two), farthest(one, three)) <= TOLERANCE
        assert one.pixels().std() > 5


@pytest.mark.parametrize(("size", "expected"), [(24, (24, 24)), ("48x32", (48, 32)), ([32, 48], (32, 48))])
def test_size(size: Any, expected: tuple[int, int], generate: Make) -> None:
    [image] = generate(size=size).generate(["a dog"], [1]).images
    assert (image.width, image.height) == expected


def test_own_size_where_none_is_set(generate: Make) -> None:
    [image] = generate("sdxl", size=None).generate(["a dog"], [1]).images
    assert (image.width, image.height) == (32, 32)


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 3},
        {"guidance": 3.0},
        {"negative_prompt": "a cat"},
        {"scheduler": "EulerAncestralDiscrete"},
        {"params": {"eta": 1}},
    ],
)
def test_option_changes_the_image_and_the_fingerprint(options: dict[str, Any], generate: Make) -> None:
    plain, other = generate(), generate(**options)
    assert plain.fingerprint != other.fingerprint
    assert plain.generate(["a dog"], [1]).images != other.generate(["a dog"], [1]).images


@pytest.mark.parametrize("options", [{"batch": 2}, {"slicing": True}, {"idle_seconds": 5.0}])
def test_option_that_changes_no_pixel_keeps_the_fingerprint(options: dict[str, Any], generate: Make) -> None:
    assert generate().fingerprint == generate(**options).fingerprint


def test_slices_tiles_and_half_precision(generate: Make) -> None:
    plain = generate().generate(["a dog"], [1]).images[0]
    sliced = generate(slicing=True, tiling=True, batch=2).generate(["a dog", "a cat"], [1, 2]).images[0]
    assert farthest(plain, sliced) <= TOLERANCE, "an image that is smaller than a tile is not cut"
    half = generate(dtype="bfloat16").generate(["a dog"], [1]).images[0]
    assert 0 < np.abs(plain.pixels().astype(float) - half.pixels()).mean() < 10


def test_provenance_tells_what_was_asked(generate: Make) -> None:
    [image] = generate().generate(["a dog"], [7]).images
    assert image.title == "a dog"
    assert (image.provenance["prompt"], image.provenance["seed"]) == ("a dog", 7)


# --- editing ---


def test_images_of_all_sizes_come_back_in_their_own(edit: Make, pool: Any) -> None:
    sizes = [(32, 32), (33, 47), (1, 1), (80, 20), (32, 32)]
    rng = np.random.default_rng(0)
    images = [Image.from_pixels(rng.integers(0, 256, (h, w, 3), np.uint8), f"{w}") for w, h in sizes]
    for family in ("pix2pix", "kontext"):
        made = edit(family).edit(images, ["make it red"] * 5, [1, 1, 1, 1, 2]).images
        assert [(image.width, image.height) for image in made] == sizes
        assert [image.title for image in made] == [f"{w}, make it red" for w, _ in sizes]
        assert made[0].id != made[4].id


def test_batch_of_edits_keeps_each_image_to_itself(edit: Make, tmp_path: Any) -> None:
    """A pipeline that took a list for one scene would mix the images."""
    images = [disc("red"), disc("white"), disc("blue")]
    for family in ("pix2pix", "kontext"):
        together = edit(family).edit(images, ["make it red"] * 3, [1] * 3).images
        other = Context(parts={}, cache=tmp_path / family)
        for image, made in zip(images, together, strict=True):
            alone = edit(family, context=other).edit([image], ["make it red"], [1]).images[0]
            assert farthest(made, alone) <= TOLERANCE
        assert len({image.id for image in together}) == 3


def test_size_of_an_edit_is_the_size_it_is_made_at(edit: Make) -> None:
    image = disc("red", size=40)
    small, own = (edit(size=size).edit([image], ["make it blue"], [1]).images[0] for size in (16, None))
    assert (small.width, own.width) == (40, 40)
    assert small.id != own.id


def test_image_guidance_is_pix2pix_alone(edit: Make) -> None:
    image = disc("red")
    near, far = (edit(image_guidance=value).edit([image], ["make it blue"], [1]).images[0] for value in (4.0, 1.0))
    assert near.id != far.id
    with pytest.raises(UsageError, match=r"editor\.image_guidance: a FluxKontextPipeline does not take it"):
        edit("kontext", image_guidance=1.5).edit([image], ["make it blue"], [1])


# --- prompts ---

LONG = "a dog " + " ".join(f"near house{number}" for number in range(10, 26))


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_words_that_are_cut_are_named(family: str, generate: Make) -> None:
    made = generate(family).generate([LONG, "a dog"], [1, 1])
    warning, nothing = made.warnings
    assert nothing == ""
    lost = warning.removeprefix("the prompt is too long: the model reads 77 tokens of it and does not know '")
    assert lost.endswith("near house25'")
    read = LONG.removesuffix(lost.removesuffix("'"))
    letters, next_word = len(read.replace(" ", "")), len(lost.split()[0])
    assert letters <= 75 < letters + next_word, "the tokens are a start, one for each letter, and an end"


def test_cut_words_decide_nothing(generate: Make) -> None:
    """The warning tells the truth: other words at the cut place give the same image."""
    prompts = [LONG, LONG.replace("house25", "a castle in the sun")]
    one, two = generate().generate(prompts, [1, 1]).images
    assert farthest(one, two) <= TOLERANCE


def test_prompt_that_one_of_the_encoders_reads_whole_is_not_cut(generate: Make) -> None:
    assert generate("flux").generate([LONG], [1]).warnings == [""]
    assert generate("sd3").generate([LONG], [1]).warnings == [""]
    short = generate("flux", params={"max_sequence_length": 20}).generate([LONG], [1])
    assert "reads 77 tokens" in short.warnings[0], "the encoder that reads most is the one that counts"


def test_warning_is_given_again_from_the_cache(generate: Make) -> None:
    assert generate().generate([LONG], [1]).warnings == generate().generate([LONG], [1]).warnings != [""]


def test_backbone_is_told(generate: Make, tmp_path: Any) -> None:
    run = Context(parts={"generator": generate()}, cache=tmp_path)
    images = Text2Image(PluginConfig(), run)([LONG] * 2 + ["a dog"])
    [note] = run.take_shown()
    assert "the prompt is too long" in note.text  # type: ignore[union-attr]
    assert len({image.id for image in images}) == 3, "replicates differ"


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_empty_prompt_is_refused_and_the_rest_is_drawn(prompt: str, generate: Make, edit: Make) -> None:
    with pytest.raises(ToolError, match="a prompt is empty"):
        generate(batch=1).generate(["a dog", prompt], [1, 1])
    with pytest.raises(ToolError, match="an instruction is empty"):
        edit().edit([disc("red")], [prompt], [1])


# --- the safety checker ---


def test_blanked_image_is_drawn_with_another_seed_and_said(generate: Make) -> None:
    made = generate("sd-picky", batch=8, redraws=20).generate(["a red disc"] * 8, range(8))
    unsafe = [place for place, warning in enumerate(made.warnings) if warning]
    assert unsafe == [1, 5, 7]
    assert all("the safety checker blanked this image" in made.warnings[place] for place in unsafe)
    assert all(image.pixels().std() > 5 for image in made.images), "no black image is passed on"
    unchecked = generate("sd-picky", batch=8, safety=False).generate(["a red disc"] * 8, range(8))
    assert unchecked.warnings == [""] * 8
    for place, (one, two) in enumerate(zip(made.images, unchecked.images, strict=True)):
        assert (farthest(one, two) > 20) == (place in unsafe)
    again = generate("sd-picky", batch=3, redraws=20).generate(["a red disc"] * 2, [5, 1])
    assert [image.id for image in again.images] == [made.images[5].id, made.images[1].id]


def test_prompt_whose_images_are_all_blanked_is_refused(generate: Make, context: Context) -> None:
    with pytest.raises(ToolError, match="blanked all 3 images of 'a weapon': use other words") as error:
        generate("sd-strict", redraws=2).generate(["a weapon", "a weapon"], [1, 2])
    assert "\n" not in str(error.value)
    assert not list(context.cache.rglob("*.png")), "no black image is kept"


def test_others_of_the_batch_are_kept(generate: Make, context: Context) -> None:
    with pytest.raises(ToolError, match="the other 5 are kept"):
        generate("sd-picky", batch=8, redraws=0).generate(["a red disc"] * 8, range(8))
    assert len(list(context.cache.rglob("*.png"))) == 5


# --- the cache ---

ELSEWHERE = """
import json, sys
from pathlib import Path
from maia_core.context import Context
from maia_cache.engines import part_built
from maia_diffusers.generator import DiffusersGenerator
options, prompts, folder = json.loads(sys.argv[1])
context = Context(parts={}, cache=Path(folder))
generator = DiffusersGenerator(DiffusersGenerator.Config(**options), context)
generator = part_built("generator", "diffusers", generator, context)
made = generator.generate(prompts, range(len(prompts)))
print(json.dumps([[image.id for image in made.images], sorted(sys.modules.keys() & {"diffusers", "transformers"})]))
"""


@pytest.mark.slow
def test_another_process_computes_nothing_again(generate: Make, tiny: Make, context: Context, pool: Any) -> None:
    options = {"model": str(tiny("sd")), "device": "cpu", "steps": 2, "size": 32}
    expected = [image.id for image in generate().generate(PROMPTS, range(5)).images]
    arguments = json.dumps([options, PROMPTS, str(context.cache)])
    run = subprocess.run([sys.executable, "-c", ELSEWHERE, arguments], capture_output=True, text=True, check=True)
    ids, imported = json.loads(run.stdout)
    assert ids == expected
    assert imported == [], "what is kept costs no import of diffusers"
    pool.drop_idle()
    generate().generate(PROMPTS, range(5))
    assert pool.loaded() == [], "nor the loading of a model"


@pytest.mark.slow
def test_edits_are_kept_too(edit: Make, pool: Any) -> None:
    images = [disc("red", n) for n in range(3)]
    first = edit().edit(images, ["make it blue"] * 3, [1, 2, 3])
    pool.drop_idle()
    assert edit().edit(images, ["make it blue"] * 3, [1, 2, 3]) == first
    assert pool.loaded() == []


# --- in a run ---


def test_tools_use_both_by_name(tiny: Make, tmp_path: Any) -> None:
    chosen = {"device": "cpu", "steps": 1}
    config = RunConfig(
        generator={"name": "diffusers", "model": str(tiny("sd")), "size": 32, **chosen},
        editor={"name": "diffusers", "model": str(tiny("pix2pix")), **chosen},
    )
    run = Context(config, cache=tmp_path)
    images, titles = EditImages(PluginConfig(), run)(["a red disc"] * 3, "make it blue")
    assert len({image.id for image in images}) == 6
    assert titles == ["a red disc", "a red disc: make it blue"] * 3
    assert {"generator", "editor"} <= run.fingerprints().keys()


def test_options_are_read_from_the_command_line() -> None:
    overrides = [("generator", "diffusers"), ("generator.size", "768x512"), ("generator.guidance", 0)]
    assert load(None, overrides).generator.options == {"size": "768x512", "guidance": 0}


def test_threads_share_one_pipeline(generate: Make, pool: Any, tmp_path: Any) -> None:
    results: dict[int, Any] = {}
    start = threading.Barrier(3)

    def work(number: int) -> None:
        generator = generate(context=Context(parts={}, cache=tmp_path / str(number)))
        start.wait()
        results[number] = generator.generate(PROMPTS, range(5)).images

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(pool.loaded()) == 1
    assert results[0] == results[1] == results[2]


def test_numbers_that_overflow_are_no_image(generate: Make, pool: Any) -> None:
    generator = generate()
    generator.generate(["a dog"], [1])
    [slot] = (pool._slots[pool.loaded()[0]],)
    slot.held.vae.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(RunError, match=r"overflow in float32.*generator\.dtype"):
        generator.generate(["a dog"], [2])
