"""Loads LiteLLM when it is first needed: in silence, without a network access, and without anything of its own on."""

from __future__ import annotations

import functools
import logging
import os
import ssl
from typing import Any

from maia_core.plugin import UsageError, one_line


def know(provider: str, model: str) -> None:
    """Puts a model into LiteLLM's table, if it is not there.

    LiteLLM asks an Ollama server about every model that it does not know: the server of the environment, with the key
    of the environment, whatever address a call has.
    """
    table = litellm().model_cost
    if provider == "ollama_chat" and f"{provider}/{model}" not in table:
        prices = {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0}
        table[f"{provider}/{model}"] = {"litellm_provider": provider, "mode": "chat", **prices}


def certificates() -> ssl.SSLContext:
    """Returns what tells which servers are trusted: those of `SSL_CERT_FILE`, or the usual ones.

    Raises:
        UsageError: the variable names no file of certificates.
    """
    import httpx

    try:
        return httpx.create_ssl_context(trust_env=True)
    except OSError as error:
        raise UsageError(f"SSL_CERT_FILE does not name a file of certificates (PEM): {one_line(error)}") from None


@functools.cache
def litellm() -> Any:
    """Returns the module `litellm`; the first call takes two to three seconds.

    Its price table is the one that it was installed with (otherwise its import fetches one), it prints nothing, reports
    nothing to anybody, caches nothing and retries nothing.
    """
    certificates()  # LiteLLM makes clients of its own when it is imported, and would fail with a traceback.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm as module

    settings: Any = module
    settings.suppress_debug_info = True
    settings.set_verbose = False
    settings.telemetry = False
    settings.turn_off_message_logging = True
    settings.num_retries = None
    settings.cache = None
    settings.modify_params = False
    for name in ("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback"):
        setattr(settings, name, [])
    # What a library of the same process may have set as its own default must not reach ours.
    for name in ("api_key", "api_base", "headers", "proxy_auth", "organization"):
        setattr(settings, name, None)
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = False
        logger.disabled = True
    return module
