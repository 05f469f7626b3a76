"""One unit under study by the person at this notebook or script."""

from __future__ import annotations

import math
import random
import statistics
import sys
import typing
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from maia_core.plugin import (
    Execution,
    ReplyError,
    RunOutcome,
    did_you_mean,
    one_line,
    parse_reply,
    render_api,
    system_methods,
)
from maia_human.cells import Block, Cells
from maia_human.finished import Finished
from maia_human.handoff import Handoff
from maia_human.proxies import Image, proxy
from maia_human.shown import Card, card, folded, paragraph
from maia_human.study_run import StudyError, StudyRun
from maia_runs import FinishedRun, replies
from maia_sandbox.texts import ToolError
from maia_sandbox.worker import TYPING

NAMES: dict[str, Any] = {
    **{name: getattr(typing, name) for name in TYPING},
    "Image": Image,
    "ToolError": ToolError,
    "np": np,
    "numpy": np,
    "math": math,
    "random": random,
    "statistics": statistics,
}
"""The names that a program finds defined in the sandbox; cells find them too, where the notebook has no such name."""


class Study(StudyRun):
    """One unit under study by you; make it with `study`.

    Attributes:
        system: The unit, as a program sees it.
        tools: The tools, as a program sees them.
        folder: The run folder.
        outcome: How the run ended; None while it runs.
    """

    def __init__(self, drive: Callable[[object], FinishedRun], handoff: Handoff | None = None) -> None:
        """Starts the run in a thread of its own, and waits until it asks for the first experiment.

        Args:
            drive: Drives the run to its end, with an observer.
            handoff: Holds the recorded turns of a run that is resumed.

        Raises:
            MaiaError: the run cannot begin.
        """
        handoff, self._resumed = handoff or Handoff(), handoff is not None
        try:
            super().__init__(drive, handoff)
            self._prepare()
        except BaseException:
            handoff.leave()
            raise

    @property
    def outcome(self) -> RunOutcome | None:
        """How the run ended; None while it runs."""
        return self._finished.outcome if self._finished else None

    @property
    def task(self) -> Card:
        """The task, as every backbone gets it."""
        text = self._session.conversation.messages[1].text
        return Card(paragraph(text), text)

    @property
    def api(self) -> Card:
        """The library: the methods of `system` and `tools`."""
        return Card(paragraph(self._library), self._library)

    @property
    def budget(self) -> dict[str, tuple[float, float]]:
        """What the run has used and may use, by the name of the limit."""
        return self._session.budget()

    def hypotheses(self, *texts: str) -> None:
        """Notes what the next experiment tests; they are part of the record."""
        self._hypotheses += texts

    def experiment(self) -> AbstractContextManager[None]:
        """Makes one experiment of a `with` block: what a script does instead of cells.

        with s.experiment():
            activations, images = tools.dataset_exemplars(system)
        """
        return self._following(Block(sys._getframe(1), self._ended, self._most_printed))

    def answer(self, **sections: str | list[str]) -> Finished:
        """Gives the final answer and ends the run.

        Args:
            **sections: The parts of the task's answer by their tags: `description="...", label=["...", "..."]`.

        Raises:
            StudyError: a part is missing, the answer failed its test, or the run has ended. Unless it has ended, the
                run continues, and you can answer again.
        """
        with self._lock:
            if self._handoff.settle() == "running":
                self._finish(self._open.so_far() if self._open else Execution())
            if self._handoff.settle() == "ended":
                raise self._why_it_ended()
            text = self._answer_text(sections)
            self._hypotheses.clear()
            if self._handoff.hand(self._reply(text)) != "ended":
                raise StudyError(self._why_sent_back())
            self._thread.join()
            if self._finished is None:
                raise self._why_it_ended()
            self._stop_following()
            return Finished(self._finished)

    def __repr__(self) -> str:
        state = self.outcome.status if self.outcome else f"turn {len(self._session.state.turns) + 1}"
        return f"<Study of {self._session.context.system.info.ref}: {state}; record in {self.folder}>"

    def _prepare(self) -> None:
        assert self._observer.session is not None  # It waits for a reply, so it has begun.
        session = self._session = self._observer.session
        context = session.context
        assert context.images is not None
        self.folder = context.images.folder.parent
        self._most_printed = context.config.experiment.output_chars
        tools = context.tools()
        self._library = render_api(context.system, tools)
        info = context.system.info.model_dump(mode="json")

        def read_info() -> dict[str, Any]:
            """The names of the unit: `info["model"]`, `info["layer"]`, `info["unit"]`."""
            return dict(info)

        methods = {name: getattr(context.system, name) for name in system_methods(context.system)}
        self.system = proxy("system", methods, self._ask, {"info": read_info})
        self.tools = proxy("tools", tools, self._ask)
        if self._shell is not None:
            for name, value in NAMES.items():
                self._shell.user_ns.setdefault(name, value)
            self._cells = Cells(self._shell, self, self._ended, self._most_printed)
            self._present(self._welcome())

    def _welcome(self) -> Card:
        how = (
            "Every cell that calls `system` or `tools` is one experiment; it is recorded with what it prints, shows "
            'and returns. Note what it tests with s.hypotheses("...") before it. End with '
            f"{self._answer_form}. `tools.text2image?` shows how a tool is called.\n"
        )
        if self._resumed:
            count = self._session.state.experiments
            how += (
                f"Resumed after {count} experiment{'s' * (count != 1)}: all results are kept (tools.results), but the "
                "variables of earlier cells are gone. Run the cells that define what you need.\n"
            )
        how += f"Record: {self.folder}"
        html = self.task._repr_html_() + folded("The library: Image, System, Tools", self._library) + paragraph(how)
        return Card(html, f"{self.task!r}\n{how}\n")

    def _why_sent_back(self) -> str:
        """Returns why an answer does not end the run; shows the verdict with its images, as a terminal does."""
        turn = self._observer.turn
        if turn is None or turn.verdict is None:
            return turn.mistake if turn else "MAIA did not take the answer; answer again"
        self._present(card(self._session.conversation.messages[-1].parts))
        return f"{turn.verdict.line.rstrip('.')}; continue your experiments, then answer again with {self._answer_form}"

    def _answer_text(self, sections: Mapping[str, str | list[str]]) -> str:
        fields, task = self._fields, self._session.task
        texts: dict[str, list[str]] = {}
        for name, value in sections.items():
            if name not in fields:
                hint = did_you_mean(name, fields) or f" Its parts: {', '.join(fields)}."
                raise StudyError(f"the answer has no part '{name}'.{hint}")
            several = list(value) if isinstance(value, list | tuple) else [value]
            if not all(isinstance(text, str) for text in several):
                raise StudyError(f"{name} must be a text or a list of texts")
            texts[fields[name]] = several
        try:
            text = replies.answer_reply(texts)
            task.parse(parse_reply(text, task.tags).sections)
        except ReplyError as mistake:
            raise StudyError(f"{one_line(mistake)} Here: {self._answer_form}") from None
        return replies.answer_reply(texts, self._hypotheses)
