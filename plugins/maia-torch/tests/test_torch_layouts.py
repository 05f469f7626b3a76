"""Outputs of every layout become the same (images, units, rows, columns)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.errors import UsageError
from maia_core.image import Image
from maia_torch import Layout, Preprocessing, TorchModel
from maia_torch.layouts import find_layout, token_grid


class Cells(nn.Module):
    """How bright each 8 x 8 cell is, and how dark: two units, in an order of axes of its own."""

    def __init__(self, give: str) -> None:
        super().__init__()
        self.give = give
        self.conv = nn.Conv2d(3, 2, 8, stride=8)
        with torch.no_grad():
            self.conv.weight[0], self.conv.weight[1] = 1 / 192, -1 / 192
            self.conv.bias[0], self.conv.bias[1] = 0, 1
        self.told = Told(give)

    def forward(self, x: torch.Tensor) -> object:
        return self.told(self.conv(x))


class Told(nn.Module):
    def __init__(self, give: str) -> None:
        super().__init__()
        self.give = give

    def forward(self, x: torch.Tensor) -> object:
        tokens = x.flatten(2).transpose(1, 2)
        extra = torch.full((len(x), 5, 2), 99.0)  # a class token and four registers, louder than any patch
        return {
            "NCHW": lambda: x,
            "NHWC": lambda: x.permute(0, 2, 3, 1),
            "NLC": lambda: torch.cat([extra, tokens], 1),
            "LNC": lambda: torch.cat([extra, tokens], 1).transpose(0, 1),
            "NCL": lambda: tokens.transpose(1, 2),
            "dict": lambda: {"aux": x.mean((2, 3)), "out": x},
            "tuple": lambda: (torch.cat([extra, tokens], 1), None),
        }[self.give]()


def cell(row: int, column: int, rows: int = 4, columns: int = 6) -> Image:
    pixels = np.zeros((rows * 8, columns * 8, 3), np.uint8)
    pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 255
    return Image.from_pixels(pixels)


@pytest.mark.parametrize("give", ["NCHW", "NHWC", "NLC", "LNC", "NCL", "dict", "tuple"])
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (4, 6), (6, 3)])
def test_units_are_found_at_their_place_whatever_the_order_of_axes(give, rows, columns):
    preprocess = Preprocessing((rows * 8, columns * 8), mean=(0,) * 3, std=(1,) * 3)
    model = TorchModel(Cells(give), preprocess, "m", quantile=0.95)
    layer = model.layer("told#out" if give == "dict" else "told")
    assert layer.info.shape == (2, rows, columns)
    for row, column in [(0, 0), (1, 2), (3, 1)]:
        image = cell(row, column, rows, columns)
        [maps] = model.engine.unit(np.stack([model.preprocess.crop(image)]), layer, 0)
        expected = np.zeros((rows, columns))
        expected[row, column] = 1
        np.testing.assert_allclose(maps, expected, atol=1e-5)
        [activation], [masked] = model.unit(f"{layer.name}:0").neuron([image])
        assert activation == pytest.approx(1, abs=1e-5), "class token and registers are no patches"
        assert masked.mask()[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8].mean() > 0.2
        assert masked.mask().mean() < 0.25


def test_several_outputs_are_told_apart_and_the_plain_name_is_the_first():
    model = TorchModel(Cells("dict"), Preprocessing((32, 48)), "m")
    names = [layer.name for layer in model.layers()]
    assert names == ["conv", "told#aux", "told#out", "output#aux", "output#out"]
    assert model.layer("told").name == "told#aux"
    assert model.unit("told#out:1").info.ref == "m:told#out:1"


def test_pixels_of_a_segmentation_network_have_classes_by_name():
    model = TorchModel(Cells("dict"), Preprocessing((32, 48), mean=(0,) * 3, std=(1,) * 3), "m", classes=["sky", "sea"])
    unit = model.unit("prob:sky")
    assert unit.info.has_map
    [activation], [masked] = unit.neuron([cell(1, 2)])
    assert activation == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-4)
    assert masked.mask()[8:16, 16:24].any()
    plain = TorchModel(Cells("NCHW"), Preprocessing((32, 48)), "m")
    assert [layer.name for layer in plain.layers()] == ["conv", "told", "output"]


def test_a_network_without_a_layer_is_refused():
    class Untold(nn.Module):
        def forward(self, x: torch.Tensor) -> object:
            return {"images": len(x)}

    for module, layouts in ((Untold(), None), (Cells("NCHW"), {"*": "none"})):
        with pytest.raises(UsageError, match="m has no layer that can be read: let a module of it return a tensor"):
            TorchModel(module, Preprocessing((32, 48)), "m", layouts=layouts)


def test_what_an_adapter_tells_is_believed():
    tokens = Layout("NLC", placed=False)
    model = TorchModel(Cells("NLC"), Preprocessing((32, 48)), "m", layouts={"told": tokens, "con*": "none"})
    assert [layer.name for layer in model.layers()] == ["told", "output"]
    assert model.layer("told").info.shape == (2,)
    assert model.activations([cell(1, 1)], "told").tolist() == [[99, 99]]
    with pytest.raises(UsageError, match=r"no module of the network is named 'tol'\. Did you mean 'told'"):
        TorchModel(Cells("NLC"), Preprocessing((32, 48)), "m", layouts={"tol": "NLC"})
    with pytest.raises(UsageError, match=r"the output of conv has the shape \(2, 2, 4, 6\), which is not NLC"):
        TorchModel(Cells("NLC"), Preprocessing((32, 48)), "m", layouts={"conv": "NLC"})
    with pytest.raises(UsageError, match="29 tokens of told fit no grid"):
        TorchModel(Cells("NLC"), Preprocessing((32, 48)), "m", layouts={"told": Layout("NLC", grid=(5, 5))})
    with pytest.raises(UsageError, match="a layout is one of"):
        Layout("CHWN")


class Attending(nn.Module):
    """What is no map, though it has four axes or a strange first one: attention, heads, windows."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, stride=8)
        self.heads, self.attention, self.windows = nn.Identity(), nn.Identity(), nn.Identity()
        self.talking = nn.Linear(2, 2)
        self.channels = nn.Dropout()
        self.attend = nn.MultiheadAttention(12, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        heads = self.heads(tokens.unflatten(2, (2, 6)).transpose(1, 2))
        attention = self.attention(heads @ heads.transpose(2, 3))
        self.talking(attention.permute(0, 2, 3, 1))
        self.channels(heads.transpose(2, 3) @ heads)
        self.windows(tokens.reshape(len(x) * 4, 4, 12))
        return self.attend(tokens, tokens, tokens)[0]


def test_attention_heads_and_windows_have_no_units():
    model = TorchModel(Attending(), Preprocessing(32), "m")
    assert [layer.name for layer in model.layers()] == ["patch", "attend", "output"]
    assert model.layer("attend").info.shape == (12, 4, 4)


@pytest.mark.parametrize(
    ("tokens", "grids", "size", "grid"),
    [
        (785, [], (224, 224), (28, 28)),
        (198, [], (224, 224), (14, 14)),
        (261, [(16, 16)], (224, 224), (16, 16)),
        (61, [], (96, 160), (6, 10)),
        (100, [(7, 7), (56, 56)], (224, 224), None),
        (784, [(56, 56)], (224, 224), (28, 28)),
        (730, [(27, 27)], (224, 224), (27, 27)),
        (1, [], (224, 224), None),
    ],
)
def test_patches_fit_a_grid_that_the_network_has(tokens, grids, size, grid):
    assert token_grid(tokens, grids, size) == grid


@pytest.mark.parametrize(
    ("shape", "features", "axes"),
    [
        ((2, 96, 56, 56), "", "NCHW"),
        ((2, 56, 56, 96), "", "NHWC"),
        ((2, 56, 56, 56), "", "NCHW"),
        ((2, 56, 56, 56), "last", "NHWC"),
        ((2, 3, 28, 56), "first", "NCHW"),
        ((2, 6, 197, 64), "", None),
        ((2, 6, 197, 64), "last", None),
        ((2, 512, 1, 1), "", "NCHW"),
    ],
)
def test_a_map_has_the_proportions_of_the_input(shape, features, axes):
    layout = find_layout(shape, 0, features, [], (224, 224))
    assert (layout and layout.axes) == axes


def test_a_pass_measures_several_layers_and_says_where():
    model = TorchModel(Cells("NLC"), Preprocessing((32, 48), mean=(0,) * 3, std=(1,) * 3), "m")
    pixels = np.stack([model.preprocess.crop(cell(row, column)) for row, column in [(0, 5), (2, 3)]])
    conv, told = model.layer("conv"), model.layer("told")
    found = model.engine.maxima_of(pixels, [conv, told], where=True, values={told: np.array([[5, 0], [15, 1]])})
    for layer in (conv, told):
        assert found[layer].maxima[:, 0].tolist() == pytest.approx([1, 1], abs=1e-5)
        assert found[layer].where[:, 0].tolist() == [5, 15]
    assert found[conv].values is None
    np.testing.assert_allclose(found[told].values, [[1, 0, 1, 0], [0, 1, 0, 1]], atol=1e-5)
    whole = model.engine.maxima_of(pixels, [told], values={told: None})[told].values
    assert whole.shape == (2, 2 * 24)
    assert model.engine.read(pixels, {told: lambda values: [values.mean((2, 3))]})[told][0].shape == (2, 2)


class Beside(nn.Module):
    """Patches with tokens of its own at some place, and an attention-like mix after a layer that keeps all."""

    def __init__(self, where, extra=4, order=None):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.where, self.order = nn.Conv2d(3, 8, 8, 8), where, order
        self.extra = nn.Parameter(torch.full((1, extra, 8), 50.0))
        self.same, self.mixed = nn.Identity(), nn.Linear(8, 8)
        self.pooled = nn.Linear(8, 8)

    def forward(self, x):
        tokens, extra = self.patches(x).flatten(2).transpose(1, 2), self.extra.expand(len(x), -1, -1)
        if self.order is not None:
            tokens = tokens[:, self.order]
        half = tokens.shape[1] // 2
        parts = {
            "first": [extra, tokens],
            "last": [tokens, extra],
            "middle": [tokens[:, :half], extra, tokens[:, half:]],
        }
        x = self.same(torch.cat(parts[self.where], 1))
        x = self.mixed(x + x.mean(1, keepdim=True))
        return self.pooled(x).mean(1)


def read_all(model, layer):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 32, 48, 3), dtype=np.uint8)
    return [model.engine.unit(pixels, model.layer(layer), unit) for unit in range(8)]


