from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maia_core.config import PluginRef
from maia_core.plugin import Context, PluginError, RunConfig, UnitInfo, UsageError
from maia_core.registry import Registry
from maia_core.testing import fakes
from maia_sweep.plans import begin, read_plan, save
from maia_sweep.tables import Row, Table
from maia_sweep.units import Found, Selection, find_units


class _World(Registry):
    """The installed registry, and the fake model of discs."""

    def find(self, kind: str, name: str) -> Any:
        return object() if (kind, name) == ("model", "discs") else super().find(kind, name)

    def build(self, kind: str, name: str, options: Any, context: Any) -> Any:
        return fakes.FakeModel() if (kind, name) == ("model", "discs") else super().build(kind, name, options, context)


def found(*words: str, seed: int = 0, **choice: Any) -> Found:
    context = Context(RunConfig(seed=seed), _World())
    return find_units(Selection(words=words, **choice), context, lambda word: {})


ALL = [f"discs:colours:{colour}" for colour in fakes.COLOURS]


def test_words_ranges_and_whole_layers_name_each_unit_once(tmp_path: Path) -> None:
    assert found("discs:colours").units == ALL
    assert found("discs:colours:0-1", "discs:colours:1-2", "discs:colours:0").units == ALL[:3]
    name = list(fakes.COLOURS)[1]
    assert found(f"discs:colours:{name}", "discs:colours:0-1").units == [ALL[1], ALL[0]]
    assert found(" discs:colours:00", "discs:colours:0", "discs:colours:000-001").units == ALL[:2]
    (tmp_path / "units.txt").write_text("# mine\n\ndiscs:colours:2  # blue\ndiscs:colours:0-0\n")
    assert found("discs:colours:2", file=str(tmp_path / "units.txt")).units == [ALL[2], ALL[0]]


def test_a_difference_of_directions_is_one_unit_as_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = fakes.FakeModel.unit

    def with_readouts(model: fakes.FakeModel, ref: str) -> fakes.FakeSystem:
        layer, _, number = ref.rpartition(":")
        if ref == "colours:direction=A.npy:0-2":  # row 0 minus row 2
            number = "red"
        system = unit(model, f"colours:{number}")
        system.info = UnitInfo(model="discs", layer=layer, unit=ref.rpartition(":")[2])
        return system

    monkeypatch.setattr(fakes.FakeModel, "unit", with_readouts)
    assert found("discs:colours:direction=A.npy:0-2").units == ["discs:colours:direction=A.npy:0-2"]
    assert found("discs:colours:sae=F:0-1").units == ["discs:colours:sae=F:0", "discs:colours:sae=F:1"]


def test_a_unit_whose_reference_names_the_model_otherwise_is_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = fakes.FakeModel.unit

    def renamed(model: fakes.FakeModel, ref: str) -> fakes.FakeSystem:
        system = unit(model, ref)
        system.info = system.info.model_copy(update={"model": "mynet"})
        return system

    monkeypatch.setattr(fakes.FakeModel, "unit", renamed)
    words = ("discs:colours:1", "discs:colours:01", "discs:colours:0-1")
    assert found(*words).units == ["discs:colours:1", "discs:colours:0"]


def test_a_unit_that_does_not_exist_does_not_prevent_the_others() -> None:
    result = found("discs:colours:0-99", "discs:nosuch", "discs:colours:mauve")
    assert result.units == ALL
    assert set(result.missing) == {"discs:colours:0-99", "discs:nosuch", "discs:colours:mauve"}
    assert "no unit" in result.missing["discs:colours:mauve"]


