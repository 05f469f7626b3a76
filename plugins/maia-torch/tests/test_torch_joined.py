"""Passes that threads share: what each measures does not depend on the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maia_core.errors import ToolError
from maia_core.image import Image
from maia_torch import Preprocessing, TorchModel

TOLERANCE = 1e-4
"""How far a measurement may depend on the batch, as a share of the layer's largest activation (float32)."""
UNITS = ["mix:0", "mix:3", "mix:4", "cells:1", "logit:2", "prob:1", "act@2:1", "fc:0"]
WAIT = 30


class Together:
    """Holds a model's lock, so that the requests of all threads wait and are joined."""

    def __init__(self, model: TorchModel) -> None:
        self.engine = model.engine

    def ask(self, work: list) -> list:
        """Calls functions, each in a thread of its own, while the first pass waits; returns what they return."""
        tick = threading.Event()
        with ThreadPoolExecutor(len(work)) as pool:
            with self.engine._lock:
                futures = [pool.submit(one) for one in work]
                for _ in range(WAIT * 200):
                    if len(self.engine._passes._waiting) == len(work):
                        break
                    tick.wait(0.005)
                else:
                    raise AssertionError("timed out")
            return [future.result(WAIT) if not future.exception() else future.exception() for future in futures]


@pytest.fixture
def joined(net, preprocess) -> TorchModel:
    model = TorchModel(net, preprocess, "net", classifier=True)
    model.join_passes(64)
    return model


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    requests=st.lists(
        st.tuples(st.sampled_from(UNITS), st.lists(st.integers(0, 37), min_size=1, max_size=12)), min_size=2, max_size=6
    )
)
def test_what_a_unit_measures_does_not_depend_on_the_other_sessions(joined, images, requests):
    wanted = [(joined.unit(ref), [images[n] for n in numbers]) for ref, numbers in requests]
    results = Together(joined).ask([lambda unit=unit, given=given: unit.neuron(given) for unit, given in wanted])
    for (unit, given_images), (values, masked) in zip(wanted, results, strict=True):
        alone, masks = unit.neuron(given_images)
        scale = max(1e-3, *np.abs(alone))
        np.testing.assert_allclose(values, alone, atol=TOLERANCE * scale, rtol=0)
        for one, other in zip(masked, masks, strict=True):
            assert one.clean == other.clean
            differ = np.mean(one.pixels() != other.pixels())
            assert differ < 0.02, "masks may differ at the threshold's edge only"


def test_sessions_on_one_layer_share_a_pass_and_those_on_others_do_not(joined, net, images):
    passes = net.passes
    refs = ["mix:0", "mix:1", "cells:0", "mix:2", "mix:3"]
    units = [joined.unit(ref) for ref in refs]
    Together(joined).ask([lambda unit=unit: unit.neuron(images[:4]) for unit in units])
    # The pass that the others wait for, and one for each layer.
    assert net.passes - passes in (2, 3)


def test_without_the_batcher_every_session_makes_its_own_pass(net, preprocess, images):
    model = TorchModel(net, preprocess, "net", classifier=True)
    passes = net.passes
    Together(model).ask([lambda n=n: model.unit(f"mix:{n}").neuron(images[:4]) for n in range(5)])
    assert net.passes - passes == 5


def test_a_pass_is_not_larger_than_the_bound(joined, net, images):
    sizes: list[int] = []
    net.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    joined.join_passes(10)
    Together(joined).ask([lambda n=n: joined.unit(f"mix:{n}").neuron(images[:4]) for n in range(5)])
    assert sum(sizes) == 20
    assert max(sizes) == 8


def test_images_of_other_sizes_have_a_pass_of_their_own(net, images):
    """A network that keeps the shape of an image (`Preprocessing` without a crop) gets crops of several sizes."""
    model = TorchModel(net, Preprocessing(64, mean=(0, 0, 0), std=(1, 1, 1)), "net", classifier=True)
    model.join_passes(64)
    layer = model.layer("mix")
    shapes = [(64, 64), (64, 96), (64, 64), (96, 64)]
    pixels = [
        np.random.default_rng(n).integers(0, 256, (2, *shape, 3), dtype=np.uint8) for n, shape in enumerate(shapes)
    ]
    alone = [model.engine.maxima(each, layer) for each in pixels]
    results = Together(model).ask([lambda each=each: model.engine.maxima(each, layer) for each in pixels])
    for one, other in zip(results, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=TOLERANCE)


def test_values_that_are_not_finite_are_the_error_of_the_session_that_has_them(joined, net, images):
    """One session's image makes the network overflow; the others measure on."""
    white = Image.from_pixels(np.full((64, 64, 3), 255, np.uint8))
    real = net.mix.forward
    net.mix.forward = lambda x: real(x).masked_fill(x.amax((1, 2, 3), keepdim=True) > 0.99, float("nan"))
    units = [joined.unit("mix:0"), joined.unit("mix:1"), joined.unit("mix:2")]
    dim = [Image.from_pixels(image.pixels() // 2) for image in images[:3]]
    batches = [dim, [dim[0], white], dim[:2]]
    results = Together(joined).ask(
        [lambda unit=unit, batch=batch: unit.neuron(batch) for unit, batch in zip(units, batches, strict=True)]
    )
    assert isinstance(results[1], ToolError)
    assert "at the places 1 " in str(results[1])
    assert len(results[0][0]) == 3
    assert len(results[2][0]) == 2


def test_a_network_that_takes_no_joined_batch_still_measures_for_all(joined, net, images):
    """The device has memory for a batch of four only; later batches are smaller."""

    def refuse(module, given):
        if len(given[0]) > 4:
            raise RuntimeError("CUDA out of memory")

    net.register_forward_pre_hook(refuse)
    alone = [joined.unit(f"mix:{n}").neuron(images[:3])[0] for n in range(3)]
    results = Together(joined).ask([lambda n=n: joined.unit(f"mix:{n}").neuron(images[:3])[0] for n in range(3)])
    assert results == alone
    assert joined.engine._passes.max_items < 9


def test_places_and_values_at_positions_are_right_when_passes_wait(joined, images):
    """An index is built while other sessions measure."""
    layer = joined.layer("mix")
    pixels = np.stack([joined.preprocess.crop(image) for image in images[:6]])
    positions = np.tile(np.array([[0, 5]]), (6, 1))
    alone = joined.engine.maxima_of(pixels, [layer], where=True, values={layer: positions})[layer]
    results = Together(joined).ask(
        [lambda: joined.engine.maxima_of(pixels, [layer], where=True, values={layer: positions})[layer]]
        + [lambda n=n: joined.unit(f"mix:{n}").neuron(images[:4]) for n in range(4)]
    )
    np.testing.assert_array_equal(results[0].where, alone.where)
    np.testing.assert_allclose(results[0].values, alone.values, atol=TOLERANCE)


def test_two_networks_share_no_pass(net, preprocess, images):
    """The copy with fewer operations reads the same layers."""
    model = TorchModel(net, preprocess, "net", classifier=True)
    model.join_passes(64)
    folded = model.folded_activations(images[:4], "mix")
    with torch.no_grad():
        net.mix.weight.zero_()
        net.mix.bias.fill_(7)
    assert model.activations(images[:4], "mix") == pytest.approx(7)
    np.testing.assert_allclose(model.folded_activations(images[:4], "mix"), folded, atol=TOLERANCE)
