"""Takes one reply from a person: a program, an answer, and the commands that help with both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import click

from maia_core.plugin import MaiaError, ReplyError, Task, one_line, parse_reply, recordable
from maia_human import programs
from maia_human.terminal import Terminal
from maia_runs import replies

HELP = """\
Type or paste Python and end it with a line that holds a single "." (or with Ctrl-D). Plain lines may use `system` and
`tools`; the names that they bind are there in the next experiment, and the value of a last expression is shown. A whole
function run_experiment(system, tools) works too, and so does a reply with tags, as the task describes it.

  hypothesis TEXT   note what the next experiment tests; as often as you like
  edit              write in your editor ($VISUAL or $EDITOR); begins with what you typed last
  api               print the library: Image, System, Tools
  images            list the files of the images again
  answer            give the final answer; you are asked for each part
  help              this text

Ctrl-C and the end of the input end the run; `maia run --resume RUN` resumes it.\
"""

TEMPLATE = """\
# Save and close to run this; close without saving to go back.
def run_experiment(system, tools):
    activations, images = tools.dataset_exemplars(system)
    tools.log_experiment(activations, images, [image.title for image in images])
"""


class ReplyPrompt:
    """Asks a person for replies.

    Args:
        terminal: Where the person sits.
        task: What is asked: the tags of its answer, and whether an answer is one.
        library: The text that `api` prints.
        images: Lists the files of the images.
    """

    def __init__(self, terminal: Terminal, task: Task, library: str, images: Callable[[], str]) -> None:
        self._terminal = terminal
        self._task = task
        self._hypotheses: list[str] = []
        self._draft = ""
        self._commands: dict[str, Callable[[], str | None]] = {
            "help": lambda: terminal.say(HELP),
            "api": lambda: terminal.say(library),
            "images": lambda: terminal.say(images()),
            "edit": self._edit,
            "answer": self._answer,
        }
        marks = "|".join(["CODE", "HYPOTHESIS", *map(re.escape, task.tags)])
        self._tagged = re.compile(rf"^[ \t>#*_+-]*\[(?:{marks})\b|^[ \t]*(?:```|~~~)", re.MULTILINE | re.IGNORECASE)

    def reply(self, final: bool = False) -> str:
        """Asks until there is a well-formed reply, and returns it.

        Args:
            final: No program is taken any more.

        Raises:
            EOFError: the input has ended.
            KeyboardInterrupt: the person wants to stop.
        """
        self._final = final
        warned = False
        while True:
            try:
                found = self._entry()
                warned = False
            except EOFError:
                if warned or not self._terminal.interactive:
                    raise
                warned = True
                self._terminal.say("\nNothing was typed. Ctrl-D once more leaves the run; you can resume it later.")
                continue
            if found:
                return recordable(found)

    def _entry(self) -> str | None:
        """Reads one entry, and returns the reply that it makes, if it makes one."""
        lines: list[str] = []
        while True:
            try:
                line = self._terminal.read("" if lines else "> ")
            except EOFError:
                if not lines:
                    raise
                break
            if line.strip() == ".":
                break
            if not lines:
                command, _, rest = line.strip().partition(" ")
                if not command:
                    continue
                if command.lower() in self._commands and not rest:
                    return self._commands[command.lower()]()
                if command.lower().rstrip(":") == "hypothesis" and rest.strip():
                    self._hypotheses.append(rest.strip())
                    continue
            lines.append(line)
        return self._take("\n".join(lines)) if lines else None

    def _take(self, text: str) -> str | None:
        """Returns the reply that a text makes; None, and says why, if it makes none. The text is kept for `edit`."""
        self._draft = text
        try:
            reply = self._tagged_reply(text) if self._tagged.search(text) else self._plain_reply(text)
        except MaiaError as error:
            hint = "\nYour text is kept: `edit` opens it." if self._terminal.interactive else ""
            self._terminal.say(f"Not sent: {one_line(error)}{hint}")
            return None
        self._draft = ""
        self._hypotheses.clear()
        return reply

    def _tagged_reply(self, text: str) -> str:
        parsed = parse_reply(text, self._task.tags)
        if parsed.note:
            raise ReplyError("this holds both a program and an answer, or a second program; send the first one alone")
        if not parsed.program:
            self._task.parse(parsed.sections)
            return text
        self._refuse_if_final()
        programs.checked(parsed.program)
        if not self._hypotheses:
            return text
        return replies.program_reply(parsed.program, [*parsed.hypotheses, *self._hypotheses])

    def _plain_reply(self, text: str) -> str:
        program = programs.as_program(text)
        if not programs.calls_something(text):
            raise ReplyError("this calls nothing, so it is not an experiment. `answer` takes your answer, `help` helps")
        self._refuse_if_final()
        return replies.program_reply(program, self._hypotheses)

    def _refuse_if_final(self) -> None:
        if self._final:
            raise ReplyError("the run takes no more programs; `answer` takes your answer")

    def _edit(self) -> str | None:
        if not self._terminal.interactive:
            self._terminal.say("Not sent: `edit` needs a terminal.")
            return None
        try:
            text = click.edit(self._draft or TEMPLATE, extension=".py")
        except click.ClickException as error:
            self._terminal.say(f"{error.message}; set $VISUAL or $EDITOR to your editor")
            return None
        if text is None or not text.strip():
            self._terminal.say("Nothing was saved, so nothing is sent.")
            return None
        self._terminal.say(text.rstrip())
        return self._take(text)

    def _answer(self) -> str | None:
        first = self._task.tags[0]
        sections: dict[str, Sequence[str]] = {}
        for tag in self._task.tags:
            several = "end with an empty line" if tag == first else "one a line, end with an empty line"
            self._terminal.say(f"{tag} ({several}):")
            lines = self._lines()
            sections[tag] = [" ".join(lines)] if tag == first else lines
        if not any(map(any, sections.values())):
            self._terminal.say("No answer was given.")
            return None
        return self._take(self._answer_text(sections))

    def _answer_text(self, sections: Mapping[str, Sequence[str]]) -> str:
        return replies.answer_reply(sections, self._hypotheses)

    def _lines(self) -> list[str]:
        lines: list[str] = []
        while True:
            try:
                line = self._terminal.read("  ").strip()
            except EOFError:
                return lines
            if line in ("", "."):
                return lines
            lines.append(line)