def test_a_file_may_name_models_that_do_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "units.txt"
    file.write_text("nosuch:a:1\ndiscs:colours:0\n")
    result = found(file=str(file))
    assert result.units == ALL[:1]
    assert "nosuch" in result.missing["nosuch:a:1"]
    file.write_text("".join(f"discs:colours:x{number}\n" for number in range(1000)))
    with pytest.raises(UsageError, match=r"and 997 more$"):
        found(file=str(file))


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("discs:colours:mauve",), "no unit 'mauve'"),
        (("discs:colours:3-1",), "empty range; write discs:colours:1-3"),
        (("discs",), "is a model; name a layer, discs:LAYER"),
        ((), "no unit is chosen"),
    ],
)
def test_a_choice_without_any_unit_is_an_error(words: tuple[str, ...], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        found(*words)


def test_a_misspelled_model_is_an_error_of_the_command() -> None:
    with pytest.raises(PluginError, match="nosuch"):
        found("discs:colours", "nosuch:a:1")


@pytest.mark.slow
def test_a_draw_depends_on_the_seed_only_and_has_its_size() -> None:
    drawn = found("discs:colours", draw=3).units
    assert len(drawn) == 3
    assert set(drawn) <= set(ALL)
    assert drawn == found("discs", draw=3).units, "the layers of a model are not drawn from alike"
    assert len({tuple(found("discs:colours", draw=3, seed=seed).units) for seed in range(20)}) > 3
    with pytest.raises(UsageError, match="draw fewer"):
        found("discs:colours", draw=len(ALL) + 1)


def test_units_that_are_never_active_are_left_out_unless_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from maia_torch import Preprocessing, TorchModel

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    with torch.no_grad():
        module[0].weight.abs_()
        module[0].bias.copy_(torch.tensor([1.0, -1e6, 1.0, -1e6]))
    context = Context(RunConfig(), parts={"dataset": fakes.FakeDataset(fakes.FakeDataset.Config(count=6), None)})
    model = TorchModel(module.eval(), Preprocessing(size=16), name="tiny")
    context.made_by_model = lambda ref: True  # type: ignore[method-assign]  # Of no plugin.
    context.model = lambda name, **options: model  # type: ignore[method-assign]

    def units(*words: str, **choice: Any) -> Found:
        return find_units(Selection(words=words, **choice), context, lambda word: {})

    assert units("tiny:1") == (["tiny:1:0", "tiny:1:2"], 2, {}, 0)
    assert units("tiny:1:1-2") == (["tiny:1:2"], 1, {}, 0)
    assert units("tiny:1:3", "tiny:1") == (["tiny:1:3", "tiny:1:0", "tiny:1:2"], 1, {}, 0)
    assert len(units("tiny:1", inactive=True).units) == 4
    monkeypatch.setattr(
        TorchModel, "idle", lambda self, layer: {0: "dense: on at 97% of the positions", 1: "dead: off"}
    )
    assert units("tiny:1") == (["tiny:1:2"], 2, {}, 1), "dead latents are never active; dense ones are counted apart"


def test_layers_are_measured_in_one_pass_with_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from maia_torch import Preprocessing, TorchModel

    read: list[int] = []
    monkeypatch.setattr(
        fakes.FakeDataset,
        "__getitem__",
        lambda data, index, get=fakes.FakeDataset.__getitem__: read.append(index) or get(data, index),
    )
    dataset = fakes.FakeDataset(fakes.FakeDataset.Config(count=40), None)
    context = Context(RunConfig(), cache=tmp_path, parts={"dataset": dataset})
    layers = [torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.ReLU()) for _ in range(4)]
    model = TorchModel(torch.nn.Sequential(*layers).eval(), Preprocessing(size=16), name="tiny", context=context)
    context.made_by_model = lambda ref: True  # type: ignore[method-assign]  # Of no plugin.
    context.model = lambda name, **options: model  # type: ignore[method-assign]
    notes: list[str] = []
    context.warn_to(notes.append)
    shown: list[tuple[int, int]] = []

    def units(*words: str) -> Found:
        return find_units(
            Selection(words=words, draw=2), context, lambda word: {}, lambda what, done, of: shown.append((done, of))
        )

    first = units("tiny")
    assert notes == ["measuring 13 layers of tiny on 40 images; later commands find the result in the cache"]
    assert shown[-1] == (40, 40)
    assert len(read) < 3 * 40, "each layer had a pass of its own"  # The others measure exemplars again.
    assert units("tiny") == first
    assert len(notes) == 1, "layers of the cache are measured again"


def table(folder: Path) -> Path:
    out = Table(folder, "one")
    for number, pearson in enumerate([0.1, 0.2, 0.9]):
        out.append(Row(unit=f"discs:colours:{number}", status="answered", label='it\'s a "disc"', pearson=pearson))
    out.export()
    return folder


@pytest.mark.parametrize("name", ["labels.parquet", "labels.csv", ""])
def test_units_come_from_an_earlier_table(tmp_path: Path, name: str) -> None:
    folder = table(tmp_path)
    assert found(table=str(folder / name), where="pearson < 0.3").units == ALL[:2]
    assert found(table=str(folder / name), where="pearson < 0.3 AND label LIKE '%disc%' -- mine").units == ALL[:2]
    assert found(table=str(folder / name)).units == ALL[:3]


