"""The model's memory of conversations: it reads only the new part of each turn."""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from maia_core.plugin import BackboneBusy
from maia_llama_cpp.native import llama
from maia_llama_cpp.projector import Projector
from maia_llama_cpp.prompt import Block, ImageBlock, shared

MAX_PARKED_BYTES = 2 << 30
"""The model reads a larger conversation again after another one had its turn."""


@dataclass(eq=False)
class Conversation:
    """The part of one conversation that the model has read, so that the next turn reads only the new part.

    Attributes:
        keep: Whether it stays when another conversation has its turn.
        blocks: The blocks in the memory of the model, in order.
        parked: The memory's content while another conversation has its turn.
    """

    keep: bool = True
    blocks: list[Block] = field(default_factory=list)
    parked: ctypes.Array[ctypes.c_uint8] | None = None


class Memory:
    """The memory of a loaded model, which holds one conversation at a time; others are parked meanwhile."""

    def __init__(self, model: Any, projector: Projector | None) -> None:
        self._lib, self._model, self._projector = llama(), model, projector
        self._conversation: weakref.ref[Conversation] | None = None
        self._held: list[Block] = []  # Of the conversation in the memory, which may be gone.

    def drop(self) -> None:
        """Forgets which conversation the memory holds."""
        self._conversation, self._held = None, []

    def turn_to(self, conversation: Conversation) -> None:
        """Brings a conversation into the model's memory, and parks the one that is there.

        A new conversation takes over the blocks that are there: runs begin with the same system prompt.
        """
        present = self._conversation() if self._conversation else None
        if present is conversation:
            return
        if present is not None and present.keep:
            self._park(present)
        lib, self._conversation = self._lib, weakref.ref(conversation)
        saved, conversation.parked = conversation.parked, None
        if saved is None:
            conversation.blocks[:] = self._held
        else:
            lib.llama_memory_clear(self._handle, True)
            if not lib.llama_state_seq_set_data(self._model.ctx, saved, len(saved), 0):
                conversation.blocks.clear()
        self._held = conversation.blocks

    def _park(self, conversation: Conversation) -> None:
        lib, context = self._lib, self._model.ctx
        self._forget(conversation, len(conversation.blocks))  # What was written after them.
        size = lib.llama_state_seq_get_size(context, 0)
        if conversation.blocks and size <= MAX_PARKED_BYTES:
            saved = (ctypes.c_uint8 * size)()
            if lib.llama_state_seq_get_data(context, saved, size, 0) == size:
                conversation.parked = saved

    def _forget(self, conversation: Conversation, keep: int) -> None:
        """Cuts the model's memory down to the first blocks of a conversation, or to none where it cannot be cut."""
        position = sum(block.positions for block in conversation.blocks[:keep])
        if not self._lib.llama_memory_seq_rm(self._handle, 0, position, -1):
            self._lib.llama_memory_clear(self._handle, True)
            position = keep = 0
        del conversation.blocks[keep:]
        self._model.n_tokens = position

    def read(self, conversation: Conversation, prompt: Sequence[Block], deadline: float) -> int:
        """Reads all blocks but the last, one at least; returns how many tokens were known from before."""
        self._forget(conversation, shared(conversation.blocks, prompt))
        known = sum(block.size for block in conversation.blocks)
        for block in prompt[len(conversation.blocks) : -1]:
            if isinstance(block, ImageBlock):
                assert self._projector is not None
                self._projector.read(block, self._model.n_tokens)
                self._model.n_tokens += block.positions
            else:
                self._model.eval(block.tokens)
            conversation.blocks.append(block)
            if time.monotonic() > deadline:
                read, size = (sum(block.size for block in blocks) for blocks in (conversation.blocks, prompt))
                raise BackboneBusy(
                    f"the conversation takes long to read, {read} of {size} tokens so far; set limits.reply_seconds "
                    "higher or context_policy.tokens lower, or use a graphics processor (gpu_layers)",
                    retry_after=0,
                )
        return known

    @property
    def _handle(self) -> Any:
        return self._lib.llama_get_memory(self._model.ctx)
