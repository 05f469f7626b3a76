"""The backbone: a person, at a terminal or in a notebook."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, TextIO

from maia_core.plugin import (
    OBJECTION,
    BackboneError,
    BackboneInfo,
    CallLimits,
    Message,
    ModelOption,
    PluginConfig,
    Reply,
    RunContext,
    SandboxError,
    asks_for_answer,
)
from maia_human.gallery import Gallery, Picture
from maia_human.handoff import HANDOFF, NOTEBOOK_ONLY
from maia_human.inline import GAP, Drawer, drawer
from maia_human.layout import blocks
from maia_human.page import write_page
from maia_human.reply_prompt import ReplyPrompt
from maia_human.terminal import Terminal

MAX_DRAWN = 24
"""Most images of one message that are drawn in the terminal; the page has all."""


class Human:
    """A person who sees what any backbone sees and writes the experiments."""

    class Config(PluginConfig):
        """Options of the human backbone."""

        person: str = ""
        """Who it is, for the record; a code such as P3 in a study."""
        pictures: Literal["auto", "off"] = "auto"
        """Whether images are drawn in the terminal, where it can show them; their files are listed in any case."""
        folder: Path | None = None
        """Where conversation.html and the images beside it are kept; a temporary folder that goes with the run if not
        set."""

    def __init__(
        self, config: Config, context: RunContext, *, source: TextIO | None = None, out: TextIO | None = None
    ) -> None:
        """Makes the backbone.

        Args:
            config: Its options.
            context: The run's parts; the task says what an answer is.
            source: Where the person's lines come from; standard input where it is None.
            out: Where text goes; standard error where it is None.

        Raises:
            SandboxError: this is the run of a notebook, and no notebook is here.
        """
        self.info = BackboneInfo(name="human", model=config.person or "human", timed=False)
        self._config = config
        self._context = context
        self._handoff = HANDOFF.get()
        if self._handoff is None and context.config.sandbox.name.partition("@")[0] == "notebook":
            raise SandboxError(NOTEBOOK_ONLY)
        self._terminal = Terminal(source, out)
        self._prompt: ReplyPrompt | None = None
        self._seen: list[Message] = []

    @staticmethod
    def models() -> list[ModelOption]:
        """See `maia_core.protocols.ListsModels`."""
        note = "you, in this terminal; in a notebook: from maia_human import study"
        return [ModelOption(info=BackboneInfo(name="human"), input_price=0.0, output_price=0.0, note=note)]

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        """See `maia_core.protocols.Backbone`. A person is not hurried: of `limits` nothing is used.

        Raises:
            BackboneError: the input has ended, or the images cannot be written.
            KeyboardInterrupt: the person wants to stop.
        """
        if self._handoff is not None:
            reply: Reply = self._handoff.offer("asking")
            return reply
        if messages[-1].text.startswith(OBJECTION):
            self._terminal.discard_typed()
        try:
            prompt = self._show(messages)
        except OSError as error:
            raise BackboneError(
                f"cannot write the images to {self._folder}: {error.strerror}; choose another folder with "
                "-o backbone.folder=FOLDER"
            ) from error
        try:
            text = prompt.reply(final=asks_for_answer(messages[-1]))
        except EOFError:
            raise BackboneError(f"the input has ended; resume with maia run --resume {self._run}") from None
        return Reply(text=text, model=self.info.model)

    @cached_property
    def _temporary(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="maia-human-")

    @property
    def _folder(self) -> Path:
        return self._config.folder or Path(self._temporary.name)

    @cached_property
    def _gallery(self) -> Gallery:
        self._folder.mkdir(parents=True, exist_ok=True)
        return Gallery(self._folder)

    @cached_property
    def _drawer(self) -> Drawer | None:
        return drawer() if self._config.pictures == "auto" and self._terminal.seen else None

    @property
    def _run(self) -> str:
        return str(self._context.images.folder.parent) if self._context.images else "RUN"

    def _show(self, messages: Sequence[Message]) -> ReplyPrompt:
        """Shows the new messages: at first the task, later the results since the last reply."""
        terminal = self._terminal
        terminal.clear_line()
        replied = max((place for place, message in enumerate(messages) if message.role == "assistant"), default=-1)
        # Old images may have left what is sent; a person keeps what was seen.
        self._seen += messages[max(replied, 0) :] if self._seen else messages
        page = self._gallery.folder / "conversation.html"
        write_page(page, self._seen, self._gallery)
        if self._prompt is None:
            system = [message for message in messages if message.role == "system"]
            library = "\n".join(message.text for message in system)
            self._prompt = ReplyPrompt(terminal, self._context.part("task"), library, self._files)
            self._welcome(messages, page)
            replied = max(replied, len(system))
        for message in messages[replied + 1 :]:
            terminal.heading("results")
            self._show_parts(message)
        terminal.heading(
            'your turn: Python, then a line with "."; or: answer, hypothesis TEXT, edit, api, images, help'
        )
        return self._prompt

    def _welcome(self, messages: Sequence[Message], page: Path) -> None:
        terminal = self._terminal
        terminal.heading("the task")
        task = next((message for message in messages if message.role == "user"), None)
        if task is not None:
            self._show_parts(task)
        allowed = self._context.config.limits
        terminal.heading("how to work")
        terminal.say(
            "You need not write the form above: type Python that uses `system` and `tools`, or `answer`.\n"
            f"You have {allowed.turns} turns (limits.turns); then you are asked for your answer. Take your time: only "
            f"experiments count, {allowed.seconds / 60:.0f} minutes together (limits.seconds).\n"
            f"This conversation, with its images: {page}"
        )
        earlier = sum(message.role == "assistant" for message in messages)
        if earlier:
            terminal.say(f"What came before ({earlier} turn{'s' * (earlier != 1)}) is in it.")

    def _show_parts(self, message: Message) -> None:
        for block in blocks(message.parts):
            if isinstance(block, str):
                self._terminal.say(block)
                continue
            pictures = self._gallery.add(figure.image for figure in block)
            for figure, picture in zip(block, pictures, strict=True):
                self._terminal.say(_listed(picture, figure.caption))
            self._draw(pictures[:MAX_DRAWN])

    def _draw(self, pictures: Sequence[Picture]) -> None:
        if self._drawer is None:
            return
        wide = self._drawer.columns + GAP
        count = max(1, (_columns() + GAP) // wide)
        for start in range(0, len(pictures), count):
            row = pictures[start : start + count]
            self._terminal.write("".join(f"[{picture.number}]".ljust(wide) for picture in row).rstrip())
            self._terminal.write(self._drawer.row([picture.image.pil() for picture in row]), end="")

    def _files(self) -> str:
        lines = [_listed(picture, picture.image.title) for picture in self._gallery.pictures]
        return "\n".join(lines) or "There are no images yet."


def _listed(picture: Picture, caption: str) -> str:
    return "  ".join(filter(None, [f"[{picture.number}]", caption.strip(), str(picture.path)]))


def _columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns
