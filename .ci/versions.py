"""Sets the version of every distribution, and the bounds between them, from one place: `maia_core.__version__`.

The project's links come from the core's pyproject.toml, the licence from its LICENSE.

python .ci/versions.py            # writes every pyproject.toml
python .ci/versions.py --check    # exits 1 and names the files that differ

All distributions are released together, with one version. Each asks for its siblings of the same minor version.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]


def folders() -> dict[str, Path]:
    """Returns the folder of every distribution of this checkout, by name; the core first."""
    found = [
        ROOT,
        *sorted(file.parent for part in ("plugins", "backends") for file in (ROOT / part).glob("*/pyproject.toml")),
    ]
    return {str(tomlkit.parse((folder / "pyproject.toml").read_text())["project"]["name"]): folder for folder in found}  # type: ignore[index]


def version() -> str:
    """Returns the version of the core."""
    found = re.search(r'^__version__ = "([^"]+)"', (ROOT / "maia_core" / "__init__.py").read_text(), re.MULTILINE)
    assert found, "maia_core/__init__.py has no __version__"
    return found[1]


def bounded(line: str, siblings: set[str], now: Version) -> str:
    """Returns a requirement line; a sibling gets the bounds of this minor version."""
    required = Requirement(line)
    if required.name not in siblings:
        return line
    extras = f"[{','.join(sorted(required.extras))}]" if required.extras else ""
    marker = f"; {required.marker}" if required.marker else ""
    return f"{required.name}{extras}>={now.major}.{now.minor},<{now.major}.{now.minor + 1}{marker}"


def updated(text: str, siblings: set[str], now: str, links: dict[str, str]) -> str:
    """Returns a pyproject.toml with the version, the bounds and the project's links set."""
    document: Any = tomlkit.parse(text)
    project = document["project"]
    if "version" in project:
        project["version"] = now
    if project.get("urls") != links:
        project["urls"] = tomlkit.table()
        project["urls"].update(links)
        project["urls"].add(tomlkit.nl())
    lists = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    for lines in lists:
        for place, line in enumerate(lines):
            if (new := bounded(str(line), siblings, Version(now))) != line:
                lines[place] = new
    return tomlkit.dumps(document)


def main() -> int:
    """Writes or checks every pyproject.toml."""
    known, now, stale = folders(), version(), []
    core: Any = tomlkit.parse((ROOT / "pyproject.toml").read_text())
    links = core["project"]["urls"].unwrap()
    for folder in known.values():
        pyproject, licence = folder / "pyproject.toml", folder / "LICENSE"
        new = {
            pyproject: updated(pyproject.read_text(), set(known), now, links),
            licence: (ROOT / "LICENSE").read_text(),
        }
        for file, text in new.items():
            if not file.exists() or file.read_text() != text:
                stale.append(str(file.relative_to(ROOT)))
                if "--check" not in sys.argv:
                    file.write_text(text)
    print(f"{'differ from' if '--check' in sys.argv else 'set to'} version {now}: {', '.join(stale) or 'none'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
