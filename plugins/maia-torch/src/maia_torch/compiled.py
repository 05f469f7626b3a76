"""Compiles a network's blocks, and lets hooks read the inside of compiled ones."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import nn

from maia_torch.discovery import regions

if TYPE_CHECKING:
    from torch._dynamo import OptimizedModule


def compile_blocks(module: nn.Module) -> None:
    """Marks the blocks for compilation (of a network without blocks, itself)."""
    config = torch._dynamo.config
    # All blocks of one class share one program; each shape of weights counts as a recompilation of it.
    config.recompile_limit = max(config.recompile_limit, 64)
    for block in list(regions(module)) or [module]:
        block.compile()


def is_wrapped(part: nn.Module) -> TypeGuard[OptimizedModule]:
    """Returns whether `torch.compile` made this module, without importing torch's compiler, which takes seconds."""
    return isinstance(part, getattr(sys.modules.get("torch._dynamo"), "OptimizedModule", ()))


def is_compiled(part: nn.Module) -> bool:
    """Returns whether calling this module runs compiled code."""
    return part._compiled_call_impl is not None or is_wrapped(part)


@contextmanager
def run_as_written(module: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Lets hooks on modules of these names run: what was compiled with them inside runs as it was written meanwhile."""
    parts = dict(module.named_modules())
    outer = {".".join(path[:length]) for name in names for path in [name.split(".")] for length in range(len(path) + 1)}
    around = [parts[name] for name in outer if name in parts]
    compiled = [(part, part._compiled_call_impl) for part in around if part._compiled_call_impl is not None]
    wrapped = any(map(is_wrapped, around))
    for part, _ in compiled:
        part._compiled_call_impl = None
    try:
        if wrapped:
            with torch.compiler.set_stance("force_eager"):
                yield
        else:
            yield
    finally:
        for part, implementation in compiled:
            part._compiled_call_impl = implementation
