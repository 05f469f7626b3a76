"""One copy of the weights for all, batches that change nothing, memory that runs out and memory that comes back."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from maia_core.errors import RunError, UsageError
from maia_core.image import Image
from maia_core.testing import disc
from maia_core.types import CallLimits, Message
from maia_hub.device import choose_device, choose_dtype
from maia_transformers import weights as shared
from maia_transformers.backbone import TransformersBackbone
from maia_transformers.chat import _inputs
from maia_transformers.describer import TransformersDescriber
from maia_vlm import ImageLimits, pack

FAMILIES = ("llava", "llava-next", "qwen2-vl", "qwen2.5-vl", "qwen3-vl", "gemma3", "idefics3", "internvl")
TOLERANCE = 1e-4
"""Largest difference between an image's logits alone and in a padded batch, relative to their spread, in float32."""

pytestmark = pytest.mark.usefixtures("fresh")


@pytest.fixture
def backbone(tiny, context):
    def make(model="llava", **options):
        options = {"dtype": "float32", **options}
        return TransformersBackbone(TransformersBackbone.Config(model=str(tiny(model)), **options), context)

    return make


@pytest.fixture
def describer(tiny, context):
    def make(model="llava", **options):
        options = {"dtype": "float32", "tokens": 8, **options}
        return TransformersDescriber(TransformersDescriber.Config(model=str(tiny(model)), **options), context)

    return make


def images(count=7):
    """Different images of two sizes, every other one masked: their conversations differ in length."""
    rng = np.random.default_rng(0)
    made = [Image.from_pixels(rng.integers(0, 256, (40 + n % 2 * 60, 60, 3), dtype=np.uint8)) for n in range(count)]
    return [image.masked(rng.random((image.height, 60)) > 0.5) if n % 3 else image for n, image in enumerate(made)]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_changes_descriptions_by_rounding_only(describer, family):
    batched, alone = describer(family, batch=4), describer(family, batch=1)
    assert batched.describe(images()) == [alone.describe([image])[0] for image in images()]
    weights = batched._chat._weights
    asked = [pack([Message.of("user", image, "?" * n)], ImageLimits(min_side=28)) for n, image in enumerate(images())]
    prompts = [weights.template.render(messages) for messages in asked]
    with torch.inference_mode():
        together = weights.model(**_inputs(weights, prompts, asked)).logits[:, -1]
        for row, prompt, messages in zip(together, prompts, asked, strict=True):
            single = weights.model(**_inputs(weights, [prompt], [messages])).logits[0, -1]
            assert (row - single).abs().max() < TOLERANCE * single.std()


@pytest.mark.slow
def test_an_image_is_described_once(describer, monkeypatch):
    made = describer()
    sizes = count_batches(made, monkeypatch)
    made.describe([*images(3), *images(3)])
    made.describe(images(3))
    assert sum(sizes) == 3


def count_batches(describer, monkeypatch, memory=10**9):
    """Counts the conversations of each call of the network; more than `memory` at once run out of memory."""
    model, sizes = describer._chat._weights.model, []
    generate = model.generate

    def limited(**inputs):
        size = len(inputs["input_ids"])
        sizes.append(size)
        if size > memory:
            raise torch.OutOfMemoryError(f"tried to allocate room for {size}")
        return generate(**inputs)

    monkeypatch.setattr(model, "generate", limited)
    return sizes


@pytest.mark.slow
def test_a_batch_is_halved_until_memory_suffices(describer, monkeypatch, warned):
    expected = describer(batch=1).describe(images())
    made = describer(batch=8)
    sizes = count_batches(made, monkeypatch, memory=2)
    assert made.describe(images()) == expected
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert any("now 3" in line for line in warned)


@pytest.mark.slow
def test_memory_that_does_not_suffice_for_one_image_names_the_settings(describer, backbone, monkeypatch):
    made = describer()
    count_batches(made, monkeypatch, memory=0)
    for ask in (
        lambda: made.describe(images(2)),
        lambda: backbone().complete([Message.of("user", images(1)[0])], CallLimits()),
    ):
        with pytest.raises(RunError, match=r"context_policy\.images.*dtype=bfloat16 or offload=true") as raised:
            ask()
        assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_summary_of_more_than_the_window_holds_is_made_of_descriptions(describer, monkeypatch):
    made = describer("qwen2-vl", context_tokens=700)
    sizes = count_batches(made, monkeypatch)
    many = [disc("red", seed, 200) for seed in range(15)]
    assert made.summarize(many[:2])
    assert sizes == [1]
    assert made.summarize(many)
    assert sum(sizes) == 1 + 15 + 1


