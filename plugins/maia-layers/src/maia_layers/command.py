"""`maia ask`: Ask a question over all units of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from maia_cli import PARTS, config_options, result_options, run_and_print

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig

TOOLS = (
    *("text2image", "edit_images", "score_units", "unit_exemplars", "describe_images", "summarize_images"),
    *("log_experiment", "results", "display"),
)


@click.command()
@click.argument("layer", metavar="MODEL[:LAYER]")
@click.argument("question")
@config_options(*(kind for kind in PARTS if kind not in ("system", "task")), named_by={"system": "layer"}, of_run=True)
@result_options
def ask(config: RunConfig, layer: str, question: str, out: Path | None, as_json: bool, without: tuple[str, ...]) -> int:
    """Ask a QUESTION over all units of a layer, or about a whole classifier.

    Of MODEL:LAYER ask "which units are selective for forests?", of MODEL "in which settings does it fail to recognise a
    tiger?". The second needs maia-bias.
    """
    from maia_core.plugin import PluginRef

    options = config.system.options if config.system else {}
    if ":" not in layer:
        whole = PluginRef.model_validate({**options, "name": f"whole:{layer}"})
        task = PluginRef.model_validate({"name": "question", "question": question})
        about = config.model_copy(update={"system": whole, "task": task})
        return run_and_print(about, out=out, as_json=as_json, without=without)
    tools = {choice.name: choice for choice in config.tools}
    asked = config.model_copy(
        update={
            "system": PluginRef.model_validate({**options, "name": f"layer:{layer}"}),
            "task": PluginRef.model_validate({"name": "layer-question", "question": question}),
            "tools": tuple(tools.get(name, PluginRef(name=name)) for name in TOOLS),
        }
    )
    return run_and_print(asked, out=out, as_json=as_json, without=without)
