"""A ResNet-18 that is trained here on photographs: its units' exemplars show what it was trained to tell apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch.nn.functional import cross_entropy
from torchvision import models

from maia_core.context import Context
from maia_core.errors import MaiaError
from maia_core.image import Image
from maia_torch import Preprocessing
from maia_torchvision import TorchvisionModel

THINGS = ["tiger", "zebra", "banana", "strawberry", "bus", "moth", "owl", "mug"]
GROUNDS = ["grass", "sand", "snow", "rocks", "a blue background", "a grey background"]
SIDE = 48
EPOCHS = 5

pytestmark = [pytest.mark.slow, pytest.mark.pack]


class Photographs:
    """Things on backgrounds, from whatever generator `collage` is installed."""

    name = "photographs"

    def __init__(self, count: int, seed: int) -> None:
        try:
            generator = Context(parts={}).build("generator", "collage", size=SIDE)
            self.labels = np.arange(count) % len(THINGS)
            prompts = [
                f"a large {THINGS[label]} on {GROUNDS[number // len(THINGS) % len(GROUNDS)]}"
                for number, label in enumerate(self.labels)
            ]
            self.images, warnings = generator.generate(prompts, range(seed, seed + count))
        except MaiaError as error:
            pytest.skip(str(error))
        if any(warnings):
            pytest.skip(f"the collage pack lacks what this test shows: {next(filter(None, warnings))}")
        self.ids = [str(number) for number in range(count)]
        self.fingerprint = f"{seed} {count}"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Image:
        return self.images[index]


def trained(photographs: Photographs) -> torch.nn.Module:
    torch.manual_seed(0)
    preprocess = Preprocessing(SIDE)
    pixels = torch.from_numpy(np.stack([preprocess.crop(image) for image in photographs.images]))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    inputs = (pixels.permute(0, 3, 1, 2) / 255 - mean) / std
    labels = torch.from_numpy(photographs.labels)
    net = models.resnet18(num_classes=len(THINGS)).train()
    steps = EPOCHS * (len(labels) // 20)
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(labels)).split(20):
            optimizer.zero_grad()
            cross_entropy(net(inputs[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return net


@pytest.fixture(scope="module")
def held_out() -> Photographs:
    return Photographs(240, 10_000)


@pytest.fixture(scope="module")
def model(held_out: Photographs, tmp_path_factory: pytest.TempPathFactory) -> TorchvisionModel:
    """The network by the way a user takes: train, save, name the file."""
    folder = tmp_path_factory.mktemp("trained")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.save(trained(Photographs(160, 0)).state_dict(), folder / "weights.pth")
    torch.set_num_threads(threads)
    (folder / "classes.txt").write_text("\n".join(THINGS))
    config = TorchvisionModel.Config(
        model="resnet18", weights=str(folder / "weights.pth"), classes=str(folder / "classes.txt"), size=[SIDE, SIDE]
    )
    return TorchvisionModel(config, Context(parts={"dataset": held_out}, cache=folder / "cache"))


def test_exemplars_of_a_class_show_it(model, held_out):
    for label, thing in enumerate(THINGS):
        unit = model.unit(f"logit:{thing}")
        exemplars, _ = unit.exemplar_source(held_out).exemplars(unit, 15)
        shown = [held_out.labels[held_out.images.index(exemplar.image)] for exemplar in exemplars]
        assert shown.count(label) >= 12, thing


def test_exemplars_of_late_units_agree_more_than_chance_and_more_than_those_of_early_ones(model, held_out, tmp_path):
    chance = purity(np.random.default_rng(0).normal(size=(240, 512)), held_out.labels)
    early, late = (purity(model.activations(held_out.images, layer), held_out.labels) for layer in ("conv1", "layer4"))
    assert chance.mean() < 0.4
    assert late.mean() > 0.6
    assert late.mean() > early.mean()
    best = [int(unit) for unit in np.argsort(-late)[:8]]
    picture(model, held_out, [f"layer3:{unit}" for unit in range(4)] + [f"layer4:{unit}" for unit in best]).save(
        tmp_path / "exemplars.png"
    )


def purity(activations: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns for each unit which part of its 10 exemplars shows the same thing."""
    shown = labels[np.argsort(-activations, axis=0)[:10]]
    return np.array([np.bincount(column).max() / 10 for column in shown.T])


def picture(model: TorchvisionModel, photographs: Photographs, refs: list[str]) -> PILImage.Image:
    """Returns a sheet of masked exemplars: a row a unit."""
    sheet = PILImage.new("RGB", (15 * SIDE, len(refs) * SIDE))
    for row, ref in enumerate(refs):
        unit = model.unit(ref)
        for column, exemplar in enumerate(unit.exemplar_source(photographs).exemplars(unit, 15)[0]):
            sheet.paste(exemplar.image.pil(), (column * SIDE, row * SIDE))
    return sheet
