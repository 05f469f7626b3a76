"""`maia eval generator`: what counts as there, how it is counted, and the command as a user runs it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from maia_core.context import Context
from maia_core.errors import ToolError, UsageError
from maia_core.image import Image
from maia_core.testing import FakeDescriber, FakeDetector, FakeGenerator, disc
from maia_core.types import GeneratedImages
from maia_eval.faithful import (
    KINDS,
    Case,
    Decision,
    DescriberJudge,
    DetectorJudge,
    Rate,
    Wanted,
    check,
    prompts,
    rates,
    says,
)
from maia_eval.faithful_page import page
from maia_eval.generators import generator

COLOURS = ["red", "blue", "green", "yellow"]
WANTED = [Wanted(prompt=f"a {name} disc", kind="colour", words=(name,), query=name) for name in COLOURS]


def seeds(texts: list[str]) -> list[int]:
    return Context(parts={}).seeds(texts)


def thing(*words: str) -> Wanted:
    return Wanted(prompt=f"a {words[0]}", kind="thing", words=words, query=words[0])


def count(number: int, word: str) -> Wanted:
    return Wanted(prompt=f"{number} {word}s", kind="count", words=(word,), query=word, count=number)


# --- what a description says ---


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("A tiger walks through grass.", thing("tiger"), True),
        ("Two TIGERS.", thing("tiger"), True),
        ("Several ponies.", thing("horse", "pony"), True),
        ("A carpet with a scar.", thing("car"), False),
        ("tiger (0.99), zebra (0.00), cow (0.00); on: grass, green", thing("tiger"), True),
        ("tiger (0.99), zebra (0.00), cow (0.00); on: grass, green", thing("cow"), False),
        ("lion (0.60), tiger (0.31)", thing("tiger"), True),
        ("tiger (0.99); kind: cat family (0.99), mammal (1.00)", thing("cat"), False),
        ("husky (0.99); kind: dog (0.98), dog family (0.99)", thing("dog"), True),
        ("colours: red 84%, pink 13%; on: calm water, blue", thing("red"), True),
        ("colours: red 84%, pink 13%; on: calm water, blue", thing("pink"), False),
        ("colours: red 84%, pink 13%; on: calm water, blue", thing("water"), True),
        ("Three red apples on rocks.", count(3, "apple"), True),
        ("Three red apples on rocks.", count(2, "apple"), False),
        ("A pair of apples.", count(2, "apple"), True),
        ("3 apples and 2 pears", count(2, "pear"), True),
        ("3 apples and 2 pears", count(3, "pear"), False),
        ("Apples.", count(3, "apple"), False),
        ("apple (0.56), mango (0.33); also: apple (0.59) bottom, apple (0.60) right", count(3, "apple"), True),
        ("apple (0.56), mango (0.33); also: apple (0.59) bottom, apple (0.10) right", count(3, "apple"), False),
        ("", thing("tiger"), False),
    ],
)
def test_description_names_the_content(text: str, wanted: Wanted, expected: bool) -> None:
    assert says(text, wanted) is expected


# --- how it is counted ---


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"), [(0, 10, 0, 0.278), (10, 10, 0.722, 1), (5, 10, 0.237, 0.763), (0, 0, 0, 1)]
)
def test_interval(hits: int, cases: int, low: float, high: float) -> None:
    assert Rate(hits, cases).interval == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_faithful_generator_with_a_fair_describer() -> None:
    cases = check(FakeGenerator(), DescriberJudge(FakeDescriber()), WANTED, seeds, each=3)
    assert len({case.image.id for case in cases if case.image}) == 12, "replicates differ"
    assert rates(cases) == (Rate(12, 12), Rate(0, 12), Rate(0, 12))


def test_generator_that_ignores_the_prompt_is_seen_through() -> None:
    class Red(FakeGenerator):
        def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
            return super().generate(["red"] * len(prompts), seeds)

    there, unasked, _ = rates(check(Red(), DescriberJudge(FakeDescriber()), WANTED, seeds, each=2))
    assert (there, unasked) == (Rate(2, 8), Rate(2, 8))


def test_describer_that_sees_everything_is_seen_through() -> None:
    class Eager(FakeDescriber):
        def describe(self, images: Sequence[Image]) -> list[str]:
            return [" ".join(COLOURS)] * len(images)

    there, unasked, _ = rates(check(FakeGenerator(), DescriberJudge(Eager()), WANTED, seeds, each=1))
    assert there == unasked == Rate(4, 4)


def test_judge_is_blind_to_the_prompt() -> None:
    seen: list[Image] = []

    class Peeking(FakeDescriber):
        def describe(self, images: Sequence[Image]) -> list[str]:
            seen.extend(images)
            return super().describe(images)

    check(FakeGenerator(), DescriberJudge(Peeking()), WANTED, seeds, each=1)
    assert {(image.title, str(image.provenance)) for image in seen} == {("", "{}")}
    assert len(seen) == 4, "every image is described once"


def test_refused_prompt_shows_nothing_and_the_rest_is_judged() -> None:
    class Strict(FakeGenerator):
        def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
            if "a blue disc" in prompts:
                raise ToolError("'a blue disc' is not drawn")
            return super().generate(prompts, seeds)

    cases = check(Strict(), DescriberJudge(FakeDescriber()), WANTED, seeds, each=2)
    assert rates(cases) == (Rate(6, 8), Rate(0, 6), Rate(2, 8))
    assert [case.warning for case in cases if case.image is None] == ["'a blue disc' is not drawn"] * 2


def test_progress_is_told_of_every_part() -> None:
    told: list[str] = []
    cases = check(FakeGenerator(), DescriberJudge(FakeDescriber()), WANTED, seeds, each=10, log=told.append)
    assert told[:3] == ["drew 16 of 40 images", "drew 32 of 40 images", "drew 40 of 40 images"]
    assert told[5] == "looked at 40 of 40 images"
    assert rates(cases) == (Rate(40, 40), Rate(0, 40), Rate(0, 40))


def test_detector_counts() -> None:
    class Two(FakeDetector):
        def detect(self, images: Sequence[Image], text: str) -> list[Any]:
            return [found * 2 for found in super().detect(images, text)]

    judge = DetectorJudge(Two())
    images = [disc("red"), disc("blue")]
    decisions = judge.decide(images, [thing("red"), thing("red")])
    assert [decision.there for decision in decisions] == [True, False]
    decisions = judge.decide(images, [count(2, "red"), count(3, "blue")])
    assert [decision.there for decision in decisions] == [True, False]
    assert decisions[0].said.startswith("2 x 'red' (")


# --- prompts ---


def test_prompts_of_the_package() -> None:
    wanted = prompts()
    assert {one.kind for one in wanted} == set(KINDS)
    assert len({one.prompt for one in wanted}) == len(wanted) >= 50
    for one in wanted:
        assert sum(one.apart(other) for other in wanted) >= 5, f"nothing tells a guess from a look for '{one.prompt}'"
        head = one.query.split()[0]
        assert head[:4] in one.prompt, f"'{one.prompt}' does not ask for '{one.query}'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds no prompts"),
        ('[{"prompt": "a dog"}]', "entry 0: 'kind'"),
        ('[{"prompt": "a dog", "kind": "mood", "words": ["dog"], "query": "dog"}]', "entry 0: 'kind'"),
        ('[{"prompt": "two dogs", "kind": "count", "words": ["dog"], "query": "dog"}]', "'count' belongs"),
        ('[{"prompt": "a dog", "kind": "thing", "words": [], "query": "dog"}]', "entry 0: 'words'"),
    ],
)
def test_prompts_that_cannot_be_used(text: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=re.escape(expected)) as error:
        prompts(file)
    assert "mine.json" in str(error.value)
    with pytest.raises(UsageError, match=r"cannot read the prompts in \S*nowhere.json: No such file or directory$"):
        prompts(tmp_path / "nowhere.json")


# --- the page ---


def test_page_shows_what_is_hostile_as_text() -> None:
    hostile = "<script>alert(1)</script>\" onload='x'"
    wanted = Wanted(prompt=hostile, kind="thing", words=("x",), query="x")
    html = page(hostile, hostile, [Case(wanted, disc("red"), hostile, Decision(True, hostile))])
    assert "<script" not in html
    assert "onload='" not in html.replace("&#x27;", "")
    assert "default-src 'none'" in html
    assert html.count("data:image/jpeg;base64,") == 1
    refused = page("t", "t", [Case(wanted, None, "refused", Decision(False, "there is no image"))])
    assert "<img" not in refused


# --- the command ---

PLUGIN = """
from typing import Literal

