"""A small pack, built by the plugin's own builder from a tree like the one that Debian's packages unpack to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import ImageDraw

from maia_collage.build import build_photographs
from maia_collage.compose import compose
from maia_collage.detector import CollageDetector
from maia_collage.editor import CollageEditor
from maia_collage.generator import CollageGenerator
from maia_collage.pack import Pack, folder_of
from maia_core.config import cache_dir
from maia_core.context import Context
from maia_core.image import Image

STAMPS = {
    "animals/mammals/cats/tiger": ((238, 140, 40), (120, 70)),
    "animals/mammals/cats/lion": ((196, 150, 90), (110, 60)),
    "animals/mammals/dogs/dog": ((150, 150, 155), (90, 110)),
    "animals/mammals/camel/dromedary": ((200, 160, 90), (120, 110)),
    "animals/mammals/equines/zebra": ((240, 240, 240), (130, 90)),
    "animals/birds/crow": ((25, 25, 28), (100, 70)),
    "food/fruit/apple_red": ((200, 25, 30), (50, 50)),
    "food/fruit/apple_green": ((60, 160, 50), (46, 50)),
    "food/fruit/banana": ((240, 215, 60), (32, 90)),
    "food/vegetables/tomato": ((205, 30, 30), (48, 50)),
    "household/tools/hammer": ((140, 100, 60), (129, 60)),
    "vehicles/auto/beetle": ((190, 25, 25), (120, 52)),
    "vehicles/auto/sedan": ((50, 90, 200), (220, 66)),
    "plants/flowers/rose": ((195, 15, 30), (128, 109)),
    "plants/trees/tree336": ((40, 120, 45), (120, 180)),
}
"""A few of the real stamps' names, with the colour and size of what is drawn in their place."""


@pytest.fixture(scope="session")
def debian_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree as `dpkg -x` leaves it, with ellipses for photographs, in a wide transparent margin."""
    root = tmp_path_factory.mktemp("debian")
    share = root / "usr" / "share" / "tuxpaint"
    for source, (colour, (width, height)) in STAMPS.items():
        picture = PILImage.new("RGBA", (width + 40, height + 20), (255, 0, 255, 0))
        ImageDraw.Draw(picture).ellipse((25, 5, 25 + width, 5 + height), (*colour, 255))
        file = share / "stamps" / f"{source}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    (share / "stamps" / "symbols").mkdir()
    PILImage.new("RGBA", (50, 50), "blue").save(share / "stamps" / "symbols" / "arrow.png")
    (share / "templates").mkdir()
    rng = np.random.default_rng(0)
    for name in ("ocean_waves", "sheep"):
        noise = rng.integers(0, 255, (700, 900, 3), dtype=np.uint8)
        PILImage.fromarray(noise).save(share / "templates" / f"{name}.jpg")
    return root


@pytest.fixture(scope="session")
def cache(debian_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the small pack."""
    folder = tmp_path_factory.mktemp("cache")
    build_photographs(debian_tree, folder)
    return folder


@pytest.fixture(scope="session")
def pack(cache: Path) -> Pack:
    return Pack(folder_of("photographs", cache))


@pytest.fixture(scope="session")
def context(cache: Path) -> Context:
    return Context(cache=cache)


@pytest.fixture(scope="session")
def real_pack() -> Pack:
    """The pack of photographs in the user's cache."""
    folder = folder_of("photographs", cache_dir())
    if not folder.exists():
        pytest.skip(f"no pack of photographs in {folder}; run `maia collage fetch`")
    return Pack(folder)


@pytest.fixture(autouse=True)
def no_embeddings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges nearness by spelling, as where the extra is not installed; a test marked `slow` uses what is there."""
    if "slow" not in request.keywords:
        monkeypatch.setattr("maia_collage.nearest.installed", lambda: None)
        monkeypatch.setattr("maia_collage.compose.installed", lambda: None)


@pytest.fixture
def generator(context: Context) -> CollageGenerator:
    return CollageGenerator(CollageGenerator.Config(size=96), context)


@pytest.fixture
def editor(context: Context) -> CollageEditor:
    return CollageEditor(CollageEditor.Config(), context)


@pytest.fixture
def detector(context: Context) -> CollageDetector:
    return CollageDetector(CollageDetector.Config(), context)


@pytest.fixture
def draw(generator: CollageGenerator) -> Callable[..., tuple[Image, str]]:
    """Draws a prompt: image and warning."""

    def one(prompt: str, seed: int = 0) -> tuple[Image, str]:
        made = generator.generate([prompt], [seed])
        return made.images[0], made.warnings[0]

    return one


@pytest.fixture
def names(pack: Pack) -> Callable[..., list[str]]:
    """Returns the concepts that a prompt makes, in order."""

    def of(prompt: str, seed: int = 0) -> list[str]:
        return [pack.cutout(placed.cutout).concept for placed in compose(prompt, seed, pack).scene.objects]

    return of
