"""Several layers measured in one pass over the data set, before runs ask for them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from maia_core.plugin import Dataset, content_id
from maia_exemplars.build import build
from maia_exemplars.folder import cache_folder
from maia_exemplars.measured import IndexableModel
from maia_exemplars.options import Options, Progress, quiet


def measure_together(
    model: IndexableModel,
    layers: Sequence[str],
    dataset: Dataset,
    cache: Path,
    *,
    progress: Progress = quiet,
    note: Callable[[str], None] = quiet,
) -> None:
    """Builds the indexes of layers in one pass; runs find them in the cache.

    Args:
        model: The model.
        layers: Names of its layers, those that the cache lacks (`LayerExemplars.is_known`).
        dataset: The images.
        cache: The folder of the cache.
        progress: Called with the progress.
        note: Called with a line when the pass begins, and with anything else that the user must know.

    Raises:
        UsageError: as for `build`.
        RunError: as for `build`.
    """
    what = f"layer {layers[0]}" if len(layers) == 1 else f"{len(layers)} layers"
    note(f"measuring {what} of {model.name} on {len(dataset):,} images; later commands find the result in the cache")
    folder = cache_folder(cache, model.fingerprint, dataset.fingerprint)
    work = folder / f".building-{content_id(*(layer.encode() for layer in layers))[:12]}"
    build(model.measurer(layers), dataset, folder, Options(unattended=True), work=work, progress=progress, warn=note)
