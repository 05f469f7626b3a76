"""`maia eval predictive`, `maia eval synthetic` and `maia eval bias`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from maia_cli import PARTS, config_options, run_options
from maia_sweep.options import runner_options

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig, Runner

OUT = click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Write the evaluation into this folder. Rerun the same command to resume.",
)  # fmt: skip
EXPLAINER = click.option(
    "--explainer", "explainers", multiple=True, metavar="NAME",
    help="Compare this explainer; repeatable: NAME, NAME:KEY=VALUE,..., or ALIAS=NAME:.... A KEY that begins with "
    "run. sets the run's configuration (plain=agent:run.verify=false).",
)  # fmt: skip
AGAIN = click.option("--again", is_flag=True, help="Retry explanations that failed.")
QUIET = click.option("--quiet", is_flag=True, help="Print errors only.")


@click.command()
@click.argument("refs", nargs=-1, metavar="[UNIT]...")
@OUT
@EXPLAINER
@click.option(
    "--units", "file", type=click.Path(path_type=Path), help="Read units from a file, one MODEL:LAYER:UNIT per line."
)
@click.option("--draw", metavar="MODEL", help="Draw units of a model at random.")
@click.option("--layer", "layers", multiple=True, help="Draw from this layer; repeatable [default: the last four].")
@click.option("--each", type=click.IntRange(1), default=10, show_default=True, help="Units per layer.")
@click.option("--prompts", type=click.IntRange(1, 200), default=7, show_default=True, help="Prompts per label.")
@click.option("--samples", type=click.IntRange(1, 50), default=2, show_default=True, help="Images per prompt.")
@click.option(
    "--images", type=click.IntRange(0), default=200, show_default=True, help="Held-out real images; 0 for none."
)
@click.option(
    "--test-generator", metavar="NAME[:KEY=VALUE,...]",
    help="Generate the test images with this [default: the run's, with pictures that no explainer saw].",
)  # fmt: skip
@click.option(
    "--test-dataset", metavar="NAME[:KEY=VALUE,...]",
    help="Take held-out real images from this data set [default: the held-out split of the run's].",
)  # fmt: skip
@click.option(
    "--permuted", is_flag=True,
    help="Test memory: measure under each unit's name another unit of its layer (`permuted:UNIT`).",
)  # fmt: skip
@AGAIN
@QUIET
@runner_options
@run_options
def predictive(
    config: RunConfig, refs: tuple[str, ...], out: Path, explainers: tuple[str, ...], file: Path | None,
    draw: str | None, layers: tuple[str, ...], each: int, prompts: int, samples: int, images: int,
    test_generator: str | None, test_dataset: str | None, permuted: bool, runner: Runner | None, again: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Measure how well labels predict which images activate each UNIT (the paper's section 4.1).

    All explainers explain all units first; then their labels are scored on images that none of them saw. Figures come
    with `maia eval report DIR`.
    """
    from maia_core.plugin import Context, UsageError, installed
    from maia_eval.choices import drawn, plugin_ref, specs, units_in
    from maia_eval.explaining import Contexts, Worker, log_to
    from maia_eval.predictive import Plan, run
    from maia_eval.results import Folder
    from maia_exemplars.splits import held_out_dataset, parted
    from maia_sweep.sweeping import system_of

    registry = installed()
    chosen = specs(explainers, registry)
    units = [*refs, *(units_in(file) if file else [])]
    if layers and not draw:
        raise UsageError("--layer needs the model to draw from; add --draw MODEL")
    if draw:
        units += drawn(system_of(config, draw), layers, each, config.seed, Context(config, registry))
    if not units and config.system is not None:
        units = [config.system.name]
    units = [f"permuted:{unit}" if permuted else unit for unit in dict.fromkeys(units)]
    if not units:
        raise UsageError("no unit is chosen; name units, or pass --units FILE or --draw MODEL")
    testing = plugin_ref(test_generator) if test_generator else config.generator
    held_out = parted(config.model_copy(update={"generator": testing}), ["generator"], "cutouts", "held-out", registry)
    config = parted(config, ["generator", "editor", "dataset"], "cutouts", "seen", registry)
    plan = Plan(
        config=config,
        specs=chosen,
        units=units,
        generator=held_out.generator,
        same_engine=testing.name == config.generator.name,
        real=plugin_ref(test_dataset) if test_dataset else held_out_dataset(config, registry),
        prompts=prompts,
        samples=samples,
        images=images,
    )
    folder = Folder.begin(out, "predictive", plan.settings(), registry)
    if again:
        folder.forget_failures()
    log = log_to(quiet)
    if runner:
        Worker(config, out / "runs", chosen, out, quiet).explain(units, runner)
    run(plan, folder, Contexts(config, out / "runs", registry, log), log)
    _done(out, quiet)


