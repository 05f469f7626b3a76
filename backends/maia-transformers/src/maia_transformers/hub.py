"""From what the user wrote to a folder: the folder itself, or a snapshot of a model on the hub."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
    validate_repo_id,
)

from maia_core.plugin import RunError, UsageError, one_line
from maia_transformers.folder import READ, SAFE, check, no_safe_weights

SECONDS = 10.0
"""How long the hub may take to answer at all."""

PATTERNS = [f"*{suffix}" for suffix in READ]
LEFT_OUT = ["*/*", "consolidated*"]
"""Other formats lie in subfolders; `consolidated` files hold the same weights again for another program."""


def locate(model: str, revision: str | None, warn: Callable[[str], None]) -> Path:
    """Returns the checked folder that holds a model; one of the hub is fetched where the cache does not have it.

    What the cache has is used as it is, without a request.

    Args:
        model: A folder, or a name on the hub.
        revision: Branch, tag or commit on the hub.
        warn: Takes a line that says what is fetched.

    Raises:
        UsageError: there is no such folder or model, or it cannot be loaded safely.
        RunError: the hub cannot be reached.
    """
    path = Path(model).expanduser()
    if path.exists():
        if not path.is_dir():
            raise UsageError(f"model '{model}' is a file; name the folder that holds it")
        if revision is not None:
            raise UsageError(f"model '{model}' is a folder, which has no revisions; leave `revision` out")
        check(path, f"the folder {model}")
        return path
    try:
        if _is_path(model):
            raise HFValidationError
        validate_repo_id(model)
    except HFValidationError:
        raise UsageError(f"there is no folder '{model}', and it is no name on the hub (OWNER/NAME)") from None
    return _cached(model, revision) or _fetched(model, revision, warn)


def _is_path(model: str) -> bool:
    return model.startswith((".", "~", "/")) or "\\" in model or model.count("/") > 1 or os.path.isabs(model)


def _cached(model: str, revision: str | None) -> Path | None:
    """Returns the snapshot in the cache if all its files are there."""
    try:
        found = huggingface_hub.snapshot_download(
            model, revision=revision, local_files_only=True, allow_patterns=PATTERNS, ignore_patterns=LEFT_OUT
        )
        check(Path(found), model)
    except (UsageError, OSError):
        return None
    return Path(found)


def _fetched(model: str, revision: str | None, warn: Callable[[str], None]) -> Path:
    """Asks the hub once, with a time limit, before the library's own many attempts begin."""
    with _plainly(model, revision):
        # The library's downloads wait and try again for minutes where there is no network; this request does not.
        info = huggingface_hub.HfApi().model_info(model, revision=revision, timeout=SECONDS, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if "/" not in file.rfilename}
    weights = [name for name in sizes if name.endswith(SAFE)]
    if not weights:
        raise UsageError(no_safe_weights(f"{model} on the hub", set(sizes)))
    total = sum(size for name, size in sizes.items() if name.endswith(READ) and not name.startswith("consolidated"))
    warn(f"fetching {model} from the hub: {total / 1e9:.1f} GB")
    with _plainly(model, revision), _progress():
        found = Path(
            huggingface_hub.snapshot_download(
                model, revision=revision, allow_patterns=PATTERNS, ignore_patterns=LEFT_OUT
            )
        )
    check(found, model)
    return found


@contextmanager
def _plainly(model: str, revision: str | None) -> Iterator[None]:
    """Turns what the hub's library raises into one line."""
    try:
        yield
    except OfflineModeIsEnabled:
        raise RunError(
            f"there is no folder '{model}' and no such model in the cache, and HF_HUB_OFFLINE forbids asking the hub; "
            "unset it, or name a folder"
        ) from None
    except GatedRepoError:
        raise UsageError(
            f"the hub gives {model} to those who accepted its terms: do so on its page, then set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise UsageError(f"{model} on the hub has no revision '{revision}'") from None
    except RepositoryNotFoundError:
        raise UsageError(
            f"there is no folder '{model}', and no such model on the hub (or it is private: set HF_TOKEN)"
        ) from None
    except Exception as error:  # Also what the library's own transport raises, which changes with its version.
        raise RunError(
            f"there is no folder '{model}', and fetching it from the hub ({constants.ENDPOINT}) failed: "
            f"{one_line(error)[:200]}"
        ) from error


@contextmanager
def _progress() -> Iterator[None]:
    """Shows how far a download is, to a person at a terminal only."""
    if are_progress_bars_disabled() or (sys.stderr is not None and sys.stderr.isatty()):
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
