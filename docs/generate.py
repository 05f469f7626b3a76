"""Writes the pages that show what commands print, and the core's list of known plugins, so that none can drift.

python docs/generate.py            # writes them
python docs/generate.py --check    # exits 1 and names the pages that are out of date
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import api
import click
import modules

from maia_cli.config import rows
from maia_cli.main import maia
from maia_cli.sources import Sources
from maia_core.kinds import KINDS
from maia_core.plugin import RunConfig

DOCS = Path(__file__).resolve().parent
MAIA = [sys.executable, "-c", "from maia_core.cli import main; main()"]


def output(*arguments: str) -> str:
    """Returns what `maia` prints for some arguments, 100 columns wide."""
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    done = subprocess.run([*MAIA, *arguments], capture_output=True, text=True, env=environment, check=True)
    return done.stdout.rstrip()


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Yields each command's name and help text, 100 columns wide, those of its subcommands behind it."""
    context = click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from helps(found, inner, context)


COMPLETION = """The shell completes commands and options: `eval "$(_MAIA_COMPLETE=bash_source maia)"` in `~/.bashrc`,
`eval "$(_MAIA_COMPLETE=zsh_source maia)"` in `~/.zshrc`, or `_MAIA_COMPLETE=fish_source maia | source` in
`~/.config/fish/completions/maia.fish`.""".splitlines()


def commands() -> str:
    """The page of all commands' help."""
    page = ["# Commands", "", "Written by `make docs` from what the commands print.", "", *COMPLETION]
    for path, text in helps(maia, "maia"):
        page += ["", f"## {path}", "", "```", text, "```"]
    return "\n".join(page) + "\n"


def keys() -> str:
    """The page of all keys of a configuration."""
    page = [
        "# Keys of the configuration",
        "",
        "Written by `make docs` from the code. `maia config` prints them with the",
    ]
    page += ["values of a run, where each comes from, and the options of the chosen plugins.", ""]
    page += ["| key | default | meaning |", "| --- | --- | --- |"]
    for row in rows(RunConfig(), Sources(Path("")), plugins=False):
        if not row.key.startswith("$"):
            value = "not set" if row.value is None else f"`{json.dumps(row.value)}`"
            page.append(f"| `{row.key}` | {value} | {row.meaning} |".replace("\n", " "))
    return "\n".join(page) + "\n"


def plugins() -> str:
    """The page of what this checkout installs."""
    page = ["# Plugins", "", "Written by `make docs` from `maia plugins list` and `maia plugins show`.", ""]
    page += ["```", output("plugins", "list"), "```"]
    for name in ("generator:collage", "dataset:collage", "describer:nearest", "model:efficientnet-lite0"):
        page += ["", f"## {name}", "", "```", output("plugins", "show", name), "```"]
    return "\n".join(page) + "\n"


def distributions() -> str:
    """The page of the distributions and what each depends on, before and after the core was cut."""
    files = sorted(file for part in ("plugins", "backends") for file in DOCS.parent.glob(f"{part}/*/pyproject.toml"))
    projects = [tomllib.loads(file.read_text(encoding="utf-8"))["project"] for file in files]
    text = (DOCS / "design" / "distributions.in.md").read_text(encoding="utf-8")
    return text.replace("GRAPH\n", modules.graph(projects) + "\n")


def known_plugins() -> str:
    """The plugins that each distribution of this repository brings, by kind: `maia` names the one to install."""
    known = {}
    for file in sorted(DOCS.parent.glob("*/*/pyproject.toml")):
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        groups = project.get("entry-points", {})
        kinds = {kind.name: sorted(groups[kind.group]) for kind in KINDS.values() if kind.group in groups}
        if kinds:
            known[project["name"]] = kinds
    return json.dumps(known, indent=1) + "\n"


def public_api() -> str:
    """The snapshot of the public API; refuses one that breaks plugins without a new API number and a changelog line."""
    file, now = DOCS / "design" / "api.json", api.snapshot()
    if file.exists():
        accepted = json.loads(file.read_text(encoding="utf-8"))
        if problems := api.gate(accepted, now, (DOCS / "changelog.md").read_text(encoding="utf-8")):
            raise SystemExit("docs/design/api.json is not written:\n  " + "\n  ".join(problems))
    return api.dumped(now)


PAGES = {
    "use/commands.md": commands,
    "use/keys.md": keys,
    "use/plugins.md": plugins,
    "design/distributions.md": distributions,
    "../maia_core/known_plugins.json": known_plugins,
    "design/api.json": public_api,
}


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
