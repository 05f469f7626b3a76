"""OpenAI's image API: `/v1/images/generations` (JSON) and `/v1/images/edits` (a form with files)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
import time
from collections.abc import Iterator
from email.parser import Parser
from email.policy import HTTP
from typing import Any, get_type_hints

from openai.types.image_edit_params import ImageEditParamsNonStreaming
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
from PIL import Image as PILImage
from PIL import ImageDraw
from typing_extensions import TypedDict

from servers import schema
from servers.base import Received, Refused
from servers.media import BadImage, Media, opened
from servers.script import Drawing
from servers.tokens import of_text

GENERATE, EDIT = PATHS = ("/v1/images/generations", "/v1/images/edits")
GPT = re.compile(r"^(gpt-image|chatgpt-image)")
MODELS = ("dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "gpt-image-2")

# The image API's reference and the docstrings of the SDK's request types (2026).
SIZES = {
    "dall-e-2": ("256x256", "512x512", "1024x1024"),
    "dall-e-3": ("1024x1024", "1792x1024", "1024x1792"),
    "gpt": ("auto", "1024x1024", "1536x1024", "1024x1536"),
}
QUALITIES = {"dall-e-2": ("standard",), "dall-e-3": ("standard", "hd"), "gpt": ("auto", "low", "medium", "high")}
LONGEST_PROMPT = {"dall-e-2": 1000, "dall-e-3": 4000, "gpt": 32_000, "other": 32_000}
GPT_ONLY = ("background", "moderation", "output_compression", "output_format", "partial_images", "input_fidelity")
EDIT_BYTES = {"dall-e-2": 4 * 2**20, "gpt": 50 * 2**20, "other": 50 * 2**20}
EDIT_IMAGES = {"dall-e-2": 1, "gpt": 16, "other": 1}
OUTPUT_TOKENS = {"low": 272, "medium": 1056, "high": 4160}
"""Tokens of a square image by quality (guide "Image generation", cost and latency)."""

EditFields = TypedDict(  # type: ignore[misc]
    "EditFields",
    {
        name: kind
        for name, kind in get_type_hints(ImageEditParamsNonStreaming, include_extras=True).items()
        if "IO[bytes]" not in str(kind)
    },
    total=False,
)
"""The fields of an edit's form that are no files."""


def validate(request: Received, models: tuple[str, ...]) -> None:
    """Looks at a request strictly, and fills in its body and images.

    Raises:
        Refused: the real service would not take it.
    """
    kind = request.headers.get("content-type", "")
    if request.method != "POST":
        raise _refused(405, f"Not allowed to {request.method} on {request.path}")
    if request.path == GENERATE:
        if kind.partition(";")[0] != "application/json":
            raise _refused(400, f"Unsupported mimetype: '{kind}'. It must be 'application/json'")
        body = _generation(request)
    else:
        if kind.partition(";")[0] != "multipart/form-data":
            raise _refused(400, f"Unsupported mimetype: '{kind}'. It must be 'multipart/form-data'")
        body = _edit(request, kind)
    model = body.get("model")
    if model is None:
        raise _refused(400, "this server wants the model to be named", "model")
    if model not in models:
        raise _refused(
            400, f"Invalid value: '{model}'. Supported values are: {', '.join(models)}.", "model", "invalid_value"
        )
    _check_values(body, family(model))
    if request.path == EDIT:
        _check_images(request, family(model))


def family(model: str) -> str:
    """Returns the row of the tables that a model has: its own name, `gpt`, or `other` of compatible servers."""
    return "gpt" if GPT.match(model) else model if model in SIZES else "other"


def _generation(request: Received) -> dict[str, Any]:
    try:
        request.body = json.loads(request.raw)
        schema.check(ImageGenerateParamsNonStreaming, request.raw)
    except schema.Unfit as error:
        raise _unfit(error) from None
    except ValueError:
        raise _refused(400, "We could not parse the JSON body of your request.") from None
    body: dict[str, Any] = request.body
    return body


