"""The pages of the providers agree with the code, and their examples work by copying."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maia_core.context import Context, load
from maia_core.registry import installed
from maia_core.text import _ENDS, SECRET
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


def spelled_out(pattern: str) -> set[str]:
    """Returns the words that a pattern of alternatives, optional letters and one level of groups matches."""
    words: set[str] = set()
    for part in re.findall(r"(?:[^|(]|\([^)]*\)\??)+", pattern):
        stem, _, rest = part.partition("(")
        endings = ["", *rest.partition(")")[0].split("|")] if rest else [""]
        for ending in endings:
            word = stem + ending
            words |= {word[:-2], word[:-1]} if word.endswith("?") else {word}
    return words


@pytest.mark.skipif(not PAGES.is_dir(), reason="not in a checkout")
def test_the_page_lists_every_ending_of_a_secrets_name() -> None:
    page = (PAGES / "index.md").read_text(encoding="utf-8")
    listed = re.search(r"whose names end in (.*?), also in the plural", page, re.DOTALL)
    assert listed
    endings = set(re.findall(r"`(\w+)`", listed[1]))
    assert endings == spelled_out(_ENDS.removeprefix("(").removesuffix(")"))
    assert all(SECRET.search(f"MY_{ending}_2") for ending in endings)
