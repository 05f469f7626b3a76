"""A describer of a file: the backbone's own where there is one, alike every time, with clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maia_core.errors import ToolError, UsageError
from maia_core.testing import COLOURS, disc
from maia_core.types import CallLimits, Message

pytestmark = pytest.mark.usefixtures("llama")


@pytest.mark.slow
def test_it_takes_over_the_backbones_files_and_weights(context: Callable[..., Any], llava: Any) -> None:
    options = {"name": "llama-cpp", "model": str(llava.model), "projector": str(llava.projector), "threads": 1}
    given = context(backbone=options | {"temperature": 1.0}, describer={"name": "llama-cpp", "answer_tokens": 8})
    describer, backbone = given.describer, given.part("backbone")
    assert describer._model._engine is backbone._model._engine
    assert len(describer.describe([disc("red"), disc("blue")])) == 2


@pytest.mark.slow
def test_it_does_not_disturb_the_backbones_conversation(
    backbone_of: Callable[..., Any], describer_of: Callable[..., Any], llava: Any
) -> None:
    made, other = backbone_of(llava), describer_of(llava)
    conversation = [Message.of("user", "words " * 80, disc("red"), "?")]
    limits = CallLimits(max_output_tokens=8, seed=1)
    first = made.complete(conversation, limits)
    other.describe([disc(colour) for colour in COLOURS])
    conversation += [Message.of("assistant", first.text), Message.of("user", "more")]
    assert made.complete(conversation, limits).usage.cached_tokens > 400


@pytest.mark.slow
def test_other_options_than_the_backbones_are_its_own(context: Callable[..., Any], families: Any) -> None:
    one, two = (
        {"name": "llama-cpp", "model": str(pair.model), "projector": str(pair.projector), "threads": 1}
        for pair in (families["llava"], families["qwen"])
    )
    given = context(backbone=one | {"context_tokens": 1024}, describer=two)
    assert given.describer._model.context == 8192
    same = context(backbone=one | {"context_tokens": 1024}, describer=one)
    assert same.describer._model.context == 1024, "the same file is loaded once, as the backbone has it"


@pytest.mark.slow
def test_fingerprint_follows_files_and_options(describer_of: Callable[..., Any], families: Any) -> None:
    prints = [
        describer_of(families["llava"]).fingerprint,
        describer_of(families["qwen"]).fingerprint,
        describer_of(families["llava"], answer_tokens=9).fingerprint,
        describer_of(families["llava"]).fingerprint,
    ]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3


def test_model_without_eyes_is_refused(context: Callable[..., Any], llava: Any) -> None:
    with pytest.raises(UsageError, match=r"set describer\.projector"):
        _ = context(describer={"name": "llama-cpp", "model": str(llava.model)}).describer
    with pytest.raises(UsageError, match=r"set backbone\.projector"):
        _ = context(backbone={"name": "llama-cpp", "model": str(llava.model)}, describer="llama-cpp").describer
    with pytest.raises(UsageError, match=r"-o describer\.model=FILE\.gguf"):
        _ = context(describer="llama-cpp").describer


@pytest.mark.slow
def test_more_images_than_fit_are_summed_up_from_descriptions(describer_of: Callable[..., Any], llava: Any) -> None:
    """Beyond what even that takes, the backbone is told to give fewer."""
    made = describer_of(llava, context_tokens=1024, answer_tokens=10)
    assert made._model.most_pictures == 30
    images = [disc("red", seed) for seed in range(40)]
    assert made.summarize(images[:20])
    with pytest.raises(ToolError, match="give it fewer"):
        made.summarize(images)
