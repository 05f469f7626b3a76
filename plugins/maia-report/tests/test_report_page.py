"""The page of an honest run: what it shows, that it stands alone, that it stays small."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.config import ContextPolicy
from maia_core.context import Context
from maia_core.errors import ContextTooLong
from maia_core.events import Effects, Manifest
from maia_core.image import MASK_DARKENING, Image
from maia_core.record import RunReader
from maia_core.testing import FAKE_RUN
from maia_core.types import Check, Explanation, UnitInfo, Verdict
from maia_report import write_report
from maia_report.conditions import EXEMPLARS
from maia_report.page import render, render_run
from maia_report.pictures import Gallery
from maia_report.summary import RunSummary


@pytest.fixture(scope="module")
def html(whole_run: Path) -> str:
    return render_run(whole_run)


def test_everything_of_a_run_is_on_its_page(html: str, parse: Callable[[str], Any]) -> None:
    page = parse(html)
    for text in (
        "discs:colours:red",  # the unit
        "red things", "red discs", "Red surfaces of any shape.", "Answered",  # the answer
        "2 images of discs cannot be read and were skipped: a.png, b.png",  # a note
        "The exemplars are all red, so I vary the colour.",  # a remark
        "the unit responds to discs of any colour",  # a hypothesis
        "dataset_exemplars(system)",  # a call
        "a green disc on grey", "three colours, one shape", "what the clean image looks like",  # an experiment
        "summary:", "highest",  # what was printed, what was returned
        "text2image", "prompts",  # a failed program
        "I think that the unit is about red things", "holds neither a program nor an answer",  # a malformed reply
        "I wonder.", "script-1",  # reasoning, the backbone's model
        "You are a scientist", "Describe the visual concept",  # the prompt
        "maia-core", "0.1.0", "3.11.2", "d1", "limits.turns",  # versions, fingerprints, configuration
        "6,750 of 1,000,000", "$0.02 of $10.00",  # tokens, cost, and what was allowed
    ):  # fmt: skip
        assert text in page.text, text
    assert "secret-file" not in html
    assert [a["id"] for a in page.of_class("step")] == [f"turn-{n}" for n in range(1, 6)]


def test_the_answer_and_the_evidence_come_first(html: str) -> None:
    places = [
        html.index(mark) for mark in ("<h1>", 'id="evidence"', 'id="experiments"', 'id="prompt"', 'id="made-from"')
    ]
    assert places == sorted(places)


def test_the_page_is_well_formed_and_names_are_unique(html: str, parse: Callable[[str], Any]) -> None:
    page = parse(html)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert (page.misnested, page.open) == ([], [])
    assert len(ids) == len(set(ids))
    targets = [a["href"].removeprefix("#") for a in page.named("a")]
    assert set(targets) <= set(ids)


def test_nothing_is_loaded_from_elsewhere(html: str, parse: Callable[[str], Any]) -> None:
    page = parse(html)
    for tag, attributes in page.elements:
        assert tag not in ("img", "link", "iframe", "object", "embed", "base", "form", "image", "use")
        assert not {"src", "srcset", "style", "action"} & set(attributes)
        assert attributes.get("href", "#").startswith("#")
    style = "".join(page.by_element["style"])
    assert all(uri.startswith(("data:image/webp;", "data:image/png;")) for uri in re.findall(r"url\((.*?)\)", style))
    assert "@import" not in style
    assert "http" not in style.replace("data:", "")[:15000]


def test_the_policy_admits_only_the_pages_own_script_and_style(html: str, parse: Callable[[str], Any]) -> None:
    page = parse(html)
    policy = next(m["content"] for m in page.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = "".join(page.by_element[tag])
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
        assert len(page.named(tag)) == 1


def test_a_phone_lays_the_page_out_at_its_own_width(html: str, parse: Callable[[str], Any]) -> None:
    viewport = next(m["content"] for m in parse(html).named("meta") if m.get("name") == "viewport")
    assert viewport == "width=device-width, initial-scale=1"
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_every_image_is_embedded_once_and_masked_as_the_backbone_saw_it(whole_run: Path, html: str) -> None:
    uris = re.findall(r"url\((data:image/(?:webp|png);base64,[^)]+)\)", html)
    clean = [uri for uri in uris if "webp" in uri]
    summary = RunSummary(RunReader(whole_run))
    assert len(clean) == len({(image.clean or image).id for image in summary.images()})

    image = next(image for image in summary.images() if image.clean)
    picture = Gallery([image])[image]
    rules = dict(re.findall(r"\.(\w+)\{background-image:url\(data:image/\w+;base64,([^)]+)\)", Gallery([image]).css))
    below, veil = (
        PILImage.open(io.BytesIO(base64.b64decode(rules[name]))) for name in (picture.css, picture.masks["dark"])
    )
    shown = PILImage.alpha_composite(below.convert("RGBA"), veil.convert("RGBA")).convert("RGB")
    difference = np.abs(np.asarray(shown).astype(int) - image.pixels())
    assert difference.mean() < 6  # WebP is not exact; a wrong or missing veil is far off
    assert np.asarray(veil.convert("RGBA"))[..., 3].max() == round(255 * (1 - MASK_DARKENING))


def test_replicates_make_one_condition_and_exemplars_another(whole_run: Path) -> None:
    conditions = RunSummary(RunReader(whole_run)).all_conditions
    found = {condition.title: len(condition.activations) for condition in conditions}
    assert found == {EXEMPLARS: 15, "a red disc on grey": 4, "a green disc on grey": 4, "a blue disc on grey": 3}
    assert [c.mean for c in conditions] == sorted((c.mean for c in conditions), reverse=True)


def test_the_same_image_logged_twice_is_no_second_replicate(
    make_run: Callable[..., Path], scripts: dict[str, str]
) -> None:
    folder = make_run(scripts["coloured"], scripts["coloured"], scripts["answer"])
    conditions = RunSummary(RunReader(folder)).all_conditions
    assert {c.title: len(c.activations) for c in conditions}["a red disc on grey"] == 4


def test_a_title_that_only_looks_like_an_exemplar_is_a_condition_of_its_own(
    make_run: Callable[..., Path], scripts: dict[str, str]
) -> None:
    program = (
        "[CODE]:\n```python\ndef run_experiment(system, tools):\n    a, i = system.neuron(tools.text2image(['red']))\n"
        "    tools.log_experiment(a, i, ['exemplar 1'])\n```"
    )
    conditions = RunSummary(RunReader(make_run(scripts["exemplars"], program, scripts["answer"]))).all_conditions
    assert {c.title: c.exemplars for c in conditions} == {EXEMPLARS: True, "exemplar 1": False}


def test_the_lines_of_the_plots_are_what_the_exemplar_tool_displayed(whole_run: Path, html: str) -> None:
    summary = RunSummary(RunReader(whole_run))
    assert summary.floor == min(activation for activation, _ in summary.exemplars)
    assert [q.percent for q in summary.quantiles] == ["50", "75", "90", "95", "99"]
    assert "99 % of the data set lie below" in html
    assert 'class="ref floor"' in html


def altered(run: Path, change: Callable[[float], float]) -> RunSummary:
    """A run's summary as if the unit had another activation on every image."""
    summary = RunSummary(RunReader(run))
    summary.exemplars = [(change(activation), image) for activation, image in summary.exemplars]
    summary.all_conditions = [
        replace(c, results=tuple(r.model_copy(update={"activation": change(r.activation)}) for r in c.results))
        for c in summary.all_conditions
    ]
    summary.floor = min(activation for activation, _ in summary.exemplars)
    summary.quantiles = [replace(q, activation=change(q.activation)) for q in summary.quantiles]
    return summary