@click.command()
@OUT
@EXPLAINER
@click.option(
    "--list", "name", default="collage", show_default=True, help="List of neurons; `maia synthetic list` prints them."
)
@click.option("--each", type=click.IntRange(1), help="Take the first N neurons of each kind [default: all].")
@AGAIN
@QUIET
@runner_options
@config_options(*(kind for kind in PARTS if kind != "system"), of_run=True)
def synthetic(
    config: RunConfig, out: Path, explainers: tuple[str, ...], name: str, each: int | None, again: bool, quiet: bool,
    runner: Runner | None,
) -> None:  # fmt: skip
    """Measure how often labels name what synthetic neurons respond to, and which of two labels comes nearer."""
    from maia_core.plugin import installed
    from maia_eval.choices import specs
    from maia_eval.explaining import Contexts, Worker, log_to
    from maia_eval.results import Folder
    from maia_eval.synthetic import Plan, run

    registry = installed()
    log = log_to(quiet)
    contexts = Contexts(config, out / "runs", registry, log)
    plan = Plan.of(config, specs(explainers, registry), name, each, contexts.main)
    folder = Folder.begin(out, "synthetic", plan.settings(), registry)
    if again:
        folder.forget_failures()
    if runner:
        Worker(config, out / "runs", plan.specs, out, quiet).explain(plan.units, runner)
    run(plan, folder, contexts, log)
    _done(out, quiet)


@click.command()
@OUT
@EXPLAINER
@click.option(
    "--list", "name", default="development", show_default=True,
    help="List of models: development, reported, or a seed; `maia planted list` prints them.",
)  # fmt: skip
@click.option("--each", type=click.IntRange(1), help="Take the first N models of each kind [default: all].")
@AGAIN
@QUIET
@runner_options
@config_options(*(kind for kind in PARTS if kind not in ("system", "task", "dataset")), of_run=True)
def bias(
    config: RunConfig, out: Path, explainers: tuple[str, ...], name: str, each: int | None, again: bool, quiet: bool,
    runner: Runner | None,
) -> None:  # fmt: skip
    """Measure how often findings name a planted bias, and how often they name one where there is none.

    Without --explainer, the agent explains with the task `bias`. Another explainer is scored if the details of its
    explanations hold findings.
    """
    from maia_core.plugin import PluginRef, installed
    from maia_eval.bias import Plan, run
    from maia_eval.choices import specs
    from maia_eval.explaining import Contexts, Worker, log_to
    from maia_eval.results import Folder

    registry = installed()
    log = log_to(quiet)
    config = config.model_copy(update={"task": PluginRef(name="bias"), "dataset": PluginRef(name="planted")})
    main = Contexts(config, out / "runs", registry, log).main
    plan = Plan.of(main.config, specs(explainers or ("agent",), registry), name, each, main, registry)
    folder = Folder.begin(out, "bias", plan.settings(), registry)
    if again:
        folder.forget_failures()
    if runner:
        Worker(plan.config, out / "runs", plan.specs, out, quiet).explain(plan.units, runner)
    run(plan, folder, Contexts(plan.config, out / "runs", registry, log), log)
    _done(out, quiet)


def _done(out: Path, quiet: bool) -> None:
    if not quiet:
        click.echo(f"done; the tables and the page: maia eval report {out}")
