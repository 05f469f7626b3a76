"""What the modules of a network return for three known images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maia_torch.outputs import tensors, unread

IMAGES = 2
"""Images of the first pass; the second has one more, which tells the images from the units."""

SAMPLES = 256
"""Values of each image that passes are compared by, spread evenly over a module's output."""

Run = Callable[[int], object]
"""Makes one pass over the given number of `probes`."""


def probes(height: int, width: int) -> NDArray[np.uint8]:
    """Returns a black image, one of noise, and this one with other noise in its lower half: (3, height, width, 3)."""
    noise = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    lower = np.arange(height)[:, None, None] >= height // 2
    return np.stack([np.zeros_like(noise[0]), noise[0], np.where(lower, noise[1], noise[0])])


@dataclass(frozen=True)
class Change:
    """Which tokens differ between probes, bool of shape (tokens,).

    Attributes:
        everywhere: Between the black image and the noise: False for tokens that no image decides.
        below: Between the two images of noise, whose upper halves are equal.
    """

    everywhere: NDArray[np.bool_]
    below: NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """One tensor that a module returned.

    Attributes:
        module: The module's name; "" is the whole network.
        call: Which call of the module in the pass, from 1.
        part: The tensor's name in the output.
        shape: Its shape for `IMAGES` images.
        images: The axis that counts images; None if there is none.
        kind: The module's class.
        changes: Of three axes: what changes along each that may be that of tokens.
    """

    module: str
    call: int
    part: str
    shape: tuple[int, ...]
    images: int | None
    kind: type[nn.Module]
    changes: dict[int, Change]


class Probed(NamedTuple):
    """What the passes show.

    Attributes:
        seen: The tensors, in the order of computation.
        unread: The types of outputs without a tensor of numbers, by module.
        changing: Modules of which the same image has other values in the second pass.
        first: The values of the first pass, for a comparison with a third.
    """

    seen: list[Seen]
    unread: dict[str, str]
    changing: list[str]
    first: list[_Output]


class _Output(NamedTuple):
    key: tuple[str, int, str]
    shape: tuple[int, ...]
    dtype: torch.dtype
    samples: dict[int, Tensor]
    changes: dict[tuple[int, int], Change]


def probe(module: nn.Module, run: Run) -> Probed:
    """Makes a pass over two images and one over three: the axis that grows is the images'."""
    kinds = {name: type(part) for name, part in module.named_modules()}
    unknown: dict[str, str] = {}
    first = _outputs(module, run, IMAGES, unknown)
    second = _outputs(module, run, IMAGES + 1, {})
    # The order of computation may depend on the images: then only the first axis can be theirs.
    same = [one.key for one in first] == [other.key for other in second]
    seen, changing = [], []
    for one, other in zip(first, second if same else first, strict=True):
        images = _images_axis(one.shape, other.shape)
        changes = {token: change for (axis, token), change in other.changes.items() if axis == images}
        seen.append(Seen(*one.key, one.shape, images, kinds[one.key[0]], changes))
        if _differ(one, other, images):
            changing.append(one.key[0])
    return Probed(seen, unknown, list(dict.fromkeys(changing)), first)


def probe_again(module: nn.Module, run: Run, before: Probed) -> set[str]:
    """Repeats the first pass; returns the modules whose values are others now."""
    again = _outputs(module, run, IMAGES, {})
    pairs = zip(before.first, again, before.seen, strict=False)
    return {one.key[0] for one, other, seen in pairs if one.key != other.key or _differ(one, other, seen.images)}


def _outputs(module: nn.Module, run: Run, images: int, unknown: dict[str, str]) -> list[_Output]:
    """Returns all tensors that come out of a module in one pass, in order."""
    outputs: list[_Output] = []
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, args: Any, output: Any) -> None:
            calls[name] += 1
            if isinstance(module, nn.MultiheadAttention):
                output = output[:1]  # the other is how much each token attends to each other one
            if kind := unread(output):
                unknown[name] = kind
            for part, values in tensors(output):
                axes = [axis for axis in (0, 1) if values.shape[axis : axis + 1] == (images,)]
                samples = {axis: _samples(values.movedim(axis, 0)[:IMAGES]) for axis in axes}
                changes = {
                    (axis, token): _change(values.movedim((axis, token), (0, 1)))
                    for axis in axes
                    for token in range(3)
                    if token != axis and values.ndim == 3 and images > IMAGES
                }
                outputs.append(_Output((name, calls[name], part), tuple(values.shape), values.dtype, samples, changes))

        return read

    handles = [part.register_forward_hook(hook(name)) for name, part in module.named_modules()]
    try:
        run(images)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _samples(values: Tensor) -> Tensor:
    flat = values.flatten(1)
    return flat[:, :: max(1, flat.shape[1] // SAMPLES)].float().cpu()


def _change(values: Tensor) -> Change:
    """Compares three images: (3, tokens, units)."""
    sizes = values.abs().amax(2).float()
    tolerance = _tolerance(values.dtype, 1e-4)
    pairs = [
        ((values[a] - values[b]).abs().amax(1).float() > tolerance * torch.maximum(sizes[a], sizes[b])).cpu().numpy()
        for a, b in ((0, 1), (1, 2))
    ]
    return Change(*pairs)


def _differ(one: _Output, other: _Output, images: int | None) -> bool:
    """Says whether the same images have other values, by more than the order in which torch adds."""
    if images not in one.samples or images not in other.samples:
        return False
    a, b = one.samples[images], other.samples[images]
    if a.shape != b.shape:
        return True
    scale = a.abs().max() if a.numel() else torch.tensor(0.0)
    return bool(((a - b).abs() > _tolerance(one.dtype, 1e-3) * scale).any())


def _tolerance(dtype: torch.dtype, single: float) -> float:
    return single if dtype in (torch.float32, torch.float64) else 0.03


def _images_axis(shape: Sequence[int], other: Sequence[int]) -> int | None:
    if shape == other:
        return 0 if tuple(shape[:1]) == (IMAGES,) else None
    axes = [axis for axis, (a, b) in enumerate(zip(shape, other, strict=False)) if a != b]
    return axes[0] if len(axes) == 1 and shape[axes[0]] == IMAGES else None