def test_exemplars_that_do_not_activate_the_unit_stand_apart(whole_run: Path, parse: Callable[[str], Any]) -> None:
    summary = altered(whole_run, lambda activation: 0.0)
    # Nothing that was logged changes: the exemplars are a condition of their own.
    summary.exemplars = [(float(n < 5), image) for n, (_, image) in enumerate(summary.exemplars)]
    html = render(summary)
    text = " ".join(parse(html).text.split())
    assert "5 of the data set’s 15 highest images activate the unit" in text
    assert "None of 3 conditions activates the unit: the highest mean is 0.00." in text
    assert "reach the exemplars" not in text
    assert "lowest exemplar" not in text
    assert [html.count("<figure", at, html.index("</div>", at)) for at in _grids(html)] == [5, 10]


def test_a_unit_that_nothing_activates_is_called_so(whole_run: Path, parse: Callable[[str], Any]) -> None:
    html = render(altered(whole_run, lambda activation: 0.0))
    text = " ".join(parse(html).text.split())
    assert "No image of the data set activates the unit" in text
    assert "3 conditions tested, and nothing activated the unit: 0.00 on every image." in text
    assert "Highest is" not in text
    start, end = _grids(html)[0], html.index("</header>")
    assert set(re.findall(r'class="level" width="([^"]+)%"', html[start:end])) == {"0.0"}


