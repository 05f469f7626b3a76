"""Runs every benchmark in this folder, or the named ones: `python tests/bench [NAME ...]`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path


def main() -> None:
    """Runs `main()` of each `bench_<name>.py`."""
    known = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    for name in sys.argv[1:] or known:
        if name not in known:
            sys.exit(f"there is no benchmark '{name}'; there are {', '.join(known)}")
        print(f"\n== {name}", flush=True)
        sys.argv = [name]  # A benchmark may have options of its own when it is run alone.
        importlib.import_module(f"bench_{name}").main()


if __name__ == "__main__":
    main()
