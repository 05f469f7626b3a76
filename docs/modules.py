"""Draws which distribution depends on which, as a mermaid diagram."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from packaging.requirements import Requirement


def graph(projects: Iterable[Mapping[str, Any]]) -> str:
    """Returns the diagram of distributions, given as the tables `[project]` of their pyproject files.

    Every distribution depends on `maia-core`, so these arrows are left out, and so are those that others imply.
    """
    needs = {
        project["name"]: {Requirement(line).name for line in project.get("dependencies", [])} - {"maia-core"}
        for project in projects
    }
    needs = {name: {other for other in others if other in needs} for name, others in needs.items()}

    def reached(name: str) -> set[str]:
        return needs[name].union(*(reached(other) for other in needs[name]))

    lines = ["```mermaid", "flowchart LR"]
    for name in sorted(needs):
        implied = {far for other in needs[name] for far in reached(other)}
        direct = sorted(needs[name] - implied)
        lines += [f"  {_short(name)} --> {_short(other)}" for other in direct]
        if not direct and not any(name in others for others in needs.values()):
            lines.append(f"  {_short(name)}")
    return "\n".join([*lines, "```"])


def _short(name: str) -> str:
    return name.removeprefix("maia-")
