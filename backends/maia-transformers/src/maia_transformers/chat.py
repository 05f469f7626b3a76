"""Answers conversations with a model, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import transformers

from maia_core.plugin import (
    BackboneError,
    ContextTooLong,
    Image,
    MaiaError,
    Message,
    Reply,
    Usage,
    UsageError,
    one_line,
)
from maia_hub.device import free_memory, is_out_of_memory
from maia_transformers.options import SMALLEST_SIDE, ModelOptions
from maia_transformers.weights import Weights, acquire, models
from maia_vlm import ImageLimits, PackedMessage, Picture, pack, split_reasoning

MIN_REPLY_TOKENS = 256
"""Tokens: a conversation that leaves less room for the reply is too long."""

UNLIMITED = 10**8
"""Tokenizers that know no longest input name a number beyond this one."""


class OutOfMemory(BackboneError, MemoryError):
    """A batch of conversations did not fit into the memory of the device."""


class Chat:
    """A model that answers conversations, with one user's limits of pictures and tokens.

    Attributes:
        name: The model, as the user wrote it.
        device: The device that takes its input.
        images: Whether it sees images.
        memory_advice: Options that save memory, for messages.
        system_role: Whether its template has a system role.
        window: Tokens of a conversation and its reply; None: not known.
        image_tokens: Tokens that a picture of 224 x 224 pixels takes.
        fingerprint: Changes with the model's files, the type of its numbers and what is done to pictures.
    """

    memory_advice = (
        "set context_policy.images, max_image_side or the describer's batch lower, dtype=bfloat16 or offload=true"
    )

    def __init__(self, options: ModelOptions, warn: Callable[[str], None]) -> None:
        """Loads the model, or shares what is loaded.

        Raises:
            MaiaError: it cannot be loaded; see `weights.acquire`.
        """
        self.name = options.model
        self._limits = ImageLimits(count=options.max_pictures, min_side=SMALLEST_SIDE, max_side=options.max_image_side)
        weights, self._release = acquire(self, options, warn)
        self._weights: Weights | None = weights
        self.device = weights.device
        self.images = weights.images
        self.system_role = weights.template.system_role
        self.window = options.context_tokens or _window(weights)
        self.fingerprint = f"{weights.fingerprint} {self._limits.model_dump_json()}"
        self.image_tokens = self._tokens_of_a_picture(weights) if self.images else 0

    def close(self) -> None:
        """Frees the model, unless another object uses it. Closing twice is allowed."""
        self._weights = None
        self._release()
        models.free_unused()

    def answer(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        tokens: int,
        seconds: float | None = None,
        temperature: float | None = 0,
        seed: int = 0,
    ) -> list[Reply]:
        """Answers conversations together; either each of them holds images, or none does.

        Padding and batching change the model's numbers by rounding only (relative to 1: about 1e-6 in float32, 1e-2 in
        bfloat16), so a reply in a batch is the reply alone unless the likeliest tokens are that close to each other.

        Args:
            conversations: At least one.
            tokens: Most tokens of a reply.
            seconds: When to stop writing; None: never.
            temperature: 0: always the likeliest token; None: as the model's own settings say.
            seed: Random seed; torch's own generators stay as they are.

        Raises:
            ContextTooLong: a conversation does not fit the window.
            OutOfMemory: fewer conversations at once may work.
            BackboneError: the model cannot take a conversation, or failed.
        """
        packed = [pack(conversation, self._limits) for conversation in conversations]
        weights = self._weights
        if weights is None:
            raise UsageError(f"{self.name} was closed; make a new one")
        with weights.lock:
            try:
                return self._answer(weights, packed, tokens, seconds, temperature, seed)
            except MaiaError:
                raise
            except Exception as error:  # What a model raises on input that it cannot take has no common class.
                if not is_out_of_memory(error):
                    raise BackboneError(f"{self.name} failed: {one_line(error)[:300]}") from error
        # Here the exception is gone, and with it the tensors that its frames held.
        free_memory(weights.device)
        raise OutOfMemory(f"{self.name} ran out of memory; {self.memory_advice}")

    def _answer(
        self,
        weights: Weights,
        packed: Sequence[Sequence[PackedMessage]],
        tokens: int,
        seconds: float | None,
        temperature: float | None,
        seed: int,
    ) -> list[Reply]:
        prompts = [self._prompt(weights, messages) for messages in packed]
        inputs = _inputs(weights, prompts, packed)
        longest = inputs["input_ids"].shape[1]
        room = self._room(longest, tokens)
        sampling = _sampling(weights, temperature)
        settings: Any = transformers.GenerationConfig
        config = settings(max_new_tokens=room, max_time=seconds, **sampling)
        with torch.inference_mode(), _seeded(seed) if sampling["do_sample"] else nullcontext():
            written = weights.model.generate(**inputs, generation_config=config)[:, longest:].tolist()
        counts = inputs["attention_mask"].sum(1).tolist()
        replies = []
        for prompt, count, ids in zip(prompts, counts, written, strict=True):
            end = next((place for place, token in enumerate(ids) if token in weights.ends), None)
            text = weights.tokenizer.decode(ids[:end], skip_special_tokens=True)
            reasoning, text = split_reasoning(text, prompt)
            if end is None and len(ids) < room and not text:
                raise BackboneError(
                    f"{self.name} wrote nothing in {seconds:g} s; set limits.reply_seconds higher, or choose a smaller "
                    "model or a faster device"
                )
            replies.append(
                Reply(
                    text=text,
                    stop="length" if end is None else "end",
                    model=self.name,
                    usage=Usage(input_tokens=count, output_tokens=len(ids) if end is None else end + 1),
                    reasoning=reasoning,
                )
            )
        return replies

    def _prompt(self, weights: Weights, messages: Sequence[PackedMessage]) -> str:
        try:
            return weights.template.render(messages)
        except UsageError as error:
            raise BackboneError(f"{self.name} cannot take this conversation: {one_line(error)[:300]}") from error

    def _room(self, used: int, requested: int) -> int:
        """Returns how many tokens the reply may have."""
        if self.window is None:
            return requested
        room = self.window - used
        if room < min(requested, MIN_REPLY_TOKENS):
            raise ContextTooLong(
                f"the conversation has {used} tokens, which leaves no room for a reply in the {self.window} of "
                f"{self.name}; set context_policy.tokens or "
                "context_policy.images lower, or context_tokens if the model takes more"
            )
        return min(requested, room)

    def _tokens_of_a_picture(self, weights: Weights) -> int:
        picture = Image.from_pixels(np.full((224, 224, 3), 128, np.uint8))
        conversations = [[Message.of("user", "?")], [Message.of("user", picture, "?")]]
        with weights.lock:
            try:
                packed = [pack(conversation, self._limits) for conversation in conversations]
                inputs = [_inputs(weights, [self._prompt(weights, messages)], [messages]) for messages in packed]
            except Exception as error:  # See `answer`.
                raise UsageError(f"{self.name} cannot take a picture: {one_line(error)[:300]}") from error
        without, one = (int(tensors["input_ids"].shape[1]) for tensors in inputs)
        return max(1, one - without)


def _inputs(weights: Weights, prompts: list[str], packed: Sequence[Sequence[PackedMessage]]) -> Any:
    """Makes the model's tensors of prompts, padded on the left, and their pictures."""
    start = weights.tokenizer.bos_token
    options: dict[str, Any] = {
        "padding": True,
        "return_tensors": "pt",
        # Most templates write the first token themselves; the tokenizer must not write it again.
        "add_special_tokens": not (start and prompts[0].startswith(start)),
    }
    if not weights.images:
        inputs = weights.tokenizer(prompts, **options).to(weights.device)
        return {name: inputs[name] for name in ("input_ids", "attention_mask")}
    pictures = [
        [part.pil() for message in messages for part in message.parts if isinstance(part, Picture)]
        for messages in packed
    ]
    inputs = weights.processor(text=prompts, images=pictures if any(pictures) else None, **options)
    return inputs.to(weights.device, dtype=weights.model.dtype)


def _sampling(weights: Weights, temperature: float | None) -> dict[str, Any]:
    """Returns the settings of sampling; `temperature` as in `Chat.answer`."""
    if not (weights.samples if temperature is None else temperature):
        return {"do_sample": False}
    return {"do_sample": True, **weights.sampling, **({} if temperature is None else {"temperature": temperature})}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    cuda: Any = torch.cuda
    with torch.random.fork_rng(devices=range(cuda.device_count() if cuda.is_initialized() else 0)):
        torch.manual_seed(seed % 2**63)
        yield


def _window(weights: Weights) -> int | None:
    text = weights.model.config.get_text_config()
    for limit in (getattr(text, "max_position_embeddings", None), weights.tokenizer.model_max_length):
        if isinstance(limit, int) and 0 < limit < UNLIMITED:
            return limit
    return None
