"""The four-sets test, in a world where the right labels are known."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from maia_core.errors import BackboneBusy, UsageError
from maia_core.image import Image
from maia_core.testing import FakeDataset, FakeSystem, ScriptedBackbone
from maia_core.types import BackboneInfo, Reply, Usage
from maia_eval import people
from maia_eval.choosing import set_choice
from maia_eval.predictive import run
from maia_eval.report import render
from maia_eval.results import Folder
from maia_eval.set_choice import PLACE, Question, SetImages, choice_rows, choose, grid, questions_of
from maia_eval.subjects import BackboneSubject
from maia_eval.tables import tables

if TYPE_CHECKING:
    from conftest import World  # type: ignore[import-not-found]
else:
    World = Any

MEANING = {"red": "animal", "green": "plant", "blue": "vehicle"}
RIGHT = {f"discs:colours:{unit}": label for unit, label in MEANING.items()}
WRONG = dict(zip(RIGHT, ["food", "vehicle", "animal"], strict=True))
HOSTILE = "<script>alert(1)</script> =cmd \x1b[31m \u202e"


@pytest.fixture
def evaluated(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Folder]:
    """Makes an evaluation of some explainers, and has commands see the small world."""
    monkeypatch.setattr("maia_core.registry.installed", lambda: world)
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))

    def made(units: Sequence[str] = tuple(MEANING), **explainers: Any) -> Folder:
        plan = world.plan(list(units), explainers)
        folder = Folder.begin(tmp_path / "eval", "predictive", plan.settings(), world)
        run(plan, folder, world.contexts(plan.config), lambda line: None)
        return folder

    return made


def call(*arguments: object) -> str:
    done = CliRunner().invoke(set_choice, [str(argument) for argument in arguments], catch_exceptions=True)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def shares(folder: Folder) -> dict[str, tuple[float, int]]:
    return {row.explainer: (row.share.value, row.share.n) for row in choice_rows(folder)}


def asked(world: World, unit: str = "red", count: int = 2, seed: int = 0) -> list[Question]:
    system = FakeSystem(FakeSystem.Config(ref=unit))
    return questions_of(system, SetImages(world.dataset, 60), count, seed, f"discs:colours:{unit}")


@pytest.mark.slow
def test_right_labels_find_the_set_and_labels_that_say_nothing_get_a_quarter(evaluated: Any) -> None:
    folder = evaluated(right=RIGHT, wrong=WRONG, nothing="images")
    said = call(folder.path)
    found = shares(folder)
    assert found["right"] == (1.0, 6)
    assert found["wrong"][0] < 0.5
    assert found["nothing"] == (0.25, 6)
    assert re.search(r"^judge +right +3 +6 +1\.00 \[", said, re.MULTILINE)
    assert "|" not in said
    assert "@" not in said
    table = list(csv.DictReader((folder.path / "tables" / "set-choice.csv").open()))
    own = {row["explainer"]: row["right_share"] for row in table if not row["published"]}
    assert own == {"right": "1.0", "wrong": own["wrong"], "nothing": "0.25"}
    page = render(folder, folder.path)
    assert "Set choice" in page
    assert "<td>judge</td><td>right</td>" in page
    assert "set-choice" in tables(folder)


def test_one_set_activates_the_unit_and_nothing_gives_it_away(world: World) -> None:
    places = set()
    for seed in range(8):
        for question in asked(world, seed=seed):
            system = FakeSystem(FakeSystem.Config(ref="red"))
            means = [np.mean(system.neuron(images)[0]) for images in question.sets]
            assert int(np.argmax(means)) == question.right
            images = [image for images in question.sets for image in images]
            assert len({image.id for image in images}) == 16
            assert not any(image.title or image.provenance or image.clean for image in images)
            places.add(question.right)
    assert places == {0, 1, 2, 3}


def test_questions_repeat_by_seed(world: World) -> None:
    def ids(questions: list[Question]) -> list[str]:
        return [image.id for question in questions for images in question.sets for image in images]

    assert ids(asked(world)) == ids(asked(world))
    assert ids(asked(world)) != ids(asked(world, seed=1))


def test_units_that_few_images_activate_have_fewer_questions_or_none(evaluated: Any, world: World) -> None:
    assert len(asked(world, count=5)) == 2, "ten of the sixty discs are red"
    world.dataset = FakeDataset(FakeDataset.Config(count=32))
    folder = evaluated(["red", "silent"], right="animal")
    assert "discs:colours:silent: too few held-out images activate it" in call(folder.path)
    assert shares(folder)["right"][1] == 1


def test_images_that_cannot_be_read_are_in_no_set(world: World) -> None:
    world.dataset = FakeDataset(FakeDataset.Config(count=60, broken=tuple(range(20, 30))))
    assert len(asked(world, count=1)) == 1


def test_sets_that_a_judge_cannot_tell_apart_share_the_choice() -> None:
    class Judge:
        def __init__(self, predicted: list[float]) -> None:
            self.predicted = predicted

        def predict(self, label: str, images: Sequence[Image]) -> list[float]:
            return [value for value in self.predicted for _ in range(4)]

    blank = Image.from_pixels(np.zeros((4, 4, 3), np.uint8))
    question = Question(((blank,) * 4,) * 4, 2)
    judged = [choose(Judge(means), "x", question) for means in ([0, 0, 0, 0], [0, 0.5, 0.5, 0], [0.1, 0, 0.9, 0])]  # type: ignore[arg-type]
    assert [(choice.hit, choice.picked) for choice in judged] == [(0.25, None), (0.5, None), (1.0, 2)]


def test_what_was_asked_is_not_asked_again(evaluated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = evaluated(right=RIGHT)
    call(folder.path)
    before = shares(folder)

    def fail(*arguments: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr("maia_eval.subjects.choose", fail)
    call(folder.path)
    assert shares(folder) == before
    with pytest.raises(AssertionError, match="asked again"):
        call(folder.path, "--questions", 1)


def test_an_explainer_without_a_label_gets_chance(evaluated: Any) -> None:
    folder = evaluated(right=RIGHT, mute={"discs:colours:red": "animal"})
    call(folder.path)
    assert shares(folder)["mute"] == (pytest.approx((2 + 4 * 0.25) / 6), 6)


# --- backbones ---


class Eyes(ScriptedBackbone):
    """Sees images, up to four."""

    info = BackboneInfo(name="eyes", max_images=4)


def test_a_backbone_sees_four_titled_sets_and_the_label(world: World) -> None:
    question = asked(world)[0]
    letter = "ABCD"[question.right]
    backbone = Eyes([f"A set of dogs? No: [SET]: {letter.lower()}"])
    subject = BackboneSubject(backbone, 0)
    choice = subject.answer("animal", question)
    assert (choice.hit, choice.picked) == (1, question.right)
    message = backbone.seen[0][1]
    assert [image.title for image in message.images] == ["set A", "set B", "set C", "set D"]
    assert "animal" in message.text


def test_a_backbone_that_names_no_set_is_asked_again_and_then_counts_as_wrong(world: World) -> None:
    question = asked(world)[0]
    wrong = "ABCD"[(question.right + 1) % 4]
    usage = Usage(output_tokens=7)
    subject = BackboneSubject(Eyes(["A nice set.", Reply(text=f"**[SET]:** {wrong}", usage=usage)]), 0)
    assert subject.answer("animal", question).hit == 0
    assert subject.usage.output_tokens >= 7
    silent = BackboneSubject(Eyes(["Hm."] * 3), 0).answer("animal", question)
    assert (silent.hit, silent.picked) == (0, None)


def test_a_busy_backbone_is_waited_for(world: World) -> None:
    question = asked(world)[0]
    waits: list[float] = []
    backbone = Eyes([BackboneBusy("slow down", retry_after=5), "[SET]: A"])
    assert BackboneSubject(backbone, 0, waits.append).answer("animal", question).picked == 0
    assert waits == [5]
    with pytest.raises(BackboneBusy):
        BackboneSubject(Eyes([BackboneBusy("slow down")] * 3), 0, waits.append).answer("animal", question)


@pytest.mark.parametrize("info", [BackboneInfo(name="blind", images=False), BackboneInfo(name="narrow", max_images=1)])
def test_a_backbone_that_cannot_see_the_sets_is_refused(info: BackboneInfo) -> None:
    backbone = ScriptedBackbone([])
    backbone.info = info  # type: ignore[misc]
    with pytest.raises(UsageError, match="does not take 4 images"):
        BackboneSubject(backbone, 0)


def test_a_grid_shows_four_images_of_any_shape() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 9, 9)]
    shapes = [(10, 400), (400, 10), (1, 1), (160, 160)]
    made = grid([Image.from_pixels(np.full((*s, 3), c, np.uint8)) for s, c in zip(shapes, colours, strict=True)])
    assert (made.width, made.height) == (324, 324)
    assert all((made.pixels() == colour).all(-1).any() for colour in colours)


# --- people ---


def filled(form: Path, answer: Callable[[str], str]) -> Path:
    rows = list(csv.reader((form / people.SHEET).open(encoding="utf-8-sig")))
    rows[1:] = [[*row[:-1], answer(row[1])] for row in rows[1:]]
    path = form / "filled.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_people_answer_a_form_that_tells_nothing_of_the_explainers(evaluated: Any, tmp_path: Path) -> None:
    folder = evaluated(right=RIGHT, other=HOSTILE)
    form = tmp_path / "form"
    assert "12 questions" in call(folder.path, "--form", form)
    page = (form / people.PAGE).read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    sheet = (form / people.SHEET).read_text(encoding="utf-8-sig")
    for written in (page, sheet):
        assert "=cmd" in written
        assert not {c for c in written if unicodedata.category(c) in ("Cc", "Cf")} - {"\n"}
    assert page.count("<img") == 48
    assert "right" not in page.replace("copyright", "")
    assert "photograph" not in page
    rows = list(csv.reader((form / people.SHEET).open(encoding="utf-8-sig")))[1:]
    assert re.findall(r"<h2>(\d+) <small>key (\w+)</small>", page) == [(row[0], row[1]) for row in rows]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 13)]
    keys = folder.read(people.KeyFile, people.KEYS).keys
    said = call(folder.path, "--by", "Ann", "--answers", filled(form, lambda name: "ABCD"[keys[name].right].lower()))
    assert re.search(r"^person Ann +right +3 +6 ", said, re.MULTILINE)
    assert shares(folder) == {"right": (1.0, 6), "other": (1.0, 6)}
    first = sorted(keys)[0]
    call(folder.path, "--by", "Ann", "--answers", filled(form, lambda name: "A" if name == first else ""))
    assert sum(n for _, n in shares(folder).values()) == 1, "the same name again replaces the answers"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n", "is not a form"),
        ("", "is not a form"),
        ("{columns}\n1,0000,x,A\n", "row 2: the form does not have this question"),
        ("{columns}\n1,{one},x,E\n", "row 2: the answer must be A, B, C or D"),
        ("{columns}\n1,{one},x,A\n1,{one},x,B\n", "answered twice"),
        ("{columns}\n1,{one},x,\n", "does not hold an answer"),
        ('{columns}\n"', "cannot read"),
    ],
)
def test_a_form_that_cannot_be_read_is_refused(evaluated: Any, tmp_path: Path, content: str, says: str) -> None:
    folder = evaluated(["red"], right=RIGHT)
    call(folder.path, "--form", tmp_path / "form")
    one = sorted(folder.read(people.KeyFile, people.KEYS).keys)[0]
    columns = ",".join([*people.COLUMNS[:-1], f'"{people.COLUMNS[-1]}"'])
    path = tmp_path / "answers.csv"
    path.write_text(content.format(columns=columns, one=one))
    with pytest.raises(UsageError, match=says):
        people.take(folder, path, "Ann")


def test_answers_need_a_name_and_a_form(evaluated: Any, tmp_path: Path) -> None:
    folder = evaluated(["red"], right=RIGHT)
    with pytest.raises(UsageError, match="--by NAME"):
        call(folder.path, "--answers", tmp_path / "x.csv")
    with pytest.raises(UsageError, match="printable characters"):
        call(folder.path, "--answers", tmp_path / "x.csv", "--by", "An\x1b[31mn")
    with pytest.raises(UsageError, match="no form was written"):
        call(folder.path, "--answers", tmp_path / "x.csv", "--by", "Ann")
    assert not (folder.path / PLACE).exists()


def test_no_held_out_images_are_said(evaluated: Any, world: World) -> None:
    folder = evaluated(["red"], right=RIGHT)
    world.dataset = FakeDataset(FakeDataset.Config(count=20))
    with pytest.raises(UsageError, match="has 20 images; the test needs 32"):
        call(folder.path)