def test_a_unit_that_most_images_activate_has_no_idle_exemplars(whole_run: Path) -> None:
    lowest = min(RunSummary(RunReader(whole_run)).measured)
    html = render(altered(whole_run, lambda activation: float(activation > lowest)))
    assert "grid idle" not in html
    assert "The data set’s 15 highest images" in html


def final(run: Path, to: Path, **changes: Any) -> Path:
    """Copies a run and changes its outcome; a change of a dictionary is added to it."""
    folder = shutil.copytree(run, to / "run")
    lines = (folder / "journal.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    for key, change in changes.items():
        last[key] = last[key] | change if isinstance(change, dict) and last.get(key) else change
    (folder / "journal.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    return folder


def test_a_list_of_flat_objects_is_a_table(whole_run: Path, tmp_path: Path, parse: Callable[[str], Any]) -> None:
    units: list[dict[str, Any]] = [{"unit": n, "evidence": f"<b>AUC</b> 0.{n}"} for n in range(300)]
    answer = {"units": [*units[:1], {"unit": 7, "note": "late"}, *units[2:]], "mixed": [{"a": [1]}, {"a": 2}]}
    page = parse(render_run(final(whole_run, tmp_path, answer=answer)))
    assert [*page.by_element["caption"]] == ["units"]
    assert len(page.of_class("records")) == 1
    assert all(text in page.text for text in ("evidence", "note", "late", "<b>AUC</b> 0.199", "… 100 more rows"))
    assert "<b>AUC</b> 0.200" not in page.text
    assert "[{a: [1]}, {a: 2}]" in page.text
    assert (page.misnested, page.open) == ([], [])


HELD = {"claim": "it holds", "passed": True, "effect": 0.9, "low": 0.8, "high": 1.0, "measure": "AUC", "required": 0.7}
FELL = {**HELD, "claim": "it falls", "passed": False}


@pytest.mark.parametrize(
    ("verdict", "says", "colour"),
    [
        (None, "Answered, not tested", "answered not-tested"),
        ({"passed": False, "measured": False, "summary": "No."}, "Answered, not confirmed", "answered not-confirmed"),
        (
            {"passed": False, "summary": "", "checks": [HELD, FELL, HELD]},
            "1 of 3 checks failed",
            "answered not-confirmed",
        ),
        ({"passed": True, "summary": "", "checks": [HELD]}, "Verified on fresh images", "answered"),
    ],
)
def test_only_an_answer_that_held_looks_confirmed(
    whole_run: Path, tmp_path: Path, parse: Callable[[str], Any], verdict: Any, says: str, colour: str
) -> None:
    page = parse(render_run(final(whole_run, tmp_path, verdict=verdict)))
    assert says in page.text
    assert page.of_class("status")[0]["class"] == f"status {colour}"
    assert bool(page.of_class("unconfirmed")) == (verdict is not None and not verdict["passed"])


def _grids(html: str) -> list[int]:
    return [found.start() for found in re.finditer('<div class="grid', html)]


def test_the_explanations_own_evidence_is_shown(whole_run: Path, tmp_path: Path, parse: Callable[[str], Any]) -> None:
    evidence = [{"condition": "held-out reds", "activations": [2.0, 2.5, 3.0], "expected": "high"}]
    folder = final(whole_run, tmp_path, explanation={"evidence": evidence}, answer={"verdict": "SELECTIVE"})
    text = parse(render_run(folder)).text
    assert "held-out reds" in text
    assert "expected high" in text
    assert "SELECTIVE" in text


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("interrupt", "Interrupted"),
        ("error", "Failed: the script has no reply left"),
        ("limit", "Stopped without an answer: the run's budget of 1 turns is used"),
        ("malformed", "Failed: 2 malformed replies in a row"),
    ],
)
def test_a_run_without_an_answer_says_how_it_ended(
    make_run: Callable[..., Path], scripts: dict[str, str], parse: Callable[[str], Any], ending: str, status: str
) -> None:
    replies: dict[str, Any] = {
        "interrupt": ([scripts["coloured"], KeyboardInterrupt()], {}),
        "error": ([scripts["coloured"]], {}),
        "limit": ([scripts["coloured"], scripts["malformed"]], {"limits": {"turns": 1}}),
        "malformed": ([scripts["malformed"]] * 2, {"limits": {"malformed": 2}}),
    }
    script, config = replies[ending]
    text = parse(render_run(make_run(*script, **config))).text
    assert status in " ".join(text.split())
    assert "No answer" in text


