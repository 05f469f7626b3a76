"""Errors of the Hub and of loading a model, each as one line that names the fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from maia_core.plugin import MaiaError, PluginError, RunError, UsageError, one_line
from maia_hub.device import is_out_of_memory

if TYPE_CHECKING:
    import torch

HUB_SECONDS = 10.0
"""Time within which the Hub must respond to the first request."""

HUB_ADVICE = " If you were trying to load it from"
"""Advice of transformers about the Hub, which does not apply to a folder."""


class OutOfMemory(RunError):
    """The memory of a device does not suffice for a model."""


@contextmanager
def hub_errors(name: str, revision: str | None = None, kind: str = "model") -> Iterator[None]:
    """Translates the errors of huggingface_hub.

    Args:
        name: The name on the Hub.
        revision: Branch, tag or commit on the Hub.
        kind: The word for it in messages: `model` or `data set`.

    Raises:
        UsageError: the Hub has no such name or revision, or does not let this user fetch it.
        RunError: `HF_HUB_OFFLINE` is set, or the Hub does not respond or fails.
    """
    from huggingface_hub import constants, errors

    try:
        yield
    except MaiaError:
        raise
    except errors.OfflineModeIsEnabled:
        raise RunError(
            f"cannot fetch {name}: there is no such folder or cached {kind}, and HF_HUB_OFFLINE forbids asking the "
            "Hub; unset it, or name a folder"
        ) from None
    except errors.GatedRepoError:
        raise UsageError(f"{name} is gated: accept its terms on the Hub, then set HF_TOKEN") from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"{name} has no revision '{revision}' on the Hub; choose another revision") from None
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"there is no folder '{name}' and no such {kind} on the Hub; correct the name, or set HF_TOKEN if the "
            f"{kind} is private"
        ) from None
    except Exception as error:  # Also errors of the library's transport, which changes with its version.
        if any(kind.__name__ == "TimeoutException" for kind in type(error).__mro__):
            raise RunError(
                f"cannot fetch {name}: the Hub ({constants.ENDPOINT}) did not respond within {HUB_SECONDS:g} s; MAIA "
                "does not retry"
            ) from None
        raise RunError(
            f"cannot fetch {name}: there is no such folder, and the Hub ({constants.ENDPOINT}) failed: "
            f"{one_line(error)[:200]}"
        ) from error


@contextmanager
def loading_errors(name: str, device: torch.device, advice: str) -> Iterator[None]:
    """Translates the errors of a library that loads a model.

    Args:
        name: The model, as the user wrote it.
        device: The device that the model is loaded onto.
        advice: Options that save memory, such as `set dtype=bfloat16`.

    Raises:
        UsageError: the files of the model cannot be loaded.
        PluginError: the model needs a package that is not installed.
        OutOfMemory: the model does not fit into the memory of the device.
    """
    try:
        yield
    except MaiaError as error:
        raise UsageError(f"{name} cannot be used: {one_line(error)}") from error
    except ImportError as error:
        raise PluginError(f"{name} needs a package that is not installed: {one_line(error)[:300]}") from error
    except Exception as error:  # The libraries have no root of their own errors; a broken file raises almost anything.
        if is_out_of_memory(error):
            raise OutOfMemory(f"{name} does not fit into the memory of {device}: {advice}") from error
        cause = one_line(error).partition(HUB_ADVICE)[0]
        raise UsageError(f"{name} cannot be loaded: {cause[:300]}") from error


def require_all_weights(missing_keys: list[str] | set[str]) -> None:
    """Checks the loading report of transformers, which fills missing weights with random numbers.

    Raises:
        UsageError: weights are missing.
    """
    if missing_keys:
        raise UsageError(f"its files lack {len(missing_keys)} weights, such as {min(missing_keys)}")
