"""From messages to the text that a model was trained to continue: its chat template."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Literal, NamedTuple

from maia_core.plugin import BackboneError, UsageError, did_you_mean, one_line
from maia_llama_cpp.native import llama
from maia_vlm import bounded

VICUNA = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}ASSISTANT: {{ message.content }}{{ eos_token }}"
    "{% else %}{{ 'USER: ' if message.role == 'user' }}{{ message.content }} {% endif %}"
    "{% endfor %}ASSISTANT:"
)
"""What LLaVA 1.5 and 1.6 on Vicuna were trained with; their files mostly have no template."""

HANDLERS = {
    "llama-3-vision-alpha": "Llama3VisionAlphaChatHandler",
    "llava-1-5": "Llava15ChatHandler",
    "minicpm-v-2.6": "MiniCPMv26ChatHandler",
    "moondream2": "MoondreamChatHandler",
    "nanollava": "NanoLlavaChatHandler",
    "obsidian": "ObsidianChatHandler",
    "qwen2.5-vl": "Qwen25VLChatHandler",
}
"""Chat handlers of llama-cpp-python that bring a template, by the names that its server gives them."""

FORMATS = {
    "chatml": "format_chatml",
    "gemma": "format_gemma",
    "llama-2": "format_llama2",
    "llama-3": "format_llama3",
    "mistral-instruct": "format_mistral_instruct",
    "zephyr": "format_zephyr",
}
"""Chat formats of llama-cpp-python that are functions."""

NAMES = sorted({"auto", "vicuna", *HANDLERS, *FORMATS})
"""What the option `chat_format` takes."""

KEPT_PROMPTS = 32
"""Prompts that a template keeps: all images are described with the same one."""

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "user")
Formatter = Callable[..., Any]


class Turn(NamedTuple):
    """One message as text; pictures are markers in it."""

    role: Role
    text: str


class Rendered(NamedTuple):
    """A prompt, and the texts that end its reply."""

    prompt: str
    stops: list[str]


PROBE = [Turn(role, f"maia-probe-{number}") for number, role in enumerate(ROLES)]
"""A conversation that a template must give back whole."""


class Template:
    """Turns messages into a prompt.

    How a template takes its messages (texts as strings or as lists of parts, a system message or none) is found out by
    trying. All parts of a message are given as one text, so that pictures keep their places among the words.

    Attributes:
        system_role: Whether it has a place for a system message; where not, it goes before the first user message.
        stops: Texts that end a reply.
    """

    def __init__(self, formatter: Formatter, name: str, default_system: str = "") -> None:
        """Tries out a formatter.

        Args:
            formatter: Called with `messages=`, returns a `llama_cpp.llama_chat_format.ChatFormatterResponse`.
            name: What it is called, for messages.
            default_system: System message of conversations that have none.

        Raises:
            UsageError: the formatter loses messages, however they are given.
        """
        self._name, self._default_system = name, default_system

        @lru_cache(KEPT_PROMPTS)  # Each takes a new process.
        def prompt(messages: str) -> Rendered:
            return Rendered(*bounded(lambda: _parts(formatter(messages=json.loads(messages)))))

        self._prompt = prompt
        # Lists before strings: a template may turn a list into a string without complaint, which is seen, or a string
        # into a list of characters.
        cause = ""
        for self.system_role, of_user, of_others in product((True, False), repeat=3):
            self._listed = {"user": of_user, "system": of_others, "assistant": of_others}
            try:
                stops = self._stops_if_it_works()
            except BackboneError as error:
                cause = cause or one_line(error)
                if isinstance(error.__cause__, TimeoutError):
                    break
            else:
                if stops is not None:
                    self.stops = stops
                    return
        raise UsageError(cause or f"{name} loses messages; set chat_format to one of {', '.join(NAMES)}")

    def render(self, turns: Sequence[Turn]) -> str:
        """Returns the prompt, ready for the assistant's reply.

        Raises:
            BackboneError: the template refuses the conversation.
        """
        return self._respond(list(turns)).prompt

    def _respond(self, turns: list[Turn]) -> Rendered:
        if self._default_system and not (turns and turns[0].role == "system"):
            turns = [Turn("system", self._default_system), *turns]
        if not self.system_role:
            turns = _without_system(turns)
        messages = [{"role": turn.role, "content": self._content(turn)} for turn in turns]
        try:
            return self._prompt(json.dumps(messages))
        except Exception as error:  # A template is a program: it may raise anything.
            raise BackboneError(
                f"{self._name} refuses the conversation: {one_line(error)}; set chat_format to another one"
            ) from error

    def _content(self, turn: Turn) -> str | list[dict[str, str]]:
        text = turn.text or " "  # Some formats take an empty text for no message at all.
        return [{"type": "text", "text": text}] if self._listed[turn.role] else text

    def _stops_if_it_works(self) -> tuple[str, ...] | None:
        """Returns the texts that end a reply; None if the template loses a message."""
        response = self._respond(PROBE)
        whole = all(response.prompt.count(turn.text) == 1 for turn in PROBE)
        if not whole or "'type'" in response.prompt:
            return None
        return tuple(filter(None, response.stops))


@lru_cache(8)  # A sweep makes a new backbone for every unit.
def choose_template(chat_format: str, own: str, *, bos: str, eos: str, sees: bool, option: str) -> Template:
    """Returns the template that an option chooses.

    Args:
        chat_format: One of `NAMES`.
        own: The chat template in the model's file; empty if there is none.
        bos: Text of the token that begins a text.
        eos: Text of the token that ends a text.
        sees: Whether the model has a projector.
        option: Which option it is, for messages.

    Raises:
        UsageError: there is no such format, or "auto" finds none, or the template does not work.
    """

    def jinja(source: str) -> Formatter:
        def formatter(**given: Any) -> Any:
            # Jinja computes the constants of a template when it reads it: that needs the limits, too, each time. What
            # fails within the limits is left for later, and without them it would not fail.
            return formats.Jinja2ChatFormatter(source, eos_token=eos, bos_token=bos)(**given)

        try:
            bounded(lambda: bool(formats.Jinja2ChatFormatter(source, eos_token=eos, bos_token=bos)))
        except Exception as error:  # A template from elsewhere may be broken, or nested without end.
            raise UsageError(f"{option}: cannot read the model's chat template: {one_line(error)}; set it") from error
        return formatter

    formats = llama().llama_chat_format
    if chat_format == "auto":
        if own:
            return Template(jinja(own), "the model's chat template")
        if not sees:
            raise UsageError(f"{option}: the model's file has no chat template; set it to one of {', '.join(NAMES)}")
        chat_format = "vicuna"
    name = f"the chat format '{chat_format}'"
    if chat_format == "vicuna":
        return Template(jinja(VICUNA), name)
    if chat_format in HANDLERS:
        handler = getattr(formats, HANDLERS[chat_format])
        return Template(jinja(_untrimmed(handler.CHAT_FORMAT)), name, handler.DEFAULT_SYSTEM_MESSAGE or "")
    if chat_format in FORMATS:
        return Template(getattr(formats, FORMATS[chat_format]), name)
    hint = did_you_mean(chat_format, NAMES) or f" There are {', '.join(NAMES)}."
    raise UsageError(f"{option}: there is no chat format '{chat_format}'.{hint}")


def _parts(response: Any) -> tuple[str, list[str]]:
    """Returns prompt and stops of a `llama_cpp.llama_chat_format.ChatFormatterResponse`."""
    stops = response.stop or []
    return str(response.prompt), [stops] if isinstance(stops, str) else list(stops)


def _untrimmed(source: str) -> str:
    """Saves the line ends of a template from `Jinja2ChatFormatter`, which drops one after a block and at the end."""
    return source.replace("%}\n", "%}\n\n") + ("\n" if source.endswith("\n") else "")


def _without_system(turns: list[Turn]) -> list[Turn]:
    """Puts the system message in front of the first user message."""
    if len(turns) > 1 and turns[0].role == "system":
        system, first, *turns = turns
        return [Turn("user", f"{system.text}\n\n{first.text}"), *turns]
    return [Turn("user", turn.text) if turn.role == "system" else turn for turn in turns]
