"""The schema of a record: the manifest of a run, and the events of its journal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from maia_core.image import Data, Image
from maia_core.types import Execution, Exemplar, Explanation, Logged, Message, Part, Reply, UnitInfo, Usage, Verdict

FORMAT = 2
"""Format of the records that this version writes."""


class Manifest(Data):
    """What a run is made from: enough to make it again."""

    format: int = FORMAT
    id: str
    created: float
    """Seconds since the epoch."""
    config: dict[str, JsonValue]
    seed: int
    system: UnitInfo
    versions: dict[str, str]
    """Distribution to version, of Python, the core and every plugin's distribution."""
    fingerprints: dict[str, str] = Field(default_factory=dict)
    """Part of the run to its fingerprint."""
    signature: str = ""
    """Shows that `config` was written on this machine, see `maia_runs.signature`."""


class MessageAdded(Data):
    """A system or user message joined the conversation."""

    event: Literal["message"] = "message"
    message: Message


class Asked(Data):
    """The backbone is asked for a reply: what of the conversation it is sent, see `maia_core.context_policy`.

    Attributes:
        images: How many images are sent.
        tokens: About how many tokens, corrected by what the backbone reported of the call before.
        images_left_out: Which images of the conversation are not, by their number in it, from 0.
        messages_left_out: How many messages after the task are not.
        max_images: Most images that the policy and the backbone allow.
        max_tokens: Most tokens; None where no limit is known.
        image_tokens: What one image was taken to count.
        because: Why it is asked again with less; empty at first.
    """

    event: Literal["asked"] = "asked"
    turn: int
    images: int = 0
    tokens: int = 0
    images_left_out: tuple[int, ...] = ()
    messages_left_out: int = 0
    max_images: int
    max_tokens: int | None = None
    image_tokens: int = 0
    because: str = ""


class Replied(Data):
    """The backbone answered.

    Attributes:
        turn: Which turn this begins.
        reply: What it said, and what it used.
        seconds: How long it took, without the time that it waited for a service that refused calls.
        engines: What engines used meanwhile, such as the describer of a backbone that sees no images.
    """

    event: Literal["reply"] = "reply"
    turn: int
    reply: Reply
    seconds: float = 0.0
    engines: Usage = Usage()


class ProgramStarted(Data):
    """A program was taken to the sandbox."""

    event: Literal["program"] = "program"
    turn: int
    program: str
    hypotheses: tuple[str, ...] = ()


class Effects(BaseModel):
    """What a call does to the run beside returning a result: filled during the call, then applied to the run once.

    Attributes:
        shown: Texts and images for the backbone.
        logged: Measured conditions.
        kept: Exemplars that stay in the conversation the longest, the most important first.
        facts: What is now known about the unit, by name, see `maia_core.protocols.RunContext.facts`.
        generated: How many images were generated or edited.
        usage: Tokens and money that engines used, such as a describer that is a paid service.
    """

    model_config = ConfigDict(extra="forbid")

    shown: list[Part] = Field(default_factory=list)
    logged: list[Logged] = Field(default_factory=list)
    kept: list[Exemplar] = Field(default_factory=list)
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    generated: int = 0
    usage: Usage = Usage()

    def discard(self) -> None:
        """Forgets the effects of a call that failed; what it has used still counts."""
        self.shown, self.logged, self.kept, self.facts = [], [], [], {}

    def add(self, other: Effects) -> None:
        """Adds later effects to these."""
        self.shown += other.shown
        self.logged += other.logged
        self.kept = other.kept or self.kept
        self.facts |= other.facts
        self.generated += other.generated
        self.usage += other.usage


NOTHING: JsonValue = {"args": [], "kwargs": {}}
"""Stands for arguments that are not recorded."""


class HostCall(Data):
    """A program called `system` or a tool.

    Attributes:
        order: Number of the call in its turn, from 0.
        method: Such as `tools.text2image`.
        arguments_hash: Content hash of the arguments: a replay that differs is noticed.
        arguments: The arguments, images by reference.
        result: What came back, images by reference.
        error: The error message that the program received instead of a result.
        effects: What the call did to the run beside returning a result.
        images: The handles behind the references in `arguments` and `result`; not written, their pixels are.
        seconds: How long it took.
    """

    event: Literal["call"] = "call"
    turn: int
    order: int
    method: str
    arguments_hash: str
    arguments: JsonValue = None
    result: JsonValue = None
    error: str = ""
    effects: Effects = Field(default_factory=Effects)
    seconds: float = 0.0
    images: tuple[Image, ...] = Field(default=(), exclude=True, repr=False)


class Executed(Data):
    """A program has ended."""

    event: Literal["execution"] = "execution"
    turn: int
    execution: Execution


class Verified(Data):
    """An answer was tested on fresh inputs."""

    event: Literal["verified"] = "verified"
    turn: int
    verdict: Verdict
    usage: Usage = Usage()
    seconds: float = 0.0


class Noted(Data):
    """A line that a reader must know: skipped files, a failing observer, a fallback."""

    event: Literal["note"] = "note"
    text: str


Status = Literal["answered", "stopped", "failed", "interrupted"]


class RunOutcome(Data):
    """How a run ended.

    Attributes:
        status: `answered`; `stopped` at a limit without an answer; `failed`; `interrupted` by the user.
        reason: Why, in one line; names the limit where one was reached.
        answer: The validated answer of the task.
        explanation: The answer in the common form.
        verdict: What fresh inputs say about it; None where it was not tested.
    """

    event: Literal["outcome"] = "outcome"
    status: Status
    reason: str = ""
    answer: dict[str, JsonValue] = Field(default_factory=dict)
    explanation: Explanation | None = None
    verdict: Verdict | None = None
    turns: int = 0
    usage: Usage = Usage()
    seconds: float = 0.0


Event = MessageAdded | Asked | Replied | ProgramStarted | HostCall | Executed | Verified | Noted | RunOutcome
EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])
