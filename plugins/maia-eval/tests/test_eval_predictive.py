"""The predictive evaluation in a world where the right labels are known."""

from __future__ import annotations

import importlib.util
import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from maia_core.config import PluginRef
from maia_core.errors import UsageError
from maia_core.testing import FakeDataset
from maia_core.types import QUANTILES, UnitStatistics
from maia_eval.explaining import Contexts
from maia_eval.forms import cell
from maia_eval.metrics import Estimate
from maia_eval.plot import LEFT, STEP, WIDTH, plot
from maia_eval.predictive import Plan, low_limit, run
from maia_eval.report import UNDEFINED, render, terminal
from maia_eval.results import Explained, Folder, UnitResult, slug
from maia_eval.summary import FEW, TOO_FEW, Row, differences, predictive_rows, unit_results
from maia_eval.tables import csv_of, markdown, tables, write_tables

if TYPE_CHECKING:
    from conftest import World  # type: ignore[import-not-found]
else:
    World = Any

MEANING = {"red": "animal", "green": "plant", "blue": "vehicle", "yellow": "food", "white": "person"}
RIGHT = {f"discs:colours:{unit}": label for unit, label in MEANING.items()}
WRONG = dict(zip(RIGHT, [*list(RIGHT.values())[1:], "animal"], strict=True))


def evaluated(world: World, plan: Plan, path: Path) -> Folder:
    folder = Folder.begin(path, "predictive", plan.settings(), world)
    run(plan, folder, world.contexts(plan.config), lambda line: None)
    return folder


def figures(folder: Folder, explainer: str) -> dict[str, Any]:
    rows = predictive_rows(unit_results(folder), folder.explainers, 0)
    return next(row.figures for row in rows if (row.group, row.explainer) == ("all", explainer))


@pytest.mark.slow
def test_right_labels_score_high_wrong_ones_low_and_empty_ones_at_chance(world: World, tmp_path: Path) -> None:
    """The headline figure, + less -, is no matter of whose prompts are in the pool."""
    margins: list[float] = []
    for seed in range(3):
        plan = world.plan(list(MEANING), {"right": RIGHT, "wrong": WRONG, "nothing": "images"}, seed=seed)
        folder = evaluated(world, plan, tmp_path / str(seed))
        right, wrong, nothing = (figures(folder, name) for name in ("right", "wrong", "nothing"))
        assert right["margin"].low > 0.5
        assert wrong["margin"].value < 0.1
        assert nothing["margin"].low < 0 < nothing["margin"].high
        assert right["pearson"].value > 0.9
        assert right["auprc"].value > 0.8
        assert right["real_pearson"].value > 0.9
        assert right["auc"].value > 0.85
        assert wrong["pearson"].value < 0.2
        assert nothing["pearson"].value == 0
        assert abs(nothing["auc"].value - 0.5) < 0.2
        margins.append(nothing["margin"].value)
    assert abs(sum(margins) / 3) < 0.25 * right["margin"].value


def test_pools_hold_the_prompts_of_all_and_as_many_neutral_ones(world: World, tmp_path: Path) -> None:
    plan = world.plan(["red"], {"right": RIGHT, "wrong": WRONG, "third": "vehicle"}, prompts=7)
    folder = evaluated(world, plan, tmp_path / "e")
    result = unit_results(folder)[0]
    assert result.pool == 42, "the paper's number for three methods"
    assert all(len(s.positives) == len(s.neutrals) == 7 for s in result.scores.values())
    assert not set(result.scores["right"].positives) & set(result.scores["right"].neutrals)


