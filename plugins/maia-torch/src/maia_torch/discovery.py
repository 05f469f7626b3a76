"""Finds the layers of a module: which outputs have units, and how they are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from maia_core.plugin import LayerInfo, UsageError, did_you_mean
from maia_torch.layers import LOGIT, OUTPUT, PROB, Layer, LayerKind
from maia_torch.layouts import Features, Grid, Layout, find_layout, token_grid
from maia_torch.outputs import tensors

Layouts = Mapping[str, Layout | str]
"""Pattern of module names (as in file names: `blocks.*`) to their layout: a `Layout`, its axes, or `none`."""

IMAGES = 2
"""Images of the first pass: two, to tell the images from the units."""

UNITS_FIRST = (
    *(nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.PixelShuffle),
    *(nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd),
)
"""Modules whose units come right after the images."""

KEEPING = (nn.Dropout, nn.Softmax, nn.Identity)
"""Modules that make no map: what they return is one only if something before them returned one of that size."""


@dataclass(frozen=True)
class Seen:
    """One tensor that a module returned.

    Attributes:
        module: The module's name; "" is the whole network.
        call: Which call of the module in the pass, from 1.
        part: The tensor's name in the output.
        shape: Its shape for `IMAGES` images.
        images: The axis that counts images; None if there is none.
        features: Where this kind of module puts its units.
        keeping: Whether it is one of `KEEPING`.
    """

    module: str
    call: int
    part: str
    shape: tuple[int, ...]
    images: int | None
    features: Features
    keeping: bool


def discover(
    module: nn.Module,
    run: Callable[[int], object],
    size: Grid,
    main: Collection[str] | None = None,
    layouts: Layouts | None = None,
    classes: int | None = None,
) -> list[Layer]:
    """Finds the layers that have units, in the order of computation, then those of the network's own output.

    Args:
        module: The network.
        run: Makes one pass over the given number of black images.
        size: Height and width of the input.
        main: Names of the layers of kind "main"; None: the outer modules, the items of outer lists, and the blocks.
        layouts: What shapes do not tell; the first pattern that fits counts.
        classes: How many classes there are; 0: the network's output is none; None: not known, and then an output
            without a map is one.

    Raises:
        UsageError: a layout fits no module, or not the output of one.
    """
    seen = _look(module, run)
    tokens = {one.shape[1] for one in seen if one.images == 0 and len(one.shape) == 3}
    grids: list[Grid] = []
    found: list[tuple[Seen, Layout]] = []
    unused = set(layouts or ())
    for one in seen:
        pattern = next((pattern for pattern in layouts or () if fnmatchcase(one.module, pattern)), None)
        unused.discard(str(pattern))
        if pattern is not None:
            layout = _told((layouts or {})[pattern], one, grids, size)
        elif _is_attention(one, tokens, grids):
            layout = None
        else:
            layout = find_layout(one.shape, one.images, one.features, grids, size)
        if layout is None:
            continue
        if layout.grid is None and len(shape := layout.shape(one.shape)) == 3:
            grid = (shape[1], shape[2])
            if one.keeping and grid not in grids:
                continue
            grids.append(grid)
        found.append((one, layout))
    if unused:
        hint = did_you_mean(min(unused), [one.module for one in seen])
        raise UsageError(f"layouts: no module of the network is named '{min(unused)}'.{hint}")
    if main is None:
        blocks = set(map(id, regions(module)))
        main = {name for name, part in module.named_modules() if _is_outer(name) or id(part) in blocks}
    network = _of_network([item for item in found if not item[0].module], classes)
    taken = {layer.name for layer in network}
    return _named([item for item in found if item[0].module], main, taken) + network


def _look(module: nn.Module, run: Callable[[int], object]) -> list[Seen]:
    """Passes over two images and, where tokens could be taken for images, over three: that axis is the images'."""
    parts = dict(module.named_modules())
    first = _shapes(module, run, IMAGES)
    again = _shapes(module, run, IMAGES + 1) if any(len(shape) == 3 for *_, shape in first) else first
    # The order of computation may depend on the images: then only the first axis can be theirs.
    same = [one[:3] for one in first] == [other[:3] for other in again]
    return [
        Seen(
            *(name, call, part, shape, _images_axis(shape, other if same else shape)),
            *(_features(parts[name]), isinstance(parts[name], KEEPING)),
        )
        for (name, call, part, shape), (*_, other) in zip(first, again if same else first, strict=True)
    ]


