"""Nothing of the truth reaches a backbone, a program, an engine or an image: only the record's configuration has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from maia_core.agent import run
from maia_core.config import Limits, PluginRef, RunConfig
from maia_core.context import Context
from maia_core.events import Manifest
from maia_core.image import Image, content_id
from maia_core.journal import Journal
from maia_core.protocols import Describer, ImageEditor, ImageGenerator
from maia_core.record import RunReader, RunWriter
from maia_core.session import make_session
from maia_core.testing import FakeDescriber, FakeEditor, FakeGenerator, ScriptedBackbone, disc, fake_parts
from maia_synthetic.system import alias

TRUTH = ("zorbaq", "quuxle")

PROBE = """[HYPOTHESIS LIST]:
Hypothesis_1: a colour
[CODE]:
```python
def run_experiment(system, tools):
    activations, images = tools.dataset_exemplars(system)
    tools.log_experiment(activations, images, [i.title for i in images], tools.summarize_images(images))
    print(tools.describe_images(images[:3], ["a", "b", "c"]), [i.title for i in images])
    print([vars(i) if hasattr(i, "__dict__") else repr(i) for i in images])
    prompts = ["a red disc"] * 3 + ["a blue disc"] * 3 + ["a green disc"]
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
    tools.display(images[0], str(activations))
    edited, texts = tools.edit_images(["a red disc"], ["change the colour to blue"])
    print(system.neuron(edited), texts, tools.results)
    print(system.info, repr(system), dir(system), str(tools), dir(tools))
    for attempt in ("expression", "concepts", "detector", "fingerprint", "_context", "config"):
        try:
            print(getattr(system, attempt))
        except Exception as error:
            print(error)
    for arguments in ((1,), ("red",), ([None],), ()):
        try:
            system.neuron(*arguments)
        except Exception as error:
            print(error)
```"""
ANSWER = "[DESCRIPTION]: Discs that are red or blue.\n[LABEL 1]: red\n[LABEL 2]: blue"


class Listening:
    """Stands before an engine and keeps all that it is handed."""

    def __init__(self, engine: Any, heard: list[Any]) -> None:
        self._engine = engine
        self._heard = heard
        self.fingerprint = engine.fingerprint

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self._heard.append(arguments)
            return getattr(self._engine, name)(*arguments)

        return call


def texts(value: Any) -> str:
    """Returns everything that is written in a value: texts, titles, provenance."""
    if isinstance(value, Image):
        return json.dumps(value.model_dump(mode="json"))
    if isinstance(value, (list, tuple)):
        return " ".join(map(texts, value))
    return str(value)


@pytest.mark.parametrize("ref", ["zorbaq OR quuxle", "zorbaq | NOT quuxle", "NOT (zorbaq AND quuxle)"])
def test_truth_is_in_the_records_configuration_and_nowhere_else(ref: str, words: Any, tmp_path: Path) -> None:
    heard: list[Any] = []
    engines: dict[str, ImageGenerator | ImageEditor | Describer] = {
        "generator": FakeGenerator(), "editor": FakeEditor(), "describer": FakeDescriber(),
    }  # fmt: skip
    parts = fake_parts() | {kind: Listening(engine, heard) for kind, engine in engines.items()}
    del parts["system"], parts["detector"]
    # The answer fails its one test: what the record keeps of that is looked at too.
    limits = Limits(verifications=1)
    config = RunConfig(system=PluginRef(name=f"synthetic:{ref}", detector={"name": "words"}), limits=limits)
    context = Context(config, parts=parts | {"detector/words/[]": words}, cache=tmp_path / "cache")
    manifest = Manifest(
        id="run",
        created=0.0,
        config=config.model_dump(mode="json"),
        seed=0,
        system=context.system.info,
        versions={},
        fingerprints=context.fingerprints(),
    )
    writer = RunWriter.create(tmp_path / "run", manifest)
    context.images = writer.images
    backbone = ScriptedBackbone([PROBE, ANSWER])
    session = make_session(context, Journal(writer.append))
    try:
        outcome = run(session, backbone)
    finally:
        session.close()
        writer.close()
    assert outcome.status == "answered"

    reader = RunReader(tmp_path / "run")
    [executed] = [event for event in reader.events if event.event == "execution"]
    assert not executed.execution.error, executed.execution.error
    shown = " ".join(message.text for message in backbone.seen[-1])
    assert "a red disc" in shown
    assert "exemplar 1" in shown
    said = " ".join(texts(part) for messages in backbone.seen for message in messages for part in message.parts)
    journal = (tmp_path / "run" / "journal.jsonl").read_text()
    for word in TRUTH:
        assert word in json.dumps(reader.manifest.config)
        assert word not in reader.manifest.system.model_dump_json()
        assert word not in said
        assert word not in shown
        assert word not in texts(heard)
        assert word not in journal
    assert heard


def test_detector_that_fails_does_not_say_the_concept(words: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """A program sees that its call failed; what a library says of a concept stays in the record."""
    config = RunConfig(system=PluginRef(name="synthetic:zorbaq", detector={"name": "words"}))
    parts = fake_parts() | {"detector/words/[]": words}
    del parts["system"]
    context = Context(config, parts=parts, cache=tmp_path)
    session = make_session(context)
    monkeypatch.setattr(words, "detect", lambda images, text: 1 / 0 if text == "green" else int(text))
    try:
        program = "def run_experiment(system, tools):\n    system.neuron(tools.text2image(['a red disc']))"
        execution = session.execute(program)
    finally:
        session.close()
    assert "system.neuron failed (ValueError)" in execution.error
    assert "zorbaq" not in execution.model_dump_json()


def test_an_alias_is_never_a_plain_hash(tmp_path: Path) -> None:
    """A cache that keeps no key must not let a program try every likely name."""
    (tmp_path / "file").write_text("")
    named = alias("tiger", tmp_path / "file")
    assert named == alias("tiger", tmp_path / "file")
    aliases = [alias("tiger", tmp_path / f"cache-{n}") for n in range(3)]
    assert len({named, content_id(b"", b"tiger")[:4], *aliases}) == 5


def test_a_call_searches_as_often_whatever_the_truth(over_discs, words) -> None:
    counts = []
    for ref in ("red", "red OR blue", "red | blue", "red OR blue OR green OR yellow"):
        system = over_discs(ref)
        words.asked.clear()
        system.neuron([disc("red", 1), disc("blue", 2)])
        counts.append(len(words.asked))
    assert counts == [counts[0]] * 4


def test_a_concept_is_the_mean_over_its_boxes_or_the_highest(over_discs) -> None:
    from types import SimpleNamespace

    from maia_synthetic.exemplars import score_of

    boxes = [SimpleNamespace(score=0.9), SimpleNamespace(score=0.5)]
    assert (score_of(boxes, "mean"), score_of(boxes, "max"), score_of([], "mean")) == (0.7, 0.9, 0.0)
    assert over_discs("red").fingerprint != over_discs("red", score="max").fingerprint
