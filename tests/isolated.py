"""Tests distributions one by one, each in a new environment that holds only what it declares.

python tests/isolated.py [FOLDER ...]      # such as plugins/maia-standard; all of them by default
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def siblings() -> dict[str, Path]:
    """Returns the distributions of this checkout by name."""
    folders = [
        ROOT,
        *(p.parent for pattern in ("plugins", "backends") for p in (ROOT / pattern).glob("*/pyproject.toml")),
    ]
    return {tomllib.loads((f / "pyproject.toml").read_text())["project"]["name"]: f for f in folders}


def required(folder: Path, known: dict[str, Path]) -> list[Path]:
    """Returns the folders of this checkout that a distribution and its tests declare, directly or not, itself last."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    found: list[Path] = []
    for line in project.get("dependencies", []) + project.get("optional-dependencies", {}).get("test", []):
        name = line.split("[")[0].split(">")[0].split("=")[0].split("<")[0].strip()
        if name in known and known[name] not in (ROOT, folder):
            found += [f for f in required(known[name], known) if f not in found]
    return [ROOT, *(f for f in found if f != ROOT), folder]


def check(folder: Path) -> bool:
    """Installs one distribution into a new environment and runs its tests there."""
    known = siblings()
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        python = Path(place) / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet"]
        *siblings_first, own = map(str, required(folder, known))
        subprocess.run([*install, "pytest", "hypothesis", *siblings_first, f"{own}[test]"], check=True)
        tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT, folder / "tests"]
        return subprocess.run(tests, cwd=place).returncode == 0


def main() -> int:
    """Checks the named folders, or all."""
    folders = [Path(a).resolve() for a in sys.argv[1:]] or [f for f in siblings().values() if f != ROOT]
    results = {folder.name: check(folder) for folder in folders}
    for name, passed in results.items():
        print(f"{name}: {'passed' if passed else 'FAILED'}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
