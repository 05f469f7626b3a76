"""Encoders with random weights."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from maia_open_clip import OpenClipModel

torch.set_num_threads(1)


def model(name: str, **options: object) -> OpenClipModel:
    with pytest.warns(UserWarning, match="weights are random"):
        return OpenClipModel(OpenClipModel.Config(model=name, weights="random", **options), None)


@pytest.fixture(scope="session")
def random_model():
    """Builds an encoder with random weights."""
    return model


@pytest.fixture(scope="session")
def rn50() -> OpenClipModel:
    return model("RN50", size=64)