def test_nothing_is_done_twice_and_a_killed_evaluation_goes_on(world: World, tmp_path: Path) -> None:
    plan = world.plan(["red", "green"], {"right": RIGHT, "nothing": "images"})
    folder = Folder.begin(tmp_path / "e", "predictive", plan.settings(), world)

    class Killed(Exception):
        pass

    def until(line: str) -> None:
        if "1/2" in line and "scored" in line:
            raise Killed

    with pytest.raises(Killed):
        run(plan, folder, world.contexts(plan.config), until)
    asked, drawn = list(world.asked), len(world.generator.drawn)
    assert len(asked) == 4
    first = (folder.path / "results" / f"{slug('discs:colours:red')}.json").read_bytes()
    folder = evaluated(world, plan, tmp_path / "e")
    assert world.asked == asked, "an explanation was made twice"
    assert (folder.path / "results" / f"{slug('discs:colours:red')}.json").read_bytes() == first
    again = len(world.generator.drawn)
    assert again > drawn
    evaluated(world, plan, tmp_path / "e")
    assert len(world.generator.drawn) == again
    whole = evaluated(world, world.plan(["red", "green"], {"right": RIGHT, "nothing": "images"}), tmp_path / "whole")
    assert [r.scores for r in unit_results(whole)] == [r.scores for r in unit_results(folder)]


def test_explainers_are_done_before_anything_is_scored(world: World, tmp_path: Path) -> None:
    lines: list[str] = []
    plan = world.plan(["red", "green"], {"right": RIGHT})
    folder = Folder.begin(tmp_path / "e", "predictive", plan.settings(), world)
    run(plan, folder, world.contexts(plan.config), lines.append)
    assert ["scored" in line for line in lines] == [False, False, True, True]
    assert re.search(
        r"scored: right Pearson [01]\.\d\d, average precision [01]\.\d\d, \+ \d+\.\d\d, - \d+\.\d\d$", lines[-1]
    )


def test_neutral_images_are_shared_between_units_and_counted(world: World, tmp_path: Path) -> None:
    plan = world.plan(list(MEANING), {"right": RIGHT, "nothing": "images"})
    results = unit_results(evaluated(world, plan, tmp_path / "e"))
    assert len(world.generator.drawn) == len(set(world.generator.drawn)) == sum(r.made for r in results)
    assert sum(r.reused for r in results) > 0


def replace_options(spec: Any) -> Any:
    return spec.model_copy(update={"options": {"file": "other.csv"}})


def test_an_explainer_and_a_unit_join_an_evaluation_later(world: World, tmp_path: Path) -> None:
    evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    folder = evaluated(world, world.plan(["red"], {"wrong": WRONG}), tmp_path / "e")
    assert folder.explainers == ["right", "wrong"]
    folder = evaluated(world, world.plan(["green"], {"right": RIGHT}), tmp_path / "e")
    assert folder.units == ["discs:colours:red", "discs:colours:green"]
    assert sorted(world.asked) == ["discs:colours:green"] * 2 + ["discs:colours:red"] * 2, "nothing is explained twice"
    assert [set(result.scores) for result in unit_results(folder)] == [{"right", "wrong"}] * 2
    together = evaluated(world, world.plan(["red"], {"right": RIGHT, "wrong": WRONG}), tmp_path / "both")
    assert unit_results(together)[0].scores == unit_results(folder)[0].scores, "as if both had come at once"


def test_another_configuration_is_refused_in_one_line(world: World, tmp_path: Path) -> None:
    evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    other = world.plan(["red"], {"right": RIGHT})
    other = replace(other, specs=[replace_options(other.specs[0])])
    for changed in (
        world.plan(["red"], {"right": RIGHT}, seed=1),
        world.plan(["red"], {"right": RIGHT}, samples=2),
        other,
    ):
        with pytest.raises(
            UsageError, match=r"was started with another (config.seed|explainer 'right'|samples)"
        ) as error:
            Folder.begin(tmp_path / "e", "predictive", changed.settings(), world)
        assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match="holds a predictive evaluation"):
        Folder.begin(tmp_path / "e", "synthetic", {}, world)


