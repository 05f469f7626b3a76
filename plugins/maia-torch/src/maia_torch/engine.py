"""Forward passes of a torch module that read a layer's output: the one file that imports torch."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maia_core.errors import RunError, UsageError
from maia_core.types import LayerInfo
from maia_torch.allocator import keep_freed_memory
from maia_torch.layers import LOGIT, PROB, Layer
from maia_torch.preprocess import Preprocessing

Take = Callable[[Tensor], Sequence[Tensor]]
"""What is kept of a layer's output, (images, units, rows, columns) or (images, units), float32."""


class _Reached(BaseException):
    """Ends a forward pass; no `Exception`, so that a network's own `except Exception` cannot swallow it."""


class Engine:
    """Runs one module, one batch at a time, whatever thread asks.

    Hooks live for a single pass, under a lock: two threads never see each other's, and none is left behind. A pass
    ends as soon as the deepest wanted layer is reached. No gradients: everything runs in `inference_mode`.
    """

    def __init__(
        self, module: nn.Module, preprocess: Preprocessing, main: Collection[str] | None, *, channels_last: bool
    ) -> None:
        """Takes over a module: sets it to evaluation.

        Args:
            module: Takes float tensors of shape (images, 3, size, size).
            preprocess: Says how pixels become these tensors.
            main: Names of the layers of kind "main"; None: the outer modules and the items of outer lists.
            channels_last: Whether the weights and the input get that memory format.
        """
        keep_freed_memory()
        self._module: nn.Module | None = module.eval()
        self._preprocess = preprocess
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        if channels_last:
            module.to(memory_format=torch.channels_last)
        parameter = next(module.parameters(), torch.zeros(()))
        self._device, self._dtype = parameter.device, parameter.dtype
        self._mean = torch.tensor(preprocess.mean, device=self._device).view(1, 3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(preprocess.std, device=self._device).view(1, 3, 1, 1) * 255)
        self._lock = threading.RLock()
        self.layers = self._discover(main)

    def close(self) -> None:
        """Lets go of the module."""
        with self._lock:
            self._module = None

    def maxima(self, pixels: NDArray[np.uint8], layer: Layer) -> NDArray[np.float32]:
        """Returns the spatial maximum of every unit: float32 of shape (images, units)."""
        return self._run(pixels, {layer: lambda output: [_maximum(output)]})[layer][0]

    def unit(self, pixels: NDArray[np.uint8], layer: Layer, unit: int) -> NDArray[np.float32]:
        """Returns one unit's maps, float32 of shape (images, rows, columns), or its values, (images,)."""
        return self._run(pixels, {layer: lambda output: [output[:, unit]]})[layer][0]

    def maxima_and_maps(
        self, pixels: NDArray[np.uint8], layer: Layer, positions: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns every unit's maximum and its map's values, all or some of them.

        Args:
            pixels: uint8 of shape (images, size, size, 3).
            layer: A layer with maps.
            positions: Which positions of each image's map to keep, of shape (images, kept); None: all.

        Returns:
            Maxima, float32 of shape (images, units), and values, float32 of shape (units, images * kept).
        """

        def take(output: Tensor) -> list[Tensor]:
            flat = output.flatten(2)
            if positions is not None:
                index = torch.from_numpy(positions).to(flat.device)[:, None].expand(-1, flat.shape[1], -1)
                return [flat.amax(2), flat.gather(2, index).transpose(0, 1).flatten(1)]
            return [flat.amax(2), flat.transpose(0, 1).flatten(1)]

        maxima, values = self._run(pixels, {layer: take})[layer]
        return maxima, values

    def fingerprint(self) -> str:
        """Returns a hash of the architecture, the weights and the preprocessing: 32 hexadecimal digits."""
        module = self._alive()
        digest = hashlib.blake2b(f"{type(module).__qualname__}\n{module}\n{self._preprocess}".encode(), digest_size=16)
        for name, value in module.state_dict().items():
            digest.update(f"\n{name} {value.dtype} {tuple(value.shape)}\n".encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _alive(self) -> nn.Module:
        if self._module is None:
            raise UsageError("this model was closed; make a new one")
        return self._module

    def _input(self, pixels: NDArray[np.uint8]) -> Tensor:
        # (images, size, size, 3) seen as (images, 3, size, size) is channels_last already: no copy for that format.
        batch = torch.from_numpy(pixels).to(self._device).permute(0, 3, 1, 2).to(torch.float32)
        batch.sub_(self._mean).mul_(self._scale)
        return batch.to(self._dtype).contiguous(memory_format=self._format)

    def _run(self, pixels: NDArray[np.uint8], wanted: Mapping[Layer, Take]) -> dict[Layer, list[NDArray[np.float32]]]:
        """One forward pass that keeps what is wanted of each layer.

        Raises:
            RunError: the network gave values that are not finite.
        """
        by_module: dict[str, list[Layer]] = {}
        for layer in wanted:
            by_module.setdefault(layer.module, []).append(layer)
        taken: dict[Layer, list[Tensor]] = {}
        calls: Counter[str] = Counter()

        def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def read(module: nn.Module, args: Any, output: Any) -> None:
                calls[name] += 1
                for layer in by_module[name]:
                    if layer.call == calls[name]:
                        parts = wanted[layer](_values(output, layer.softmax))
                        taken[layer] = [_own(part, output) for part in parts]
                if len(taken) == len(wanted):
                    raise _Reached

            return read

        with self._lock, torch.inference_mode():
            module = self._alive()
            handles = [module.get_submodule(name).register_forward_hook(hook(name)) for name in by_module]
            try:
                module(self._input(pixels))
            except _Reached:
                pass
            finally:
                for handle in handles:
                    handle.remove()
        if missing := [layer.name for layer in wanted if layer not in taken]:
            raise RunError(f"layer {missing[0]} was not computed for these images, though it was for a black one")
        arrays = {layer: [part.cpu().numpy() for part in parts] for layer, parts in taken.items()}
        for layer, parts in arrays.items():
            if not all(np.isfinite(part).all() for part in parts):
                raise RunError(f"layer {layer.name} gave values that are not finite: check the weights and the images")
        return arrays

    def _discover(self, main: Collection[str] | None) -> list[Layer]:
        """Finds the layers with units by one pass over two black images (two, to tell the batch from the units)."""
        module = self._alive()
        shapes: list[tuple[str, tuple[int, ...]]] = []

        def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def read(module: nn.Module, args: Any, output: Any) -> None:
                shape = tuple(output.shape) if isinstance(output, Tensor) else ()
                shapes.append((name, _unit_shape(shape)))

            return read

        size = self._preprocess.size
        handles = [part.register_forward_hook(hook(name)) for name, part in module.named_modules()]
        try:
            with torch.inference_mode():
                module(self._input(np.zeros((2, size, size, 3), np.uint8)))
        except RuntimeError as error:
            raise UsageError(f"the module cannot take images of shape (3, {size}, {size}): {error}") from error
        finally:
            for handle in handles:
                handle.remove()
        return _layers(shapes, main)


def _layers(shapes: Sequence[tuple[str, tuple[int, ...]]], main: Collection[str] | None) -> list[Layer]:
    """Names each call of a module that has units, in the order of computation, then the classes."""
    total = Counter(name for name, _ in shapes)
    calls: Counter[str] = Counter()
    layers: list[Layer] = []
    for module, shape in shapes:
        calls[module] += 1
        if module and shape:
            name = module if total[module] == 1 else f"{module}@{calls[module]}"
            kind = "main" if (_is_outer(module) if main is None else name in main) else "inner"
            layers.append(Layer(LayerInfo(name=name, units=shape[0], shape=shape, kind=kind), module, calls[module]))
    output = shapes[-1][1]
    if len(output) == 1:
        taken = {layer.name for layer in layers}
        for name in (LOGIT, PROB):
            if name not in taken:
                info = LayerInfo(name=name, units=output[0], shape=output, kind="classes")
                layers.append(Layer(info, "", 1, softmax=name == PROB))
    return layers


def _is_outer(module: str) -> bool:
    _, _, rest = module.partition(".")
    return not rest or rest.isdigit()


def _unit_shape(output: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of one image's units, or () for an output that has none."""
    if len(output) not in (2, 4) or output[0] != 2:
        return ()
    # One position is no map: there is nowhere else to look.
    return output[1:2] if len(output) == 2 or output[2:] == (1, 1) else output[1:]


def _values(output: Tensor, softmax: bool) -> Tensor:
    values = output.float()
    if values.ndim == 4 and values.shape[2:] == (1, 1):
        values = values.flatten(1)
    return values.softmax(1) if softmax else values


def _own(part: Tensor, output: Tensor) -> Tensor:
    """Copies a view of a layer's output: it would keep all of it alive, and a later in-place step may overwrite it."""
    shared = part.untyped_storage().data_ptr() == output.untyped_storage().data_ptr()
    return part.clone() if shared else part


def _maximum(output: Tensor) -> Tensor:
    return output.flatten(2).amax(2) if output.ndim == 4 else output
