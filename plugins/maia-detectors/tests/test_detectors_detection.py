from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maia_core.context import Context
from maia_core.errors import RunError, UsageError
from maia_core.image import Image
from maia_core.testing import FakeDataset, disc
from maia_core.types import Detection
from maia_detectors.detector import TransformersDetector
from maia_synthetic.system import SyntheticNeuron

Make = Callable[..., TransformersDetector]
BOTH = [{"segmenter": "sam"}, {"model": "owlv2", "segmenter": "sam2"}]


@pytest.fixture(scope="module")
def discs() -> list[Image]:
    """Six images of two sizes."""
    return [disc("red" if n % 3 else "blue", seed=n, size=48 if n % 2 else 64) for n in range(6)]


def scores(found: Sequence[Sequence[Detection]]) -> list[list[float]]:
    return [[detection.score for detection in each] for each in found]


@pytest.mark.parametrize("options", BOTH, ids=["dino, sam", "owl, sam2"])
def test_results_do_not_depend_on_the_batch(options: dict[str, Any], make: Make, discs: list[Image]) -> None:
    together = make(batch=8, box_threshold=0.3, **options).detect(discs, "dog")
    alone = make(batch=1, box_threshold=0.3, **options).detect(discs, "dog")
    assert any(together)
    for one, other in zip(together, alone, strict=True):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert a.score == pytest.approx(b.score, abs=1e-5)
            assert a.box == pytest.approx(b.box, abs=1e-2)
            assert np.mean(a.mask != b.mask) <= 0.01


def test_thresholds_are_the_least_scores(make: Make, discs: list[Image]) -> None:
    everything = scores(make(box_threshold=0, text_threshold=0).detect(discs, "dog"))
    level = float(np.median([s for each in everything for s in each]))
    some = scores(make(box_threshold=level, text_threshold=0).detect(discs, "dog"))
    assert some == [[s for s in each if s >= level] for each in everything]
    assert 0 < sum(map(len, some)) < sum(map(len, everything))
    assert scores(make(box_threshold=0, text_threshold=1).detect(discs, "dog")) == everything


def test_best_boxes_are_kept_where_there_are_many(make: Make, discs: list[Image]) -> None:
    all_of = scores(make(box_threshold=0, text_threshold=0).detect(discs, "dog"))
    best = scores(make(box_threshold=0, text_threshold=0, most=2).detect(discs, "dog"))
    assert best == [each[:2] for each in all_of]


@pytest.mark.parametrize("segmenter", ["", "sam", "sam2"])
def test_mask_lies_in_its_box(segmenter: str, make: Make, discs: list[Image]) -> None:
    for found in make(segmenter=segmenter, box_threshold=0).detect(discs, "dog"):
        for detection in found:
            box = np.zeros_like(detection.mask)
            left, top, right, bottom = map(round, detection.box)
            box[top:bottom, left:right] = True
            assert detection.mask.any()
            assert not (detection.mask & ~box).any()
            assert segmenter or (detection.mask == box).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("options", BOTH, ids=["dino, sam", "owl, sam2"])
def test_half_precision_moves_scores_a_little(
    dtype: str, options: dict[str, Any], make: Make, discs: list[Image]
) -> None:
    full, half = make(box_threshold=0, **options), make(box_threshold=0, dtype=dtype, **options)
    pairs = zip(scores(full.detect(discs, "dog")), scores(half.detect(discs, "dog")), strict=True)
    best = [(one[0], other[0]) for one, other in pairs if one and other]
    assert len(best) >= 4
    assert [one for one, _ in best] == pytest.approx([other for _, other in best], abs=0.05)
    assert full.fingerprint != half.fingerprint


@pytest.mark.parametrize("model", ["grounding-dino", "owlv2"])
@pytest.mark.parametrize("text", ["", "   ", "...", "\x00\n", "🐯"])
def test_text_that_names_nothing_is_refused(model: str, text: str, make: Make, discs: list[Image]) -> None:
    with pytest.raises(UsageError, match="names nothing"):
        make(model).detect(discs, text)


def test_text_of_unknown_words_is_refused(make: Make, discs: list[Image]) -> None:
    with pytest.raises(UsageError, match="has no token for 'сне'"):
        make().detect(discs, "сне")


@pytest.mark.parametrize("model", ["grounding-dino", "owlv2"])
def test_text_longer_than_the_model_reads_is_refused_and_not_cut(model: str, make: Make, discs: list[Image]) -> None:
    with pytest.raises(UsageError, match=r"has \d+ tokens; the detector reads \d+"):
        make(model).detect(discs, "a red disc " * 30)