@pytest.mark.parametrize(("where", "extra"), [("first", 1), ("first", 5), ("last", 4), ("middle", 1), ("middle", 2)])
def test_tokens_beside_the_patches_are_found_wherever_they_stand(where, extra):
    model = TorchModel(Beside(where, extra), Preprocessing((32, 48)), "m")
    np.testing.assert_allclose(read_all(model, "same"), read_all(model, "patches"), atol=1e-5)
    assert model.layer("mixed").info.shape == (8, 4, 6), "all tokens change there, but they stand where they stood"
    assert model.layer("mixed").layout.others == model.layer("same").layout.others


def test_tokens_that_do_not_show_the_image_in_rows_have_no_map():
    columns = np.arange(24).reshape(4, 6).T.ravel()
    for network in (Beside("first", 4, np.random.default_rng(0).permutation(24)), Beside("first", 0, columns)):
        model = TorchModel(network, Preprocessing((32, 48)), "m")
        assert model.layer("patches").info.shape == (8, 4, 6)
        for layer in ("same", "mixed"):
            assert model.layer(layer).info.shape == (8,), "which tokens are which patches is not known"
        if network.order is columns:
            highest = np.array(read_all(model, "patches")).max((2, 3))
            np.testing.assert_allclose(read_all(model, "same"), highest, atol=1e-5)


