"""Tiny pipelines, saved to folders once for all tests; generators and editors that use them."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maia_cache.engines import CachedEditor, CachedGenerator
from maia_cache.store import shared
from maia_core.context import Context
from maia_diffusers.editor import DiffusersEditor
from maia_diffusers.generator import DiffusersGenerator
from maia_diffusers.pool import Pool

sys.path.insert(0, str(Path(__file__).parent))

from tiny_pipelines import BUILDERS, SIDE

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Returns the folder of a tiny pipeline by its name in `BUILDERS`; it is built when it is first asked for."""
    import torch

    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("pipelines")

    def make(name: str) -> Path:
        folder = home / name
        if not folder.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                BUILDERS[name]().save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A run of its own, with a cache of its own."""
    return Context(parts={}, cache=tmp_path / "cache")


@pytest.fixture
def pool() -> Iterator[Pool[Any]]:
    """The process's pool, empty at first and in the end."""
    from maia_diffusers.loading import pool

    pool.drop_idle()
    yield pool
    pool.drop_idle()


@pytest.fixture
def generate(tiny: Make, context: Context) -> Callable[..., CachedGenerator]:
    """Makes a generator of a tiny pipeline: `generate("sd", steps=3)`."""

    def make(name: str = "sd", context: Context = context, **options: Any) -> CachedGenerator:
        options = {"model": str(tiny(name)), "device": "cpu", "steps": 2, "size": SIDE} | options
        return CachedGenerator(DiffusersGenerator(DiffusersGenerator.Config(**options), context), shared(context))

    return make


@pytest.fixture
def edit(tiny: Make, context: Context) -> Callable[..., CachedEditor]:
    """Makes an editor of a tiny pipeline: `edit("kontext", batch=1)`."""

    def make(name: str = "pix2pix", context: Context = context, **options: Any) -> CachedEditor:
        options = {"model": str(tiny(name)), "device": "cpu", "steps": 2} | options
        return CachedEditor(DiffusersEditor(DiffusersEditor.Config(**options), context), shared(context))

    return make
