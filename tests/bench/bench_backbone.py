"""What the framework adds to a call of a backbone, what the context policy saves, what batches give describers."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from maia_core.agent import run
from maia_core.config import ContextPolicy, Limits, RunConfig
from maia_core.context import Context
from maia_core.image import Image
from maia_core.journal import Journal
from maia_core.session import make_session
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_core.types import BackboneInfo, CallLimits, Message, Reply
from maia_vlm import ImageLimits, Picture, pack

TURNS = 30
PROGRAM = """[CODE]:
```python
def run_experiment(system, tools):
    prompts = ["a red disc"] * 5 + ["a blue disc, {turn}"] * 5
    activations, images = system.neuron(tools.text2image(prompts))
    tools.log_experiment(activations, images, prompts)
```"""


class Photographs:
    """Makes pictures of 224 pixels that compress about as badly as photographs."""

    fingerprint = "bench"

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        from maia_core.types import GeneratedImages

        images = [photograph(seed).retitled(prompt) for prompt, seed in zip(prompts, seeds, strict=True)]
        return GeneratedImages(images, [""] * len(images))


def photograph(seed: int, side: int = 224) -> Image:
    """Draws soft blobs with a little noise: 100 kB as PNG at 224 pixels, as a photograph is."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (7, 7, 3)).astype(np.float32)
    smooth = np.kron(coarse, np.ones((side // 7, side // 7, 1), np.float32))
    return Image.from_pixels(np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8))


class Counting(ScriptedBackbone):
    """Counts what a provider would be sent."""

    info = BackboneInfo(name="counting", image_tokens=765)

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__([Reply(text=reply) for reply in replies])
        self.bytes: list[int] = []
        self.images: list[int] = []

    def complete(self, messages: Sequence[Message], limits: CallLimits) -> Reply:
        parts = [part for message in pack(messages, ImageLimits()) for part in message.parts]
        self.bytes.append(sum(len(p.base64) if isinstance(p, Picture) else len(p) for p in parts))
        self.images.append(sum(isinstance(p, Picture) for p in parts))
        return super().complete(messages, limits)


def window() -> None:
    """Prints bytes and tokens of a run of 30 turns with 10 images each, with the context policy and without."""
    sums = {}
    for name, policy in {"with": ContextPolicy(), "without": ContextPolicy(images=10_000)}.items():
        events: list[Any] = []
        with tempfile.TemporaryDirectory() as place:
            config = RunConfig(limits=Limits(turns=TURNS + 2), context_policy=policy)
            parts = fake_parts() | {"generator": Photographs()}
            context = Context(config, parts=parts, cache=Path(place))
            session = make_session(context, Journal(events.append))
            programs = [PROGRAM.replace("{turn}", str(turn)) for turn in range(TURNS - 1)]
            backbone = Counting([*programs, FAKE_RUN[-1]])
            run(session, backbone)
            session.close()
        tokens = [event.tokens for event in events if event.event == "asked"]
        sums[name] = (sum(backbone.bytes), max(backbone.bytes), sum(tokens), max(tokens), max(backbone.images))
        total, largest, spent, most, images = sums[name]
        print(
            f"{name:8} the policy: {total / 1e6:7.1f} MB and {spent:9,} tokens in all; the largest request "
            f"{largest / 1e6:5.1f} MB, {most:7,} tokens, {images} images"
        )
    bytes_saved, _, tokens_saved, *_ = (1 - a / b for a, b in zip(sums["with"], sums["without"], strict=True))
    print(f"saved: {bytes_saved:.0%} of the bytes, {tokens_saved:.0%} of the tokens")


class _Handler(BaseHTTPRequestHandler):
    """Answers as a server that speaks OpenAI's protocol, after `delay` seconds."""

    protocol_version = "HTTP/1.1"
    delay = 0.0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(self.delay)
        message = {"role": "assistant", "content": "a red disc"}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def served(delay: float) -> tuple[ThreadingHTTPServer, str]:
    """Starts a server and returns it with its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"delay": delay}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_address[1]}/v1"


def overhead(rounds: int = 15) -> None:
    """Prints the time of a call through the backbone against LiteLLM alone with the very same request."""
    from maia_litellm.backbone import LitellmBackbone
    from maia_litellm.loading import litellm

    server, address = served(0.0)
    backbone = LitellmBackbone(LitellmBackbone.Config(model="openai/m", api_base=address), Context(parts=fake_parts()))
    conversation = [Message.of("system", "text " * 3000), Message.of("user", "task")]
    for turn in range(4):
        images = [photograph(100 * turn + n) for n in range(10)]
        conversation += [Message.of("assistant", PROGRAM), Message.of("user", "Printed: 1", *images)]
    plain = [
        {
            "role": message.role,
            "content": [
                {"type": "image_url", "image_url": {"url": part.data_uri}}
                if isinstance(part, Picture)
                else {"type": "text", "text": part}
                for part in message.parts
            ],
        }
        for message in pack(conversation, ImageLimits())
    ]
    backbone.complete(conversation, CallLimits())  # Pictures are encoded once a run, the library is loaded once.

    def ours() -> None:
        backbone.complete(conversation, CallLimits())

    def alone() -> None:
        litellm().completion(
            model="openai/m", messages=plain, api_base=address, api_key="none", max_tokens=4096, max_retries=0
        )

    alone()
    times: dict[Any, list[float]] = {ours: [], alone: []}
    for _ in range(rounds):
        for call, taken in times.items():
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    server.shutdown()
    mine, theirs = (statistics.median(taken) * 1e3 for taken in times.values())
    print(
        f"a call with 40 images: {mine:.1f} ms through the backbone, {theirs:.1f} ms through LiteLLM alone: "
        f"{mine - theirs:+.1f} ms (goal: under 5)"
    )


def describers() -> None:
    """Prints images described a second, in batches against one by one."""
    from maia_litellm.describer import LitellmDescriber

    images = [photograph(1000 + n) for n in range(32)]
    server, address = served(0.05)
    for parallel in (1, 8):
        with tempfile.TemporaryDirectory() as place:
            config = LitellmDescriber.Config(model="openai/m", api_base=address, parallel=parallel)
            describer = LitellmDescriber(config, Context(parts=fake_parts(), cache=Path(place)))
            describer.describe([photograph(1)])
            started = time.perf_counter()
            describer.describe(images)
            rate = len(images) / (time.perf_counter() - started)
        print(f"describer behind an API that takes 50 ms: {rate:6.1f} images/s, {parallel} at a time")
    server.shutdown()
    local_describer(images[:16])


def local_describer(images: Sequence[Image]) -> None:
    """Prints the same for a local model: a small LLaVA with random weights."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from maia_transformers.describer import TransformersDescriber

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate(["<s>", "</s>", "<image>", *alphabet])}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words.add_special_tokens(["<s>", "</s>", "<image>"])
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_hidden_layers": 4}
    vision = hf.CLIPVisionConfig(**shape, image_size=56, patch_size=14)
    text = hf.LlamaConfig(**shape, vocab_size=len(vocabulary), bos_token_id=0, eos_token_id=1, pad_token_id=1)
    config = hf.LlavaConfig(vision_config=vision, text_config=text, image_token_id=2)
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    template = (
        "{% for m in messages %}{% for c in m['content'] %}{{ '<image>' if c['type'] == 'image' else c['text'] }}"
    )
    processor = hf.LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template + "{% endfor %}{% endfor %}",
    )
    with tempfile.TemporaryDirectory() as place:
        torch.manual_seed(0)
        hf.LlavaForConditionalGeneration(config).save_pretrained(place)
        processor.save_pretrained(place)
        for batch in (1, 16):
            options = TransformersDescriber.Config(model=place, batch=batch, tokens=8, device="cpu")
            with tempfile.TemporaryDirectory() as cache:
                describer = TransformersDescriber(options, Context(parts=fake_parts(), cache=Path(cache)))
                describer.describe([photograph(1)])
                started = time.perf_counter()
                describer.describe(images)
                rate = len(images) / (time.perf_counter() - started)
                describer.close()
            print(f"describer on a small local LLaVA, 8 tokens:  {rate:6.1f} images/s, {batch} in a batch")


def main() -> None:
    """Prints the figures."""
    overhead()
    window()
    describers()


if __name__ == "__main__":
    main()