@pytest.mark.slow
def test_both_roles_share_one_copy(backbone, describer, monkeypatch):
    loads = []
    load = shared._load
    monkeypatch.setattr(shared, "_load", lambda *arguments: loads.append(arguments) or load(*arguments))
    with ThreadPoolExecutor(4) as pool:
        made = [future.result() for future in [pool.submit(make) for make in (backbone, describer) * 3]]
    assert len(loads) == 1
    assert len({id(part._chat._weights) for part in made}) == 1
    assert backbone(dtype="bfloat16")._chat._weights is not made[0]._chat._weights


@pytest.mark.slow
def test_threads_do_not_disturb_each_other(backbone, describer):
    model, seen = backbone(temperature=1.0), describer()
    limits = [CallLimits(max_output_tokens=8, seed=seed) for seed in range(4)]
    question = [Message.of("user", disc("red"), "?")]
    expected = [model.complete(question, limit).text for limit in limits]
    with ThreadPoolExecutor(4) as pool:
        described = pool.submit(seen.describe, images(4))
        texts = list(pool.map(lambda limit: model.complete(question, limit).text, limits))
        assert described.result() == describer(batch=1).describe(images(4))
    assert texts == expected


@pytest.mark.slow
def test_memory_comes_back_when_the_last_user_closes(backbone, describer):
    model, seen = backbone(), describer()
    network = weakref.ref(model._chat._weights.model)
    model.close()
    model.close()
    assert network() is not None
    assert seen.describe(images(1))
    with pytest.raises(UsageError, match="closed"):
        model.complete([Message.of("user", "?")], CallLimits())
    seen.close()
    assert network() is None


@pytest.mark.slow
def test_weights_wait_for_the_next_run_and_give_way_to_another_model(backbone):
    """A sweep makes a new backbone for every unit."""
    made = backbone()
    network = weakref.ref(made._chat._weights.model)
    del made
    gc.collect()
    again = backbone()
    assert again._chat._weights.model is network()
    backbone("qwen2-vl")
    assert network() is not None, "it is in use"
    del again
    gc.collect()
    backbone("gemma3")
    assert network() is None


@pytest.mark.slow
def test_fingerprint_follows_weights_and_settings(tiny, describer, context):
    base = describer().fingerprint
    assert describer().fingerprint == base
    assert describer(batch=3).fingerprint == base
    others = [describer(**{key: value}).fingerprint for key, value in OTHER.items()]
    config = TransformersDescriber.Config(model=str(tiny("llava", seed=1)), dtype="float32", tokens=16)
    others.append(TransformersDescriber(config, context).fingerprint)
    assert len({base, *others}) == len(others) + 1


OTHER = {"dtype": "bfloat16", "max_image_side": 512, "tokens": 17, "max_pictures": 2}


@pytest.mark.slow
def test_weights_spread_by_accelerate_give_the_same(backbone):
    question = [Message.of("user", disc("red"), "?")]
    texts = [
        backbone(offload=offload, temperature=0).complete(question, CallLimits(max_output_tokens=8)).text
        for offload in (False, True)
    ]
    assert texts[0] == texts[1]


def test_automatic_type_is_one_that_the_device_computes_with():
    cpu = torch.device("cpu")
    fast = torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")
    assert choose_dtype("auto", cpu, "language") == (torch.bfloat16 if fast else torch.float32)
    assert choose_dtype("float16", cpu, "language") == torch.float16
    assert choose_device("auto").type in ("cpu", "cuda", "mps", "xpu")


@pytest.mark.slow
def test_torch_keeps_its_number_of_threads(backbone):
    before = torch.get_num_threads()
    backbone().complete([Message.of("user", "?")], CallLimits(max_output_tokens=2))
    assert torch.get_num_threads() == before
