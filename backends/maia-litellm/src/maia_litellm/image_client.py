"""Has pictures drawn by a service, several at a time."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Literal

from PIL import Image as PILImage
from pydantic import JsonValue

from maia_core.plugin import (
    BackboneError,
    GeneratedImages,
    Image,
    RunContext,
    ToolError,
    Usage,
    UsageError,
    content_id,
    recordable,
    with_results,
)
from maia_litellm.api import Api
from maia_litellm.decoding import opened
from maia_litellm.image_request import (
    DEFAULT_PROMPT_LIMIT,
    DRAWS,
    PROMPT_LIMITS,
    Order,
    PictureConfig,
    arguments_of,
    png,
    route,
)
from maia_litellm.providers import Endpoint
from maia_litellm.retrying import retrying

VERSION = 1
"""Raised whenever a picture that is kept must not be used any more."""

MAX_SHOWN_CHARACTERS = 300
"""Characters of a prompt, or of what the service says it drew, in a message."""


class ImageClient:
    """Draws by a service. A service draws other pixels every time: maia-cache returns the first ones.

    Attributes:
        fingerprint: Changes with the model, its address and how it is asked.
        cache_name: The role and the model.
        cache_step: Pictures per call: as many as are asked for at the same time, so that a killed run loses no others.
    """

    def __init__(
        self, config: PictureConfig, size: str, context: RunContext, part: Literal["generator", "editor"]
    ) -> None:
        """Finds the service and its key; nothing is loaded and nothing is sent.

        Raises:
            UsageError: an option cannot be used, or the key is missing.
        """
        self._endpoint = Endpoint.find(config.model, config.api_base, config.key_env, part)
        provider = self._endpoint.provider.name
        if provider == "azure":
            raise UsageError(
                f"{part}.model: Azure's image models are reached through its newer address: {part}.model="
                f"openai/{self._endpoint.model}, {part}.api_base=https://RESOURCE.openai.azure.com/openai/v1, "
                f"{part}.key_env=AZURE_API_KEY"
            )
        if provider not in DRAWS[part]:
            raise UsageError(
                f"{part}.model: {provider} has no image API for this; {', '.join(DRAWS[part])} have, and "
                "any server that speaks OpenAI's (openai/MODEL with api_base)"
            )
        params = dict(config.params)
        self._part = part
        self._context = context
        self._api = Api(self._endpoint, headers=params.pop("extra_headers", {}), limit=f"{part}.seconds")
        self._function, self._client = route(part, self._endpoint)
        self._seconds, self._parallel = config.seconds, config.parallel
        self._arguments = arguments_of(self._endpoint, size, config.quality, params)
        self._identity = json.dumps([VERSION, part, self._endpoint.name, self._endpoint.base, self._arguments])
        self.cache_name = f"litellm-{part}-{self._endpoint.name}"
        self.cache_step = config.parallel
        self.fingerprint = content_id(self._identity.encode())

    def draw(self, orders: Sequence[Order]) -> GeneratedImages:
        """Draws pictures, several at a time, and equal orders once.

        Raises:
            ToolError: the service refuses some of the prompts; the error carries the other pictures.
            RunError: the service fails; likewise.
        """
        keys = [self._order_key(order) for order in orders]
        wanted = dict(zip(keys, orders, strict=True))
        drawn: dict[str, tuple[Image, str]] = {}
        refused: list[str] = []
        failed = threading.Event()

        def work(order: Order) -> tuple[Image, str]:
            if failed.is_set():
                raise CancelledError  # The failure comes before in the order, so that nobody sees this one.
            try:
                return self._one(order)
            except ToolError:
                raise
            except BaseException:
                failed.set()
                raise

        def results() -> dict[int, tuple[Image, str]]:
            return {position: drawn[key] for position, key in enumerate(keys) if key in drawn}

        futures: dict[str, Future[tuple[Image, str]]] = {}
        try:
            with ThreadPoolExecutor(min(self._parallel, max(1, len(wanted)))) as pool:
                # Each counts for the run that asks.
                futures |= {key: pool.submit(copy_context().run, work, order) for key, order in wanted.items()}
                try:
                    for key, future in futures.items():
                        try:
                            drawn[key] = future.result()
                        except ToolError as error:
                            refused.append(str(error))
                except BaseException:
                    failed.set()
                    raise
        except BaseException as error:  # Its requests under way have been waited for: they are paid.
            drawn |= {key: future.result() for key, future in futures.items() if future.exception() is None}
            with_results(error, results())
            raise
        if refused:
            raise with_results(ToolError("; ".join(refused)), results())
        return GeneratedImages(
            [drawn[key][0].retitled(order.title) for key, order in zip(keys, orders, strict=True)],
            [drawn[key][1] for key in keys],
        )

    def cache_key(self, kind: str, *parts: str) -> str:
        """Returns the key of a picture, which is the same since the first version: pictures were paid for."""
        *edited, text, seed = parts
        return content_id(self._identity.encode(), recordable(text).encode(), seed.encode(), "".join(edited).encode())

    def _order_key(self, order: Order) -> str:
        edited = [order.image.id] if order.image else []
        return self.cache_key(self._part, *edited, order.text, str(order.seed))

    def _one(self, order: Order) -> tuple[Image, str]:
        self._check(order.text)
        limits = self._context.config.limits
        return retrying(lambda: self._ask(order), retries=limits.retries, seconds=limits.retry_seconds)

    def _check(self, text: str) -> None:
        longest = PROMPT_LIMITS.get(self._endpoint.model, DEFAULT_PROMPT_LIMIT)
        if not text.strip():
            raise ToolError("a prompt is empty; say what the image should show")
        if len(text) > longest:
            raise ToolError(f"a prompt has {len(text)} characters; {self._endpoint.name} takes {longest}")

    def _ask(self, order: Order) -> tuple[Image, str]:
        from maia_litellm.failures import Refused

        arguments = dict(self._arguments)
        if order.image is not None:
            arguments["image"] = png(order.image)
        try:
            response = self._api.call(
                self._function, self._seconds, client=self._client, prompt=order.text, **arguments
            )
        except Refused as error:
            raise ToolError(f"'{_short(order.text)}' is not drawn, use other words: {error}") from None
        self._context.spend(self._usage(response))
        if not response.data:
            raise ToolError(
                f"'{_short(order.text)}' is not drawn, use other words: {self._endpoint.name} sent no picture"
            )
        item = response.data[0]
        if not item.b64_json:
            raise BackboneError(
                f"{self._endpoint.host} sent an address in place of the picture, and nothing is fetched from there; "
                f"set {self._part}.params.response_format=b64_json, or have the server send base64"
            )
        try:
            data = base64.b64decode(item.b64_json, validate=True)
        except (binascii.Error, ValueError):
            raise BackboneError(f"{self._endpoint.name} sent a picture that is not base64") from None
        return self._finished(order, opened(data), self._revised(str(item.revised_prompt or ""), order.text))

    def _revised(self, said: str, asked: str) -> str:
        """Returns what the service says that it drew, if that is not what was asked for."""
        said = " ".join(said.split())
        if self._endpoint.key:
            said = said.replace(self._endpoint.key, "[key]")
        return "" if said == " ".join(asked.split()) else said

    def _usage(self, response: Any) -> Usage:
        """Counts a picture. Of unknown price, it is one unpriced token at least: many services count no tokens."""
        counted = getattr(response, "usage", None)
        read, written = (max(0, int(getattr(counted, f"{way}_tokens", None) or 0)) for way in ("input", "output"))
        cost = (getattr(response, "_hidden_params", None) or {}).get("response_cost")
        if not self._endpoint.own or not cost or cost < 0:
            return Usage(input_tokens=read, output_tokens=written, unpriced_tokens=max(1, read + written))
        return Usage(input_tokens=read, output_tokens=written, cost=float(cost))

    def _finished(self, order: Order, picture: PILImage.Image, revised: str) -> tuple[Image, str]:
        origin: dict[str, JsonValue] = {"model": self._endpoint.name, "seed": order.seed}
        if order.image is None:
            origin["prompt"] = order.text
        else:
            origin |= {"instruction": order.text, "edited_from": order.image.id}
        if revised:
            origin["revised_prompt"] = revised
        warning = f"the service drew: {_short(revised)}" if revised else ""
        return Image.from_pil(picture, order.title, **origin), warning


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
