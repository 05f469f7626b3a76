"""From what the user wrote to a Hugging Face data set: files of this machine, or a name on the hub."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
from datasets.packaged_modules.cache.cache import Cache
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

# The library does not list it as exported.
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from maia_core.plugin import RunError, UsageError, one_line
from maia_datasets.encoded import existing, is_inside, natural

OPENING, CLOSING = (np.frombuffer(brackets, np.uint8) for brackets in (b"[{", b"]}"))
MAX_LEVELS = 5_000
"""Levels of brackets in a JSON file."""

SECONDS = 10.0
"""How long the hub may take to answer at all."""

FILES = {".parquet": "parquet", ".arrow": "arrow"}
"""What a single file, or several that a pattern names, may be."""

Splits = Mapping[str, datasets.Dataset]


def load(path: str, subset: str | None, revision: str | None, cache: Path, warn: Callable[[str], None]) -> Splits:
    """Returns the splits of a data set.

    Args:
        path: A folder that `save_to_disk` wrote, a folder of data files or images, a parquet or Arrow file or a pattern
            of such, or a name on the hub.
        subset: Its configuration, where it has several.
        revision: Branch, tag or commit on the hub.
        cache: Where files of this machine are converted to. What comes from the hub is in the library's own cache.
        warn: Takes a line that says what is fetched.

    Raises:
        UsageError: there is no such data set, subset or revision, or it cannot be read.
        RunError: the hub cannot be reached.
    """
    files = sorted(glob.glob(os.path.expanduser(path)), key=natural) if glob.has_magic(path) else []
    place = Path(path).expanduser()
    if files or place.exists():
        if revision is not None:
            raise UsageError(f"{path} is on this machine and has no revisions; leave dataset.revision out")
        with _readable(path), _progress():
            return _splits(_local(place, files, subset, cache))
    if _is_path(path):
        existing(place, "a folder or file, or a name on the hub (OWNER/NAME)")
    return _from_hub(path, subset, revision, warn)


def folders_of(path: str, cache: Path) -> list[Path]:
    """Returns the folders in which files that rows name may lie: the data set's own folder, and where MAIA unpacks it.

    A data set of single files has no folder of its own. What the hub gave lies in the library's caches.
    """
    place = Path(path).expanduser()
    if glob.has_magic(path) or place.exists():
        return [place, cache] if place.is_dir() else [cache]
    return [Path(constants.HF_HUB_CACHE), Path(datasets.config.HF_DATASETS_CACHE)]


def _local(place: Path, files: list[str], subset: str | None, cache: Path) -> datasets.Dataset | datasets.DatasetDict:
    if place.is_dir():
        if any((place / name).is_file() for name in ("dataset_dict.json", "state.json")):
            saved = datasets.load_from_disk(str(place))
            _check_inside([file["filename"] for rows in _splits(saved).values() for file in rows.cache_files], place)
            return saved
        _check_depth(place)
        builder = datasets.load_dataset_builder(str(place.resolve()), name=subset, cache_dir=str(cache))
        _check_inside([str(file) for files in (builder.config.data_files or {}).values() for file in files], place)
        builder.download_and_prepare()
        return builder.as_dataset()
    files = files or [str(place)]
    kinds = {FILES.get(Path(file).suffix.lower(), "") for file in files}
    if kinds - {"parquet", "arrow"} or len(kinds) > 1:
        raise ValueError("its files are neither .parquet nor .arrow (for .tar there is the data set 'webdataset')")
    return datasets.load_dataset(kinds.pop(), data_files=files, cache_dir=str(cache))


def _check_depth(folder: Path) -> None:
    """Refuses JSON of very many levels, on which the library's native reader ends the process.

    Brackets in texts count, too: they mostly come in pairs.
    """
    for file in folder.rglob("*.json*"):
        depth = 0
        if not file.is_file():
            continue
        with file.open("rb") as opened:
            while data := opened.read(1 << 20):
                codes = np.frombuffer(data, np.uint8)
                levels = depth + np.cumsum(np.isin(codes, OPENING).astype(np.int64) - np.isin(codes, CLOSING))
                if levels.max() > MAX_LEVELS:
                    raise ValueError(f"{file.name} has more than {MAX_LEVELS:,} levels of brackets")
                depth = int(levels[-1])


def _check_inside(files: list[str], folder: Path) -> None:
    outside = [file for file in files if not is_inside(file, os.path.realpath(folder))]
    if outside:
        raise ValueError(f"it names {len(outside):,} files outside of its folder, {outside[0]} first")


def _splits(found: datasets.Dataset | datasets.DatasetDict) -> Splits:
    return found if isinstance(found, datasets.DatasetDict) else {str(found.split or "train"): found}


def _is_path(path: str) -> bool:
    return path.startswith((".", "~", "/")) or "\\" in path or path.count("/") > 1 or Path(path).suffix in FILES


def _from_hub(name: str, subset: str | None, revision: str | None, warn: Callable[[str], None]) -> Splits:
    """Takes what the cache has without a request; else asks the hub once, before the library's many attempts begin."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UsageError(f"there is no folder '{name}', and it is not a name on the hub (OWNER/NAME)") from None
    with _progress():
        if revision is None and (cached := _cached(name, subset)):
            return cached
        with _plainly(name, revision, Exception):  # Of the HTTP library, which is another in each generation.
            info = huggingface_hub.HfApi().dataset_info(name, revision=revision, timeout=SECONDS, files_metadata=True)
        total = sum(file.size or 0 for file in info.siblings or [])
        warn(f"fetching {name} from the hub: up to {total / 1e9:.1f} GB")
        with _readable(name), _plainly(name, revision, ConnectionError):
            return _splits(datasets.load_dataset(name, name=subset, revision=revision))


