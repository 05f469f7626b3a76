"""The unit's maps of a record, drawn over its exemplars."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maia_core.record import RunReader
from maia_report.maps import maps_of
from maia_report.page import render_run
from maia_report.summary import RunSummary

FACT = "maia-standard.maps"
LEVELS = base64.b64encode(bytes([0, 255, 0, 0])).decode()
GOOD = {"shape": [2, 2], "levels": LEVELS, "box": [0.0, 0.0, 64.0, 64.0]}


def test_a_map_is_clear_where_it_is_low_and_bright_where_it_is_high() -> None:
    drawn = np.asarray(maps_of({FACT: {"a": GOOD}})["a"].heat(64, 64))
    assert drawn.shape == (64, 64, 4)
    assert drawn[4, 60, 3] > 180
    assert drawn[60, 4, 3] < 10


def test_a_map_covers_the_part_of_the_image_that_the_model_sees() -> None:
    data = {"shape": [1, 1], "levels": base64.b64encode(b"\xff").decode(), "box": [16, 0, 48, 64]}
    opacity = np.asarray(maps_of({FACT: {"a": data}})["a"].heat(64, 64))[..., 3]
    assert (opacity[:, 16:48] > 200).all()
    assert (opacity[:, :16] == 0).all()


@pytest.mark.parametrize(
    "damage",
    [
        {"shape": [2, 3]}, {"shape": [0, 0], "levels": ""}, {"shape": [-1, 2]}, {"shape": [4]}, {"levels": "no base64"},
        {"levels": 7}, {"box": [0, 0, 1]}, {"box": [0, 0, float("nan"), 1]}, {"box": [0, 0, 10**400, 1]},
        {"box": [5, 0, 5, 1]}, {"box": ["a", 0, 1, 1]},
    ],
)  # fmt: skip
def test_a_damaged_map_is_left_out_and_the_others_stay(damage: dict[str, Any]) -> None:
    assert set(maps_of({FACT: {"bad": GOOD | damage, "good": GOOD}})) == {"good"}


@pytest.mark.parametrize("fact", [None, 7, "text", ["list"], {"a": None}, {"a": []}])
def test_a_fact_that_holds_no_maps_gives_none(fact: Any) -> None:
    assert maps_of({FACT: fact}) == {}


def test_a_box_of_any_size_fills_no_memory() -> None:
    box = [-99_999.0, -99_999.0, 99_999.0, 99_999.0]
    assert maps_of({FACT: {"a": GOOD | {"box": box}}})["a"].heat(64, 64).size == (64, 64)


def test_the_page_offers_the_map_where_the_record_has_one(
    whole_run: Path, tmp_path: Path, parse: Callable[[str], Any]
) -> None:
    assert "masks-map" not in render_run(whole_run).partition("<body")[2]
    folder = shutil.copytree(whole_run, tmp_path / "run")
    (_, first), *_ = RunSummary(RunReader(folder)).exemplars
    journal = folder / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    call = next(line for line in lines if line["event"] == "call" and line["effects"]["kept"])
    call["effects"]["facts"][FACT] = {(first.clean or first).id: GOOD}
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = render_run(folder)
    assert 'value="map"' in page
    (name,) = set(re.findall(r'class="veil map (\w+)"', page))
    assert f".{name}{{background-image:url(data:image/webp;base64," in page
    assert not parse(page).misnested
