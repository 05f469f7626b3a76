"""The projector of a multimodal model: pictures become tokens of the language model's window."""

from __future__ import annotations

import ctypes
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from PIL import Image as PILImage

from maia_core.plugin import UsageError, content_id
from maia_llama_cpp.native import LOG, complaint, llama, mtmd
from maia_llama_cpp.prompt import Block, ImageBlock, text_blocks
from maia_vlm import Picture

SAMPLE_SIDE = 224
"""Sides of an ordinary picture in pixels: MAIA's images are about that large."""


class Projector:
    """llama.cpp's multimodal context (mtmd) of one language model. Not safe to use from two threads at once.

    Attributes:
        marker: What stands in a text where a picture belongs.
    """

    def __init__(self, path: str, model: Any, *, gpu: bool, threads: int, option: str) -> None:
        """Loads the projector.

        Args:
            path: Its file.
            model: The loaded language model, a `llama_cpp.Llama`.
            gpu: Whether it may use a graphics processor.
            threads: Threads that encode a picture.
            option: The option that named the file, for messages.

        Raises:
            UsageError: it does not fit the model, or llama.cpp cannot load it.
        """
        self._lib, self._model = mtmd(), model
        parameters = self._lib.mtmd_context_params_default()
        parameters.use_gpu, parameters.n_threads = gpu, threads
        parameters.print_timings = parameters.warmup = False
        LOG.clear()
        self._context = self._lib.mtmd_init_from_file(path.encode(), model.model, parameters)
        if not self._context:
            why = complaint("it gives no reason")
            raise UsageError(f"{option}: llama.cpp cannot use {path} with this model: {why}")
        if not self._lib.mtmd_support_vision(self._context):
            self.close()
            raise UsageError(f"{option}: {path} is a projector, but not for images")
        self.marker: str = self._lib.mtmd_default_marker().decode()

    @contextmanager
    def blocks(self, text: str, pictures: Sequence[Picture], size: int, *, add_special: bool) -> Iterator[list[Block]]:
        """Turns a text with one marker a picture into the blocks of a prompt, valid within the context.

        Raises:
            ValueError: llama.cpp refuses the text or a picture.
        """
        lib = self._lib
        with ExitStack() as frees:
            bitmaps = (lib.mtmd_bitmap_p_ctypes * len(pictures))()
            for place, picture in enumerate(pictures):
                bitmaps[place] = bitmap = _bitmap(lib, picture)
                frees.callback(lib.mtmd_bitmap_free, bitmap)
            chunks = lib.mtmd_input_chunks_init()
            frees.callback(lib.mtmd_input_chunks_free, chunks)
            data = text.encode("utf-8", "replace")
            given = lib.mtmd_input_text(data, len(data), add_special, True)
            code = lib.mtmd_tokenize(self._context, chunks, ctypes.byref(given), bitmaps, len(pictures))
            if code != 0:
                raise ValueError(f"llama.cpp cannot read the prompt: {complaint(f'mtmd_tokenize returned {code}')}")
            count = lib.mtmd_input_chunks_size(chunks)
            handles = [lib.mtmd_input_chunks_get(chunks, number) for number in range(count)]
            yield [block for handle in handles for block in self._of(handle, size)]

    def _of(self, chunk: Any, size: int) -> Iterator[Block]:
        lib = self._lib
        if lib.mtmd_input_chunk_get_type(chunk) == lib.MTMD_INPUT_CHUNK_TYPE_TEXT:
            count = ctypes.c_size_t()
            tokens = lib.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
            yield from text_blocks(tokens[: count.value], size)
        else:
            yield ImageBlock(
                key=lib.mtmd_input_chunk_get_id(chunk).decode(),
                size=lib.mtmd_input_chunk_get_n_tokens(chunk),
                positions=lib.mtmd_input_chunk_get_n_pos(chunk),
                chunk=chunk,
            )

    def read(self, block: ImageBlock, position: int) -> None:
        """Encodes a picture and puts it into the language model's memory at a position.

        Raises:
            RuntimeError: llama.cpp failed.
        """
        after = llama().llama_pos(position)
        code = self._lib.mtmd_helper_eval_chunk_single(
            self._context, self._model.ctx, block.chunk, position, 0, self._model.n_batch, False, ctypes.byref(after)
        )
        if code != 0:
            raise RuntimeError(f"llama.cpp cannot read an image: {complaint(f'it returned {code}')}")

    def close(self) -> None:
        """Frees the weights. Closing twice is allowed."""
        if self._context:
            self._lib.mtmd_free(self._context)
            self._context = None


def _bitmap(lib: Any, picture: Picture) -> Any:
    """Makes llama.cpp's copy of a picture from its pixels, so that no file format is decoded in native code."""
    image = picture.pil()
    pixels = image.tobytes()
    data = ctypes.cast(ctypes.c_char_p(pixels), ctypes.POINTER(ctypes.c_uint8))
    bitmap = lib.mtmd_bitmap_init(image.width, image.height, data)
    lib.mtmd_bitmap_set_id(bitmap, content_id(picture.data).encode())
    return bitmap


def sample_picture() -> Picture:
    """Returns a grey picture of ordinary size."""
    data = io.BytesIO()
    PILImage.new("RGB", (SAMPLE_SIDE, SAMPLE_SIDE), "grey").save(data, "png")
    return Picture(data.getvalue(), "png", SAMPLE_SIDE, SAMPLE_SIDE)
