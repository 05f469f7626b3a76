"""The folder of a model: a folder of the user, a snapshot in the cache of the Hub, or a download."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maia_core.plugin import UsageError
from maia_hub import errors

SAFE = ".safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".msgpack", ".h5")
"""Suffixes of weights that run code when they are loaded, or that torch cannot load."""

MODEL_FILES = (SAFE, ".json", ".jinja", ".model", ".txt")
"""Suffixes of the files that transformers makes a model from."""

DUPLICATES = "consolidated"
"""Files with this prefix hold the same weights again for another program."""


def locate(
    model: str,
    revision: str | None,
    warn: Callable[[str], None],
    *,
    check: Callable[[Path, str], object] | None = None,
    select: Callable[[Mapping[str, int], str], Collection[str]] | None = None,
    cached: Collection[str] = (),
    option: str = "model",
) -> Path:
    """Returns the checked folder of a model; a model of the Hub is fetched if the cache lacks it.

    By default the model is in the format of transformers.

    Args:
        model: A folder, or a name on the Hub.
        revision: Branch, tag or commit on the Hub.
        warn: Takes a line that names the download and its size.
        check: Takes a folder and its name for messages; raises a UsageError if a file is missing or unsafe.
        select: Takes the sizes in bytes of the files on the Hub by name, and the name of the model; returns the names
            of the files to fetch, or raises a UsageError.
        cached: The files without which a snapshot in the cache is incomplete, whatever `check` finds.
        option: The option that names the model, for messages.

    Raises:
        UsageError: there is no such folder or model, or it cannot be loaded safely.
        RunError: the Hub cannot be reached.
    """
    check = check or check_model_folder
    path = Path(model).expanduser()
    if path.exists():
        if not path.is_dir():
            raise UsageError(f"{option} '{model}' is a file; name the folder that holds the model")
        if revision is not None:
            raise UsageError(f"{option} '{model}' is a folder, which has no revisions; leave the revision out")
        check(path, f"the folder {model}")
        return path.resolve()
    check_hub_name(model)
    try:
        folder = _snapshot(model, revision, cached, local_files_only=True)
        check(folder, model)
        return folder
    except (UsageError, OSError):
        pass  # The cache lacks a part of the model.
    folder = _fetch(model, revision, warn, select or select_model_files)
    check(folder, model)
    return folder


def _fetch(
    model: str,
    revision: str | None,
    warn: Callable[[str], None],
    select: Callable[[Mapping[str, int], str], Collection[str]],
) -> Path:
    """Asks the Hub once, with a time limit, then downloads: a download retries for minutes without a network."""
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    with errors.hub_errors(model, revision):
        info = hub.model_info(model, revision=revision, timeout=errors.HUB_SECONDS, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        names = select(sizes, f"{model} on the Hub")
        warn(f"fetching {model} from the Hub: {sum(sizes.get(name, 0) for name in names) / 1e9:.1f} GB")
        with progress_bars():
            return _snapshot(model, revision, names)


def _snapshot(model: str, revision: str | None, names: Collection[str], *, local_files_only: bool = False) -> Path:
    """Returns the folder of a snapshot with the named files, by default with those of a transformers model."""
    import huggingface_hub

    patterns = [glob.escape(name) for name in names] or [f"*{suffix}" for suffix in MODEL_FILES]
    ignored = [] if names else ["*/*", f"{DUPLICATES}*"]
    return Path(
        huggingface_hub.snapshot_download(
            model,
            revision=revision,
            allow_patterns=patterns,
            ignore_patterns=ignored,
            local_files_only=local_files_only,
        )
    )


def check_hub_name(name: str, kind: str = "folder") -> None:
    """Checks that a text which names no existing path can be a name on the Hub.

    Raises:
        UsageError: it cannot.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        if name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1 or os.path.isabs(name):
            raise HFValidationError
        validate_repo_id(name)
    except HFValidationError:
        raise UsageError(f"there is no {kind} '{name}', and it is not a name on the Hub (OWNER/NAME)") from None


def fetch_file(name: str, file: str, revision: str | None) -> Path:
    """Returns the path of one file of a model on the Hub, from the cache or fetched.

    Raises:
        UsageError: the Hub has no such file.
        RunError: the Hub cannot be reached.
    """
    import huggingface_hub

    with errors.hub_errors(name, revision):
        return Path(huggingface_hub.hf_hub_download(name, file, revision=revision))


def check_model_folder(folder: Path, name: str) -> None:
    """Checks that a folder holds a configuration and all weights, in a format that is safe to load.

    Raises:
        UsageError: a file is missing or unsafe.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name} holds no config.json; name the folder that `save_pretrained` wrote")
    names = {file.name for file in folder.iterdir() if file.exists()}
    require_safe_weights(names, name)
    for index in folder.glob(f"*{SAFE}.index.json"):
        try:
            parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{name}: {index.name} cannot be read; fetch the model again") from error
        if missing := sorted(parts - names):
            raise UsageError(f"{name} lacks {len(missing)} of its files, such as {missing[0]}; fetch the model again")


def select_model_files(sizes: Mapping[str, int], name: str) -> list[str]:
    """Returns the files of a transformers model: those at the top level, without copies for other programs.

    Raises:
        UsageError: there are no weights that are safe to load.
    """
    top = [file for file in sizes if "/" not in file]
    require_safe_weights(top, name)
    return [file for file in top if file.endswith(MODEL_FILES) and not file.startswith(DUPLICATES)]


def require_safe_weights(files: Collection[str], name: str) -> None:
    """Checks that weights in safetensors are among files.

    Raises:
        UsageError: there are none.
    """
    if any(file.endswith(SAFE) for file in files):
        return
    if any(file.endswith(PICKLED) for file in files):
        raise UsageError(
            f"{name} has its weights as pickle files only, which run code when they are loaded; choose a revision with "
            "safetensors, or convert them (`save_pretrained` writes safetensors)"
        )
    raise UsageError(f"{name} has no weights in safetensors; choose another model")


def shows_progress() -> bool:
    """Returns whether a download may draw a bar: to a person at a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def progress_bars() -> Iterator[None]:
    """Shows the progress of downloads of huggingface_hub in a terminal only."""
    import huggingface_hub.utils

    bars: Any = huggingface_hub.utils  # It does not mark these functions as exported.
    if bars.are_progress_bars_disabled() or shows_progress():
        yield
        return
    bars.disable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bars()