@pytest.mark.parametrize("how", ["refused", "warned"])
def test_prompts_that_the_generator_fails_on_are_dropped_for_all_and_counted(
    world: World, tmp_path: Path, how: str
) -> None:
    setattr(world.generator, how, lambda prompt: "large" in prompt)
    plan = world.plan(["red", "green"], {"right": RIGHT, "wrong": WRONG})
    folder = evaluated(world, plan, tmp_path / "e")
    for result in unit_results(folder):
        assert result.dropped
        assert all("large" in prompt for prompt in result.dropped)
        for scores in result.scores.values():
            assert not set(result.dropped) & {*scores.positives, *scores.neutrals}
            assert scores.dropped == 7 - scores.own > 0
    assert figures(folder, "right")["margin"].low > 0.5
    assert "prompts failed" in render(folder, tmp_path)


def test_a_generator_that_fails_on_everything_is_said_for_the_unit(world: World, tmp_path: Path) -> None:
    world.generator.refused = lambda prompt: True
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    assert "generator failed" in unit_results(folder)[0].error
    assert "generator failed" in render(folder, tmp_path)


def test_a_unit_that_is_never_active_is_reported_and_not_divided_by_zero(world: World, tmp_path: Path) -> None:
    plan = world.plan(["silent", "red"], {"right": {**RIGHT, "discs:colours:silent": "animal"}})
    folder = evaluated(world, plan, tmp_path / "e")
    silent, red = unit_results(folder)
    assert (silent.state, silent.scores, red.state) == ("never active", {}, "active")
    assert figures(folder, "right")["margin"].n == 1
    assert "never active" in render(folder, tmp_path)


def test_a_unit_that_is_rarely_active_has_raw_figures_only(world: World, tmp_path: Path) -> None:
    class Rare(FakeDataset):
        def concepts(self, index: int) -> Sequence[str]:
            return ("red" if index == 7 else "blue", "disc")

    world.dataset = Rare(FakeDataset.Config(count=60))
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    assert unit_results(folder)[0].state == "rarely active"
    found = figures(folder, "right")
    assert found["margin"].n == 0
    assert found["plus_raw"].value > found["minus_raw"].value


@pytest.mark.slow
def test_who_gives_no_label_is_scored_as_saying_nothing(world: World, tmp_path: Path) -> None:
    some = {unit: label for unit, label in RIGHT.items() if "red" in unit}
    plan = world.plan(["red", "green", "blue"], {"right": RIGHT, "some": some, "blank": "  "})
    folder = evaluated(world, plan, tmp_path / "e")
    missing = folder.explained()["discs:colours:green", "some"]
    assert (missing.labels, missing.error) == ((), "there is no label for discs:colours:green")
    assert figures(folder, "some")["pearson"].n == 3, "a method that is silent on hard units must not gain by it"
    assert figures(folder, "right")["margin"].value > figures(folder, "some")["margin"].value
    page = render(folder, tmp_path)
    assert "no answer" in page
    assert "there is no label for discs:colours:green" in page
    world.says["some"] = RIGHT
    folder.forget_failures()
    folder = evaluated(world, plan, tmp_path / "e")
    assert folder.explained()["discs:colours:green", "some"].labels == ("plant",)


def test_what_explaining_cost_is_kept(world: World, tmp_path: Path) -> None:
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT, "wrong": WRONG}), tmp_path / "e")
    assert [each.usage.cost for each in folder.explained().values()] == [0.5, 0.5]
    assert [row["cost"] for row in tables(folder)["effort"]] == [0.5, 0.5]


def test_an_explainer_that_fails_is_not_free(world: World, tmp_path: Path) -> None:
    folder = evaluated(world, world.plan(["red"], {"fails": {}}), tmp_path / "e")
    assert folder.explained()["discs:colours:red", "fails"].error
    assert tables(folder)["effort"][0]["cost"] == 0.5


