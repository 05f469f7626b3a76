"""Forward passes: hooks, threads, batches, fingerprints."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.errors import RunError, UsageError
from maia_core.image import Image
from maia_torch import Preprocessing, TorchModel


def hooks(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) for part in module.modules())


def test_no_hook_is_left_behind_even_when_the_pass_fails(net, preprocess, images):
    model = TorchModel(net, preprocess, "m")
    assert hooks(net) == 0
    model.activations(images[:2], "mix")
    assert hooks(net) == 0
    net.mix = nn.Conv2d(7, 5, 3)
    with pytest.raises(RuntimeError):
        model.activations(images[:2], "fc")
    assert hooks(net) == 0


def test_a_pass_ends_at_the_wanted_layer_and_keeps_no_gradients(net, preprocess, images):
    model = TorchModel(net, preprocess, "m")
    reached = []
    net.mix.register_forward_hook(lambda module, given, output: reached.append(output))
    model.activations(images[:2], "cells")
    assert reached == []
    model.activations(images[:2], "fc")
    assert [(output.requires_grad, output.grad_fn) for output in reached] == [(False, None)]
    assert any(parameter.requires_grad for parameter in net.mix.parameters()), "else there would be none to keep"


def test_activations_are_the_maxima_of_what_the_module_computes(net, preprocess, images):
    model = TorchModel(net, preprocess, "m")
    crops = np.stack([preprocess.crop(image) for image in images])
    batch = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        cells = net.cells(batch)
        logits = net(batch)
    np.testing.assert_allclose(model.activations(images, "cells"), cells.amax((2, 3)), atol=1e-5)
    np.testing.assert_allclose(model.activations(images, "logit"), logits, atol=1e-5)
    np.testing.assert_allclose(model.activations(images, "prob"), logits.softmax(1), atol=1e-5)
    assert model.activations([], "cells").shape == (0, 2)


def test_the_result_of_an_image_does_not_depend_on_the_batch(model, images):
    together = model.activations(images, "mix")
    alone = np.concatenate([model.activations([image], "mix") for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-4 * abs(together).max())
    activations, masked = model.unit("mix:3").neuron(images)
    assert activations == pytest.approx(together[:, 3], abs=1e-5)
    assert [image.clean for image in masked] == images


def test_threads_do_not_see_each_others_layers(model, images):
    layers = ["cells", "act@1", "mix", "act@2", "fc", "prob"] * 4
    alone = {name: model.activations(images, name) for name in layers}
    with ThreadPoolExecutor(8) as pool:
        for name, result in zip(layers, pool.map(lambda name: model.activations(images, name), layers), strict=True):
            np.testing.assert_allclose(result, alone[name], atol=1e-5)


def test_an_image_that_is_masked_already_is_measured_on_its_clean_pixels(model, images):
    dark = images[0].masked(np.zeros((images[0].height, images[0].width), bool))
    unit = model.unit("mix:0")
    assert unit.neuron([dark]) == unit.neuron(images[:1])


def test_fingerprint_tells_weights_and_preprocessing_apart(net, preprocess):
    first = TorchModel(net, preprocess, "m").fingerprint
    assert TorchModel(net, preprocess, "m").fingerprint == first
    assert TorchModel(net, Preprocessing(64, 72, (0, 0, 0), (1, 1, 1)), "m").fingerprint != first
    with torch.no_grad():
        net.fc.bias[0] += 1e-6
    assert TorchModel(net, preprocess, "m").fingerprint != first


def test_values_that_are_not_finite_end_the_run(net, preprocess, images):
    with torch.no_grad():
        net.fc.bias[0] = float("nan")
    with pytest.raises(RunError, match="not finite"):
        TorchModel(net, preprocess, "m").unit("logit:0").neuron(images[:2])


def test_a_closed_model_says_so(model, images):
    model.close()
    with pytest.raises(UsageError, match="closed"):
        model.activations(images[:1], "cells")


def test_half_precision_weights_give_float_results(net, preprocess, images):
    exact = TorchModel(net, preprocess, "m").activations(images, "mix")
    half = TorchModel(net.to(torch.bfloat16), preprocess, "m").activations(images, "mix")
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, exact, atol=0.05)


def test_channels_last_gives_the_same(net, preprocess, images):
    plain = TorchModel(net, preprocess, "m").activations(images, "logit")
    np.testing.assert_allclose(
        TorchModel(net, preprocess, "m", channels_last=True).activations(images, "logit"), plain, atol=1e-5
    )


def test_one_image_of_one_pixel_and_a_very_long_one_are_measured(model):
    shapes = [(1, 1, 3), (3, 4000, 3), (4000, 1, 3)]
    activations, masked = model.unit("cells:1").neuron([Image.from_pixels(np.full(s, 255, np.uint8)) for s in shapes])
    assert activations == pytest.approx([1, 1, 1], abs=1e-5)
    assert [(image.height, image.width) for image in masked] == [shape[:2] for shape in shapes]