def _shapes(
    module: nn.Module, run: Callable[[int], object], images: int
) -> list[tuple[str, int, str, tuple[int, ...]]]:
    """Returns module, call, part and shape of all tensors that come out of a module, in order."""
    shapes: list[tuple[str, int, str, tuple[int, ...]]] = []
    calls: Counter[str] = Counter()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, args: Any, output: Any) -> None:
            calls[name] += 1
            if isinstance(module, nn.MultiheadAttention):
                output = output[:1]  # the other is how much each token attends to each other one
            shapes.extend((name, calls[name], part, tuple(found.shape)) for part, found in tensors(output))

        return read

    handles = [part.register_forward_hook(hook(name)) for name, part in module.named_modules()]
    try:
        run(images)
    finally:
        for handle in handles:
            handle.remove()
    return shapes


def _images_axis(shape: tuple[int, ...], other: tuple[int, ...]) -> int | None:
    if shape == other:
        return 0 if shape[:1] == (IMAGES,) else None
    axes = [axis for axis, (a, b) in enumerate(zip(shape, other, strict=False)) if a != b]
    return axes[0] if len(axes) == 1 and shape[axes[0]] == IMAGES else None


def _features(module: nn.Module) -> Features:
    if isinstance(module, UNITS_FIRST):
        return "first"
    # LayerNorm itself only: its subclasses in the libraries also norm maps whose units come first.
    return "last" if isinstance(module, nn.Linear) or type(module) is nn.LayerNorm else ""


def _is_attention(one: Seen, tokens: Collection[int], grids: Collection[Grid]) -> bool:
    """Tells how much each token attends to each other one from a map, which has as many tokens as positions."""
    if len(one.shape) != 4 or one.features == "first":
        return False
    return any(
        rows == columns and rows in tokens and rows * columns not in tokens and (rows, columns) not in grids
        for rows, columns in (one.shape[1:3], one.shape[2:4])
    )


def _told(told: Layout | str, one: Seen, grids: Sequence[Grid], size: Grid) -> Layout | None:
    if told == "none":
        return None
    layout = Layout(told) if isinstance(told, str) else told
    if len(layout.axes) != len(one.shape):
        raise UsageError(f"layouts: the output of {one.module} has the shape {one.shape}, which is not {layout.axes}")
    if "L" not in layout.axes or not layout.placed:
        return layout
    tokens = one.shape[layout.axes.index("L")]
    grid = layout.grid or token_grid(tokens, grids, size)
    if grid is None or (layout.grid and tokens != layout.prefix + grid[0] * grid[1]):
        raise UsageError(f"layouts: the {tokens} tokens of {one.module} fit no grid; give its rows and columns")
    return replace(layout, prefix=tokens - grid[0] * grid[1], grid=grid)


def _named(found: Sequence[tuple[Seen, Layout]], main: Collection[str], taken: set[str]) -> list[Layer]:
    """Returns the layers of modules, each with a name of its own: by module, call and part as far as needed."""
    calls: Counter[str] = Counter()
    for one, _ in found:
        calls[one.module] = max(calls[one.module], one.call)
    parts = Counter((one.module, one.call) for one, _ in found)
    layers = []
    for one, layout in found:
        name = one.module if calls[one.module] == 1 else f"{one.module}@{one.call}"
        part = f"#{one.part}" if parts[one.module, one.call] > 1 else ""
        while name + part in taken:
            name += f"@{one.call}"
        name += part
        taken.add(name)
        kind: LayerKind = "main" if name in main or one.module in main else "inner"
        layers.append(_layer(name, one, layout, kind))
    return layers


def _of_network(found: Sequence[tuple[Seen, Layout]], classes: int | None) -> list[Layer]:
    """The output of the network itself: a classifier's classes (of segmentation: in each place), or whatever it is."""
    preferred = next((item for item in found if item[0].part in ("logits", "out")), found[0] if found else None)
    if preferred is not None:
        one, layout = preferred
        shape = layout.shape(one.shape)
        if classes != 0 and (len(shape) == 1 or shape[0] == classes):
            return [_layer(name, one, layout, "classes", softmax=name == PROB) for name in (LOGIT, PROB)]
    several = len(found) > 1
    return [_layer(f"{OUTPUT}#{one.part}" if several else OUTPUT, one, layout, "main") for one, layout in found]


def _layer(name: str, one: Seen, layout: Layout, kind: LayerKind, softmax: bool = False) -> Layer:
    shape = layout.shape(one.shape)
    info = LayerInfo(name=name, units=shape[0], shape=shape, kind=kind)
    return Layer(info, one.module, one.call, softmax, layout, one.part)


def _is_outer(module: str) -> bool:
    _, _, rest = module.partition(".")
    return not rest or rest.isdigit()


def regions(module: nn.Module) -> Iterator[nn.Module]:
    """Yields the blocks of a network, the outermost items of lists that have parts: what is compiled each by itself."""
    lists = (nn.Sequential, nn.ModuleList)
    for child in module.children():
        if isinstance(module, lists) and not isinstance(child, lists) and any(child.children()):
            yield child
        else:
            yield from regions(child)
