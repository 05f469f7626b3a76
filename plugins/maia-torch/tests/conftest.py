"""A small network with a known receptive field, and real image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch import nn

from maia_core.context import Context
from maia_core.errors import UnreadableImage
from maia_core.image import Image, content_id
from maia_torch import Preprocessing, TorchModel

SIZE = 64

torch.set_num_threads(1)  # the networks are so small that a second thread only waits


class Net(nn.Module):
    """`cells` sees how red each 8 x 8 cell is, minus how blue; `act` runs twice; the output has four classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cells = nn.Conv2d(3, 2, 8, stride=8, bias=False)
        with torch.no_grad():
            self.cells.weight.zero_()
            self.cells.weight[0, 0], self.cells.weight[0, 2] = 1 / 64, -1 / 64
            self.cells.weight[1, 1] = 1 / 64
        self.act = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(2, 5, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(5, 4)
        self.passes = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        x = self.act(self.mix(self.act(self.cells(x))))
        return self.fc(self.pool(x).flatten(1))


class Folder:
    """Image files as a data set."""

    name = "folder"

    def __init__(self, files: list[Path]) -> None:
        self.files = files
        self.ids = [file.name for file in files]
        self.fingerprint = content_id(*(file.read_bytes() for file in files))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Image:
        try:
            with PILImage.open(self.files[index]) as image:
                return Image.from_pil(image, id=self.ids[index])
        except OSError as error:
            raise UnreadableImage(str(error)) from error


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def preprocess() -> Preprocessing:
    return Preprocessing(SIZE, mean=(0, 0, 0), std=(1, 1, 1))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """40 files of three shapes with blobs of colour; number 7 is text, number 20 is cut short."""
    noise = np.random.default_rng(0)
    files = []
    (tmp_path / "images").mkdir()
    for number in range(40):
        width, height = [(96, 64), (64, 96), (80, 80)][number % 3]
        small = noise.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        file = tmp_path / "images" / f"{number:02}.png"
        PILImage.fromarray(small).resize((width, height)).save(file)
        files.append(file)
    files[7].write_text("no image")
    files[20].write_bytes(files[20].read_bytes()[:200])
    return Folder(files)


@pytest.fixture
def context(folder: Folder, tmp_path: Path) -> Context:
    """A run on the folder, whose warnings are collected in `context.warnings`."""
    context = Context(parts={"dataset": folder}, cache=tmp_path / "cache")
    context.warnings = []  # type: ignore[attr-defined]
    context.warn = context.warnings.append  # type: ignore[attr-defined]
    return context


@pytest.fixture
def model(net: Net, preprocess: Preprocessing, context: Context) -> TorchModel:
    return TorchModel(net, preprocess, "net", context=context, classes=["red fox", "crane", "crane", "Tiger"])


@pytest.fixture
def images(folder: Folder) -> list[Image]:
    return [folder[index] for index in range(40) if index not in (7, 20)]
