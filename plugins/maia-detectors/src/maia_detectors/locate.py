"""From what the user wrote to a folder: the folder itself, or a snapshot of a model on the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from maia_core.plugin import RunError, UsageError, one_line
from maia_detectors.folder import READ, check

SECONDS = 10.0
"""How long the hub may take to answer at all."""

PATTERNS = [f"*{suffix}" for suffix in READ]
LEFT_OUT = ["*/*"]
"""Subfolders hold other formats."""


def locate(model: str, revision: str | None, warn: Callable[[str], None]) -> Path:
    """Returns the folder that holds a model; one of the hub is fetched where the cache does not have it.

    Args:
        model: A folder, or a name on the hub.
        revision: Branch, tag or commit on the hub.
        warn: Takes a line that says what is fetched.

    Raises:
        UsageError: there is no such folder or model, or it has no weights that are safe to load.
        RunError: the hub cannot be reached.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        if revision is not None:
            raise UsageError(f"'{model}' is a folder, which has no revisions; leave the revision out")
        check(path, f"the folder {model}")
        return path.resolve()
    if path.exists():
        raise UsageError(f"'{model}' is a file; name the folder that holds it")
    return _from_hub(model, revision, warn)


def _from_hub(model: str, revision: str | None, warn: Callable[[str], None]) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        if model.startswith((".", "~", "/")) or model.count("/") > 1:
            raise HFValidationError
        validate_repo_id(model)
    except HFValidationError:
        raise UsageError(f"there is no folder '{model}', and it is no name on the hub (OWNER/NAME)") from None
    fetch = partial(
        huggingface_hub.snapshot_download,
        model,
        revision=revision,
        allow_patterns=PATTERNS,
        ignore_patterns=LEFT_OUT,
    )
    try:
        found = Path(fetch(local_files_only=True))
        check(found, model)
        return found
    except (UsageError, OSError):
        pass  # Not in the cache, or not all of it.
    with _plainly(model, revision):
        # The library's downloads try again for minutes where there is no network; this one request does not.
        info = huggingface_hub.HfApi().model_info(model, revision=revision, timeout=SECONDS, files_metadata=True)
    size = sum(f.size or 0 for f in info.siblings or [] if "/" not in f.rfilename and f.rfilename.endswith(READ))
    warn(f"fetching {model} from the hub: {size / 1e9:.1f} GB")
    with _plainly(model, revision):
        found = Path(fetch())
    check(found, model)
    return found


@contextmanager
def _plainly(model: str, revision: str | None) -> Iterator[None]:
    """Turns what the hub's library raises into one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise RunError(
            f"there is no folder '{model}' and no such model in the cache, and HF_HUB_OFFLINE forbids asking the hub; "
            "unset it, or name a folder"
        ) from None
    except errors.GatedRepoError:
        raise UsageError(f"the hub gives {model} to those who accepted its terms: do so, then set HF_TOKEN") from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"{model} on the hub has no revision '{revision}'") from None
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"there is no folder '{model}', and no such model on the hub (or it is private: set HF_TOKEN)"
        ) from None
    except Exception as error:  # Also what the library's own transport raises, which changes with its version.
        raise RunError(
            f"there is no folder '{model}', and fetching it from the hub failed: {one_line(error)[:200]}"
        ) from error
