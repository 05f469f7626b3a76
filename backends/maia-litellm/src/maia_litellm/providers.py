"""Which providers there are, and where each one's key may go: nowhere but to the provider itself."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from maia_core.plugin import UsageError, did_you_mean


@dataclass(frozen=True)
class Provider:
    """A service, or a kind of server.

    Attributes:
        name: LiteLLM's name of it, the first part of a model's name.
        base: Its own address; empty where everybody has another one.
        hosts: The only hosts that its key is sent to (`.example.com`: and whatever is below). They speak HTTPS.
        keys: The environment variables of its key, the first that is set counts; none: it needs no key.
        header: The header field that carries the key.
        prefix: What stands before the key in it.
        base_variables: Environment variables that may hold the address, where it has none of its own.
        client: What LiteLLM calls it with.
    """

    name: str
    base: str = ""
    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    header: str = "authorization"
    prefix: str = "Bearer "
    base_variables: tuple[str, ...] = ()
    client: Literal["openai", "azure", "http"] = "http"

    def owns(self, address: SplitResult) -> bool:
        """Tells whether an address is the provider's own, so that its key may go there."""
        host = (address.hostname or "").lower()
        known = any(host == h.lstrip(".") or (h.startswith(".") and host.endswith(h)) for h in self.hosts)
        return known and address.scheme == "https"


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("openai", "https://api.openai.com/v1", (".api.openai.com",), ("OPENAI_API_KEY",), client="openai"),
        Provider(
            "anthropic",
            "https://api.anthropic.com",
            ("api.anthropic.com",),
            ("ANTHROPIC_API_KEY",),
            header="x-api-key",
            prefix="",
        ),
        Provider(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            ("generativelanguage.googleapis.com",),
            ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
            header="x-goog-api-key",
            prefix="",
        ),
        Provider(
            "azure",
            hosts=(".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".openai.azure.us"),
            keys=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
            header="api-key",
            prefix="",
            base_variables=("AZURE_API_BASE", "AZURE_OPENAI_ENDPOINT"),
            client="azure",
        ),
        Provider("openrouter", "https://openrouter.ai/api/v1", ("openrouter.ai",), ("OPENROUTER_API_KEY",)),
        Provider("mistral", "https://api.mistral.ai/v1", ("api.mistral.ai",), ("MISTRAL_API_KEY",)),
        Provider("xai", "https://api.x.ai/v1", ("api.x.ai",), ("XAI_API_KEY",)),
        Provider("ollama_chat", "http://localhost:11434", base_variables=("OLLAMA_API_BASE",)),
        Provider("hosted_vllm", "http://localhost:8000/v1", base_variables=("HOSTED_VLLM_API_BASE",)),
    )
}

ALIASES = {"ollama": "ollama_chat", "vllm": "hosted_vllm"}
"""Names that people use, and what LiteLLM calls the same thing."""

LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


@dataclass(frozen=True)
class Endpoint:
    """One model at one address, with the key that belongs there.

    Attributes:
        provider: Whose protocol is spoken.
        model: The model's name without the provider's.
        base: The address, as LiteLLM takes it.
        own: Whether the address is the provider's own, so that its prices hold.
        key: The key; empty: none is sent.
        key_name: The environment variable that holds it, for messages.
        part: What of the configuration it was made from (`backbone`, `describer`, ...), for messages.
    """

    provider: Provider
    model: str
    base: str
    own: bool
    key: str = field(default="", repr=False)
    key_name: str = ""
    part: str = "backbone"

    @property
    def name(self) -> str:
        """Provider and model, as the configuration spells them."""
        shown = {real: alias for alias, real in ALIASES.items()}.get(self.provider.name, self.provider.name)
        return f"{shown}/{self.model}"

    @property
    def address(self) -> SplitResult:
        """The address, in its parts."""
        return urlsplit(self.base)

    @property
    def host(self) -> str:
        """Host and port, for messages."""
        return self.address.netloc

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return self.address.hostname in LOCAL

    @classmethod
    def find(cls, model: str, api_base: str = "", key_env: str = "", part: str = "backbone") -> Endpoint:
        """Finds out where a model is, and which key belongs there.

        Args:
            model: Provider and model: `openai/gpt-4o`.
            api_base: Another address than the provider's own.
            key_env: The environment variable that holds the key; by default the provider's, at its own address alone.
            part: For messages.

        Raises:
            UsageError: no such provider, no address, no key, or a key that must not go there.
        """
        provider, name = _provider(model, part)
        base = api_base or _first(provider.base_variables) or provider.base
        if not base:
            raise UsageError(f"{model} needs an address: set {part}.api_base or {provider.base_variables[0]}")
        address = _checked(base, part)
        own = provider.owns(address)
        key, key_name = _key(provider, model, address, own, key_env, part)
        return cls(provider, name, base.rstrip("/"), own, key, key_name, part)


