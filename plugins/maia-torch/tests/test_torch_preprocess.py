"""The network sees what the libraries' transforms show it, and masks lie where a person sees it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_torch import Preprocessing, TorchModel
from maia_torch.inference import inferred

SHAPES = [(300, 200), (201, 333), (90, 100), (377, 886), (57, 43), (224, 224), (640, 427), (60, 700)]


def noise(width: int, height: int) -> Image:
    return Image.from_pixels(np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("shape", SHAPES)
def test_torchvision_shows_the_same(shape, interpolation):
    transforms = pytest.importorskip("torchvision.transforms")
    mode = transforms.InterpolationMode(interpolation)
    image = noise(*shape)
    for preprocess, steps in [
        (Preprocessing(56, 64, interpolation=interpolation), [transforms.Resize(64, mode), transforms.CenterCrop(56)]),
        (Preprocessing(224, interpolation=interpolation), [transforms.Resize(224, mode), transforms.CenterCrop(224)]),
        (Preprocessing((96, 160), fit="squash", interpolation=interpolation), [transforms.Resize((96, 160), mode)]),
    ]:
        expected = np.asarray(transforms.Compose(steps)(image.pil())).astype(int)
        assert abs(preprocess.crop(image) - expected).max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_timm_shows_the_same_where_input_is_not_square_or_has_a_border(shape):
    timm = pytest.importorskip("timm.data.transforms_factory")
    image = noise(*shape)
    for size, crop, mode in [((96, 160), 0.875, "center"), (96, 0.9, "border"), ((64, 96), 1.0, "squash")]:
        transform = timm.transforms_imagenet_eval(size, crop, mode, interpolation="bicubic", normalize=False)
        sides = (size, size) if isinstance(size, int) else size
        fit = {"center": "crop", "border": "letterbox", "squash": "squash"}[mode]
        fill = (124, 116, 104)  # timm fills with the mean
        resize = tuple(int(side / crop) for side in sides)
        ours = Preprocessing(sides, resize, interpolation="bicubic", fit=fit, fill=fill).crop(image)
        assert abs(ours - transform(image.pil()).permute(1, 2, 0).numpy().astype(int)).max() <= 1


def test_a_very_long_image_is_not_resized_whole():
    image = Image.from_pixels(np.full((3, 30_000, 3), 200, np.uint8))
    seen = Preprocessing(224, 256).crop(image)
    assert seen.shape == (224, 224, 3)
    assert (seen == 200).all()


@pytest.mark.parametrize("fit", ["crop", "squash", "letterbox"])
@pytest.mark.parametrize(("width", "height"), [(300, 120), (120, 300), (200, 200)])
@pytest.mark.parametrize("resize", [None, (80, 128)])
def test_mask_covers_a_red_square_wherever_it_is_and_however_it_was_resized(net, fit, width, height, resize):
    preprocess = Preprocessing((64, 96), resize, (0,) * 3, (1,) * 3, fit=fit)
    model = TorchModel(net, preprocess, "m", quantile=0.995)
    left, top, right, bottom = preprocess.box(width, height)
    wide, tall = (right - left) / 12, (bottom - top) / 8  # of one cell, in the image's pixels
    inside = [
        (row, column)
        for row in range(8)
        for column in range(12)
        if left + column * wide >= 0 <= top + row * tall
        and left + (column + 1) * wide <= width
        and top + (row + 1) * tall <= height
    ]
    for row, column in [inside[0], inside[len(inside) // 3], inside[-1]]:
        x, y = left + column * wide, top + row * tall
        pixels = np.full((height, width, 3), (0, 0, 255), np.uint8)
        pixels[round(y) : round(y + tall), round(x) : round(x + wide)] = (255, 0, 0)
        [activation], [masked] = model.unit("cells:0").neuron([Image.from_pixels(pixels)])
        rows, columns = np.nonzero(masked.mask())
        assert activation > 0.6
        assert rows.mean() + 0.5 == pytest.approx(y + tall / 2, abs=0.3 * tall)
        assert columns.mean() + 0.5 == pytest.approx(x + wide / 2, abs=0.3 * wide)


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 64, "resize": 32},
        {"size": (64, 96), "resize": (80, 90)},
        {"size": 64, "mean": (0.5,)},
        {"size": 64, "std": (1, 0, 1)},
        {"size": 64, "fit": "stretch"},
        {"size": 64, "interpolation": "cubic"},
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UsageError, match="preprocessing"):
        Preprocessing(**wrong)


def test_a_network_of_grey_sees_grey():
    module = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    nn.init.ones_(module[0].weight)
    model = TorchModel(module, Preprocessing(8, mean=(0,), std=(1,)), "m")
    images = [Image.from_pixels(np.full((8, 8, 3), colour, np.uint8)) for colour in [(255, 0, 0), (0, 255, 0)]]
    assert model.activations(images, "0")[:, 0] == pytest.approx([0.299, 0.587], abs=1e-5)


def test_size_and_channels_are_found_by_trying():
    flat = nn.Sequential(nn.Conv2d(1, 2, 4, stride=4), nn.Flatten(), nn.Linear(2 * 7 * 7, 3))
    assert inferred(flat) == Preprocessing(28, mean=(0.5,), std=(0.5,))
    free = nn.Conv2d(3, 2, 3)
    assert inferred(free) == Preprocessing(224)
    free.img_size = (96, 160)
    assert inferred(free).input == (96, 160)
    with pytest.raises(UsageError, match=r"none of the usual sizes.*RuntimeError"):
        inferred(nn.Sequential(nn.Flatten(), nn.Linear(1000, 2)))


def test_a_guess_is_said():
    with pytest.warns(UserWarning, match=r"m: preprocessing was not given; MAIA uses: crop to 224 x 224"):
        model = TorchModel(nn.Conv2d(3, 2, 3), name="m")
    assert model.unit("output:1").neuron([Image.from_pixels(np.zeros((9, 9, 3), np.uint8))])[0] == pytest.approx(
        model.engine.maxima(np.zeros((1, 224, 224, 3), np.uint8), model.layer("output"))[:, 1].tolist()
    )


def test_input_goes_to_the_type_and_the_format_of_the_weights(net, preprocess, images):
    exact = TorchModel(net, preprocess, "m").activations(images, "mix")
    half = TorchModel(net, preprocess, "m", dtype="bfloat16", device="cpu", channels_last=True)
    assert next(net.parameters()).dtype is torch.bfloat16
    assert half.engine.maxima(np.zeros((1, 64, 64, 3), np.uint8), half.layer("mix")).dtype == np.float32
    np.testing.assert_allclose(half.activations(images, "mix"), exact, atol=0.05)
    for wrong in ({"dtype": "int8"}, {"dtype": "half-ish"}, {"device": "warp"}):
        with pytest.raises(UsageError):
            TorchModel(net, preprocess, "m", **wrong)
