"""Memory: batches that do not fit, what leaves when it is idle or in the way, and what is said in the end."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from maia_core.context import Context
from maia_core.errors import RunError
from maia_core.image import Image
from maia_core.testing import disc, farthest
from maia_diffusers import loading
from maia_diffusers.options import TOLERANCE

Make = Callable[..., Any]


def pipeline(pool: Any, part: str) -> Any:
    """The loaded pipeline whose folder's name is `part`."""
    [key] = [key for key in pool.loaded() if key.folder.name == part]
    return pool._slots[key].held


@contextmanager
def memory_for(network: torch.nn.Module, images: Callable[[], int], *, inputs: int = 2) -> Iterator[list[int]]:
    """A network that has room for so many images, each of them `inputs` times for the guidance; notes every batch."""
    tried: list[int] = []

    def check(module: Any, args: Any, kwargs: Any) -> None:
        sample = args[0] if args else kwargs["hidden_states"]
        tried.append(len(sample) // inputs)
        if tried[-1] > images():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = network.register_forward_pre_hook(check, with_kwargs=True)
    try:
        yield tried
    finally:
        hook.remove()


def fresh(context: Context, name: str) -> tuple[Context, list[str]]:
    """Another run with a cache of its own, and what it warns of."""
    said: list[str] = []
    other = Context(parts={}, cache=context.cache / name)
    other.warn_to(said.append)
    return other, said


def test_batch_that_does_not_fit_is_halved_and_remembered(generate: Make, context: Context, pool: Any) -> None:
    expected = generate(batch=8).generate(["a dog"] * 8, range(8)).images
    run, said = fresh(context, "small")
    generator = generate(batch=8, context=run)
    with memory_for(pipeline(pool, "sd").unet, lambda: 3) as tried:
        made = generator.generate(["a dog"] * 8, range(8)).images
        assert tried == [8, 4] + [2] * 8, "two steps for each of the batches that fit"
        generator.generate(["a cat"] * 2, [1, 2])
        assert max(tried[10:]) == 2
    assert [farthest(a, b) <= TOLERANCE for a, b in zip(made, expected, strict=True)] == [True] * 8
    assert said == [f"memory does not suffice for a batch of {n}; the batch size is now {n // 2}" for n in (8, 4)]


def test_edits_of_several_sizes_are_halved_too(edit: Make, context: Context, pool: Any) -> None:
    images = [disc("red", n, 32 + 16 * (n % 2)) for n in range(6)]
    expected = edit(batch=6).edit(images, ["make it blue"] * 6, range(6)).images
    run, _ = fresh(context, "small")
    with memory_for(pipeline(pool, "pix2pix").unet, lambda: 1, inputs=3):
        made = edit(batch=6, context=run).edit(images, ["make it blue"] * 6, range(6)).images
    assert [(image.width, image.height) for image in made] == [(image.width, image.height) for image in images]
    assert all(farthest(a, b) <= TOLERANCE for a, b in zip(made, expected, strict=True))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("can't allocate memory: 9")]
)
def test_single_image_that_does_not_fit_names_the_options(error: Exception, generate: Make, pool: Any) -> None:
    generator = generate()
    generator.generate(["a dog"], [1])

    def fail(*args: Any) -> None:
        raise error

    hook = pipeline(pool, "sd").unet.register_forward_pre_hook(fail)
    with pytest.raises(RunError, match="does not suffice for one image of 32 x 32 pixels") as raised:
        generator.generate(["a cat"] * 4, range(4))
    hook.remove()
    assert "of the generator, set size to less, dtype=bfloat16, tiling=true" in str(raised.value)
    assert "offload" not in str(raised.value), "what helps nothing on a processor is not advised"
    generator.generate(["a cat"], [1])


def test_what_is_idle_leaves_before_a_batch_is_halved(generate: Make, edit: Make, context: Context, pool: Any) -> None:
    generate().generate(["a dog"], [1])
    edit().edit([disc("red")], ["make it blue"], [1])
    run, said = fresh(context, "small")
    with memory_for(pipeline(pool, "sd").unet, lambda: 4 if len(pool.loaded()) == 1 else 2):
        generate(context=run).generate(["a dog"] * 4, range(4))
    assert [key.folder.name for key in pool.loaded()] == ["sd"]
    assert said == []


def test_what_is_idle_leaves_where_another_would_not_fit(
    generate: Make, edit: Make, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate().generate(["a dog"], [1])
    monkeypatch.setattr(loading, "free_bytes", lambda device: 100_000)
    edit().edit([disc("red")], ["make it blue"], [1])
    assert [key.folder.name for key in pool.loaded()] == ["pix2pix"]


def test_loading_is_tried_again_without_what_is_idle(
    generate: Make, edit: Make, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate().generate(["a dog"], [1])
    loaded = loading._loaded

    def needs_room(*args: Any) -> Any:
        if any(key.folder.name == "sd" for key in pool.loaded()):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loaded(*args)

    monkeypatch.setattr(loading, "_loaded", needs_room)
    edit().edit([disc("red")], ["make it blue"], [1])
    assert [key.folder.name for key in pool.loaded()] == ["pix2pix"]


def test_model_that_does_not_fit_at_all(generate: Make, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loading, "_loaded", full)
    with pytest.raises(RunError, match=r"does not fit into the memory of cpu: set generator\.dtype"):
        generate().generate(["a dog"], [1])


def wait_for(condition: Callable[[], bool]) -> bool:
    """Waits as long as a busy machine may take."""
    for _ in range(600):
        gc.collect()
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_pipeline_leaves_memory_when_it_is_idle(generate: Make, context: Context, pool: Any) -> None:
    generator = generate(idle_seconds=0.2)
    first: Image = generator.generate(["a dog"], [1]).images[0]
    network = weakref.ref(pipeline(pool, "sd").unet)
    assert wait_for(lambda: network() is None)
    assert pool.loaded() == []
    run, _ = fresh(context, "later")
    assert generate(context=run).generate(["a dog"], [1]).images[0].id == first.id, "it comes back when it is needed"


def test_pipeline_that_is_used_stays(generate: Make, pool: Any) -> None:
    short, long = generate(idle_seconds=0.05), generate(idle_seconds=600)
    short.generate(["a dog"], [1])
    long.generate(["a dog"], [2])
    time.sleep(0.3)
    assert len(pool.loaded()) == 1, "the last use decides"


def test_one_pipeline_for_all_runs(generate: Make, context: Context, pool: Any) -> None:
    generate().generate(["a dog"], [1])
    before = pipeline(pool, "sd")
    run, _ = fresh(context, "another")
    generate(steps=3, size=16, batch=1, context=run).generate(["a cat"], [1])
    assert pipeline(pool, "sd") is before
    generate(dtype="bfloat16").generate(["a cat"], [1])
    assert len(pool.loaded()) == 2, "numbers of another type are other weights"
