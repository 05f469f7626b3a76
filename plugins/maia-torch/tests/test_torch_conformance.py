"""Units of networks of several kinds keep the promises of their protocols; so does the distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.testing import DistributionSuite, ModelSuite, SystemSuite
from maia_torch import Preprocessing, TorchModel, TorchUnit


class Transformer(nn.Module):
    """A small vision transformer with a class token, on an input that is not square."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Conv2d(3, 16, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True) for _ in range(2))
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.head(x[:, 0])


@pytest.fixture(scope="module")
def transformer() -> TorchModel:
    return TorchModel(Transformer(), Preprocessing((48, 64), (56, 72)), "vit", classes=["a", "b", "c"])


class TestTokens(ModelSuite):
    layer, unit, column = "blocks.1.linear1", "7", 7

    @pytest.fixture
    def model(self, transformer: TorchModel) -> TorchModel:
        assert transformer.layer("blocks.1.linear1").info.shape == (32, 6, 8)
        return transformer


class TestClasses(ModelSuite):
    layer, unit, column = "prob", "b", 1

    @pytest.fixture
    def model(self, transformer: TorchModel) -> TorchModel:
        return transformer


class TestHalfPrecision(ModelSuite):
    layer, tolerance = "blocks.0", 0.02

    @pytest.fixture
    def model(self) -> TorchModel:
        return TorchModel(Transformer(), Preprocessing((48, 64)), "vit", dtype="bfloat16")


class TestTokenFeature(SystemSuite):
    @pytest.fixture
    def system(self, transformer: TorchModel) -> TorchUnit:
        return transformer.unit("blocks.0.linear2:3")


class TestDirection(SystemSuite):
    @pytest.fixture
    def system(self, transformer: TorchModel) -> TorchUnit:
        return transformer.direction("blocks.1", np.random.default_rng(0).normal(size=16), "probe")


class TestLatent(SystemSuite):
    @pytest.fixture
    def system(self, transformer: TorchModel) -> TorchUnit:
        torch.manual_seed(1)
        transformer.latents("blocks.1", nn.Linear(16, 40), "coder")
        return transformer.unit("blocks.1:sae=coder:3")


class TestLetterbox(SystemSuite):
    @pytest.fixture
    def system(self) -> TorchUnit:
        return TorchModel(Transformer(), Preprocessing((48, 64), fit="letterbox", fill=114), "vit").unit("patch:2")


class TestDistribution(DistributionSuite):
    distribution = "maia-torch"
    optional = frozenset({"huggingface_hub", "pytest"})  # the former comes with the libraries that ask the hub
