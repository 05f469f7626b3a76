"""Forward passes of a torch module that read layers' outputs."""

from __future__ import annotations

import copy
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maia_core.plugin import RunError, UsageError, one_line
from maia_exemplars.measured import NotFiniteError
from maia_exemplars.prefetch import BATCH
from maia_exemplars.preprocess import Pixels, Preprocessing
from maia_hub.joining import Joiner
from maia_torch.compiled import compile_blocks, is_compiled, is_wrapped, run_as_written
from maia_torch.devices import moved
from maia_torch.discovery import Discovery, Layouts, discover
from maia_torch.folding import folded
from maia_torch.hooks import read_outputs
from maia_torch.layers import Layer
from maia_torch.modules import fingerprint, quantises_batches, readable, settings
from maia_torch.probing import probes
from maia_torch.takes import Take, one_unit, take_from_all, take_maxima

LUMA = (0.299, 0.587, 0.114)
"""Red, green and blue in the grey that Pillow makes of them (ITU-R BT.601)."""

Request = tuple[NDArray[np.uint8], Mapping[Layer, Take]]
"""Pixels, and the functions that take from the layers' values."""

Arrays = dict[Layer, list[NDArray[Any]]]
"""What they take, layer by layer."""


class Maxima(NamedTuple):
    """What `Engine.maxima_of` measures of one layer.

    Attributes:
        maxima: Spatial maximum of every unit's map, float32 of shape (images, units).
        where: Where in the flattened map it lies (the first place, where several are equal), int32 of the same shape;
            None if it was not asked for.
        values: The chosen values of every unit's map, float32 of shape (units, images * chosen); None likewise.
    """

    maxima: NDArray[np.float32]
    where: NDArray[np.int32] | None
    values: NDArray[np.float32] | None


