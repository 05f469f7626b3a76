"""Finds the layers of a module: which outputs have units, and how they are laid out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from maia_core.plugin import LayerInfo, UsageError, did_you_mean, printable
from maia_torch.layers import LOGIT, OUTPUT, PROB, Layer, LayerKind
from maia_torch.layouts import Features, Grid, Layout, find_layout, token_grid
from maia_torch.modules import hidden_parts, quantises_batches
from maia_torch.probing import Probed, Seen, probe, probe_again
from maia_torch.token_places import TokenPlaces

Layouts = Mapping[str, Layout | str]
"""Pattern of module names (as in file names: `blocks.*`) to their layout: a `Layout`, its axes, or `none`."""

UNITS_FIRST = (
    *(nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.PixelShuffle),
    *(nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd),
)
"""Modules whose units come right after the images."""

KEEPING = (nn.Dropout, nn.Softmax, nn.Identity)
"""Modules that make no map: what they return is one only if something before them returned one of that size."""


class Discovery(NamedTuple):
    """What passes over the probes show of a network.

    Attributes:
        layers: The layers that have units, in the order of computation, then those of the network's own output.
        warnings: What the user must know.
    """

    layers: list[Layer]
    warnings: list[str]


def discover(
    module: nn.Module,
    run: Callable[[int], object],
    size: Grid,
    main: Collection[str] | None = None,
    layouts: Layouts | None = None,
    classes: int | None = None,
) -> Discovery:
    """Finds the layers that have units.

    Args:
        module: The network.
        run: Makes one pass over the given number of `maia_torch.probing.probes`.
        size: Height and width of the input.
        main: Names of the layers of kind "main"; None: the outer modules, the items of outer lists, and the blocks.
        layouts: What shapes do not tell; the first pattern that fits counts.
        classes: How many classes there are; 0: the network's output is none; None: not known, and then an output
            without a map is one.

    Raises:
        UsageError: a layout fits no module, or not the output of one.
    """
    probed = probe(module, run)
    seen = probed.seen
    tokens = {one.shape[1] for one in seen if one.images == 0 and len(one.shape) == 3}
    grids: list[Grid] = []
    places = TokenPlaces()
    outputs: list[tuple[Seen, Layout]] = []
    unused = set(layouts or ())
    for one in seen:
        pattern = next((pattern for pattern in layouts or () if fnmatchcase(one.module, pattern)), None)
        unused.discard(str(pattern))
        if pattern is not None:
            layout = _told((layouts or {})[pattern], one, grids, size, places)
        elif _is_attention(one, tokens, grids):
            layout = None
        else:
            layout = find_layout(one.shape, one.images, features(one.kind), grids, size)
            if layout is not None and layout.grid is not None:
                layout = places.placed(layout, one)
        if layout is None:
            continue
        if layout.grid is None and len(shape := layout.shape(one.shape)) == 3:
            grid = (shape[1], shape[2])
            if issubclass(one.kind, KEEPING) and grid not in grids:
                continue
            grids.append(grid)
        outputs.append((one, layout))
    if unused:
        hint = did_you_mean(min(unused), [one.module for one in seen])
        raise UsageError(f"layouts: no module of the network is named '{min(unused)}'.{hint}")
    if main is None:
        blocks = set(map(id, regions(module)))
        main = {name for name, part in module.named_modules() if _is_outer(name) or id(part) in blocks}
    network = _of_network([item for item in outputs if not item[0].module], classes)
    taken = {layer.name for layer in network}
    layers = _named([item for item in outputs if item[0].module], main, taken) + network
    return Discovery(layers, _warnings(module, run, probed, [item[0] for item in outputs]))


def _warnings(module: nn.Module, run: Callable[[int], object], probed: Probed, found: Sequence[Seen]) -> list[str]:
    lines = []
    if hidden := hidden_parts(module):
        lines.append(
            f"the insides of {_some(hidden)} cannot be read, because TorchScript branches or loops there; trace the "
            "module instead, or give the one that it was made from"
        )
    if probed.unread:
        kinds = [f"{name or 'the network'} ({kind})" for name, kind in probed.unread.items()]
        lines.append(f"MAIA finds no units in the outputs of {_some(kinds)}")
    whole = [one.shape for one in probed.seen if not one.module]
    if whole and all(one.module for one in found):
        lines.append(f"MAIA finds no units in the output of the network, of shape {whole[0]} for two images")
    changing = {one.module for one in found} & set(probed.changing)
    repeats = not changing & probe_again(module, run, probed) if changing else True
    if quantises_batches(module):
        lines.append(
            "the network quantises activations with the range of a whole batch, so that its other images would "
            "change them; MAIA measures one image at a time, which is slow: give the network before it was quantised"
        )
        changing = set() if repeats else changing
    if changing:
        names = _some([name or "the network" for name in probed.changing if name in changing])
        if not repeats:
            cause = "from call to call: the network draws random numbers also in evaluation"
        else:
            cause = "with the other images of its batch: the network computes statistics of the batch, or mixes images"
        lines.append(f"activations of {names} change for the same image {cause}; exemplars and scores will not repeat")
    return lines


def _some(names: Sequence[str]) -> str:
    names = [name or "the network" for name in names]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def features(kind: type[nn.Module]) -> Features:
    """Returns where a kind of module puts its units."""
    if issubclass(kind, UNITS_FIRST):
        return "first"
    # LayerNorm itself only: its subclasses in the libraries also norm maps whose units come first.
    return "last" if issubclass(kind, nn.Linear) or kind is nn.LayerNorm else ""


def _is_attention(one: Seen, tokens: Collection[int], grids: Collection[Grid]) -> bool:
    """Tells how much each token attends to each other one from a map, which has as many tokens as positions."""
    if len(one.shape) != 4 or features(one.kind) == "first":
        return False
    return any(
        rows == columns and rows in tokens and rows * columns not in tokens and (rows, columns) not in grids
        for rows, columns in (one.shape[1:3], one.shape[2:4])
    )


def _told(told: Layout | str, one: Seen, grids: Sequence[Grid], size: Grid, places: TokenPlaces) -> Layout | None:
    if told == "none":
        return None
    layout = Layout(told) if isinstance(told, str) else told
    if len(layout.axes) != len(one.shape):
        raise UsageError(f"layouts: the output of {one.module} has the shape {one.shape}, which is not {layout.axes}")
    if "L" not in layout.axes or not layout.placed:
        return layout
    tokens = one.shape[layout.axes.index("L")]
    others = layout.prefix + len(layout.others)
    grid = layout.grid or (token_grid(tokens - others, grids, size) if others else token_grid(tokens, grids, size))
    if grid is None or ((others or layout.grid) and tokens != others + grid[0] * grid[1]):
        raise UsageError(f"layouts: the {tokens} tokens of {one.module} fit no grid; give its rows and columns")
    layout = replace(layout, grid=grid)
    return layout if others else places.placed(layout, one)


def _named(found: Sequence[tuple[Seen, Layout]], main: Collection[str], taken: set[str]) -> list[Layer]:
    """Returns the layers of modules, each with a name of its own: by module, call and part as far as needed."""
    calls: Counter[str] = Counter()
    for one, _ in found:
        calls[one.module] = max(calls[one.module], one.call)
    parts = Counter((one.module, one.call) for one, _ in found)
    layers = []
    for one, layout in found:
        printed = printable(one.module.replace("\n", "\\n"))
        name = printed if calls[one.module] == 1 else f"{printed}@{one.call}"
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