def test_a_full_stop_does_not_make_two_phrases(make: Make, discs: list[Image]) -> None:
    detector = make(box_threshold=0)
    assert scores(detector.detect(discs, "dog. cat.")) == scores(detector.detect(discs, "dog cat"))


# --- memory ---


@contextmanager
def little_memory(module: torch.nn.Module, fits: int) -> Iterator[list[int]]:
    """Makes a network fail, as an accelerator does, on more images than `fits`."""
    sizes: list[int] = []

    def before(module: Any, args: Any, kwargs: Any) -> None:
        [images] = [t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor) and t.ndim == 4][:1]
        sizes.append(len(images))
        if len(images) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    hook = module.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


def test_smaller_batches_follow_where_memory_does_not_suffice(make: Make, discs: list[Image]) -> None:
    same = [image for image in discs if image.width == 64] * 4
    expected = make(segmenter="sam").detect(same, "dog")
    detector = make(segmenter="sam", batch=8)
    engine = detector._loaded()
    with (
        little_memory(engine._finder.model, 3) as found,
        little_memory(engine._segmenter.model.vision_encoder, 3) as cut,
    ):
        result = detector.detect(same, "dog")
        assert found == [8, 4] + [2] * 6
        assert cut == [8, 4] + [2] * 6
        found.clear()
        detector.detect(same, "cat")
        assert found == [2] * 6, "what did not fit once is not tried again"
    for one, other in zip(result, expected, strict=True):
        assert [a.score for a in one] == pytest.approx([b.score for b in other], abs=1e-5)


def test_memory_that_does_not_suffice_for_one_image_is_one_line(make: Make, discs: list[Image]) -> None:
    detector = make()
    with little_memory(detector._loaded()._finder.model, 0), pytest.raises(RunError) as caught:
        detector.detect(discs, "dog")
    assert "one image does not fit into the memory of" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_are_shared_and_freed_with_the_last_user(make: Make, discs: list[Image]) -> None:
    one, other = make(segmenter="sam"), make(segmenter="sam", box_threshold=0.9)
    expected = scores(one.detect(discs, "dog"))
    other.detect(discs, "dog")
    assert one._engine._finder is other._engine._finder
    models = [weakref.ref(one._engine._finder.model), weakref.ref(one._engine._segmenter.model)]
    one.close()
    one.close()
    assert all(model() is not None for model in models)
    other.close()
    gc.collect()
    assert all(model() is None for model in models)
    assert scores(one.detect(discs, "dog")) == expected, "closed weights are loaded again when they are needed"


def test_weights_go_with_a_detector_that_nobody_closed(make: Make, discs: list[Image]) -> None:
    detector = make()
    detector.detect(discs, "dog")
    model = weakref.ref(detector._engine._finder.model)
    del detector
    gc.collect()
    assert model() is None


# --- what it is made of ---


def test_nothing_heavy_is_imported_before_the_first_image(folder: Callable[[str], Path]) -> None:
    program = (
        "import sys; from maia_core.context import Context; from maia_core.registry import installed\n"
        f"options = {{'model': {str(folder('grounding-dino'))!r}}}\n"
        "made = installed().build('detector', 'transformers', options, Context())\n"
        "assert made.detect([], 'dog') == []\n"
        "print([name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_fingerprint_is_of_content_and_thresholds(make: Make, folder: Callable[[str], Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder("grounding-dino"), copy)
    config = TransformersDetector.Config(model=str(copy), device="cpu")
    assert TransformersDetector(config, Context(cache=tmp_path)).fingerprint == make().fingerprint
    others = {make(**o).fingerprint for o in ({"box_threshold": 0.4}, {"segmenter": "sam"}, {"segmenter": "sam2"})}
    assert len(others | {make().fingerprint}) == 4
    assert make(batch=1).fingerprint == make(batch=3).fingerprint


def test_synthetic_neuron_of_a_network(make: Make, tmp_path: Path) -> None:
    context = Context(parts={"detector/networks/[]": make(segmenter="sam", box_threshold=0.5)}, cache=tmp_path)
    config = SyntheticNeuron.Config(ref="dog OR cat", detector={"name": "networks"}, dilation=1)
    neuron = SyntheticNeuron(config, context)
    dataset = FakeDataset(FakeDataset.Config(count=40))
    found, statistics = neuron.exemplar_source(dataset).exemplars(neuron, 5)
    assert statistics.count == 40
    again, masked = neuron.neuron([exemplar.image for exemplar in found])
    assert again == pytest.approx([exemplar.activation for exemplar in found], abs=1e-5)
    assert all(0 <= activation <= 1 for activation in again)
    assert all(image.mask().any() == (activation > 0) for activation, image in zip(again, masked, strict=True))
