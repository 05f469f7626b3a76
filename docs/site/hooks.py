"""Makes the pages of the site that are not files of docs/: home, distributions, reference.

The README is the home page, the README of each distribution is a page, and the reference lists the public names in the
order of `maia_core/plugin.pyi`. Links between these files and docs/ are rewritten, so that they work in both places.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
MERMAID = re.compile(r"^```mermaid\nflowchart LR\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDE = ".md-grid { max-width: 82rem; }"
"""Style of the site: lines of code of 120 characters fit."""
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)")


def home_of(source: PurePosixPath) -> PurePosixPath | None:
    """Returns the page of the site that shows a file of the checkout; None for a file that has no page."""
    parts = source.parts
    if parts[:1] == ("docs",):
        return PurePosixPath(*parts[1:])
    if source == PurePosixPath("README.md"):
        return PurePosixPath("index.md")
    if parts[:1] in (("plugins",), ("backends",)) and parts[-1] == "README.md" and len(parts) == 3:
        return PurePosixPath("distributions") / f"{parts[1]}.md"
    return None


def rewritten(text: str, source: PurePosixPath, page: PurePosixPath) -> str:
    """Returns a page's text, its relative links rewritten; a link to a file without a page becomes plain text."""

    def link(match: re.Match[str]) -> str:
        target = PurePosixPath(posixpath.normpath(source.parent / match[2]))
        home = home_of(target)
        if home is None:
            return match[0]
        return match[1] + os.path.relpath(home, page.parent)

    text = LINK.sub(link, text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)[^)]*?(?:LICENSE|\.py|\.toml|/)\)", r"\1", text)


def reference() -> dict[str, str]:
    """Returns the pages of the reference: one per heading of the public API, one for the authors' kit."""
    pages: dict[str, list[str]] = {}
    title = ""
    for line in (ROOT / "maia_core" / "plugin.pyi").read_text().splitlines():
        if line.startswith("# ") and not line.startswith("# The list of public names"):
            title = line[2:].rstrip(".")
            pages[title] = [f"# {title}\n", "Import these names from `maia_core.plugin`.\n"]
        elif found := re.match(r"from \.([\w.]+) import (\w+)", line):
            pages[title].append(f"::: maia_core.{found[1]}.{found[2]}\n")
    named = {title.partition(":")[0].split()[0].lower(): "\n".join(text) for title, text in pages.items()}
    return {f"reference/{name}.md": text for name, text in named.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages, and rewrites links of the pages of docs/ that lead out of it."""
    sources = [
        ROOT / "README.md",
        *sorted(ROOT.glob("plugins/*/README.md")),
        *sorted(ROOT.glob("backends/*/README.md")),
    ]
    for source in sources:
        relative = PurePosixPath(source.relative_to(ROOT).as_posix())
        page = home_of(relative)
        assert page is not None
        text = rewritten(source.read_text(encoding="utf-8"), relative, page)
        files.append(File.generated(config, str(page), content=text))
    for name, text in reference().items():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "assets/wide.css", content=WIDE))
    return files


def as_table(diagram: re.Match[str]) -> str:
    """Returns a diagram of `a --> b` as a table: its script would have to come from another host."""
    needs: dict[str, list[str]] = {}
    for name, _, other in (line.strip().partition(" --> ") for line in diagram[1].splitlines()):
        needs.setdefault(name, []).append(other)
    rows = [f"| {name} | {', '.join(others)} |" for name, others in needs.items()]
    return "\n".join(["| distribution | depends on |", "| --- | --- |", *rows])


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Rewrites the links of a page of docs/."""
    if page.file.generated_by:
        return markdown
    source = PurePosixPath("docs") / page.file.src_uri
    return rewritten(MERMAID.sub(as_table, markdown), source, PurePosixPath(page.file.src_uri))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fills the patterns of the navigation with the pages that they name."""

    def listed(pattern: str) -> list[str]:
        if pattern == "reference/*.md":
            return list(reference())
        if pattern == "distributions/*.md":
            return [
                f"distributions/{f.parent.name}.md"
                for f in sorted(
                    [*ROOT.glob("plugins/*/README.md"), *ROOT.glob("backends/*/README.md")], key=lambda f: f.parent.name
                )
            ]
        found = sorted((ROOT / "docs").glob(pattern), key=lambda f: (f.name != "index.md", f.name))
        return [f.relative_to(ROOT / "docs").as_posix() for f in found]

    for entry in config.nav or []:
        if isinstance(entry, dict):
            for title, value in entry.items():
                if isinstance(value, str) and "*" in value:
                    entry[title] = listed(value)
    return config
