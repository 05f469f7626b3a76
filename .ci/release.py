"""Builds every distribution, checks what it built, and runs MAIA from the wheels alone: `make release`.

python .ci/release.py [--out dist] [--no-run]

1. Builds a wheel and an sdist of each distribution from the committed files, outside of the checkout.
2. Checks them: `twine check`, contents, versions and bounds.
3. Installs `maia-core[default]` from the wheels into a new environment and explains the demo's unit there.
"""

from __future__ import annotations

import argparse
import email.parser
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from versions import ROOT, folders, version

UNIT = "efficientnet-lite0:logit:tailed_frog"
MAX_WHEEL_BYTES = 5 << 20
"""A larger wheel holds data by mistake."""
FORBIDDEN = {"tests", ".venv", "__pycache__", "runs", ".pytest_cache"}
"""Folders that no wheel holds; `testing/` packages are shipped on purpose."""


def export(folder: Path) -> Path:
    """Copies the committed files into a folder."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return folder


def build(source: Path, out: Path) -> None:
    """Builds the sdist of one distribution, and the wheel from the sdist."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"cannot build {source.name}:\n{done.stdout}{done.stderr}")


def metadata(wheel: Path) -> Message:
    """Returns the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.parser.Parser().parsestr(archive.read(name).decode())


def faults(wheel: Path, known: set[str], now: str) -> list[str]:
    """Returns what is wrong with a wheel: contents, version, bounds."""
    found: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    packages = {name.split("/")[0] for name in names if name.endswith("__init__.py")}
    packages = {package for package in packages if f"{package}/__init__.py" in names}
    if len(packages) != 1:
        found.append(f"holds the packages {sorted(packages)}, not one")
    found += [f"holds {name}" for name in names if FORBIDDEN & set(name.split("/")[:-1]) and "/template/" not in name]
    found += [f"lacks {package}/py.typed" for package in packages if f"{package}/py.typed" not in names]
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        found.append("lacks the licence")
    if wheel.stat().st_size > MAX_WHEEL_BYTES:
        found.append(f"has {wheel.stat().st_size >> 20} MiB")
    data = metadata(wheel)
    if not data.get_all("Project-URL"):
        found.append("has no links to the project")
    if data["Version"] != now:
        found.append(f"has version {data['Version']}, not {now}")
    for line in data.get_all("Requires-Dist") or []:
        required = Requirement(line)
        if canonicalize_name(required.name) not in known:
            continue
        upper = [Version(s.version) for s in required.specifier if s.operator == "<"]
        if not required.specifier.contains(now) or not upper:
            found.append(f"asks for '{line}', which needs bounds around {now} (run .ci/versions.py)")
    return found


def check(out: Path, now: str) -> None:
    """Checks everything that was built.

    Raises:
        SystemExit: something is wrong; names the file and the fault.
    """
    known = set(map(canonicalize_name, folders()))
    wheels, sdists = sorted(out.glob("*.whl")), sorted(out.glob("*.tar.gz"))
    built = {canonicalize_name(wheel.name.split("-")[0]) for wheel in wheels}
    missing = sorted(known - built)
    problems = [f"no wheel of {name}" for name in missing]
    problems += [f"{wheel.name} {fault}" for wheel in wheels for fault in faults(wheel, known, now)]
    for sdist in sdists:
        with tarfile.open(sdist) as archive:
            names = archive.getnames()
        problems += [
            f"{sdist.name} lacks {part}"
            for part in ("pyproject.toml", "LICENSE")
            if not any(n.endswith(f"/{part}") for n in names)
        ]
    if len(sdists) != len(known):
        problems.append(f"{len(sdists)} sdists of {len(known)} distributions")
    if problems:
        raise SystemExit("the release has faults:\n  " + "\n  ".join(problems))
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *map(str, (*wheels, *sdists))], check=True)
    print(f"checked {len(wheels)} wheels and {len(sdists)} sdists of version {now}")


def run(out: Path) -> None:
    """Installs `maia-core[default]` from the wheels into a new environment and explains the demo's unit."""
    with tempfile.TemporaryDirectory() as place:
        venv.create(place, with_pip=True)
        python = Path(place) / "bin" / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--find-links", str(out)]
        # Torch first, as the docs say: torch and torchvision must fit each other.
        pinned = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("torch")]
        subprocess.run([*pip, *pinned, f"maia-core[default]=={version()}"], cwd=place, check=True)
        subprocess.run([str(python.with_name("maia")), "doctor"], cwd=place, check=True)
        subprocess.run([str(python.with_name("maia")), "run", "--system", UNIT], cwd=place, check=True)


def main() -> int:
    """Builds, checks and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="Folder of the built files [default: dist].")
    parser.add_argument("--no-run", action="store_true", help="Build and check only.")
    options = parser.parse_args()
    out: Path = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        source = export(Path(place))
        targets = [source / folder.relative_to(ROOT) for folder in folders().values()]
        with ThreadPoolExecutor(2) as pool:
            for number, _ in enumerate(pool.map(lambda target: build(target, out), targets), 1):
                print(f"\rbuilt {number} of {len(targets)}", end="", flush=True)
        print()
    check(out, version())
    if not options.no_run:
        run(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
