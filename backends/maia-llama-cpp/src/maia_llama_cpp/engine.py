"""A loaded model that reads prompts and writes replies, shared by all users of the same files."""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maia_core.plugin import (
    BackboneError,
    CallLimits,
    ContextTooLong,
    MaiaError,
    Usage,
    UsageError,
    one_line,
)
from maia_llama_cpp.memory import Conversation, Memory
from maia_llama_cpp.native import LOG, complaint, llama
from maia_llama_cpp.projector import Projector
from maia_llama_cpp.prompt import Block, TextBlock, text_blocks
from maia_vlm import Picture

BATCH = 512
"""Tokens that a graphics processor reads at once."""

CPU_BATCH = 128
"""Tokens that a processor reads at once: no slower than more, and MAIA checks the time limit in between."""

REPLY_SHARE = 8
"""A conversation must leave this part of the window (one 8th) for the reply, or what the call may write if that is
less."""

READING_SHARE = 0.5
"""Reading may take this part of the time of a call. The next call resumes reading there, then has time to write."""

PIECE_BYTES = 512
"""Longest text of one token."""

LOOP_CHECK, LOOP_BYTES, LOOP_TIMES = 32, 120, 4
"""Every 32 tokens, a reply ends if its last 120 bytes stand in it four times: a small model may repeat a sentence."""


@dataclass(frozen=True)
class Files:
    """The values that decide about the weights: users with equal ones share a copy.

    Attributes:
        model: The GGUF file.
        projector: The projector's file, or None.
        context: Tokens of the window.
        gpu_layers: Layers on a graphics processor; negative: all.
        threads: Threads that compute.
        options: Where the options are set (`backbone`, `describer`), for messages.
    """

    model: Path
    projector: Path | None
    context: int
    gpu_layers: int
    threads: int
    options: str = field(compare=False)


def loop_start(raw: bytes | bytearray) -> int | None:
    """Returns where a reply first repeats itself if it does so to its end; None if it does not."""
    tail = bytes(raw[-LOOP_BYTES:])
    if len(tail) < LOOP_BYTES or raw.count(tail) < LOOP_TIMES:
        return None
    return raw.find(tail) + LOOP_BYTES


def _without_templates(base: Any) -> Any:
    """Returns `llama_cpp.Llama` that leaves the chat templates of a file unread.

    It would compile all of them, with no limit on their constants; MAIA compiles the one that it uses (`template`).
    """

    def keep(model: Any, found: dict[str, str]) -> None:
        model.known = {key: value for key, value in found.items() if not key.startswith("tokenizer.chat_template")}

    return type("Weights", (base,), {"metadata": property(lambda model: model.known, keep)})


@dataclass(frozen=True)
class Answer:
    """The reply of the model.

    Attributes:
        text: Decoded; invalid UTF-8 is replaced.
        stop: "end" where it stopped by itself, "length" where a limit stopped it.
        usage: Tokens, counted by the model.
    """

    text: str
    stop: Literal["end", "length"]
    usage: Usage


