"""Records that want to do harm: nothing of theirs is markup, and nothing of theirs stops the page."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maia_core.errors import RecordError
from maia_report.page import environment, render_run
from maia_report.text import brief, clean

EVIL = (
    "</style></script>\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
    "\x1b[31mred\x1b[0m\u202eevil\u2066\x00\x9b7m"
)
PROGRAM = f"""[HYPOTHESIS LIST]:
Hypothesis_1: <b onclick="x">{EVIL}
[CODE]:
```python
EVIL = {EVIL!r}
def run_experiment(system, tools):
    # </code></pre><script>alert(3)</script>
    activations, images = system.neuron(tools.text2image([EVIL, "red"]))
    print(EVIL)
    tools.log_experiment(activations, images, [EVIL, EVIL * 2000], [EVIL, EVIL])
    tools.display(EVIL, images[0])
    tools.text2image([EVIL, 1])
```
"""
ANSWER = f"[DESCRIPTION]: {EVIL}\n[LABEL 1]: {EVIL}\n[LABEL 2]: javascript:alert(4)\n"


@pytest.fixture(scope="module")
def evil_run(make_run: Callable[..., Path]) -> Path:
    return make_run(PROGRAM, EVIL, ANSWER, notes=(EVIL,), unit=EVIL, runs=EVIL)


def assert_harmless(html: str, parse: Callable[[str], Any]) -> None:
    page = parse(html)
    assert len(page.named("script")) == len(page.named("style")) == 1
    assert not page.named("img")
    assert (page.misnested, page.open) == ([], [])
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert attributes.get("href", "#").startswith("#")
    assert not set("\x00\x1b\x9b\u202e\u2066\u200f") & set(html)


def test_all_text_is_escaped_and_shown(evil_run: Path, parse: Callable[[str], Any]) -> None:
    html = render_run(evil_run)
    assert_harmless(html, parse)
    text = parse(html).text
    assert "<script>alert(1)</script>" in text  # shown for what it is
    assert "⟨U+202E⟩evil" in text
    assert "more characters" in text
    assert len(html) < 1_000_000


def test_no_expression_of_a_template_escapes_the_cleaning(parse: Callable[[str], Any]) -> None:
    html = environment().from_string("<p title='{{ text }}'>{{ text }}</p>").render(text=EVIL)
    assert [tag for tag, _ in parse(html).elements] == ["p"]
    assert not set("\x00\x1b\x9b\u202e\u2066") & set(html)


LEAVES: list[Any] = [
    EVIL,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    10**30,
    -1,
    0,
    None,
    [],
    {},
    [[[[]]]],
    "",
    "x" * 50_000,
]


@pytest.mark.slow
def test_whatever_a_journal_holds_gives_a_page_or_one_clear_error(
    evil_run: Path, tmp_path: Path, parse: Callable[[str], Any]
) -> None:
    lines = (evil_run / "journal.jsonl").read_text().splitlines()
    folder = shutil.copytree(evil_run, tmp_path / "run")
    rng = random.Random(0)
    pages = 0
    for _ in range(60):
        events = [json.loads(line) for line in lines]
        for _ in range(rng.randint(1, 3)):
            _change(rng, rng.choice(events))
        rng.random() < 0.3 and rng.shuffle(events)
        (folder / "journal.jsonl").write_text("\n".join(map(json.dumps, events)) + "\n")
        try:
            html = render_run(folder)
        except RecordError:
            continue
        pages += 1
        assert_harmless(html, parse)
    assert pages >= 15


def test_numbers_beyond_all_floats_are_shown_or_left_out(evil_run: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(evil_run, tmp_path / "run")
    manifest = json.loads((folder / "run.json").read_text())
    manifest["config"]["limits"] = dict.fromkeys(("turns", "experiments", "images", "cost", "tokens"), 10**400)
    (folder / "run.json").write_text(json.dumps(manifest))
    statistics = {"dataset": "d", "count": 1, "mean": 10**400, "std": 1.0, "quantiles": [1.0] * 9}
    facts = {"maia-standard.exemplar_floor": 10**400, "maia-standard.statistics": statistics}
    call = {"event": "call", "turn": 1, "order": 0, "method": "tools.dataset_exemplars", "arguments_hash": ""}
    with open(folder / "journal.jsonl", "a") as journal:
        journal.write(json.dumps(call | {"effects": {"facts": facts}}) + "\n")
    assert render_run(folder)


def _change(rng: random.Random, value: Any) -> None:
    """Replaces one leaf somewhere in a JSON value."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys) if keys else None
        if key is None:
            return
        child = value[key]
        if isinstance(child, dict | list) and child and rng.random() < 0.9:
            value = child
            continue
        if key != "event":
            value[key] = rng.choice(LEAVES)
        return


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", "link"),
        ("a\x00b\x07", "a␀b␇"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("line\r\nnext\rlast\tend", "line\nnext\nlast\tend"),
        ("\ud800", "\ufffd"),
        ("Zürich 日本 🐈", "Zürich 日本 🐈"),
    ],
)
def test_text_is_cleaned_but_kept_readable(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(clean(text)) == shown


def test_long_text_says_how_much_is_missing() -> None:
    assert clean("x" * 30, 10) == "x" * 10 + "… 20 more characters"
    assert len(brief(["x" * 10_000] * 10_000)) < 1000
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert "…" in brief(deep)
