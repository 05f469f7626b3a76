"""Generators and editors of every family keep their kind's promises, batched and one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maia_core.context import Context
from maia_core.testing import DistributionSuite, EditorSuite, GeneratorSuite
from maia_diffusers.options import TOLERANCE

Make = Callable[..., Any]


class TestDistribution(DistributionSuite):
    distribution = "maia-diffusers"


class TestStableDiffusion(GeneratorSuite):
    nonsense = None
    tolerance = TOLERANCE

    @pytest.fixture
    def generator(self, generate: Make) -> Any:
        return generate("sd", batch=3)

    @pytest.fixture
    def twin(self, generate: Make, tmp_path: Any) -> Any:
        return generate("sd", batch=3, context=Context(parts={}, cache=tmp_path / "other"))


class TestExact(GeneratorSuite):
    nonsense = None

    @pytest.fixture
    def generator(self, generate: Make) -> Any:
        return generate("sd", exact=True)

    @pytest.fixture
    def twin(self, generate: Make, tmp_path: Any) -> Any:
        return generate("sd", exact=True, context=Context(parts={}, cache=tmp_path / "other"))


class TestPix2Pix(EditorSuite):
    nonsense = None
    tolerance = TOLERANCE

    @pytest.fixture
    def editor(self, edit: Make) -> Any:
        return edit("pix2pix")


class TestKontext(EditorSuite):
    nonsense = None
    tolerance = TOLERANCE

    @pytest.fixture
    def editor(self, edit: Make) -> Any:
        return edit("kontext", params={"max_sequence_length": 48})
