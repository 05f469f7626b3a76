"""Heat maps and matched pairs: what they show, and that hostile records neither break nor enter the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maia_core.record import RunReader
from maia_report.page import _section, render, render_run
from maia_report.sections import LEVELS, MAX_COLUMNS, MAX_ROWS, HeatMap, changes
from maia_report.summary import RunSummary

EVIL = "</td></table><script>alert(1)</script>\u202e"
EDITS = """[CODE]:
```python
def run_experiment(system, tools):
    images, titles = tools.edit_images(["a red disc"] * 4, "change the colour to blue </td><script>alert(1)</script>")
    system.neuron(images)
    tools.edit_images(["a red disc"], "change the colour to green")
    tools.edit_images(["a red disc"], 3)
```
"""


@pytest.fixture(scope="module")
def edited_run(make_run: Callable[..., Path]) -> Path:
    return make_run(EDITS)


def test_an_edit_that_was_measured_is_a_matched_pair_with_its_effect(edited_run: Path) -> None:
    (change,) = changes(RunReader(edited_run))
    assert change.title.startswith("change the colour to blue")
    assert len(change.pairs) == 4
    assert change.mean < 0
    assert change.mean == pytest.approx(sum(pair.after - pair.before for pair in change.pairs) / 4)
    assert change.interval is not None
    assert change.interval[0] <= change.mean <= change.interval[1]


def test_pairs_stand_side_by_side_and_their_instruction_is_text(edited_run: Path, parse: Callable[[str], Any]) -> None:
    page = parse(render_run(edited_run))
    assert len(page.of_class("pair")) == 4
    assert "change the colour to blue </td><script>alert(1)</script>" in page.text
    assert "4 pairs" in page.text
    assert len(page.named("script")) == 1
    assert (page.misnested, page.open) == ([], [])


def test_a_heat_map_that_lacks_cells_does_not_cost_the_page(whole_run: Path) -> None:
    assert HeatMap(("a",), ("x",), ((1.0,),)).is_complete
    for torn in (HeatMap(("a", "b"), ("x",), ((1.0,),)), HeatMap(("a",), ("x", "y"), ((1.0, 2.0),), ((4,),))):
        assert not torn.is_complete
        assert _section(("Title", torn))[1] == "The observer's table lacks cells, so it is not shown."


def test_a_heat_map_shades_its_cells_and_escapes_its_names(whole_run: Path, parse: Callable[[str], Any]) -> None:
    table = HeatMap(("pig", EVIL), ("grass", EVIL), ((1.0, 0.5), (0.0, None)), ((4, 4), (4, 0)), EVIL)
    page = parse(render(RunSummary(RunReader(whole_run)), [(EVIL, table), ("Title", "a text")]))
    assert [len(page.of_class(name)) for name in (f"h{LEVELS}", "h5", "h0", "none")] == [1, 1, 1, 1 + len(none(page))]
    assert page.text.count("alert(1)") == 4
    assert len(page.named("script")) == 1
    assert (page.misnested, page.open) == ([], [])
    assert "a text" in page.text


def none(page: Any) -> list[Any]:
    return [attributes for attributes in page.named("h1") if "none" in attributes.get("class", "")]


def test_a_heat_map_of_any_size_and_any_number_is_cut_and_does_not_stop_the_page(
    whole_run: Path, parse: Callable[[str], Any]
) -> None:
    names = [f"n{n}" for n in range(200)]
    values = [[float("nan"), float("inf"), -1e308, 1e308, *[float(n) for n in range(196)]] for _ in names]
    page = parse(render(RunSummary(RunReader(whole_run)), [("large", HeatMap(names, names, values))]))
    cells = [attributes for attributes in page.named("td") if attributes.get("class", "").startswith(("h", "none"))]
    assert len(cells) == MAX_ROWS * MAX_COLUMNS
    assert "200 rows and 200 columns in all" in page.text


def test_shades_begin_at_zero_and_take_negative_values() -> None:
    assert [HeatMap("a", "bc", ((2.0, 1.0),)).shade(0, n) for n in (0, 1)] == [LEVELS, LEVELS // 2]
    assert [HeatMap("a", "bc", ((1.0, -1.0),)).shade(0, n) for n in (0, 1)] == [LEVELS, 0]
    assert [HeatMap("a", "bc", ((0.0, None),)).shade(0, n) for n in (0, 1)] == [0, None]
