"""What every `maia_core.protocols.Task` does."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from maia_core.errors import ReplyError
from maia_core.protocols import Task
from maia_core.replies import parse_reply
from maia_core.types import Explanation, UnitInfo


class TaskSuite:
    """Subclass it and return the task from the fixture `task`, and from `sections` a well-formed answer."""

    @pytest.fixture
    def task(self) -> Task:
        """The task under test."""
        raise NotImplementedError("override the fixture `task`: it returns the task under test")

    @pytest.fixture
    def sections(self) -> dict[str, list[str]]:
        """A well-formed answer: every tag of the task with its texts."""
        return {"DESCRIPTION": ["Red discs activate the unit."], "LABEL": ["red discs", "red things"]}

    @pytest.fixture
    def info(self) -> UnitInfo:
        """A unit to ask about."""
        return UnitInfo(model="discs", layer="colours", unit="red", note="a share, from 0 to 10")

    def test_prompt_asks_for_every_tag(self, task: Task, info: UnitInfo) -> None:
        prompt = task.prompt(info)
        missing = [tag for tag in task.tags if f"[{tag}" not in prompt]
        assert prompt.strip()
        assert not missing, f"the prompt does not say how to write {missing}"

    def test_any_unit_can_be_asked_about(self, task: Task) -> None:
        """A synthetic unit has no layer; a class name may hold braces, percent signs, anything."""
        for info in (UnitInfo(model="m"), UnitInfo(model="{m}", layer="100%s", unit="{0}", note="{x} %d")):
            assert task.prompt(info).strip()

    def test_same_unit_is_asked_about_in_the_same_words(self, task: Task, info: UnitInfo) -> None:
        assert task.prompt(info) == task.prompt(info)

    def test_tags_can_be_found_in_a_reply(self, task: Task, sections: dict[str, list[str]]) -> None:
        """A reply that is written as asked comes out as the answer that was meant."""
        lines = []
        for tag, texts in sections.items():
            lines += (
                [f"[{tag}]: {texts[0]}"] if len(texts) == 1 else [f"[{tag} {n}]: {t}" for n, t in enumerate(texts, 1)]
            )
        parsed = parse_reply("\n".join(lines), task.tags)
        assert {tag.upper() for tag in task.tags} == set(task.tags)
        assert parsed.sections == sections
        assert task.parse(parsed.sections) == task.parse(sections)

    def test_answer_is_its_model_and_survives_the_record(self, task: Task, sections: dict[str, list[str]]) -> None:
        assert issubclass(task.answer, BaseModel)
        answer = task.parse(sections)
        assert isinstance(answer, task.answer)
        assert task.answer.model_validate_json(answer.model_dump_json()) == answer

    def test_missing_section_is_named(self, task: Task, sections: dict[str, list[str]]) -> None:
        """The error tells the backbone which section it left out or empty."""
        for tag in task.tags:
            for incomplete in ({k: v for k, v in sections.items() if k != tag}, {**sections, tag: [""]}):
                with pytest.raises(ReplyError) as refused:
                    task.parse(incomplete)
                assert tag in str(refused.value)
        with pytest.raises(ReplyError):
            task.parse({})

    def test_parsing_leaves_the_sections_as_they_were(self, task: Task, sections: dict[str, list[str]]) -> None:
        before = {tag: list(texts) for tag, texts in sections.items()}
        task.parse(sections)
        assert sections == before

    def test_explanation_has_what_reports_compare(self, task: Task, sections: dict[str, list[str]]) -> None:
        explanation = task.explanation(task.parse(sections))
        assert isinstance(explanation, Explanation)
        assert explanation.description.strip()
        assert explanation.labels
        assert all(label.strip() for label in explanation.labels)
        assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation
