"""What a client reads of a run beside the results of its calls: the logged results, and the report."""

from __future__ import annotations

from maia_core.plugin import TextPart
from maia_mcp.content import cut
from maia_mcp.programs import short
from maia_mcp.run import ClientRun


def logged(run: ClientRun) -> str:
    """Lists the logged results of a run, one line each."""
    lines = [
        f"{entry.title}: activation {entry.activation:.4g} [image {short(entry.image)}]"
        for entry in list(run.index.logged)
    ]
    return cut("\n".join(lines)) or "Nothing is logged yet."


def report(run: ClientRun) -> str:
    """Returns a run as its client saw it, as Markdown: the messages of MAIA, and the client's replies."""
    sections = [f"# Run {run.name}"]
    for message in run.messages[1:]:
        title = "The client" if message.role == "assistant" else "MAIA"
        parts = [part.text if isinstance(part, TextPart) else f"[image {short(part.image)}]" for part in message.parts]
        sections.append(f"## {title}\n\n" + "\n".join(parts))
    if run.ending:
        sections.append(f"## The end\n\n{run.ending}")
    return "\n\n".join(sections) + "\n"