class Engine:
    """A loaded model. Safe to call from several threads: one is served at a time.

    Attributes:
        context: Tokens of the window.
        marker: What stands in a text where a picture belongs; empty for a model that sees none.
        bos: Text of the token that begins a text; empty if there is none.
        eos: Text of the token that ends a text; empty if there is none.
    """

    def __init__(self, files: Files) -> None:
        """Loads the weights.

        Raises:
            PluginError: llama-cpp-python is missing or broken.
            UsageError: a file cannot be loaded.
        """
        self._lib = lib = llama()
        self._lock = threading.RLock()
        self._closed = False
        self._projector: Projector | None = None
        self.context = files.context
        LOG.clear()
        try:
            self._model: Any = _without_templates(lib.Llama)(
                str(files.model),
                n_ctx=files.context,
                n_batch=BATCH,
                n_gpu_layers=files.gpu_layers,
                n_threads=files.threads,
                n_threads_batch=files.threads,
                verbose=False,
            )
        except Exception as error:
            why = complaint(one_line(error))
            raise UsageError(f"{files.options}.model: llama.cpp cannot load {files.model}: {why}") from error
        on_gpu = files.gpu_layers != 0 and bool(lib.llama_supports_gpu_offload())
        self._batch = BATCH if on_gpu else CPU_BATCH
        try:
            if files.projector is not None:
                self._projector = Projector(
                    str(files.projector),
                    self._model,
                    gpu=on_gpu,
                    threads=files.threads,
                    option=f"{files.options}.projector",
                )
        except BaseException:
            self._model.close()
            raise
        self._memory = Memory(self._model, self._projector)
        self.marker = self._projector.marker if self._projector else ""
        self._vocabulary = lib.llama_model_get_vocab(self._model.model)
        self.bos = self._special(lib.llama_vocab_bos(self._vocabulary))
        self.eos = self._special(lib.llama_vocab_eos(self._vocabulary))
        self._reserved = self._reserved_texts()

    def neutral(self, text: str) -> str:
        """Returns a text without anything that the model would take for a control token or a picture.

        Such as the end of a turn in what a program printed: a space is put in front of its last character.
        """
        return self._reserved.sub(lambda found: f"{found[0][:-1]} {found[0][-1]}", text)

    def count(self, text: str, pictures: Sequence[Picture] = ()) -> int:
        """Counts the tokens of a prompt."""
        with self._lock, self._prompt(text, pictures) as prompt:
            return sum(block.size for block in prompt)

    def answer(
        self,
        conversation: Conversation,
        text: str,
        pictures: Sequence[Picture],
        limits: CallLimits,
        *,
        temperature: float,
        stops: Sequence[str] = (),
        whole: Callable[[str], int | None] = lambda text: None,
    ) -> Answer:
        """Reads a prompt and writes what follows.

        Args:
            conversation: The conversation that the prompt is the next turn of.
            text: The whole prompt, with `marker` where a picture belongs.
            pictures: In their order.
            limits: Of tokens and time; the time while another thread is served does not count.
            temperature: Of the sampling; 0 takes the likeliest token.
            stops: Texts that end the reply, and do not belong to it.
            whole: Returns where a reply ends that is whole already; None for one that is not. Asked after each fence.

        Raises:
            ContextTooLong: the prompt leaves too little of the window.
            BackboneBusy: there was no time to read all of it; the next call resumes there.
            BackboneError: llama.cpp failed.
        """
        with self._lock:
            started = time.monotonic()
            try:
                with self._prompt(text, pictures) as prompt:
                    size = sum(block.size for block in prompt)
                    self._check_room(size, limits)
                    self._memory.turn_to(conversation)
                    known = self._memory.read(conversation, prompt, started + READING_SHARE * limits.seconds)
                    deadline = started + limits.seconds
                    stop, raw, count = self._write(prompt[-1], size, deadline, limits, temperature, stops, whole)
            except MaiaError:
                raise
            except (RuntimeError, ValueError, AssertionError) as error:
                self._memory.drop()
                conversation.blocks.clear()
                raise BackboneError(f"llama.cpp failed: {complaint(one_line(error))}") from error
            usage = Usage(input_tokens=size, output_tokens=count, cached_tokens=known)
            return Answer(raw.decode("utf-8", "replace"), stop, usage)

    def close(self) -> None:
        """Frees the weights. Closing twice is allowed; the engine cannot be used afterwards."""
        with self._lock:
            if self._projector:
                self._projector.close()
            self._model.close()
            self._memory.drop()
            self._closed = True

    # How it works inside.

    @contextmanager
    def _prompt(self, text: str, pictures: Sequence[Picture]) -> Iterator[list[Block]]:
        """Makes the blocks of a prompt; the last is text, which writing begins with."""
        if self._closed:
            raise BackboneError("the model was closed")
        LOG.clear()
        add_special = not (self.bos and text.startswith(self.bos))
        if self._projector and pictures:
            if text.endswith(self.marker):
                text += "\n"
            with self._projector.blocks(text, pictures, self._batch, add_special=add_special) as blocks:
                yield blocks
        else:
            data = text.encode("utf-8", "replace")
            yield list(text_blocks(self._model.tokenize(data, add_bos=add_special, special=True), self._batch))

    def _check_room(self, size: int, limits: CallLimits) -> None:
        room = min(limits.max_output_tokens, max(1, self.context // REPLY_SHARE))
        if size == 0:
            raise BackboneError("the conversation is empty")
        if size + room > self.context:
            raise ContextTooLong(
                f"the conversation takes {size} tokens and {room} must be left for the reply, but the window has "
                f"{self.context}; set context_tokens higher, or context_policy.images or context_policy.tokens lower"
            )

    def _write(
        self,
        last: Block,
        size: int,
        deadline: float,
        limits: CallLimits,
        temperature: float,
        stops: Sequence[str],
        whole: Callable[[str], int | None],
    ) -> tuple[Literal["end", "length"], bytes, int]:
        """Reads the last block and writes the reply; returns why it stopped, its bytes and how many tokens they are."""
        assert isinstance(last, TextBlock)
        room = min(limits.max_output_tokens, self.context - size)
        ends = [stop.encode() for stop in stops if stop]
        raw, count = bytearray(), 0
        self._model.set_seed(limits.seed & 0x7FFFFFFF)
        for token in self._model.generate(last.tokens, reset=False, temp=temperature, top_k=40, top_p=0.95, min_p=0.05):
            count += 1
            if self._lib.llama_vocab_is_eog(self._vocabulary, token):
                return "end", bytes(raw), count
            piece = self._piece(token)
            raw += piece
            for end in ends:
                place = raw.find(end, max(0, len(raw) - len(piece) - len(end)))
                if place >= 0:
                    return "end", bytes(raw[:place]), count
            text = raw.decode("utf-8", "replace") if b"`" in piece or b"~" in piece else ""
            if cut := whole(text):
                return "end", text[:cut].encode(), count
            if count >= room or time.monotonic() > deadline:
                break
            if count % LOOP_CHECK == 0 and (loop := loop_start(raw)):
                return "end", bytes(raw[:loop]), count
        return "length", bytes(raw), count

    def _piece(self, token: int) -> bytes:
        """Returns the text of a token; control tokens have none."""
        buffer = ctypes.create_string_buffer(PIECE_BYTES)
        length = self._lib.llama_token_to_piece(self._vocabulary, token, buffer, PIECE_BYTES, 0, False)
        return buffer.raw[: max(0, length)]

    def _special(self, token: int) -> str:
        return self._lib.llama_vocab_get_text(self._vocabulary, token).decode() if token >= 0 else ""

    def _reserved_texts(self) -> re.Pattern[str]:
        lib = self._lib
        tokens = range(lib.llama_vocab_n_tokens(self._vocabulary))
        texts = {self.marker, *(self._special(t) for t in tokens if lib.llama_vocab_is_control(self._vocabulary, t))}
        # Longest first: one may be the beginning of another.
        ordered = sorted(filter(None, texts), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, ordered)) or r"(?!)")