def _edit(request: Received, kind: str) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, filename, declared, data in _parts(request.raw, kind):
        if filename is None:
            text = data.decode()
            body[name] = int(text) if name in ("n", "output_compression", "partial_images") else text
        else:
            body.setdefault(name, []).append((declared, data))
    request.body = {name: value for name, value in body.items() if name not in ("image", "image[]", "mask")}
    if len(body.get("image", ())) > 1:
        message = "Duplicate parameter: 'image'. Use 'image[]' for several values."
        raise _refused(400, message, "image", "duplicate_parameter")
    try:
        schema.check(EditFields, json.dumps(request.body).encode())
    except schema.Unfit as error:
        raise _unfit(error) from None
    for declared, data in [*body.get("image", ()), *body.get("image[]", ())]:
        if declared not in ("image/png", "image/jpeg", "image/webp"):
            message = (
                f"Invalid file 'image': unsupported mimetype ('{declared}'). Supported file formats are 'image/jpeg', "
                "'image/png', and 'image/webp'."
            )
            raise _refused(400, message, "image", "unsupported_file_mimetype")
        request.images.append(_opened(data, declared))
    if "mask" in body:
        [(declared, data)] = body["mask"]
        mask = _opened(data, "image/png")
        if mask.size != request.images[0].size or mask.image.mode != "RGBA":
            raise _refused(
                400, "Invalid mask image format - mask must have an alpha channel and the size of the image", "mask"
            )
    fields: dict[str, Any] = request.body
    return fields