class Shares:
    """A verifier of ten checks, of which as many hold as it is told of a label; none passes."""

    def __init__(self, held: Mapping[str, int]) -> None:
        self._held = held

    def verify(self, explanation: Explanation, context: Context, attempt: int) -> Verdict:
        held = self._held[explanation.labels[0]]
        shares = {"effect": 0.5, "low": 0.4, "high": 0.6, "measure": "AUC", "required": 0.5}
        checks = [Check(claim=f"check {n}", passed=n < held, **shares) for n in range(10)]
        return Verdict(passed=False, checks=tuple(checks), summary=f"{explanation.labels[0]}: {held} of 10")


@pytest.mark.parametrize(
    ("replies", "limits", "kinds"),
    [
        ("AA", {}, ["sent back", "answer"]),
        ("ABA", {}, ["sent back", "sent back", "answer"]),
        ("BA", {"verifications": 2}, ["sent back", "answer"]),
        ("AB", {"verifications": 2}, ["answer", "dropped"]),
        ("BAB", {}, ["sent back", "answer", "dropped"]),
        ("ABC", {}, ["answer", "sent back", "dropped"]),
        ("A?", {"turns": 2}, ["answer", "malformed"]),
        ("?A", {}, ["malformed", "sent back"]),
    ],
)
def test_the_answer_that_the_run_kept_is_marked_not_the_last(
    make_run: Callable[..., Path], replies: str, limits: dict[str, int], kinds: list[str]
) -> None:
    labels = {"A": "red  things", "B": "red things or blue", "C": "things"}
    texts = [f"[DESCRIPTION]: {n}\n**[LABEL]:** {labels[r]}" if r != "?" else "Hm." for n, r in enumerate(replies)]
    shares = Shares({"red things": 6, "red things or blue": 5, "things": 1})
    folder = make_run(FAKE_RUN[1], *texts, verifier=shares, limits=limits)
    steps = RunSummary(RunReader(folder)).steps
    assert [step.kind for step in steps[1:]] == kinds
    html = render_run(folder)
    assert html.count(">final answer</b>") == kinds.count("answer")
    assert html.count(">answer not kept</b>") == kinds.count("dropped")


