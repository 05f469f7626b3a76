"""A small pack of drawn cut-outs, collages at random made of it, and a detector of words that nobody would say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image as PILImage
from PIL import ImageDraw

from maia_collage.build import build_photographs
from maia_collage.dataset import CollageDataset
from maia_collage.detector import CollageDetector
from maia_collage.pack import folder_of
from maia_core.config import cache_dir
from maia_core.context import Context
from maia_core.image import Image
from maia_core.testing import FakeDetector, fake_parts
from maia_core.types import Detection
from maia_synthetic.system import SyntheticNeuron

STAMPS = {
    "animals/mammals/cats/tiger": ((238, 140, 40), (120, 70)),
    "animals/mammals/cats/lion": ((196, 150, 90), (110, 60)),
    "animals/mammals/dogs/dog": ((150, 150, 155), (90, 110)),
    "animals/birds/crow": ((25, 25, 28), (100, 70)),
    "food/fruit/apple_red": ((200, 25, 30), (50, 50)),
    "food/fruit/banana": ((240, 215, 60), (32, 90)),
    "vehicles/auto/beetle": ((190, 25, 25), (120, 52)),
}


class Words(FakeDetector):
    """Finds red discs by the name "zorbaq", blue ones by "quuxle", and counts what it is asked."""

    fingerprint = "words-1"

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def detect(self, images: Sequence[Image], text: str) -> list[list[Detection]]:
        self.asked.append((text, len(images)))
        return super().detect(images, {"zorbaq": "red", "quuxle": "blue"}.get(text, text))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that holds the small pack."""
    root, folder = tmp_path_factory.mktemp("debian"), tmp_path_factory.mktemp("cache")
    share = root / "usr" / "share" / "tuxpaint"
    for source, (colour, (width, height)) in STAMPS.items():
        picture = PILImage.new("RGBA", (width + 40, height + 20), (255, 0, 255, 0))
        ImageDraw.Draw(picture).ellipse((25, 5, 25 + width, 5 + height), (*colour, 255))
        file = share / "stamps" / f"{source}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    (share / "templates").mkdir()
    build_photographs(root, folder)
    return folder


@pytest.fixture(scope="session")
def context(cache: Path) -> Context:
    return Context(cache=cache)


@pytest.fixture(scope="session")
def collages(context: Context) -> CollageDataset:
    """Many small collages."""
    return CollageDataset(CollageDataset.Config(count=400, size=48, seed=5), context)


@pytest.fixture(scope="session")
def detector(context: Context) -> CollageDetector:
    return context.build("detector", "collage")


@pytest.fixture(scope="session")
def neuron(context: Context) -> Callable[..., SyntheticNeuron]:
    """Makes neurons over collages."""
    return lambda ref, **options: SyntheticNeuron(SyntheticNeuron.Config(ref=ref, **options), context)


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
def discs(words: Words, tmp_path: Path) -> Context:
    """A run over coloured discs, with the detector `words`."""
    return Context(parts=fake_parts() | {"detector/words/[]": words}, cache=tmp_path / "cache")


@pytest.fixture
def over_discs(discs: Context) -> Callable[..., SyntheticNeuron]:
    """Makes neurons over coloured discs."""
    return lambda ref, **options: SyntheticNeuron(
        SyntheticNeuron.Config(ref=ref, detector={"name": "words"}, **options), discs
    )


@pytest.fixture(scope="session")
def laboratory() -> Context:
    """A context with the pack of photographs in the user's cache."""
    if not folder_of("photographs", cache_dir()).exists():
        pytest.skip("no pack of photographs; run `maia collage fetch`")
    return Context()