def _parts(raw: bytes, content_type: str) -> Iterator[tuple[str, str | None, str, bytes]]:
    """Reads a form: name, file name, media type and data of each field."""
    boundary = Parser(policy=HTTP).parsestr(f"Content-Type: {content_type}\r\n\r\n").get_boundary()
    if not boundary:
        raise _refused(400, "Could not parse multipart form")
    for piece in raw.split(b"--" + boundary.encode())[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n")
        fields = Parser(policy=HTTP).parsestr(head.decode() + "\r\n\r\n")
        name = fields["content-disposition"].params.get("name", "")
        yield name, fields.get_filename(), fields.get_content_type(), data


def _opened(data: bytes, declared: str) -> Media:
    try:
        return opened(data, declared)
    except BadImage as error:
        raise _refused(
            400, f"Invalid image file or mode for image 1 ({error}).", "image", "invalid_image_file"
        ) from None


def _check_values(body: dict[str, Any], kind: str) -> None:
    if not body["prompt"].strip():
        raise _refused(
            400, "Invalid 'prompt': empty string. Expected a string with minimum length 1.", "prompt", "empty_string"
        )
    if len(body["prompt"]) > LONGEST_PROMPT[kind]:
        message = f"Invalid 'prompt': string too long. Expected a string with maximum length {LONGEST_PROMPT[kind]}."
        raise _refused(400, message, "prompt", "string_above_max_length")
    n = body.get("n") or 1
    if not 1 <= n <= (1 if kind == "dall-e-3" else 10):
        raise _refused(400, f"Invalid value for 'n': {n}. You must provide n=1 for this model.", "n", "invalid_value")
    for name, allowed_of in (("size", SIZES), ("quality", QUALITIES)):
        value = body.get(name)
        allowed = allowed_of.get(kind)
        if (
            value is not None
            and allowed is not None
            and value not in allowed
            and not (name == "size" and _free_size(body["model"], value))
        ):
            listed = ", ".join(f"'{item}'" for item in allowed)
            raise _refused(400, f"Invalid value: '{value}'. Supported values are: {listed}.", name, "invalid_value")
    foreign = ("response_format", "style") if kind == "gpt" else GPT_ONLY
    if kind == "dall-e-2":
        foreign = (*foreign, "style")
    for name in foreign:
        if body.get(name) is not None:
            raise _refused(400, f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if body.get("background") == "transparent" and (
        body["model"].startswith("gpt-image-2") or body.get("output_format") == "jpeg"
    ):
        raise _refused(400, "Transparent background is not supported here.", "background", "invalid_value")


def _free_size(model: str, value: str) -> bool:
    match = re.fullmatch(r"(\d+)x(\d+)", value)
    if not model.startswith("gpt-image-2") or match is None:
        return False
    width, height = int(match[1]), int(match[2])
    return not (width % 16 or height % 16) and 1 / 3 <= width / height <= 3 and max(width, height) <= 3840


def _check_images(request: Received, kind: str) -> None:
    if kind == "dall-e-3":
        raise _refused(400, "Invalid value: 'dall-e-3'. This model does not edit images.", "model", "invalid_value")
    if not 1 <= len(request.images) <= EDIT_IMAGES[kind]:
        raise _refused(400, f"Invalid 'image': expected 1 to {EDIT_IMAGES[kind]} images.", "image")
    for media in request.images:
        if len(media.data) > EDIT_BYTES[kind]:
            raise _refused(400, "Invalid 'image': file too large.", "image", "file_too_large")
        square = media.size[0] == media.size[1] and media.media_type == "image/png" and media.image.mode == "RGBA"
        if kind == "dall-e-2" and not square:
            raise _refused(400, "Uploaded image must be a square PNG with an alpha channel.", "image")


def reply(request: Received, drawing: Drawing) -> dict[str, Any]:
    """Returns the body of a good answer: a picture that depends on the prompt, on the image and on chance."""
    body = request.body
    kind = family(body["model"])
    width, height = map(int, (_size(body.get("size")) or "1024x1024").split("x"))
    data = drawing.data or draw(body["prompt"], request.images[0].image if request.images else None, (width, height))
    item: dict[str, Any] = {}
    if drawing.url:
        item["url"] = drawing.url
    elif kind == "gpt" or body.get("response_format") == "b64_json":
        item["b64_json"] = base64.b64encode(data).decode()
    else:
        # What DALL-E answers unless base64 is asked for.
        item["url"] = "https://pictures.invalid/generated.png"
    if kind == "dall-e-3" or drawing.revised_prompt is not None:
        habit = f"A detailed picture of {body['prompt']}"
        item["revised_prompt"] = habit if drawing.revised_prompt is None else drawing.revised_prompt
    answer: dict[str, Any] = {"created": int(time.time()), "data": [item]}
    if kind == "gpt":
        text = of_text(body["prompt"])
        images = 323 * len(request.images)
        quality = body.get("quality") or "auto"
        quality = "high" if quality == "auto" else quality
        output = OUTPUT_TOKENS[quality]
        answer |= {
            "background": "opaque",
            "output_format": body.get("output_format") or "png",
            "quality": quality,
            "size": f"{width}x{height}",
            "usage": {
                "input_tokens": text + images,
                "input_tokens_details": {"text_tokens": text, "image_tokens": images},
                "output_tokens": output,
                "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
                "total_tokens": text + images + output,
            },
        }
    return answer


def draw(prompt: str, image: PILImage.Image | None, size: tuple[int, int]) -> bytes:
    """Draws shapes that the prompt decides, at a place that chance decides: the real service repeats nothing."""
    colours = random.Random(hashlib.sha256(prompt.encode("utf-8", "replace")).digest())
    canvas = image.convert("RGB").resize(size) if image else PILImage.new("RGB", size, tuple(colours.randbytes(3)))
    pen = ImageDraw.Draw(canvas)
    side = min(size) / 3
    for _ in range(3):
        x, y = (random.uniform(0, length - side) for length in size)
        pen.ellipse((x, y, x + side, y + side), fill=tuple(colours.randbytes(3)))
    file = io.BytesIO()
    canvas.save(file, "PNG", compress_level=1)
    return file.getvalue()


def policy(model: str) -> tuple[int, dict[str, Any]]:
    """Returns the refusal of a prompt on content."""
    if family(model) == "gpt":
        message = (
            "Your request was rejected by the safety system. If you believe this is an error, contact us and include "
            "the request ID req_1. safety_violations=[violence]."
        )
        return 400, _error(message, None, "moderation_blocked", "image_generation_user_error")
    message = (
        "Your request was rejected as a result of our safety system. Your prompt may contain text that is not allowed "
        "by our safety system."
    )
    return 400, _error(message, None, "content_policy_violation", "invalid_request_error")


def _size(size: str | None) -> str | None:
    return None if size == "auto" else size


def _unfit(error: schema.Unfit) -> Refused:
    if error.unknown:
        return _refused(400, f"Unknown parameter: '{error.where}'.", error.where, "unknown_parameter")
    return _refused(400, f"Invalid value for '{error.where}': {error}", error.where or None, "invalid_value")


def _refused(status: int, message: str, param: str | None = None, code: str | None = None) -> Refused:
    return Refused(status, _error(message, param, code, "invalid_request_error"))


def _error(message: str, param: str | None, code: str | None, kind: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
