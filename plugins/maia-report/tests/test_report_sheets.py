"""Picture sheets of a run's experiments."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage

from maia_core.plugin import Image, RecordError, RunReader
from maia_report.command import report
from maia_report.sheets import COLUMNS, GAP, LINE, MAX_TILES, TILE, Tile, picture_sheet, tiles_of, write_sheets
from maia_report.summary import RunSummary


def test_each_experiment_with_images_has_one_sheet_that_shows_all_of_them(whole_run: Path, tmp_path: Path) -> None:
    files = write_sheets(whole_run, tmp_path / "sheets")
    steps = [step for step in RunSummary(RunReader(whole_run)).steps if tiles_of(step)]
    assert [file.name for file in files] == [f"experiment-{step.number:02}.png" for step in steps]
    assert len(files) == 2, "the exemplars and the coloured discs; not the program that failed"
    tiles = tiles_of(steps[1])
    assert [tile.title for tile in tiles[:11]] == [
        f"a {c} disc on grey" for c in ["red"] * 4 + ["green"] * 4 + ["blue"] * 3
    ]
    assert all(tile.activation is not None for tile in tiles[:11])
    with PILImage.open(files[1]) as sheet:
        assert sheet.size[1] == GAP + 2 * LINE + -(-len(tiles) // COLUMNS) * (TILE + 2 * LINE + GAP)


def test_a_tile_stands_at_its_number(tmp_path: Path) -> None:
    colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
    tiles = [
        Tile(Image.from_pixels(np.full((40, 40, 3), c, np.uint8)), "x" * 200, float(n)) for n, c in enumerate(colours)
    ]
    sheet = np.asarray(picture_sheet("discs", tiles))
    middle = GAP + 2 * LINE + TILE // 2
    for number, colour in enumerate(colours):
        assert tuple(sheet[middle, GAP + number * (TILE + GAP) + TILE // 2]) == colour
    more = np.asarray(picture_sheet("many", tiles * MAX_TILES))
    assert more.shape[0] == GAP + 2 * LINE + -(-MAX_TILES // COLUMNS) * (TILE + 2 * LINE + GAP)


def test_an_image_without_an_active_region_is_drawn_as_it_is() -> None:
    clean = Image.from_pixels(np.full((40, 40, 3), 200, np.uint8))
    dark = clean.masked(np.zeros((40, 40), np.bool_))
    sheet = np.asarray(picture_sheet("one", [Tile(dark, "a dog", 0.0)]))
    assert tuple(sheet[GAP + 2 * LINE + TILE // 2, GAP + TILE // 2]) == (200, 200, 200)


def test_an_image_that_the_record_lacks_is_a_grey_tile(whole_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole_run, run)
    shutil.rmtree(run / "images")
    assert len(write_sheets(run, tmp_path / "sheets")) == 2


def test_the_command_names_the_sheets_and_refuses_a_second_output(whole_run: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(report, [str(whole_run), "--sheets", str(tmp_path / "s")])
    assert done.exit_code == 0
    assert [Path(line).exists() for line in done.output.split()] == [True, True]
    both = CliRunner().invoke(report, [str(whole_run), "--sheets", str(tmp_path / "s"), "--out", str(tmp_path / "p")])
    assert both.exit_code == 2
    assert "cannot use --out with --sheets" in both.output


def test_a_folder_that_cannot_be_written_is_one_line(whole_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot write picture sheets"):
        write_sheets(whole_run, tmp_path / "file" / "sheets")