def test_a_unit_that_does_not_exist_is_said_before_any_work(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no unit 'mauve'"):
        evaluated(world, world.plan(["red", "mauve"], {"right": RIGHT}), tmp_path / "e")
    assert world.asked == []
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    assert len(unit_results(folder)) == 1, "the corrected command goes to the same folder"


def test_damaged_files_are_named(world: World, tmp_path: Path) -> None:
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    file = folder.path / "results" / f"{slug('discs:colours:red')}.json"
    file.write_text('{"unit": "x"')
    with pytest.raises(UsageError, match=r"is damaged: .*; delete it"):
        unit_results(folder)
    with pytest.raises(UsageError, match="no evaluation"):
        Folder(tmp_path / "nothing")


WRONG = (None, True, -1, 1e400, "", "\ud800", [], {}, {"alias": 7}, [[]], "../x")


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path of every value inside of JSON data."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(item, (*path, key))


@pytest.mark.slow
def test_changed_values_end_in_one_line_that_names_the_file(world: World, tmp_path: Path) -> None:
    path = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e").path
    rng, messages = random.Random(0), []
    for _ in range(40):
        file = rng.choice(sorted(path.rglob("*.json")))
        before = file.read_text()
        data = json.loads(before)
        *keys, last = rng.choice(list(_places(data)))
        at = data
        for key in keys:
            at = at[key]
        at[last] = rng.choice(WRONG)
        file.write_text(json.dumps(data))
        try:
            render(Folder(path), path)
        except UsageError as error:
            messages.append(str(error))
        file.write_text(before)
    assert len(messages) > 5
    assert not [text for text in messages if re.search("\n|pydantic|Input should|instance of", text)]


def test_a_folder_of_something_else_is_refused_and_stays_as_it_is(world: World, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="holds something that is not an evaluation"):
        evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    ("place", "keys", "value", "says"),
    [
        ("eval.json", ["versions"], [], "'versions': list should have at least 1 item"),
        ("eval.json", ["created"], 1e20, "'created': must be less than"),
        ("eval.json", ["created"], 1e308, "it holds the number 1e\\+308"),
        ("eval.json", ["settings", "explainers", 0], {"name": "x"}, "'explainers.0.alias': is missing"),
        ("eval.json", ["settings", "config", "judge"], None, "'config.judge': must be a table"),
        ("results/*.json", ["level"], 0, "an active unit has a level above 0"),
        ("results/*.json", ["made"], 10**400, "it holds the number 1000"),
        ("explanations/*/*.json", ["run"], "../../etc/passwd", "'run': it leads out of the evaluation"),
        ("explanations/*/*.json", ["run"], "/etc/passwd", "'run': it leads out of the evaluation"),
        ("explanations/*/*.json", ["run"], "a" * 3000, ""),
    ],
)
def test_a_forged_evaluation_is_one_line(
    world: World, tmp_path: Path, place: str, keys: list[Any], value: Any, says: str
) -> None:
    path = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e").path
    [file] = path.glob(place)
    data = json.loads(file.read_text())
    at = data
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    file.write_text(json.dumps(data))
    with pytest.raises(UsageError, match=f"json is damaged: .*{says}") if says else nullcontext():
        render(Folder(path), path)


def test_a_unit_that_is_named_many_times_is_one(world: World, tmp_path: Path) -> None:
    plan = world.plan(["red"] * 3, {"right": RIGHT})
    assert Folder.begin(tmp_path / "e", "predictive", plan.settings(), world).units == ["discs:colours:red"]


HOSTILE = '\ud800<script>alert(1)</script> | "=cmd()" `x` [y](javascript:z)\n\x1b[31m'


def test_the_page_and_the_tables_show_everything_and_run_nothing(world: World, tmp_path: Path) -> None:
    plan = world.plan(list(MEANING), {"right": RIGHT, "hostile": HOSTILE})
    folder = evaluated(world, plan, tmp_path / "e")
    page = render(folder, tmp_path / "e")
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "<svg" in page
    assert "MILAN" in page
    assert "published" in page.lower()
    found = tables(folder)
    files = write_tables(found, tmp_path / "t")
    assert {file.name for file in files} >= {"scores.csv", "units.csv", "effort.csv", "tables.md"}
    assert "<script>" not in (tmp_path / "t" / "tables.md").read_text()
    assert terminal(folder)[-1] == UNDEFINED, "a dash is explained"
    if importlib.util.find_spec("pyarrow"):
        import pyarrow.parquet as pq

        assert pq.read_table(tmp_path / "t" / "units.parquet").num_rows == 2 * len(MEANING)
    assert any(row["published"] for row in found["scores"])
    units = [row for row in found["units"] if row["explainer"] == "right"]
    assert [row["label"] for row in units] == list(MEANING.values())