def _provider(model: str, part: str) -> tuple[Provider, str]:
    prefix, slash, name = model.partition("/")
    known = [*ALIASES, *(n for n in PROVIDERS if n not in ALIASES.values())]
    if not slash or not name.strip():
        listed = ", ".join(known)
        raise UsageError(f"{part}.model is written PROVIDER/MODEL, not '{model}'; providers: {listed}")
    prefix = ALIASES.get(prefix.lower(), prefix.lower())
    if prefix not in PROVIDERS:
        hint = did_you_mean(prefix, known) or f" Known: {', '.join(known)}."
        raise UsageError(
            f"there is no provider '{prefix}' for {part}.model.{hint} Any server that speaks OpenAI's protocol is "
            f"reached as openai/MODEL with {part}.api_base and {part}.key_env"
        )
    return PROVIDERS[prefix], name


def _checked(base: str, part: str) -> SplitResult:
    import httpx

    try:
        address = urlsplit(base)
        address.port  # noqa: B018 - raises for a port that is not a number
        httpx.URL(base).host  # noqa: B018 - raises for a host that is not a name
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(f"{part}.api_base is not an address: {error}") from None
    if address.scheme not in ("http", "https") or not address.hostname:
        raise UsageError(f"{part}.api_base needs a whole address, such as http://localhost:8000/v1")
    if address.username or address.password:
        raise UsageError(
            f"{part}.api_base must not hold a password: put the key into an environment variable and name it in "
            f"{part}.key_env"
        )
    if address.query or address.fragment:
        raise UsageError(f"{part}.api_base ends at the path: leave out what follows '?' or '#'")
    return address


def _key(provider: Provider, model: str, address: SplitResult, own: bool, key_env: str, part: str) -> tuple[str, str]:
    if key_env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,80}", key_env):
            raise UsageError(
                f"{part}.key_env is the name of an environment variable, not a key: export MY_KEY=... first"
            )
        owner = next((p for p in PROVIDERS.values() if key_env in p.keys), None)
        if owner is not None and not owner.owns(address):
            raise UsageError(
                f"{part}.key_env: the key in {key_env} belongs to {owner.name} and is not sent to {address.hostname}; "
                "put the key for that server into a variable of its own"
            )
        return _usable(os.environ.get(key_env, ""), key_env, model, part), key_env
    if not own or not provider.keys:
        return "", ""
    name = next((n for n in provider.keys if os.environ.get(n, "").strip()), provider.keys[0])
    return _usable(os.environ.get(name, ""), name, model, part), name


def _usable(key: str, name: str, model: str, part: str) -> str:
    key = key.strip()
    if not key:
        raise UsageError(f"{model} ({part}.model) needs a key: export {name}=... (it is not set)")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(
            f"the environment variable {name} does not hold a key: there are spaces or odd characters in it"
        )
    return key


def _first(variables: tuple[str, ...]) -> str:
    return next((value for name in variables if (value := os.environ.get(name, "").strip())), "")
