"""`maia exemplars`: Build, merge, show and export indexes of exemplars."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maia_cli import config_options
from maia_exemplars.click_types import FOLDER, OUT
from maia_exemplars.reading_commands import export, show

if TYPE_CHECKING:
    from maia_core.plugin import RunConfig


@click.group()
def exemplars() -> None:
    """Find the images that activate each unit most, for all units of a layer in one pass; show and export them."""


@exemplars.command()
@click.argument("model")
@click.option(
    "--layers",
    default="main",
    show_default=True,
    metavar="A,B,...",
    help="Measure the layers with these names or patterns (blocks.*); main: those that `maia systems show MODEL` "
    "shows bold.",
)
@config_options("dataset", named_by={"system": "model"}, bare="system")
@click.option("--out", type=OUT, help="Write the index to this folder [default: the cache, where runs find it].")
@click.option(
    "--shard", metavar="I/N", help="Measure the I-th of N equal parts of the data set only; `merge` joins them."
)
@click.option(
    "--k",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Keep this many exemplars per unit; a run that needs more measures the layer again.",
)
@click.option("--resume", is_flag=True, help="Resume an unfinished build.")
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "exact", "bfloat16"]),
    help="Run the network in this precision. exact: its own. bfloat16: rank the images in bfloat16, then measure the "
    "finalists in the network's own. The exemplars are the same; auto takes the one that should be faster.",
)
@click.option(
    "--batch", type=click.IntRange(1), help="Measure this many images per pass [default: 16; a GPU gains from more]."
)
@click.option("--workers", type=click.IntRange(1), help="Read images with this many threads [default: one per core].")
def build(
    model: str,
    layers: str,
    config: RunConfig,
    out: Path | None,
    shard: str | None,
    k: int,
    resume: bool,
    precision: str,
    batch: int | None,
    workers: int | None,
) -> None:
    """Measure all units of layers of MODEL on a data set, in one pass."""
    # Threads that wait for each other must not keep the cores from those that read images. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from maia_cli.progress_line import ProgressLine
    from maia_core.plugin import UsageError, printable_line
    from maia_exemplars.arguments import context_of, is_built, layers_of, model_of, span_of
    from maia_exemplars.build import build as run
    from maia_exemplars.folder import Index, cache_folder, check_is_index, register_folder
    from maia_exemplars.measured import IndexableModel
    from maia_exemplars.options import Options
    from maia_exemplars.printing import note, print_summary

    if ":" in model:
        name, _, rest = model.partition(":")
        raise UsageError(f"'{model}' names a layer or a unit; give {name} alone, and the layer as in --layers '{rest}'")
    if out is not None:
        check_is_index(out)
    context = context_of(config)
    data = context.dataset
    span = span_of(shard, len(data))
    if span is not None and out is None:
        raise UsageError("a shard needs a folder of its own: --out FOLDER")
    adapter: Any = model_of(context, model)
    if not isinstance(adapter, IndexableModel):
        raise UsageError(f"maia exemplars cannot read the layers of '{model}': the model has no method `measurer`")
    measured = adapter.measurer(layers_of(layers, adapter)).layers
    own = cache_folder(context.cache, adapter.fingerprint, data.fingerprint)
    folder = out or own
    missing = [
        layer.layer for layer in measured if not is_built(Index(folder), adapter.measurer([layer.layer]), data, k, span)
    ]
    for layer in measured:
        if layer.layer not in missing:
            click.echo(f"{printable_line(layer.layer)}: there already", err=True)
    settings: dict[str, Any] = {"batch": batch, "workers": workers, "precision": precision}
    settings = {name: value for name, value in settings.items() if value is not None}
    if missing:
        with ProgressLine("images") as line:
            chosen = Options(k=k, span=span, resume=resume, **settings)
            run(adapter.measurer(missing), data, folder, chosen, progress=line, warn=note)
    if out is not None and span is None:
        register_folder(context.cache, adapter.fingerprint, data.fingerprint, folder)
    print_summary(folder, [layer.layer for layer in measured])


@exemplars.command()
@click.argument("parts", nargs=-1, required=True, type=FOLDER, metavar="FOLDER...")
@click.option("--out", required=True, type=OUT, help="Write the merged index to this folder.")
def merge(parts: tuple[Path, ...], out: Path) -> None:
    """Join the indexes of shards into one."""
    from maia_core.plugin import cache_dir
    from maia_exemplars.folder import check_is_index, register_folder
    from maia_exemplars.merge import merge as run
    from maia_exemplars.printing import note, print_summary, ranges

    check_is_index(out)
    infos = run(parts, out)
    first = next(iter(infos.values()))
    if first.complete:
        register_folder(cache_dir(), first.model_fingerprint, first.dataset_fingerprint, out)
    else:
        note(f"this covers {ranges(first)} of {first.images:,} images; runs use it once the rest is merged, too")
    print_summary(out, list(infos))


@exemplars.command("list")
def list_indexes() -> None:
    """List the indexes that runs on this machine find; of several of one model, which one is current."""
    from maia_core.plugin import cache_dir, printable_line
    from maia_exemplars.arguments import versions
    from maia_exemplars.folder import Index, all_folders
    from maia_exemplars.printing import FINGERPRINT_DIGITS, options_of

    infos = [
        (folder, Index(folder).layer(name).info)
        for folder in all_folders(cache_dir())
        for name in Index(folder).layers()
    ]
    words = versions(info for _, info in infos)
    for folder, info in infos:
        options = f", {options_of(info)}" if info.options else ""
        word = words.get(info.model_fingerprint, "")
        version = f", {word} ({info.model_fingerprint[:FINGERPRINT_DIGITS]})" if word else ""
        name = printable_line(f"{info.model}:{info.layer}")
        images = printable_line(f"{info.count:,} images of {info.dataset}{options}{version}")
        click.echo(f"{name}  {info.units:,} units, {images}  {printable_line(str(folder))}")


@exemplars.command()
@click.argument("targets", nargs=-1, required=True, metavar="INDEX[:LAYER]|MODEL[:LAYER]...")
def remove(targets: tuple[str, ...]) -> None:
    """Delete indexes from the disk, such as those of a model that was trained again.

    Name the folder that `maia exemplars list` prints, or the model where it has one index only.
    """
    from maia_core.plugin import UsageError, printable_line
    from maia_exemplars.arguments import to_remove
    from maia_exemplars.folder import Index
    from maia_exemplars.folder import remove as delete

    chosen = [to_remove(target) for target in targets]
    for folder, _ in chosen:
        if not Index(folder).layers():
            raise UsageError(f"{folder} holds no exemplar index; `maia exemplars list` lists the folders")
    for folder, layer in chosen:
        for name in delete(folder, layer):
            click.echo(f"removed: {printable_line(name)} in {printable_line(str(folder))}")


@exemplars.command()
@click.argument("folder", type=FOLDER)
def use(folder: Path) -> None:
    """Let runs on this machine find the index in FOLDER, such as one that was copied from another."""
    from maia_core.plugin import UsageError, cache_dir, printable_line
    from maia_exemplars.folder import Index, register_folder
    from maia_exemplars.printing import missing_part, print_summary, ranges

    index = Index(folder)
    infos = [index.layer(name).info for name in index.layers()]
    if not infos:
        raise UsageError(f"{folder} holds no exemplar index")
    for info in infos:
        if not info.complete:
            raise UsageError(
                f"{folder} holds {ranges(info)} of {info.images:,} images only, and runs use whole indexes: build "
                f"{missing_part(info)} and join: maia exemplars merge {folder} OTHER... --out INDEX"
            )
    for info in infos:
        register_folder(cache_dir(), info.model_fingerprint, info.dataset_fingerprint, folder)
    print_summary(folder, index.layers())
    click.echo(f"noted: runs on this machine use {printable_line(str(folder))} where it lies", err=True)


exemplars.add_command(show)
exemplars.add_command(export)
