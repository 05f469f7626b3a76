"""Labels that people wrote: every form of file, and every mistake in one line that names the place."""

from __future__ import annotations

import json

import pytest

from maia_baselines.human import Human, read
from maia_core.config import PluginRef
from maia_core.errors import UsageError

RED, BLUE = "discs:colours:red", "discs:colours:blue"


def human(path, context, content):
    path.write_text(content, encoding="utf-8")
    return Human(Human.Config(file=str(path)), context)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f'unit,label\n{RED},"red, round things"\n{BLUE},blue\n'),
        ("a.csv", f'\ufefflabel , unit\r\n"red, round things",{RED}\r\n'),
        ("a.csv", f"Unit;Label\n{RED};red, round things\n;\n"),
        ("a.csv", f"Unit;Label;;\n{RED};red, round things;;\n"),
        ("a.csv", f"sep=;\r\nunit;label\r\n{RED};red, round things\r\n"),
        ("a.csv", f"unit\tlabel\n{RED}\tred, round things\n"),
        ("a.json", json.dumps({RED: "red, round things", BLUE: "blue"})),
        ("a.json", json.dumps([{"unit": RED, "label": "red, round things"}])),
    ],
)
def test_a_label_is_found(world, tmp_path, name, content):
    context = world()
    explanation = human(tmp_path / name, context, content).explain(context.system, context)
    assert explanation.labels == ("red, round things",)
    assert explanation.details == {"file": name}


def test_several_labels_and_a_description(world, tmp_path):
    context = world()
    content = json.dumps([{"unit": RED, "label": ["red", "pink"], "description": "Reddish discs."}])
    explanation = human(tmp_path / "a.json", context, content).explain(context.system, context)
    assert explanation.labels == ("red", "pink")
    assert explanation.description == "Reddish discs."


def test_a_unit_whose_reference_gives_nothing_away_is_found_by_its_choice(world, tmp_path):
    context = world(system=PluginRef(name="synthetic:collage/7"))
    explainer = human(tmp_path / "a.csv", context, "unit,label\nsynthetic:collage/7,tiger\n")
    assert explainer.explain(context.system, context).labels == ("tiger",)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "", "no column 'unit'"),
        ("a.csv", "unit,text\na,b\n", "no column 'label'"),
        ("a.csv", "unit,label\n", "holds no label"),
        ("a.csv", f"unit,label\n{RED},\n", f"line 2: the label of {RED} is empty"),
        ("a.csv", f"unit,label\n{RED},   \n", "line 2: the label"),
        ("a.csv", f"unit,label\n{RED}\n", "line 2: the label"),
        ("a.csv", "unit,label\n,tiger\n", "line 2: the unit is empty"),
        ("a.csv", f"unit,label,Label\n{RED},red,blue\n", "the column 'label' twice"),
        ("a.json", f'[{{"unit": "{RED}", "label": "red", "label": "blue"}}]', "each once"),
        ("a.csv", f"unit,label\n{RED},a\n{BLUE},b\n{RED},c\n", f"{RED} has two entries, line 2 and line 4"),
        ("a.csv", f"unit,label\n{RED},red, round\n", "line 2: more cells than columns"),
        ("a.csv", 'unit,label\n"a,b\n', "line"),
        ("a.csv", b"unit,label\n\xff\xfe,b\n", "cannot read"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.json", "3", "neither an object nor a list"),
        ("a.json", "{}", "holds no label"),
        ("a.json", "[3]", "entry 1: it needs 'unit' and 'label'"),
        ("a.json", json.dumps({RED: ""}), "entry 1: the label"),
        ("a.json", json.dumps({RED: 7}), "entry 1: the label"),
        ("a.json", json.dumps({RED: []}), "entry 1: the label"),
        ("a.json", json.dumps({RED: ["a", ""]}), "entry 1: the label"),
        ("a.json", f'{{"{RED}": "a", "{RED}": "b"}}', "two entries, entry 1 and entry 2"),
        ("a.txt", "red", "labels come from"),
        (
            "a.csv",
            f"unit,label,descripton\n{RED},red,round\n",
            "unknown column 'descripton'. Did you mean 'description'",
        ),
        (
            "a.csv",
            f"unit,label,pearson\n{RED},red,0.4\n",
            "unknown column 'pearson'. Allowed: unit, label, description",
        ),
        (
            "a.json",
            json.dumps([{"unit": RED, "label": "red", "descripton": "round"}]),
            "entry 1: unknown key 'descripton'. Did you mean 'description'",
        ),
        ("a.json", json.dumps([{"unit": RED, "labels": ["red"]}]), "unknown key 'labels'. Did you mean 'label'"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line_that_names_the_place(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=says) as raised:
        read(path)
    assert "\n" not in str(raised.value)


def test_units_that_the_file_leaves_out_are_named(world, tmp_path):
    context = world()
    explainer = human(tmp_path / "a.csv", context, "unit,label\ndiscs:colours:rad,red\n")
    with pytest.raises(UsageError, match=r"no label for discs:colours:red.* Did you mean 'discs:colours:rad'"):
        explainer.explain(context.system, context)
    assert explainer.missing([RED, "discs:colours:rad"]) == [RED]


def test_no_file_is_said(world, tmp_path):
    with pytest.raises(UsageError, match="set its option 'file'"):
        Human(Human.Config(), world())
    with pytest.raises(UsageError, match=r"cannot read the labels \S+: No such file or directory$"):
        Human(Human.Config(file=str(tmp_path / "none.csv")), world())


def test_control_characters_do_not_reach_the_terminal(world, tmp_path):
    context = world()
    content = json.dumps({RED: "red \u001b[31m discs"})
    [label] = human(tmp_path / "a.json", context, content).explain(context.system, context).labels
    assert "\x1b" not in label
