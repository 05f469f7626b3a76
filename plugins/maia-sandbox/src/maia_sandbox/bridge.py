"""The host's end of the channel: answers a worker's frames, and trusts none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from maia_core.plugin import ExecutionLimits, Host, Image, ImagePart, MendableError, SandboxError, SystemRef
from maia_sandbox import frames, values
from maia_sandbox.frames import Violation

ERROR_CHARS = 40_000
"""Longest traceback that a worker may send."""
MEAN_IMAGE_BYTES = 1 << 20
"""Host memory that a live image may take on average: 591x591 pixels."""


class Bridge:
    """The state of the dialogue with one worker: its image handles, and the texts of its present program.

    Args:
        limits: The limits of one experiment.

    Attributes:
        texts: "stdout", "value" and "error" of the present program.
        shown: The images in the value that it returned.
        calls: Calls of `system` and `tools` by the present program.
        host_seconds: Time of the present program's calls and images. All other work of the host for a program, such
            as reading its frames, is time of the program.
    """

    def __init__(self, limits: ExecutionLimits) -> None:
        self.limits = limits
        self._images: dict[int, Image] = {}
        self._handles: dict[tuple[str, str, str], int] = {}
        self._next = 0
        self._bytes = 0

    def begin(self, program: str, host: Host, number: int, seed: int, token: str) -> bytes:
        """Returns the frame that starts a program."""
        self._host = host
        self.texts = {"stdout": "", "value": "", "error": ""}
        self.shown: list[ImagePart] = []
        self.calls = self._asked = self._passed = self._made = self._written = 0
        self.host_seconds = 0.0
        names = {"methods": host.methods | host.properties, "properties": host.properties}
        names["hidden"] = getattr(host, "hidden", frozenset())
        start = {"number": number, "token": token, "seed": seed} | {key: sorted(names[key]) for key in names}
        return frames.pack(start, values.text(program).encode())

    def answer(self, header: Mapping[str, Any], blob: bytes) -> bytes | None:
        """Acts on one frame and returns the frame to send back, None where there is none.

        Raises:
            Violation: the frame is not what an honest worker sends.
            Exception: whatever `Host.call` raised that the program cannot mend.
        """
        op = header.get("op")
        if op == "text":
            self._text(header.get("to"), blob)
            return None
        if op == "show":
            self.show(_field(header, "images", list), blob)
            return None
        for handle in _field(header, "drop", list) if "drop" in header else ():
            self.drop(handle)
        self._asked += 1
        if self._asked > self.limits.host_calls:
            return _error("CallLimitError", f"more than {self.limits.host_calls:,} calls in one experiment")
        if op == "call":
            return self._call(header, blob)
        if op in ("pixels", "clean", "mask"):
            image = self.image(header.get("image"))
            if op == "clean":
                return self._reply(image.clean or image, "clean")
            pixels = self._timed(image.pixels if op == "pixels" else image.mask)
            return frames.pack({"masked": pixels is not None}, b"" if pixels is None else pixels.tobytes())
        raise Violation("an unknown operation")

    def show(self, images: list[Any], blob: bytes = b"") -> None:
        """Takes the images in the value that the program returned."""
        raw = _Raw(blob, self)
        try:
            shown = [values.Decoder(raw.image, 0)(image) for image in images[: values.MAX_SHOWN + 1]]
        except ValueError as error:
            raise Violation("returned images that are not images") from error
        raw.check_end()
        if self.shown or len(shown) > values.MAX_SHOWN or any(not isinstance(image, Image) for image in shown):
            raise Violation("more images than a worker shows")
        if not self._excess(len(shown), len(blob), 0):
            self.shown = [ImagePart(image=image) for image in shown]

    def _text(self, to: Any, blob: bytes) -> None:
        try:
            text = blob.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Violation("a text that is not UTF-8") from error
        most = ERROR_CHARS if to == "error" else self.limits.output_chars + 100
        if type(to) is not str or to not in self.texts or len(self.texts[to]) + len(text) > most:
            raise Violation("more text than a worker sends")
        self.texts[to] += text

    def _call(self, header: Mapping[str, Any], blob: bytes) -> bytes:
        method, args, kwargs, host = header.get("method"), header.get("args"), header.get("kwargs"), self._host
        if type(method) is not str or method not in host.methods | host.properties:
            raise Violation("a call of something that is not offered")
        if type(args) is not list or type(kwargs) is not dict or (method in host.properties and (args or kwargs)):
            raise Violation("a call without proper arguments")
        raw = _Raw(blob, self)
        decode = values.Decoder(raw.image, self.limits.depth)
        try:
            arguments = [decode(value) for value in args]
            named = {decode(key): decode(value) for key, value in kwargs.items()}
        except (ValueError, RecursionError) as error:
            raise Violation("arguments that are not values") from error
        raw.check_end()
        self.calls += 1
        if excess := self._excess(raw.images, len(blob), decode.characters):
            return _error("CallLimitError", excess)
        try:
            result = self._timed(host.call, method, arguments, named)
        except MendableError as error:
            return _error("ToolError", str(error))
        return self._reply(result, method)

    def _timed(self, work: Callable[..., Any], *arguments: Any) -> Any:
        started = time.monotonic()
        try:
            return work(*arguments)
        finally:
            self.host_seconds += time.monotonic() - started

    def _excess(self, images: int, pixels: int, characters: int) -> str:
        """Counts what a program passes to tools, which may keep, show and record it; names what is too much."""
        limits = self.limits
        self._passed, self._made, self._written = self._passed + images, self._made + pixels, self._written + characters
        for what, used, most in (
            ("images", self._passed, limits.passed_images),
            ("bytes of pixels", self._made, limits.made_mb << 20),
            ("characters", self._written, limits.output_chars),
        ):
            if used > most:
                return f"more than {most:,} {what} were passed to tools in one experiment"
        return ""

    def _reply(self, result: Any, method: str) -> bytes:
        try:
            return self.packed(result)
        except values.TooMuch as error:
            return _error("ToolError", f"{method} returned {error}")
        except values.Unfit as error:
            raise SandboxError(f"{method} returned a value that cannot reach a program: {error}") from error

    def packed(self, result: Any) -> bytes:
        """Returns the frame of a result; raises `values.Unfit` where it cannot cross."""
        last = self._next
        try:
            return frames.pack({"value": values.Encoder(self._encode_other, self.limits.depth)(result)})
        except values.TooMuch:
            for handle in range(last + 1, self._next + 1):  # The worker never hears of these, so it cannot drop them.
                self.drop(handle)
            raise

    def _encode_other(self, value: Any, level: int) -> Any:
        if isinstance(value, Image):
            handle = self._handle(value)
            return {"i": [handle, value.id, *map(values.text, (value.title, value.shows)), value.width, value.height]}
        if isinstance(value, np.generic):
            return values.Encoder(self._encode_other, self.limits.depth)(value.item(), level)
        raise values.Unfit(f"a {type(value).__name__}")

    # Handles: valid for this worker alone, so a program can only name images that it was given.

    def _handle(self, image: Image) -> int:
        key = (image.id, image.title, image.shows)
        if key not in self._handles:
            most = self.limits.live_images
            if len(self._images) >= most or self._bytes + _bytes(image) > most * MEAN_IMAGE_BYTES:
                raise values.TooMuch(f"more images than the {most:,} that fit; delete or overwrite some variables")
            self._next += 1
            self._bytes += _bytes(image)
            self._handles[key] = self._next
            self._images[self._next] = image
        return self._handles[key]

    def image(self, handle: Any) -> Image:
        """Returns the image of a handle."""
        image = self._images.get(handle) if type(handle) is int else None
        if image is None:
            raise Violation("an image handle that was not given out")
        return image

    def drop(self, handle: Any) -> None:
        """Forgets an image that the program no longer holds."""
        image = self.image(handle)
        del self._images[handle], self._handles[image.id, image.title, image.shows]
        self._bytes -= _bytes(image)


class _Raw:
    """Reads the images of one call: handles, and new images from the raw part in the order of the arguments."""

    def __init__(self, blob: bytes, bridge: Bridge) -> None:
        self._blob, self._bridge = blob, bridge
        self._at = self.images = 0

    def image(self, tag: str, content: Any) -> Image | SystemRef:
        if tag == "s":
            return SystemRef()
        self.images += 1
        if tag == "i":
            return self._bridge.image(content)
        sides = range(1, self._bridge.limits.image_side + 1)
        if type(content) is not list or len(content) != 2 or any(type(n) is not int or n not in sides for n in content):
            raise Violation("an image without a size that is allowed")
        width, height = content
        start, self._at = self._at, self._at + width * height * 3
        if self._at > len(self._blob):
            raise Violation("an image without its pixels")
        pixels = np.frombuffer(self._blob, np.uint8, width * height * 3, start)
        return Image.from_pixels(pixels.reshape(height, width, 3), source="program")

    def check_end(self) -> None:
        if self._at != len(self._blob):
            raise Violation("pixels that belong to no image")


def _bytes(image: Image) -> int:
    return image.width * image.height * 3


def _error(kind: str, text: str) -> bytes:
    return frames.pack({"error": [kind, values.text(text)]})


def _field(header: Mapping[str, Any], key: str, kind: type) -> Any:
    value = header.get(key)
    if type(value) is not kind:
        raise Violation(f"a frame whose '{key}' is not of type {kind.__name__}")
    return value
