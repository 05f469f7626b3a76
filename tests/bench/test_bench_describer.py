"""The describer's promise on the photographic pack: the true name is among the first three in 85 of 100 collages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from maia_core.context import Context
from maia_core.errors import MaiaError


@pytest.mark.pack
@pytest.mark.slow
def test_true_name_is_among_the_first_three() -> None:
    for package in ("maia_collage", "maia_efficientnet", "maia_nearest"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("bench_describer", Path(__file__).with_name("bench_describer.py"))
    assert spec is not None
    assert spec.loader is not None
    bench = sys.modules["bench_describer"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    context = Context()
    try:
        context.build("dataset", "collage-cutouts", pack="photographs")
    except MaiaError as error:
        pytest.skip(f"the photographic pack is not here: {error}")
    figures = bench.measure(context, seed=2024, count=100)
    assert figures.first_three >= 0.85
    assert figures.masked_first_three >= 0.85
    assert figures.broad_kind >= 0.5
