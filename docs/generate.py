"""Writes the pages of the docs that show what commands print, so that they cannot drift from the code.

python docs/generate.py            # writes them
python docs/generate.py --check    # exits 1 and names the pages that are out of date
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
MAIA = [sys.executable, "-c", "from maia_core.cli import main; main()"]
COMMANDS = ([], ["run"], ["sweep"], ["prompt"], ["report"], ["plugins"], ["collage"], ["collage", "fetch"], ["sandbox"])


def output(*arguments: str) -> str:
    """Returns what `maia` prints for some arguments, 100 columns wide."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run([*MAIA, *arguments], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.rstrip()


def commands() -> str:
    """The page of all commands' help."""
    page = ["# Commands", "", "Written by `make docs` from what the commands print."]
    for words in COMMANDS:
        page += ["", f"## maia {' '.join(words)}".rstrip(), "", "```", output(*words, "--help"), "```"]
    return "\n".join(page) + "\n"


def plugins() -> str:
    """The page of what this checkout installs."""
    page = ["# Plugins", "", "Written by `make docs` from `maia plugins` and `maia plugins show`.", ""]
    page += ["```", output("plugins"), "```"]
    for name in ("generator:collage", "dataset:collage", "describer:nearest", "model:efficientnet-lite0"):
        page += ["", f"## {name}", "", "```", output("plugins", "show", name), "```"]
    return "\n".join(page) + "\n"


PAGES = {"use/commands.md": commands, "use/plugins.md": plugins}


def main() -> int:
    """Writes or checks every page."""
    stale = []
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    print(f"{'out of date' if '--check' in sys.argv else 'written'}: {', '.join(stale) or 'none'}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