def _cached(name: str, subset: str | None) -> Splits | None:
    """Returns what was prepared earlier, if it is clear which; the newest where there are several versions."""
    try:
        builder = Cache(repo_id=name, dataset_name=name.split("/")[-1], config_name=subset, version="auto", hash="auto")
        return _splits(builder.as_dataset())
    except (ValueError, OSError, KeyError):
        return None


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Turns what the library raises about files into one line."""
    try:
        yield
    except (UsageError, RunError):
        raise
    except Exception as error:  # Its builders raise what the readers of many formats raise.
        cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else None
        raise UsageError(f"{path} cannot be loaded as a data set: {one_line(cause or error)[:300]}") from error


@contextmanager
def _plainly(name: str, revision: str | None, unreachable: type[Exception]) -> Iterator[None]:
    """Turns what the hub's library raises into one line; `unreachable` too says that the hub cannot be reached."""
    try:
        yield
    except OfflineModeIsEnabled:
        raise RunError(
            f"there is no folder '{name}' and no such data set in the cache, and HF_HUB_OFFLINE forbids asking the "
            "hub: unset it, or set dataset.path to a folder"
        ) from None
    except GatedRepoError:
        raise UsageError(
            f"the hub gives {name} to those who accepted its terms: do so on its page, then set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise UsageError(f"{name} on the hub has no revision '{revision}'") from None
    except RepositoryNotFoundError:
        raise UsageError(
            f"there is no folder '{name}', and no such data set on the hub (or it is private: set HF_TOKEN)"
        ) from None
    except (HfHubHTTPError, LocalEntryNotFoundError, unreachable) as error:
        raise RunError(
            f"there is no folder '{name}', and fetching it from the hub ({constants.ENDPOINT}) failed: "
            f"{one_line(error)[:200]}"
        ) from error


@contextmanager
def _progress() -> Iterator[None]:
    """Shows how far a download is, to a person at a terminal only."""
    if datasets.are_progress_bars_disabled() or (sys.stderr is not None and sys.stderr.isatty()):
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