def test_no_cell_is_taken_for_a_formula() -> None:
    assert cell("=1+1") == "'=1+1"
    assert [cell(" =1"), cell("＝1"), cell("a = b")] == ["' =1", "'＝1", "a = b"]
    assert csv_of([{"label": "@x", "n": -1.5, "m": float("nan")}]).splitlines()[1] == "'@x,-1.5,"
    assert csv_of([{"label": "\x1b[2J\u202ex"}]).splitlines()[1] == "\\x1b[2J\\u202ex"
    assert markdown([{"a": "\x1b\u202e"}]).splitlines()[-1] == "| \\\\x1b\\\\u202e |"
    assert markdown([{"a": "x|y"}]).splitlines()[-1] == "| x\\|y |"


def test_links_lead_to_the_runs(world: World, tmp_path: Path) -> None:
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT}), tmp_path / "e")
    found = folder.explained()["discs:colours:red", "right"]
    folder.write(found.model_copy(update={"run": "runs/a b", "verified": False}), "explanations", found.unit, "right")
    page = render(folder, tmp_path)
    assert 'href="e/runs/a%20b"' in page
    assert "did not hold" in page


def test_results_say_what_made_them(world: World, tmp_path: Path) -> None:
    folder = evaluated(world, world.plan(["red"], {"right": RIGHT}, seed=3), tmp_path / "e")
    result = folder.read(UnitResult, "results", "discs:colours:red")
    assert result is not None
    assert result.seed == 3
    assert result.fingerprints["generator/collage"] == "meanings-1"
    assert "python" in folder.manifest.versions[0]
    assert isinstance(folder.explained()["discs:colours:red", "right"], Explained)


@pytest.mark.slow
def test_explainers_are_compared_unit_by_unit_and_the_intervals_hold_together(world: World, tmp_path: Path) -> None:
    plan = world.plan(list(MEANING), {"right": RIGHT, "wrong": WRONG, "nothing": "images"})
    folder = evaluated(world, plan, tmp_path / "e")
    found = {(d.a, d.b): d.figures for d in differences(unit_results(folder), folder.explainers, 0)}
    assert found["right", "wrong"]["margin"].low > 0
    assert found["wrong", "nothing"]["margin"].low < 0.5
    alone = differences(unit_results(folder), ["right", "nothing"], 0)[0].figures["margin"]
    together = found["right", "nothing"]["margin"]
    assert together.low <= alone.low <= alone.high <= together.high, "more comparisons, wider intervals"


def test_of_few_units_nothing_is_marked_and_it_is_said(world: World, tmp_path: Path) -> None:
    plan = world.plan(["red", "green"], {"right": RIGHT, "wrong": WRONG})
    folder = evaluated(world, plan, tmp_path / "e")
    [difference] = differences(unit_results(folder), folder.explainers, 0)
    assert difference.figures["margin"].low > 0
    assert not difference.marked("margin")
    page = render(folder, tmp_path)
    assert "best" not in page.partition("</style>")[2].replace("Bold is best", "")
    assert page.count(TOO_FEW) == 2
    assert TOO_FEW in terminal(folder)
    assert not any("nan" in line for line in terminal(folder))
    many = difference.figures["margin"]._replace(n=FEW)
    assert difference._replace(figures={"margin": many}).marked("margin")