def test_queries_that_are_as_many_as_the_patches_have_no_map():
    class Queries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.ask = nn.Conv2d(3, 8, 8, 8), nn.Identity()
            self.queries = nn.Parameter(torch.randn(1, 24, 8))

        def forward(self, x):
            return (self.ask(self.queries.expand(len(x), -1, -1)) * self.patches(x).mean((2, 3))[:, None]).mean(1)

    assert TorchModel(Queries(), Preprocessing((32, 48)), "m").layer("ask").info.shape == (8,)


def test_a_layout_may_say_where_other_tokens_stand():
    network = Beside("last", 4)
    told = {
        "same": Layout("NLC", others=(-1, -2, -3, -4)),
        "mixed": Layout("NLC", others=(24, 25, 26, 27), grid=(4, 6)),
    }
    model = TorchModel(network, Preprocessing((32, 48)), "m", layouts=told)
    np.testing.assert_allclose(read_all(model, "same"), read_all(model, "patches"), atol=1e-5)
    assert model.layer("same").key != TorchModel(Beside("first", 4), Preprocessing((32, 48)), "m").layer("same").key
    with pytest.raises(UsageError, match="the 28 tokens of same fit no grid"):
        TorchModel(network, Preprocessing((32, 48)), "m", layouts={"same": Layout("NLC", others=(-1,))})