class Engine:
    """Runs one module, one batch at a time, whatever thread asks.

    Hooks live for a single pass, under a lock: two threads never see each other's, and none is left behind. A pass
    ends as soon as the deepest requested layer is reached. No gradients: everything runs in `inference_mode`. Threads
    that read the same modules while another pass runs share the next pass, if `join_passes` allows it.

    Attributes:
        layers: The layers that have units, in the order of computation.
        warnings: What the user must know of the network.
        device: The device of the weights.
        dtype: Their floating point type.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocessing,
        main: Collection[str] | None = None,
        *,
        channels_last: bool = False,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        compiled: bool = False,
        layouts: Layouts | None = None,
        classes: int | None = None,
    ) -> None:
        """Takes over a module: sets it to evaluation, and moves it where a device or a type is given.

        Args:
            module: Takes float tensors of shape (images, 3, height, width), or 1 instead of 3 for a network of grey.
                One that `torch.compile` or a data parallel wrapper made is taken out of it; the former sets `compiled`.
            preprocess: Says how pixels become these tensors.
            main: See `maia_torch.discovery.discover`, as for `layouts` and `classes`.
            channels_last: Whether the weights and the input get that memory format.
            device: Where it runs: a device, or `auto` for an accelerator if there is one, else the CPU; None: as it is.
            dtype: Floating point type of weights and input, such as `bfloat16`; None: that of the weights.
            compiled: Whether `torch.compile` compiles the network's blocks, each when it first runs. A block that
                holds a layer that is read runs as it is, for the time of the pass: a compiled one has no inner layers.
            layouts: See there.
            classes: See there.

        Raises:
            UsageError: the module cannot take such images, or an argument is out of range.
        """
        if is_wrapped(module):
            module, compiled = module.get_submodule("_orig_mod"), True
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        module = readable(module)
        self._module: nn.Module | None = moved(module, device, dtype)
        self._preprocess = preprocess
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            module.to(memory_format=torch.channels_last)
        like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
        self.device, self.dtype = like.device, like.dtype
        channels = len(preprocess.mean)
        self._mean = torch.tensor(preprocess.mean, device=self.device).view(1, channels, 1, 1) * 255
        self._scale = 1 / (torch.tensor(preprocess.std, device=self.device).view(1, channels, 1, 1) * 255)
        self._lock = threading.RLock()
        self._passes = Joiner(self._together, max_items=0)
        self._fewest, self._compiled, self._alone, before = 1, False, quantises_batches(module), settings(module)
        self.layers, self.warnings = self._discover(main, layouts, classes)
        after = settings(module)
        self._settings = "".join(value for name, value in before.items() if after.get(name) == value)
        self._fewest = 1 if _takes_single_images(self, *preprocess.input) else 2
        if compiled:
            compile_blocks(module)
        self._compiled = any(is_compiled(part) for part in module.modules())

    @property
    def fast_dtype(self) -> torch.dtype:
        """The type in which this network runs fastest here: bfloat16 where the device computes it, else its own."""
        supported = self.device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return torch.bfloat16 if supported and self.dtype == torch.float32 else self.dtype

    def folded(self, layer: Layer, fast: bool) -> Engine:
        """Returns an engine of a copy of the network that computes one layer with fewer operations."""
        pixels = np.random.default_rng(0).integers(0, 256, (2, *self._preprocess.input, 3), dtype=np.uint8)

        def run(module: nn.Module) -> Tensor:
            return torch.from_numpy(replace(module).maxima(pixels, layer))

        def replace(module: nn.Module) -> Engine:
            engine = copy.copy(self)
            engine._module, engine._lock = module, threading.RLock()
            engine._passes = Joiner(engine._together, self._passes.max_items)
            return engine

        with self._lock:
            engine = replace(folded(self.module, run, {layer.module}))
        if fast:
            engine.dtype, engine._format = self.fast_dtype, torch.channels_last
            engine.module.to(engine.dtype).to(memory_format=torch.channels_last)
        return engine

    def join_passes(self, most: int) -> None:
        """Lets threads share a pass of at most so many images: what each of them measures changes by rounding only.

        A processor takes as long for the images of a large pass as for those of several ordinary ones, and more memory.
        """
        self._passes.max_items = min(most, BATCH) if self.device.type == "cpu" else most

    def close(self) -> None:
        """Lets go of the module."""
        with self._lock:
            self._module = None

    def maxima(self, pixels: Pixels, layer: Layer) -> NDArray[np.float32]:
        """Returns the spatial maximum of every unit: float32 of shape (images, units)."""
        return self.maxima_of(pixels, [layer])[layer].maxima

    def unit(self, pixels: Pixels, layer: Layer, unit: int) -> NDArray[np.float32]:
        """Returns one unit's maps, float32 of shape (images, rows, columns), or its values, (images,)."""
        return self._run(pixels, {layer: lambda raw: [one_unit(raw, layer, unit)]}, joined=True)[layer][0]

    def maxima_of(
        self,
        pixels: Pixels,
        layers: Sequence[Layer],
        *,
        where: bool = False,
        values: Mapping[Layer, NDArray[np.int64] | None] | None = None,
    ) -> dict[Layer, Maxima]:
        """Measures all units of several layers in one pass; of each map only what is asked for leaves the device.

        Args:
            pixels: What the network sees of the images.
            layers: The layers, in any order.
            where: Whether to find the place of each maximum.
            values: For which layers to keep values of the maps, and at which positions of each image's flattened map:
                of shape (images, chosen); None: at all. A layer without maps has one position.
        """
        chosen = values or {}
        takes = {layer: take_maxima(layer, where, layer in chosen, chosen.get(layer)) for layer in layers}
        result = {}
        # Values at given positions are taken image by image, so a pass that fails must not be tried again with them.
        for layer, arrays in self._run(pixels, takes, joined=not chosen).items():
            parts = iter(arrays)
            maxima = next(parts)
            place = next(parts).astype(np.int32) if where else None
            values_kept = np.moveaxis(next(parts), 1, 0).reshape(layer.info.units, -1) if layer in chosen else None
            result[layer] = Maxima(maxima, place, values_kept)
        return result

    def read(self, pixels: Pixels, wanted: Mapping[Layer, Take]) -> Arrays:
        """Makes one pass and keeps of each layer what a function takes of its values, as arrays.

        The function gets the values of all units, a view of the layer's output in the network's floating point type; a
        readout's come some images at a time. Floats come back as float32.

        Raises:
            NotFiniteError: the network gave values that are not finite.
        """
        return self._run(pixels, {layer: take_from_all(layer, take) for layer, take in wanted.items()})

    def fingerprint(self) -> str:
        """Returns a hash of the architecture, its state and settings, and the preprocessing: 32 hexadecimal digits."""
        return fingerprint(self.module, repr(self._preprocess) + self._settings)

    @property
    def module(self) -> nn.Module:
        """The network.

        Raises:
            UsageError: the engine was closed.
        """
        if self._module is None:
            raise UsageError("this model was closed: make a new one")
        return self._module

    def input(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Returns the network's input, normalised, for pixels of shape (images, height, width, 3)."""
        # (images, height, width, 3) seen as (images, 3, height, width) is channels_last already: no copy for that.
        batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).to(torch.float32)
        if self._mean.shape[1] == 1:
            batch = torch.einsum("nchw,c->nhw", batch, torch.tensor(LUMA, device=self.device))[:, None]
        batch.sub_(self._mean).mul_(self._scale)
        return batch.to(self.dtype).contiguous(memory_format=self._format)

    def _run(self, pixels: Pixels, wanted: Mapping[Layer, Take], joined: bool = False) -> Arrays:
        """Makes one pass, or one for each of the sizes that follow each other, or for each image; see `modules`."""
        if isinstance(pixels, np.ndarray) and not (self._alone and len(pixels) > 1):
            return self._pass(pixels, wanted, joined)
        parts: list[Arrays] = []
        done = 0
        runs = ([image] for image in pixels) if self._alone else (list(run) for _, run in groupby(pixels, key=np.shape))
        for images in runs:
            try:
                parts.append(self._pass(np.stack(images), wanted, joined))
            except NotFiniteError as error:
                raise NotFiniteError(error.layer, [done + image for image in error.images]) from None
            done += len(images)
        return {
            layer: [np.concatenate(p) for p in zip(*(part[layer] for part in parts), strict=True)] for layer in wanted
        }

    def _pass(self, pixels: NDArray[np.uint8], wanted: Mapping[Layer, Take], joined: bool) -> Arrays:
        """Makes one forward pass, or shares one with other threads.

        Raises:
            NotFiniteError: the network gave values that are not finite.
        """
        key = pixels.shape[1:], frozenset(layer.module for layer in wanted)
        taken = self._passes.call((pixels, wanted), len(pixels), key, alone=not joined or self._alone)
        if missing := [layer.name for layer in wanted if layer not in taken]:
            raise RunError(f"layer {missing[0]} was not computed for these images, though it was for a black one")
        arrays = {layer: [_array(part) for part in parts] for layer, parts in taken.items()}
        for layer, parts in arrays.items():
            wrong = {int(n) for part in parts for n in np.flatnonzero(~np.isfinite(part).reshape(len(part), -1).all(1))}
            if wrong:
                raise NotFiniteError(layer.name, list(wrong))
        return arrays

    def _together(self, requests: list[Request]) -> list[dict[Layer, list[Tensor]]]:
        """Makes one forward pass for requests of the same modules, and returns what each takes of its own images."""
        modules = {layer.module for _, wanted in requests for layer in wanted}
        pixels = requests[0][0] if len(requests) == 1 else np.concatenate([pixels for pixels, _ in requests])
        with self._lock, torch.inference_mode():
            readable_inside = run_as_written(self.module, modules) if self._compiled else nullcontext()
            with readable_inside:
                wanted = [(len(images), takes) for images, takes in requests]
                if len(pixels) < self._fewest:
                    wanted, pixels = [*wanted, (1, {})], np.concatenate([pixels, pixels])
                return read_outputs(self.module, self.input(pixels), wanted)[: len(requests)]

    def _discover(self, main: Collection[str] | None, layouts: Layouts | None, classes: int | None) -> Discovery:
        module = self.module
        height, width = self._preprocess.input
        pixels = probes(height, width)

        def run(images: int) -> None:
            try:
                module(self.input(pixels[:images]))
            except Exception as error:
                shape = f"({len(self._preprocess.mean)}, {height}, {width})"
                raise UsageError(
                    f"the module cannot take {_taken(self, pixels)}images of shape {shape}: {one_line(error)}"
                ) from error

        with torch.inference_mode(), run_as_written(module, dict(module.named_modules())):
            return discover(module, run, (height, width), main, layouts, classes)


def _takes_single_images(engine: Engine, height: int, width: int) -> bool:
    """Returns whether a network keeps the axis of the images where there is one: `squeeze()` drops it."""
    try:
        measured = engine.maxima_of(np.zeros((1, height, width, 3), np.uint8), engine.layers)
    except NotFiniteError as error:
        engine.warnings.append(f"{error}, for a black image")
        return True
    except Exception:
        return False
    return all(found.maxima.shape == (1, layer.info.units) for layer, found in measured.items())


def _taken(engine: Engine, pixels: NDArray[np.uint8]) -> str:
    """Returns, for an error about a batch, that single images would do; "" where they would not either."""
    try:
        engine.module(engine.input(pixels[:1]))
    except Exception:  # The error of the batch says more.
        return ""
    return "batches, only one image at a time; let its forward keep the first axis: "


def _array(part: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = (part.float() if part.is_floating_point() else part).cpu().numpy()
    return array
