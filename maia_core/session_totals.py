"""The state of a run, and what it has used so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from maia_core.budget import Budget
from maia_core.config import Limits
from maia_core.context import Context
from maia_core.events import RunOutcome, Status
from maia_core.protocols import Task
from maia_core.types import Turn, Usage
from maia_core.verification import Verification


@dataclass
class SessionState:
    """The state of a run, derived from its events alone."""

    turns: list[Turn] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    """Time of the replies and the experiments."""
    experiments: int = 0
    mistakes: int = 0
    """Malformed replies in a row."""
    unsupported: int = 0
    """Answers before the first successful experiment."""
    final: bool = False
    """True once the final answer was requested: no more programs run."""
    answer: BaseModel | None = None


class SessionTotals:
    """The sums of a session, which observers and the loop read.

    Attributes:
        context: The parts of the run.
        task: The question.
        state: The state of the run.
        limits: The limits of the run.
    """

    context: Context
    task: Task
    state: SessionState
    limits: Limits
    _verification: Verification | None

    @property
    def folder(self) -> Path | None:
        """The run folder; None for a run that is not recorded."""
        return self.context.images.folder.parent if self.context.images else None

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns so far."""
        return self.state.turns

    @property
    def measured(self) -> bool:
        """Whether an experiment has succeeded: a program called the unit or a tool, and ended without an error."""
        return any(t.execution and t.execution.host_calls and not t.execution.error for t in self.state.turns)

    @property
    def usage(self) -> Usage:
        """What the backbone and the engines have used."""
        return self.state.usage + self.context.spent

    @property
    def seconds(self) -> float:
        """Time of the replies, the experiments and the tests of answers."""
        return self.state.seconds + (self._verification.seconds if self._verification else 0.0)

    def budget(self) -> Budget:
        """Returns what the run has used and may use, by the name of the limit."""
        state, limits, usage = self.state, self.limits, self.usage
        return Budget(
            turns=(len(state.turns), limits.turns),
            experiments=(state.experiments, limits.experiments),
            seconds=(self.seconds, limits.seconds),
            tokens=(usage.tokens, limits.tokens),
            cost=(usage.cost, limits.cost),
            images=(self.context.generated, limits.images),
        )

    def outcome(self, status: Status, reason: str = "") -> RunOutcome:
        """Returns the outcome of the run with this status."""
        answer = self.state.answer
        return RunOutcome(
            status=status,
            reason=reason,
            answer=answer.model_dump(mode="json") if answer else {},
            explanation=self.task.explanation(answer) if answer else None,
            verdict=self._verification.verdict_on(answer) if answer and self._verification else None,
            turns=len(self.state.turns),
            usage=self.usage,
            seconds=self.seconds,
        )