class Odd(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.conv, self.how = nn.Conv2d(3, 4, 3), how

    def forward(self, x):
        x = self.conv(x)
        if self.how == "alone":
            return x.reshape(1, 4, -1).mean(2) if len(x) == 1 else x.view(1, -1)[:, : -1 // 0]
        return x.mean((2, 3)) - x.mean((0, 2, 3)) if self.how == "mixed" else (x * torch.rand_like(x)).mean((2, 3))


def test_a_network_is_checked_when_the_model_is_made():
    with pytest.raises(UsageError, match="cannot take batches, only one image at a time; let its forward keep"):
        TorchModel(Odd("alone"), Preprocessing(32), "m")
    for how, says in (("mixed", "the network change .* other images of its batch"), ("random", "from call to call")):
        with pytest.warns(UserWarning, match=says):
            TorchModel(Odd(how), Preprocessing(32), "m")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")
@pytest.mark.parametrize("form", ["modules", "script"])
def test_a_network_that_quantises_a_whole_batch_is_measured_image_by_image(form):
    """An image beside a brighter one had other activations: the range of the batch decides how fine they are."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 32), nn.Linear(32, 8)
    network = torch.ao.quantization.quantize_dynamic(nn.Sequential(*layers), {nn.Linear}, dtype=torch.qint8)
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    images[2] //= 20
    images[3] = 255
    together = network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    alone = torch.cat([network(torch.from_numpy(one[None]).permute(0, 3, 1, 2) / 255) for one in images])
    assert (together - alone).abs().max() > 1e-3 * alone.abs().max()
    if form == "script":
        network = torch.jit.trace(network, torch.rand(2, 3, 32, 32))
    with pytest.warns(UserWarning, match="one image at a time") as told:
        model = TorchModel(network, Preprocessing(32, mean=(0,) * 3, std=(1,) * 3), "m")
    assert not [line for line in told if "change for the same image" in str(line.message)]
    for layer in model.engine.layers:
        single = np.concatenate([model.engine.maxima(image[None], layer) for image in images])
        np.testing.assert_array_equal(model.engine.maxima(images, layer), single)
        np.testing.assert_array_equal(model.engine.maxima(list(images), layer), single)
