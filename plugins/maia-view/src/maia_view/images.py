"""Serves the images of run folders by content hash: whole, as thumbnails, and their masks as drawings."""

from __future__ import annotations

import contextlib
import io
import os
import re
import threading
from collections.abc import Container
from pathlib import Path

import anyio.to_thread
from PIL import Image as PILImage
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maia_core.plugin import Image, ImageStore, MaiaError, cache_dir, content_id, open_plain, write_atomically
from maia_report.maps import maps_of
from maia_report.masks import DRAWINGS, is_inactive
from maia_report.pictures import Picture
from maia_view.library import RunFolder
from maia_view.links import Links
from maia_view.pages import View, view_of
from maia_view.pictures import png

SIDE, QUALITY = 288, 80
"""Longest side of a thumbnail in pixels, and its quality."""

FOREVER = "private, max-age=31536000, immutable"

MAX_BYTES = 256 << 20
"""Largest file of an image that is served."""

_NAME = re.compile(r"(?P<id>[0-9a-f]{32})\.(?P<kind>full|thumb|dark|outline|map)\.(?:png|webp)")
_LARGE = 8_000_000
_one_at_a_time = threading.Lock()


class ServedGallery:
    """The pictures of a page that are served from a run folder."""

    def __init__(self, folder: Path, key: str, links: Links, maps: Container[str] = ()) -> None:
        """Lists the files of a run.

        Args:
            folder: The run folder.
            key: The run.
            links: Makes addresses.
            maps: Ids of the clean images of which the unit's map is known.
        """
        self._key = key
        self._maps = maps
        self._links = links
        try:
            self._files = {entry.name for entry in os.scandir(folder / "images")}
        except OSError:
            self._files = set()

    def __getitem__(self, image: Image) -> Picture:
        """Returns how an image is shown."""
        clean = image.clean or image
        if f"{clean.id}.png" not in self._files:
            return Picture(problem="missing from the record")
        picture = Picture(thumbnail=self._address(clean, "thumb"), full=self._address(clean, "full"))
        picture.inactive = is_inactive(image)
        if image.clean is not None and not picture.inactive:
            if f"{image.id}.mask.png" in self._files:
                picture.masks = {name: self._address(image, name) for name in DRAWINGS}
            else:
                picture.problem = "the record lacks its mask"
        if clean.id in self._maps:
            picture.masks["map"] = self._address(clean, "map")
        return picture

    def _address(self, image: Image, kind: str) -> str:
        return self._links.image(self._key, image.id, kind)


async def image(request: Request) -> Response:
    """Answers with an image; its address holds its content hash, so a browser asks once."""
    run = view_of(request).library.find(request.path_params["key"])
    name = _NAME.fullmatch(request.path_params["name"])
    if run is None or name is None:
        return Response("there is no such image", 404, media_type="text/plain")
    kind = name["kind"]
    try:
        data = await anyio.to_thread.run_sync(of_run, view_of(request), run, name["id"], kind)
    except (MaiaError, OSError, ValueError):
        return Response("this image is missing or damaged", 404, media_type="text/plain")
    media = "image/webp" if kind == "thumb" else "image/png"
    return Response(data, media_type=media, headers={"cache-control": FOREVER})


def of_run(view: View, run: RunFolder, image: str, kind: str) -> bytes:
    """Returns an image of a run as a file: the unit's map on it for `map`, else as `drawn` does.

    Raises:
        OSError: the record holds no such map; or as for `drawn`.
        RecordError: as for `drawn`.
    """
    if kind != "map":
        return drawn(run.path / "images", image, kind)
    summary = view.shelf.read(run).summary
    clean = (picture.clean or picture for _, picture in summary.exemplars)
    size = next(((each.width, each.height) for each in clean if each.id == image), None)
    unit_map = maps_of(summary.run.effects.facts).get(image)
    if size is None or unit_map is None:
        raise OSError(f"there is no map of image {image}")
    _check_size(size)
    return png(unit_map.heat(*size))


def drawn(folder: Path, image: str, kind: str) -> bytes:
    """Returns an image as a file: `full` as it was recorded, `thumb`, or a drawing of a mask by its name.

    A thumbnail or drawing is made once and kept in the cache.

    Raises:
        RecordError: the image is missing or damaged.
        OSError: as for a file that cannot be read.
    """
    masked = kind in DRAWINGS
    path = folder / f"{image}{'.mask' if masked else ''}.png"
    if folder.is_symlink():
        raise OSError(f"{folder} is a link")
    with open_plain(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size > MAX_BYTES:
            raise OSError(f"{path} is too large")
        try:
            with PILImage.open(file, formats=["PNG"]) as opened:
                size = opened.size
        except (SyntaxError, PILImage.DecompressionBombError) as error:
            raise OSError(f"{path} is not an image that is shown: {error}") from error
        if kind == "full":
            _check_size(size)
            file.seek(0)
            return file.read()
    # A folder from elsewhere may hold anything under any hash, so the file counts too, not the hash alone.
    name = content_id(os.fsencode(path), f"{status.st_mtime_ns}.{status.st_size}.{kind}.1".encode())
    cached = cache_dir() / "view" / name[:2] / name
    try:
        return cached.read_bytes()
    except OSError:
        data = _make(ImageStore(folder), image, kind, size)
    with contextlib.suppress(OSError):  # A cache that cannot be written costs time, and nothing else.
        write_atomically(cached, data)
    return data


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > ImageStore.MAX_PIXELS:
        raise OSError(f"an image of {size[0]}x{size[1]} pixels is too large")


def _make(store: ImageStore, image: str, kind: str, size: tuple[int, int]) -> bytes:
    _check_size(size)
    if size[0] * size[1] > _LARGE:
        with _one_at_a_time:
            return _encoded(store, image, kind, size)
    return _encoded(store, image, kind, size)


def _encoded(store: ImageStore, image: str, kind: str, size: tuple[int, int]) -> bytes:
    pixels = store.load(image, kind in DRAWINGS, *size)
    buffer = io.BytesIO()
    if draw := DRAWINGS.get(kind):
        draw(pixels).save(buffer, "PNG", optimize=True, bits=2)
    else:
        small = PILImage.fromarray(pixels)
        small.thumbnail((SIDE, SIDE), PILImage.Resampling.LANCZOS)
        small.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()


ROUTES = [Route("/images/{key}/{name}", image)]
