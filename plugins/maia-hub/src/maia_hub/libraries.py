"""Weights that a library fetches: within seconds, or one line that says what to do instead; numbers only."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from maia_core.plugin import MaiaError, RunError, one_line
from maia_hub.errors import HUB_SECONDS

_one_at_a_time = threading.RLock()

FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
"""Names under which models keep their weights on the Hugging Face hub."""


@contextmanager
def fetching(what: str, repository: str | None = None) -> Iterator[None]:
    """While it lasts, a library may fetch weights and read them; what goes wrong becomes one line.

    It changes settings of the process, so it lasts in one thread at a time.

    A server that does not answer ends it after `HUB_SECONDS`, and torch refuses every content of a file that is not a
    number, whoever reads it. `HF_HUB_OFFLINE` forbids every request, also where the library would not ask the hub.

    Args:
        what: The weights, for messages.
        repository: The repository on the Hugging Face hub that the library will ask. It is asked once beforehand, if
            the cache does not have it: without a network the hub's library retries for minutes.

    Raises:
        RunError: the weights cannot be had.
    """
    with _one_at_a_time:
        silence, pickles = socket.getdefaulttimeout(), os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
        socket.setdefaulttimeout(HUB_SECONDS)
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        try:
            if repository is not None and not is_offline():
                _ask(repository)
            yield
        except MaiaError:
            raise
        except Exception as error:
            raise RunError(
                f"the weights {what} cannot be had ({one_line(error)[:200]}): give a file, -o weights=FILE, "
                "or try things out with -o weights=random"
            ) from error
        finally:
            socket.setdefaulttimeout(silence)
            if pickles is None:
                del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
            else:
                os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = pickles


def is_offline() -> bool:
    """Says whether the user forbids requests, in the words that the Hugging Face libraries know."""
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")


def _ask(repository: str) -> None:
    import huggingface_hub

    if any(isinstance(huggingface_hub.try_to_load_from_cache(repository, name), str) for name in FILES):
        return
    huggingface_hub.HfApi().model_info(repository, timeout=HUB_SECONDS)
