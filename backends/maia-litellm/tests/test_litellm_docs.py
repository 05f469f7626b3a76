"""What the pages of the providers show works by copying."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maia_core.config import load
from maia_core.context import Context
from maia_core.registry import installed
from maia_litellm.providers import PROVIDERS

PAGES = Path(__file__).resolve().parents[3] / "docs" / "use" / "backbones"
NAMES = ("openai", "anthropic", "gemini", "azure", "openrouter", "mistral", "xai", "ollama", "vllm")
IMAGES = "../image-apis"


@pytest.mark.skipif(not PAGES.is_dir(), reason="not in a checkout")
@pytest.mark.parametrize("name", [*NAMES, IMAGES])
def test_configuration_works_by_copying(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    for variable in re.findall(r"export (\w+)=", page):
        address = variable.endswith("_BASE")
        monkeypatch.setenv(variable, "https://resource.openai.azure.com" if address else "a-key")
    monkeypatch.setenv("MY_SERVER_KEY", "a-key")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert blocks
    for block in blocks:
        file = tmp_path / "maia.toml"
        file.write_text(block)
        config = load(file)
        context = Context(config, installed())
        kinds = ("backbone", "describer", "generator", "editor")
        shown = [kind for kind in kinds if getattr(config, kind).name == "litellm"]
        assert ("generator" if name == IMAGES else "backbone") in shown
        for kind in shown:
            assert context.part(kind)
        assert not re.search(r"sk-[a-zA-Z0-9]{8}", block)


@pytest.mark.skipif(not PAGES.is_dir(), reason="not in a checkout")
def test_every_key_has_a_page() -> None:
    pages = "".join((PAGES / f"{name}.md").read_text(encoding="utf-8") for name in NAMES)
    assert not [p.name for p in PROVIDERS.values() if p.keys and p.keys[0] not in pages]
