"""Fetches Debian packages without root: `apt-get download` with lists and cache in a folder of our own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from maia_core.plugin import RunError

PACKAGES = ("tuxpaint-stamps-default", "tuxpaint-data")
"""The packages that the photographs come from: about 170 MB to download."""

SECONDS = 900
"""Most time that one command may take."""


class Unavailable(RunError):
    """The packages cannot be had here; the text says why, in one line."""


def unpack(packages: tuple[str, ...], folder: Path) -> Path:
    """Downloads Debian packages and unpacks them below `folder`, as an ordinary user.

    The machine's own apt configuration decides where packages come from.

    Returns:
        The folder that stands for `/` in the packages.

    Raises:
        Unavailable: no apt or dpkg here, no network, or no such package.
    """
    for command in ("apt-get", "dpkg"):
        if shutil.which(command) is None:
            raise Unavailable(f"there is no {command} on this machine")
    lists, cache, root = folder / "lists", folder / "cache", folder / "root"
    for new in (lists / "partial", cache / "archives" / "partial", root):
        new.mkdir(parents=True)
    # Without a sandbox user apt reads and writes our folder as whoever runs it.
    apt = ["apt-get", "-q", "-y", "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
    apt += ["-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=2", "-o", "APT::Update::Error-Mode=any"]
    _run([*apt, "update"], folder)
    _run([*apt, "download", *packages], folder)
    archives = sorted(folder.glob("*.deb"))
    if len(archives) < len(packages):
        raise Unavailable(f"apt-get downloaded {len(archives)} of {len(packages)} packages")
    for archive in archives:
        _run(["dpkg", "-x", str(archive), str(root)], folder)
        archive.unlink()
    return root


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} took more than {SECONDS} s") from None
    except OSError as error:
        raise Unavailable(f"{command[0]} does not run: {error.strerror}") from error
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith(("E:", "dpkg"))]
        why = lines[0].removeprefix("E:").strip() if lines else f"exit code {done.returncode}"
        raise Unavailable(f"{command[0]}: {why}")