def test_few_groups_fill_the_plot_and_many_have_room() -> None:
    def rows(groups: int) -> list[Row]:
        mean = Estimate(1.0, 0.5, 1.5, 9)
        return [Row(str(g), name, 9, {"plus": mean, "minus": mean}) for g in range(groups) for name in "abc"]

    for groups in (1, 5):
        made = plot(rows(groups), list("abc"))
        assert made is not None
        assert (made.width, made.wide) == (WIDTH, False)
        centres = [group.x for group in made.groups]
        assert centres[0] - LEFT == pytest.approx(WIDTH - centres[-1], abs=1), "it stands in the middle"
    made = plot(rows(30), list("abc"))
    assert made is not None
    assert made.wide
    places = [column.x for group in made.groups for column in group.columns]
    assert min(b - a for a, b in pairwise(places)) >= STEP
    assert max(places) < made.width


def test_what_a_part_warns_of_is_said_once(world: World, tmp_path: Path) -> None:
    world.dataset = FakeDataset(FakeDataset.Config(count=60, broken=(3,)))
    lines: list[str] = []
    plan = world.plan(["red", "green"], {"right": RIGHT})
    contexts = Contexts(plan.config, tmp_path / "runs", world, lines.append)
    contexts.main.cache = tmp_path / "cache"
    run(plan, Folder.begin(tmp_path / "e", "predictive", plan.settings(), world), contexts, lambda line: None)
    assert len([line for line in lines if "disc-3" in line]) == 1


def test_no_secret_reaches_the_folder_and_the_tables(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Providers repeat a wrong key in their error messages: here where an error is cut off."""
    secret = "sk-proj-0123456789abcdef"

    class Broken:
        def explain(self, unit: object, context: object) -> None:
            raise RuntimeError("x" * 475 + secret)

    monkeypatch.setenv("ACME_API_KEY", secret)
    factory = world._factory
    monkeypatch.setattr(world, "_factory", lambda *a: (lambda c: Broken()) if a[1] == "broken" else factory(*a))
    plan = world.plan(["red"], {"broken": "", "says": f"a dog {secret}"})
    plan = replace(plan, generator=PluginRef(name="collage", place=f"http://{secret}@host"))
    folder = evaluated(world, plan, tmp_path / "e")
    write_tables(tables(folder), folder.path / "tables")
    files = {path.name: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert not [name for name, content in files.items() if secret[:10].encode() in content]
    assert b"a dog [ACME_API_KEY]" in files["units.csv"]
    assert evaluated(world, plan, tmp_path / "e").units == plan.units, "it goes on"


def test_a_right_label_drives_the_unit_high_and_low_and_a_wrong_one_does_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images made from the explanation alone, against the unit's own percentiles, as in the study of V1 and V4.

    A disc of an eighth of this data set has the unit's colour, so the 75th percentile takes the place of the 95th.
    """
    monkeypatch.setattr("maia_eval.predictive.level", lambda statistics: statistics.quantiles[QUANTILES.index(0.75)])
    folder = evaluated(world, world.plan(list(MEANING), {"right": RIGHT, "wrong": WRONG}), tmp_path / "e")
    results = unit_results(folder)
    assert all(result.scores["right"].drives_high and result.scores["right"].drives_low for result in results)
    assert not any(result.scores["wrong"].drives_high for result in results)
    rows = {row.explainer: row.figures for row in predictive_rows(results, folder.explainers, 0) if row.group == "all"}
    assert rows["right"]["drives_high"].value == 1
    assert rows["right"]["drives_high"].low < 1, "the interval of a share of few units is wide"
    assert rows["wrong"]["drives_high"].value == 0


def test_a_unit_that_is_often_at_its_lowest_is_low_there() -> None:
    statistics = UnitStatistics(dataset="d", count=9, mean=1, std=1, quantiles=(0.0, 0.0, 0, 0, 1, 2, 3, 4, 5))
    assert 0 < low_limit(statistics) < 1e-9
    assert low_limit(statistics.model_copy(update={"quantiles": (-2.0, -1.0, 0, 0, 1, 2, 3, 4, 5)})) == -1