from maia_core.config import PluginConfig, PluginRef
from maia_core.testing import FakeDescriber, FakeDetector, FakeGenerator
from maia_core.types import GeneratedImages


class Generator(FakeGenerator):
    class Config(PluginConfig):
        colour: str = ""

    def __init__(self, config, context):
        super().__init__()
        self.colour = config.colour

    def generate(self, prompts, seeds):
        return super().generate([self.colour or prompt for prompt in prompts], seeds)


class Describer(FakeDescriber):
    pass


class Detector(FakeDetector):
    pass


class Shelf:
    class Config(PluginConfig):
        cutouts: Literal["all", "seen", "held-out"] = "all"

    def __init__(self, config, context):
        self.taught = config.cutouts


class Taught(FakeDescriber):
    class Config(PluginConfig):
        library: PluginRef = PluginRef(name="shelf")

    def __init__(self, config, context):
        self.library = context.build("dataset", config.library.name, **config.library.options)

    def describe(self, images):
        return [f"taught {self.library.taught}"] * len(images)


class Halves(FakeGenerator):
    Config = Shelf.Config

    def __init__(self, config, context):
        super().__init__()
        self.drawn = config.cutouts

    def generate(self, prompts, seeds):
        made = super().generate(prompts, seeds)
        return GeneratedImages(made.images, [f"drawn {self.drawn}"] * len(prompts))