def test_a_killed_run_shows_what_it_got_to(whole_run: Path, tmp_path: Path, parse: Callable[[str], Any]) -> None:
    folder = shutil.copytree(whole_run, tmp_path / "run")
    journal = (folder / "journal.jsonl").read_bytes()
    cut = journal.index(b'"event": "call"') + 400
    (folder / "journal.jsonl").write_bytes(journal[:cut])
    page = parse(render_run(folder))
    assert "Not finished" in page.text
    assert "program cut off" in page.text
    assert len(page.of_class("step")) == 1


def test_a_run_that_goes_on_after_an_interruption_is_not_finished(
    make_run: Callable[..., Path], scripts: dict[str, str], tmp_path: Path, parse: Callable[[str], Any]
) -> None:
    folder = shutil.copytree(make_run(scripts["coloured"], KeyboardInterrupt()), tmp_path / "run")
    reply = {"event": "reply", "turn": 2, "reply": {"text": "One moment."}}
    with open(folder / "journal.jsonl", "a") as journal:
        journal.write(json.dumps(reply) + "\n")
    text = parse(render_run(folder)).text
    assert "Not finished" in text
    assert "Interrupted" not in text


def test_exemplars_that_no_program_logged_are_shown(
    make_run: Callable[..., Path], scripts: dict[str, str], parse: Callable[[str], Any]
) -> None:
    program = "[CODE]:\n```python\ndef run_experiment(system, tools):\n    tools.dataset_exemplars(system)\n```"
    page = parse(render_run(make_run(program, scripts["answer"])))
    assert len(page.of_class("pic")) == 15
    assert not page.of_class("missing")


def test_a_run_that_has_just_begun_has_a_page(whole_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole_run, tmp_path / "run")
    (folder / "journal.jsonl").write_bytes(b"")
    assert "has not replied yet" in render_run(folder)


def test_missing_and_broken_images_are_boxes_that_say_so(
    whole_run: Path, tmp_path: Path, parse: Callable[[str], Any]
) -> None:
    folder = shutil.copytree(whole_run, tmp_path / "run")
    files = sorted(path for path in (folder / "images").iterdir() if ".mask" not in path.name)
    files[0].unlink()
    files[1].write_bytes(b"no PNG at all")
    files[2].unlink()
    files[2].symlink_to("/etc/passwd")
    html = render_run(folder)
    assert parse(html).of_class("missing")
    assert "missing from the record" in html
    assert str(tmp_path) not in html


def test_page_says_what_the_backbone_was_not_sent(
    make_run: Callable[..., Path], scripts: dict[str, str], parse: Callable[[str], Any]
) -> None:
    too_long = ContextTooLong("the window of this model is 8,192 tokens")
    run = make_run(
        scripts["exemplars"],
        scripts["coloured"],
        too_long,
        scripts["answer"],
        context_policy=ContextPolicy(images=20, block=5),
    )
    text = parse(render_run(run)).text
    assert "images sent, " in text
    assert " left out" in text
    assert "turn 3 was asked again with less: the window of this model is 8,192 tokens" in text


def test_sections_of_observers_and_their_failures_are_shown_as_text(whole_run: Path) -> None:
    html = render(RunSummary(RunReader(whole_run)), [("Held-out <test>", "all & well")], ["an observer failed"])
    assert "Held-out &lt;test&gt;" in html
    assert "all &amp; well" in html
    assert "an observer failed" in html


