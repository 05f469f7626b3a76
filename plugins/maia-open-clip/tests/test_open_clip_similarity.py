"""Cosines of images and texts, on tiny models with random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.image import Image
from maia_core.protocols import ImageTextSimilarity
from maia_open_clip.similarity import OpenClipSimilarity

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TEXTS = ["a tiger", "snow", "a tiger"]


@pytest.fixture(scope="session", autouse=True)
def tiny(tmp_path_factory) -> None:
    """Adds a small CLIP, and a small model with a bias as SigLIP has, to open_clip's list."""
    folder = tmp_path_factory.mktemp("models")
    for name, more in (("tiny-clip", {}), ("tiny-biased", {"init_logit_bias": -10, "custom_text": True})):
        (folder / f"{name}.json").write_text(json.dumps(TINY | more))
    open_clip.add_model_config(folder)


def make(warnings: list[str] | None = None, **options: object) -> OpenClipSimilarity:
    context = Context()
    context.warn = (warnings if warnings is not None else []).append
    config = OpenClipSimilarity.Config(**({"model": "tiny-clip", "weights": "random"} | options))
    return OpenClipSimilarity(config, context)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    return [Image.from_pixels(rng.integers(0, 256, (size, 40, 3), np.uint8)) for size in (30, 40, 64)]


@pytest.mark.parametrize("model", ["tiny-clip", "tiny-biased"])
def test_scores_are_those_of_open_clip_itself(images, model):
    torch.manual_seed(0)
    whole, _, transform = open_clip.create_model_and_transforms(model)
    whole.eval()
    with torch.inference_mode():
        seen = whole.encode_image(torch.stack([transform(image.pil()) for image in images]), normalize=True)
        read = whole.encode_text(open_clip.get_tokenizer(model)(TEXTS), normalize=True)
    scores = make(model=model).similarity(images, TEXTS)
    assert scores.dtype == np.float32
    assert np.abs(scores - (seen @ read.T).numpy()).max() < 0.005, "the resizes differ by a grey level at most"


def test_it_is_a_similarity(images):
    similarity = make()
    assert isinstance(similarity, ImageTextSimilarity)
    scores = similarity.similarity(images, TEXTS)
    assert scores.shape == (3, 3)
    assert (np.abs(scores) <= 1.0001).all()
    assert (scores[:, 0] == scores[:, 2]).all()
    assert similarity.similarity([], TEXTS).shape == (0, 3)
    assert similarity.similarity(images, []).shape == (3, 0)


def test_a_score_rests_neither_on_titles_nor_on_the_rest_of_the_call(images):
    together = make(batch=2).similarity(images, TEXTS)
    named = [image.retitled("a tiger") for image in images]
    alone = np.concatenate([make().similarity([image], TEXTS) for image in named])
    assert np.abs(together - alone).max() < 1e-5


def test_a_masked_image_is_seen_darkened(images):
    mask = np.zeros((images[0].height, images[0].width), np.bool_)
    mask[:15] = True
    masked = images[0].masked(mask)
    similarity = make()
    scores = similarity.similarity([images[0], masked, Image.from_pixels(masked.pixels())], ["snow"])
    assert scores[0] != scores[1]
    assert scores[1] == pytest.approx(scores[2])


def test_what_was_embedded_is_not_embedded_again(images, monkeypatch):
    similarity = make()
    before = similarity.similarity(images, TEXTS)
    pair = similarity._pair
    assert pair is not None
    monkeypatch.setattr(pair.module, "encode_image", None)
    monkeypatch.setattr(pair.module, "encode_text", None)
    assert (similarity.similarity(images[::-1], TEXTS)[::-1] == before).all()


def test_weights_come_from_a_file_of_the_whole_model(tmp_path, images):
    torch.manual_seed(3)
    whole = open_clip.create_model("tiny-clip")
    path = tmp_path / "whole.pt"
    torch.save(whole.state_dict(), path)
    from_file = make(weights=str(path))
    assert (from_file.similarity(images, TEXTS) != make().similarity(images, TEXTS)).any()
    before = from_file.fingerprint
    torch.save({name: 2 * value for name, value in whole.state_dict().items()}, path)
    assert make(weights=str(path)).fingerprint != before, "another file, other scores"
    torch.save(whole.visual.state_dict(), path)
    with pytest.raises(UsageError, match="are not this network's"):
        make(weights=str(path)).similarity(images, TEXTS)


def test_the_template_is_what_is_read(images):
    said = make(template="a photo of {}").similarity(images, ["snow"])
    assert np.abs(said - make().similarity(images, ["a photo of snow"])).max() < 1e-6
    assert make(template="a photo of {}").fingerprint != make().fingerprint
    with pytest.raises(ValueError, match="where the text goes"):
        OpenClipSimilarity.Config(template="a photo")


def test_what_cannot_be_is_said_in_one_line(images):
    with pytest.raises(UsageError, match="Did you mean 'tiny-clip'"):
        make(model="tiny-clp").similarity(images, TEXTS)
    with pytest.raises(UsageError, match="no weights 'default'"):
        make(weights="default").similarity(images, TEXTS)
    with pytest.raises(UsageError, match="device 'cuda:9' cannot be used"):
        make(device="cuda:9").similarity(images, TEXTS)
    warnings: list[str] = []
    make(warnings).similarity(images, TEXTS)
    assert "random" in warnings[0]


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen", ""),
        ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen!", ""),
        ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen lions", "lions"),
        ("a dog " * 10 + "beside a cat", "a dog a dog a dog beside a cat"),
        ("红色的圆形物体放在白色背景上的照片老虎", "体放在白色背景上的照片老虎"),
        ("", ""),
    ],
)
def test_the_end_of_a_text_that_the_encoder_does_not_read_is_named(images, text, lost):
    """The tiny CLIP reads 16 tokens, the beginning and the end among them."""
    warnings: list[str] = []
    make(warnings).similarity(images, [text])
    cut = [line for line in warnings if "too long" in line]
    assert len(cut) == bool(lost)
    assert not lost or cut[0].endswith(f"reads 16 tokens of it and does not know '{lost}'")


def test_the_weights_are_loaded_when_they_are_needed():
    code = (
        "import sys; from maia_core.context import Context;"
        "from maia_open_clip.similarity import OpenClipSimilarity as S;"
        "S(S.Config(), Context()); sys.exit('torch' in sys.modules or 'open_clip' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent).returncode == 0
