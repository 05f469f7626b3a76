"""Concept scores: how well every concept of a set fits every image of the run's data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maia_baselines.arrays import Matrix, cached, over_images
from maia_baselines.concepts import COLLAGE_SET, concept_set, merged
from maia_core.plugin import (
    Dataset,
    ImageTextSimilarity,
    PluginConfig,
    PluginError,
    PluginRef,
    RunContext,
    UsageError,
    one_line,
)


class ConceptOptions(PluginConfig):
    """Options of explainers that choose from a concept set."""

    concepts: str = COLLAGE_SET
    """A concept set by name (`collage`), or a text file with one concept a line."""
    similarity: PluginRef | None = None
    """Similarity that scores concepts on images, by name with its options [default: the run's]."""
    scores: str = ""
    """A file of concept scores (`.npz` or `.parquet`, one row for each image of the data set), instead of concepts and
    a similarity."""


@dataclass(frozen=True)
class ConceptScores:
    """Scores of concepts on images.

    Attributes:
        concepts: The concepts.
        scores: float32 of shape (images, concepts), one row for each image of the data set, higher is a better fit;
            NaN in the rows of images that could not be read.
        source: Where they come from, for the record.
    """

    concepts: tuple[str, ...]
    scores: Matrix
    source: str


def concept_scores(options: ConceptOptions, context: RunContext) -> ConceptScores:
    """Scores a concept set on the run's data set, once, and caches the result.

    Raises:
        UsageError: the concept set or the file of scores cannot be used.
    """
    dataset = context.dataset
    if options.scores:
        return read(Path(options.scores).expanduser(), dataset, context)
    chosen = concept_set(options.concepts, context)
    similarity: ImageTextSimilarity = (
        context.part("similarity")
        if options.similarity is None
        else context.build("similarity", options.similarity.name, **options.similarity.options)
    )

    def compute() -> Matrix:
        # Printed first: scoring may take minutes.
        context.warn(
            f"scoring {len(chosen.concepts):,} concepts on {len(dataset):,} images, once; the cache keeps the scores"
        )
        return over_images(
            dataset, lambda images: similarity.similarity([i.anonymous() for i in images], chosen.concepts), context
        )

    scores = cached(context, "scores", (similarity.fingerprint, dataset.fingerprint, chosen.fingerprint), compute)
    return ConceptScores(chosen.concepts, scores, chosen.name)


def read(path: Path, dataset: Dataset, context: RunContext) -> ConceptScores:
    """Reads a file of concept scores.

    `.npz` holds `concepts` (texts) and `scores` (images, concepts), and may hold `ids`; `.parquet` holds one column for
    each concept, and may hold a column `id`. With ids, rows may come in any order and other images among them; without,
    there is one row for each image of the data set, in its order.

    Raises:
        UsageError: the file is missing, broken, or not about this data set.
    """
    if path.suffix not in (".npz", ".parquet"):
        raise UsageError(f"concept scores come from a file that ends in .npz or .parquet, not {path}")
    if not path.is_file():
        raise UsageError(f"there is no file of concept scores {path}")
    try:
        concepts, scores, ids = _npz(path) if path.suffix == ".npz" else _parquet(path)
        scores = np.asarray(scores, np.float32)
    except (UsageError, PluginError):
        raise
    except Exception as error:  # A damaged file raises whatever its damage leads to.
        raise UsageError(f"cannot read the concept scores {path}: {one_line(error)}") from error
    if not all(concept.strip() for concept in concepts):
        raise UsageError(f"{path} has a concept without a name")
    if scores.ndim != 2 or scores.shape[1] != len(concepts):
        raise UsageError(f"{path} has {len(concepts)} concepts, but scores of the shape {scores.shape}")
    scores = _in_order(scores, ids, dataset, path)
    if not np.isfinite(scores[~np.isnan(scores).all(1)]).all():
        raise UsageError(f"{path} holds scores that are not finite; leave those images or concepts out")
    if len(set(map(str.casefold, concepts))) < len(concepts):
        merged(enumerate(concepts, start=1), str(path), context.warn, place="columns")
        first = {concept.casefold(): column for column, concept in reversed(list(enumerate(concepts)))}
        columns = sorted(first.values())
        concepts, scores = [concepts[column] for column in columns], scores[:, columns]
    return ConceptScores(tuple(concepts), scores, path.name)


def _npz(path: Path) -> tuple[list[str], Any, list[str] | None]:
    with np.load(path, allow_pickle=False) as archive:
        missing = [name for name in ("concepts", "scores") if name not in archive.files]
        if missing:
            raise UsageError(f"{path} has no array '{missing[0]}'; it needs 'concepts' and 'scores'")
        ids = [str(name) for name in archive["ids"]] if "ids" in archive.files else None
        return [str(name) for name in archive["concepts"]], archive["scores"], ids


def _parquet(path: Path) -> tuple[list[str], Any, list[str] | None]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise PluginError("files of the form .parquet need pyarrow: pip install 'maia-baselines[parquet]'") from error
    table = parquet.read_table(path)
    concepts = [name for name in table.column_names if name != "id"]
    ids = [str(name) for name in table.column("id").to_pylist()] if "id" in table.column_names else None
    return concepts, np.stack([table.column(name).to_numpy() for name in concepts], axis=1), ids


def _in_order(scores: Matrix, ids: list[str] | None, dataset: Dataset, path: Path) -> Matrix:
    """Returns one row for each image of the data set."""
    if ids is None:
        if len(scores) != len(dataset):
            raise UsageError(
                f"{path} has {len(scores)} rows and no ids, but {dataset.name} has {len(dataset)} images; add the ids"
            )
        return scores
    if len(ids) != len(scores):
        raise UsageError(f"{path} has {len(ids)} ids, but {len(scores)} rows")
    row = {name: number for number, name in enumerate(ids)}
    missing = [name for name in dataset.ids if name not in row]
    if missing:
        raise UsageError(
            f"{path} has no scores for {len(missing)} of the {len(dataset)} images of {dataset.name}: {missing[0]}, ..."
        )
    return scores[[row[name] for name in dataset.ids]]
