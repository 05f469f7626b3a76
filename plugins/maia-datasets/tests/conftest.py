from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from PIL import Image as PILImage

from maia_core.context import Context
from maia_core.image import Image
from maia_core.testing import disc

os.environ["HF_HUB_OFFLINE"] = "1"  # Before anything imports the hub's library, which reads it once.

TarFiles = Iterable[tuple[str, bytes]]


@pytest.fixture
def warnings() -> list[str]:
    """What the context was told."""
    return []


@pytest.fixture
def context(tmp_path: Path, warnings: list[str]) -> Context:
    """A context with a cache of its own."""
    context = Context(parts={}, cache=tmp_path / "cache")
    context.warn_to(warnings.append)
    return context


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """Encodes an image, or the disc of a number."""

    def encode(image: Image | PILImage.Image | int, form: str = "PNG", **options: object) -> bytes:
        made = disc("red", image) if isinstance(image, int) else image
        buffer = io.BytesIO()
        (made.pil() if isinstance(made, Image) else made).save(buffer, form, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def tar() -> Callable[..., Path]:
    """Writes a tar archive with the given names and contents."""

    def write(path: Path, files: TarFiles, form: int = tarfile.PAX_FORMAT) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w", format=form) as archive:
            for name, content in files:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return path

    return write