"""


@pytest.fixture
def maia(tmp_path: Path) -> Callable[..., Any]:
    """Runs the command where the distributions `acme-paint` and `acme-eye` are installed."""
    (tmp_path / "acme.py").write_text(PLUGIN)
    prompts = [one.model_dump(mode="json", exclude_none=True) for one in WANTED]
    (tmp_path / "mine.json").write_text(json.dumps(prompts))
    kinds = {"paint": {"generator": "Generator", "detector": "Detector"}, "eye": {"describer": "Describer"}}
    kinds["other"] = {"detector": "Detector"}
    kinds["shelf"] = {"dataset": "Shelf", "generator": "Halves", "describer": "Taught"}
    for name, made in kinds.items():
        metadata = tmp_path / f"acme_{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\nSummary: x\n")
        groups = [f"[maia.{kind}s]\n{name} = acme:{factory}\n" for kind, factory in made.items()]
        (metadata / "entry_points.txt").write_text("\n".join(groups))

    def run(*arguments: str) -> Any:
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "MAIA_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", "from maia_core.cli import main; main()", "eval", "generator", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)

    return run


def test_table_and_page(maia: Callable[..., Any], tmp_path: Path) -> None:
    done = maia("paint", "--describer", "eye", "--prompts", "mine.json", "--each", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split() == ["colour", "12", "100", "%", "76", "to", "100", "%", "0", "%", "0"]
    assert lines[2].split()[:2] == ["all", "12"]
    assert "12 images of 4 prompts by paint, judged by the describer eye" in done.stderr
    assert "drew 12 of 12 images\nlooked at 12 of 12 images\n" in done.stderr
    html = (tmp_path / "check-paint.html").read_text()
    assert html.count("data:image/jpeg") == 12


@pytest.mark.slow
def test_what_is_not_there_is_named(maia: Callable[..., Any], tmp_path: Path) -> None:
    arguments = ["paint", "--detector", "other", "--prompts", "mine.json", "-o", "colour=red", "--out", "p.html"]
    done = maia(*arguments)
    assert done.returncode == 0, done.stderr
    assert "not seen in 6 images" in done.stdout
    assert "  a blue disc: 0 x 'blue'" in done.stdout
    assert (tmp_path / "p.html").exists()
    rows = [json.loads(line) for line in maia(*arguments, "--json").stdout.splitlines()]
    assert rows[-1]["there"] == 2
    assert rows[-1]["kind"] == "all"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["shelf"], "drawn held-out; taught seen"),
        (["shelf", "-o", "cutouts=all"], "drawn all; taught all"),
        (["shelf", "-o", "describer.library=shelf"], "drawn held-out; taught seen"),
        (["shelf", "-o", 'describer.library={name = "shelf", cutouts = "held-out"}'], "drawn all; taught held-out"),
    ],
)
def test_describer_is_not_shown_the_pictures_that_it_was_taught(
    maia: Callable[..., Any], arguments: list[str], expected: str
) -> None:
    done = maia(*arguments, "--describer", "shelf", "--prompts", "mine.json")
    assert expected in done.stdout, done.stderr
    assert ("`held-out` are drawn" in done.stderr) is (expected == "drawn held-out; taught seen")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["paint", "--detector", "paint"], "belongs to the generator (acme-paint)"),
        (["paint", "--detector", "paint", "--describer", "eye"], "one of them looks"),
        (["pant", "--describer", "eye"], "there is no generator 'pant'. Did you mean 'paint'?"),
        (["paint", "--describer", "eye", "-o", "size=3"], "unknown key 'size'"),
        (["paint", "--describer", "eye", "-o", "detector.box_threshold=3"], "need --detector"),
        (["paint", "--describer", "eye", "--prompts", "nowhere.json"], "cannot read the prompts"),
        (["paint", "--describer", "eye", "--each", "0"], "0 is not in the range"),
    ],
)
def test_bad_input_is_one_line(maia: Callable[..., Any], arguments: list[str], expected: str) -> None:
    done = maia(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_option_that_the_help_names_exists() -> None:
    detector = pytest.importorskip("maia_detectors.detector")
    told = " ".join(getattr(option, "help", None) or "" for option in generator.params)
    named = re.findall(r"detector\.(\w+)=", told)
    assert [name in detector.TransformersDetector.Config.model_fields for name in named] == [True]
