"""What LiteLLM's own price table knows of a model, read without importing LiteLLM."""

from __future__ import annotations

import datetime
import functools
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TABLE = "model_prices_and_context_window_backup.json"
"""LiteLLM's table, in its package's folder."""

UNUSUAL = re.compile(
    r"\d{4,}|latest|preview|exp|search|audio|ft:|codex|chat|computer|robotics|research|gemma|customtools"
)
"""Names that are not a plain current model: dated, for a special purpose, or a moving target."""


@functools.cache
def table() -> Mapping[str, Mapping[str, Any]]:
    """Returns LiteLLM's table: a model's name to what is known of it."""
    spec = importlib.util.find_spec("litellm")
    if spec is not None and spec.origin is not None:
        file = Path(spec.origin).with_name(TABLE)
        if file.is_file():
            found: dict[str, dict[str, Any]] = json.loads(file.read_bytes())
            return found
    from maia_litellm.loading import litellm

    known: dict[str, dict[str, Any]] = litellm().model_cost
    return known


def entry(provider: str, model: str) -> Mapping[str, Any]:
    """Returns what is known of a provider's model; empty for an unknown one."""
    names = [f"{provider}/{model}", model]
    if provider == "ollama_chat":
        names = [f"ollama/{model}", f"ollama/{model.partition(':')[0]}"]
    elif provider == "openrouter":
        names = [f"openrouter/{model}"]
    owner = "ollama" if provider == "ollama_chat" else provider
    return next((e for n in names if (e := table().get(n)) and e.get("litellm_provider", "").startswith(owner)), {})


def names(provider: str) -> list[str]:
    """Returns the names of a provider's chat models, as `PROVIDER/` is followed by them."""
    return [
        name.removeprefix(f"{provider}/")
        for name, known in table().items()
        if known.get("litellm_provider") == provider and known.get("mode") in ("chat", "responses")
    ]


def newest(provider: str, count: int) -> list[str]:
    """Chooses a few current models of a provider that see images: the newest of each family, newest families first.

    A family is a name without its version numbers (`gpt-mini`, `claude-opus`). The table does not say when a model came
    out, so that the version number must do.
    """
    today = datetime.date.today().isoformat()
    families: dict[str, tuple[tuple[int, ...], str]] = {}
    for name in names(provider):
        known = entry(provider, name)
        gone = known.get("deprecation_date", "9999") <= today
        usable = known.get("mode") == "chat" and known.get("supports_vision") and known.get("input_cost_per_token")
        if not usable or gone or UNUSUAL.search(name):
            continue
        version = tuple(map(int, re.findall(r"\d+", name)))
        family = "-".join(word for word in re.split(r"[-.\d]+", name) if word)
        families[family] = max(families.get(family, ((), "")), (version, name))
    return [name for _, name in sorted(families.values(), key=lambda found: found[0], reverse=True)[:count]]