@pytest.mark.parametrize(
    "where",
    [
        "pearson <",
        "nosuch > 1",
        "true); DROP TABLE labels; --",
        "unit IN (SELECT content FROM read_text('/etc/hostname'))",
        "true) UNION SELECT content FROM read_text('/etc/hostname') WHERE (true",
        "true); COPY labels TO '/tmp/leak.csv'; SELECT (true",
        "true); SET enable_external_access = true; SELECT (true",
    ],
)
def test_a_condition_reads_and_writes_nothing_but_the_table(tmp_path: Path, where: str) -> None:
    with pytest.raises(UsageError, match="--where"):
        found(table=str(table(tmp_path)), where=where)
    assert not Path("/tmp/leak.csv").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("a.parquet", "no"), ("a.csv", "x,y\n1,2\n"), ("a.txt", ""), ("none.csv", None)]
)
def test_a_file_that_is_not_a_table_of_labels_is_named(tmp_path: Path, name: str, text: str | None) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=name):
        found(table=str(tmp_path / name))


def test_a_plan_is_of_one_configuration_and_grows(tmp_path: Path) -> None:
    plan = begin(tmp_path, RunConfig(), None)
    first, second = Selection(words=("discs:colours:0-1",)), Selection(words=("discs:colours",))
    plan = plan.with_units(first, Found(ALL[:2], 0, {}))
    save(tmp_path, plan)
    plan = begin(tmp_path, RunConfig(), None)
    assert plan.has(first)
    assert not plan.has(second)
    plan = plan.with_units(second, Found(ALL, 3, {"x": "why"}))
    save(tmp_path, plan)
    read = read_plan(tmp_path)
    assert read is not None
    assert (list(read.units), read.inactive, read.missing) == (ALL, 3, {"x": "why"})
    shards = [read.shard(number, 3) for number in (1, 2, 3)]
    assert sorted(unit for shard in shards for unit in shard) == sorted(ALL)
    with pytest.raises(UsageError, match=r"another configuration: limits.cost is 3.0, was 10.0; seed is 5, was 0"):
        begin(tmp_path, RunConfig.model_validate({"seed": 5, "limits": {"cost": 3}}), None)
    with pytest.raises(UsageError, match="system"):
        begin(tmp_path, RunConfig(system=PluginRef(name="discs:colours:0", size=96)), None)
    assert begin(tmp_path, RunConfig(system=PluginRef(name="discs:colours:0")), None) == read


def test_a_file_of_units_that_changed_is_another_choice(tmp_path: Path) -> None:
    file = tmp_path / "units.txt"
    file.write_text("discs:colours:0")
    choice = Selection(file=str(file))
    before = choice.key
    file.write_text("discs:colours:0-2")
    assert choice.key != before


def test_the_rows_of_a_sweep_tell_a_selection_and_a_missing_file_is_named(tmp_path: Path) -> None:
    Table(tmp_path, "one").append(Row(unit="m:l:1", status="answered", label="x"))
    selection = Selection(table=str(tmp_path))
    before = selection.key
    assert [word for word, _ in selection.all_words()] == ["m:l:1"]
    Table(tmp_path, "two").append(Row(unit="m:l:2", status="answered", label="x"))
    assert selection.key != before
    for missing in (Selection(table=str(tmp_path / "none.csv")), Selection(file=str(tmp_path / "none"))):
        with pytest.raises(UsageError, match=r"cannot read the units in .*; name a file"):
            print(missing.key)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("length(repeat('x', 4000000000)) > 0", "it cannot call 'repeat'"),
        ("(SELECT count(*) FROM range(100000000000)) > 0", "there is no column 'SELECT'|cannot call"),
        ("list_sum(range(1000000000)) > 1", "it cannot call 'list_sum'"),
        ("[x FOR x IN range(1000000000)] IS NULL", "it cannot have"),
        ("9 ** 9 ** 9 ** 9 > 1", "cannot be used"),
        ("9 ^ 999999 > 1", "it cannot have"),
        ("label LIKE '%a%a%a%a%a%a%a%b'", "at most 4 signs %"),
        ("label LIKE unit", "LIKE needs a text in quotes"),
        ("label = '" + "x" * 20_000 + "'", "20,010 characters; at most 10,000"),
        ("pearsn < 0.3", "there is no column 'pearsn'. Did you mean 'pearson'"),
    ],
)
def test_a_condition_that_could_take_long_is_refused_in_one_line(tmp_path: Path, where: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        found(table=str(table(tmp_path)), where=where)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_ordinary_conditions_are_understood(tmp_path: Path) -> None:
    for where in (
        "NOT (pearson >= 0.3 OR pearson IS NULL) AND label ILIKE '%DISC%'",
        "lower(label) LIKE '%disc%' AND \"pearson\" BETWEEN -1 AND 0.3 - 1e-9",
        "regexp_matches(label, 'discs?') AND pearson < .3 AND unit <> 'it''s'",
        "CASE WHEN pearson < 0.3 THEN contains(label, 'disc') ELSE false END",
    ):
        assert found(table=str(table(tmp_path)), where=where).units == ALL[:2], where