class OneRun:
    """A stand-in for a reader of a large run, without writing a thousand files."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.effects = Effects()
        self.outcome = None
        self.manifest = Manifest(id="x", created=0.0, config={}, seed=0, system=UnitInfo(model="m"), versions={})

    def of_type(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.mark.slow
def test_thirty_turns_of_ten_photographs_stay_below_ten_megabytes() -> None:
    from maia_core.events import Effects, HostCall, ProgramStarted
    from maia_core.types import Logged

    rng = np.random.default_rng(0)
    events: list[Any] = []
    for turn in range(1, 31):
        logged = []
        for n in range(10):
            # Noise over a coarse pattern compresses worse than most photographs.
            coarse = rng.integers(0, 256, (14, 14, 3), np.uint8).repeat(16, 0).repeat(16, 1)
            image = Image.from_pixels((coarse // 2 + rng.integers(0, 24, coarse.shape)).astype(np.uint8))
            masked = image.masked(rng.random((224, 224)) > 0.5)
            logged.append(Logged(title=f"condition {n % 3}", activation=float(n), image=masked))
        events.append(ProgramStarted(turn=turn, program="def run_experiment(system, tools):\n    pass\n" * 40))
        events.append(HostCall(turn=turn, order=0, method="m", arguments_hash="", effects=Effects(logged=logged)))
    page = render(RunSummary(OneRun(events)))  # type: ignore[arg-type]
    assert len(page) < 10_000_000
    assert page.count("image/webp") == 300


def test_pictures_shrink_to_their_budget_and_say_when_they_are_left_out() -> None:
    rng = np.random.default_rng(0)
    images = [Image.from_pixels(rng.integers(0, 256, (96, 96, 3)).astype(np.uint8)) for _ in range(20)]
    for budget, shown in ((400_000, 20), (40_000, 20), (300, 0)):
        gallery = Gallery(images, budget)
        assert sum(bool(gallery[image].css) for image in images) == shown
        assert sum(map(len, re.findall(r"url\((.*?)\)", gallery.css))) <= budget
    assert "left out" in gallery[images[0]].problem


def test_of_too_many_or_too_large_pictures_the_rest_is_not_even_read() -> None:
    """A small folder may hold pictures that take minutes and gigabytes to decode."""
    read: list[int] = []

    def pixels() -> NDArray[np.uint8]:
        read.append(1)
        return np.zeros((4, 4, 3), np.uint8)

    def pictures(count: int, side: int) -> list[Image]:
        return [Image(id=f"{n:032x}", width=side, height=side).bind(pixels) for n in range(count)]

    for images, most in ((pictures(1500, 4), 1000), (pictures(40, 4096), 16)):
        read.clear()
        gallery = Gallery(images)
        assert len(read) == most
        assert "left out" in gallery[images[-1]].problem
    read.clear()
    Gallery(images, budget=300)
    assert not read, "the budget is too small for any"


def test_the_page_replaces_a_link_and_never_follows_it(whole_run: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = shutil.copytree(whole_run, tmp_path / "run")
    (folder / "report.html").symlink_to(victim)
    assert write_report(folder) == folder / "report.html"
    assert victim.read_text() == "precious"
    assert not (folder / "report.html").is_symlink()
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_strengths_stand_as_bars_strongest_first(make_run: Callable[..., Path], parse: Callable[[str], Any]) -> None:
    html = render_run(
        make_run(FAKE_RUN[1], "[DESCRIPTION]: Red. More.\n[LABEL 1]: blue (35 %)\n[LABEL 2]: red things (main)")
    )
    listed = html.split('<ul class="strengths"')[1].split("</ul>")[0]
    assert listed.index("red things") < listed.index("blue")
    assert [part.split('"')[0] for part in listed.split('class="level" width="')[1:]] == ["100.0%", "35.0%"]
    assert "strengths" not in parse(html).text, "the bars say it, not a row of the answer"
    assert '<ul class="strengths"' not in render_run(make_run(FAKE_RUN[1], "[DESCRIPTION]: Red.\n[LABEL]: red"))
