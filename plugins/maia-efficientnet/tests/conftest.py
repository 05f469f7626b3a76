"""One model for all tests."""

from __future__ import annotations

import pytest

from maia_efficientnet import EfficientNetLite0


@pytest.fixture(scope="session")
def lite0() -> EfficientNetLite0:
    return EfficientNetLite0(EfficientNetLite0.Config(), None)
