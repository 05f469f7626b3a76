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
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
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
from maia_diffusers.folder import INDEX, READ, WEIGHTLESS, files, read_index, wanted, weights

SECONDS = 10.0
"""How long the hub may take to answer at all."""


def locate(model: str, revision: str | None, variant: str, safety: bool, warn: Callable[[str], None]) -> Path:
    """Returns the checked folder that holds a pipeline; one of the hub is fetched where the cache does not have it.

    What the cache has is used as it is, without a request.

    Args:
        model: A folder, or a name on the hub.
        revision: Branch, tag or commit on the hub.
        variant: The set of weights; empty: the plain one.
        safety: Whether its safety checker is wanted.
        warn: Takes a line that says what is fetched.

    Raises:
        UsageError: there is no such folder or model, or it cannot be loaded safely.
        RunError: the hub cannot be reached.
    """
    path = Path(model).expanduser()
    if path.exists():
        if not path.is_dir():
            raise UsageError(f"model '{model}' is a file; name the folder of a pipeline in diffusers' format")
        if revision is not None:
            raise UsageError(f"model '{model}' is a folder, which has no revisions; leave `revision` out")
        files(path, f"the folder {model}", variant, safety=safety)
        return path
    try:
        if _is_path(model):
            raise HFValidationError
        validate_repo_id(model)
    except HFValidationError:
        raise UsageError(f"there is no folder '{model}', and it is no name on the hub (OWNER/NAME)") from None
    return _cached(model, revision, variant, safety) or _fetched(model, revision, variant, safety, warn)


def _is_path(model: str) -> bool:
    return model.startswith((".", "~", "/")) or "\\" in model or model.count("/") > 1 or os.path.isabs(model)


def _cached(model: str, revision: str | None, variant: str, safety: bool) -> Path | None:
    """Returns the snapshot in the cache if all the files that are used are there."""
    try:
        # Only the index is asked for: the library counts a snapshot as complete that has less than another variant.
        index = huggingface_hub.hf_hub_download(model, INDEX, revision=revision, local_files_only=True)
        found = Path(index).parent
        files(found, model, variant, safety=safety)
    except (UsageError, OSError):
        return None
    return found


def _fetched(model: str, revision: str | None, variant: str, safety: bool, warn: Callable[[str], None]) -> Path:
    """Asks the hub once, with a time limit, before the library's own many attempts begin."""
    with _plainly(model, revision):
        # The library's downloads wait and try again for minutes where there is no network; this request does not.
        info = huggingface_hub.HfApi().model_info(model, revision=revision, timeout=SECONDS, files_metadata=True)
        index = Path(huggingface_hub.hf_hub_download(model, INDEX, revision=revision))
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    chosen = [INDEX]
    for part in wanted(read_index(index.parent, model), safety=safety):
        prefix = f"{part.name}/"
        names = [name.removeprefix(prefix) for name in sizes if name.startswith(prefix)]
        chosen += [prefix + name for name in names if name.endswith(READ) and "/" not in name]
        if not WEIGHTLESS.search(part.kind):
            chosen += [prefix + name for name in weights(names, f"{model}, {part.name}", variant)]
    warn(f"fetching {model} from the hub: {sum(sizes.get(name, 0) for name in chosen) / 1e9:.1f} GB")
    with _plainly(model, revision), _progress():
        found = Path(huggingface_hub.snapshot_download(model, revision=revision, allow_patterns=chosen))
    files(found, model, variant, safety=safety)
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
    except EntryNotFoundError as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise RunError(f"fetching {model} from the hub failed: {one_line(error)[:200]}") from error
        raise UsageError(f"{model} on the hub is no diffusion pipeline: it has no {INDEX}") from None
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
