"""The data set `huggingface`: images of a Hugging Face data set, on this machine or from the hub."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from maia_core.plugin import PluginError, RunContext, UnreadableImage, UsageError
from maia_datasets.decode import ImageOptions
from maia_datasets.encoded import EncodedImages, printable
from maia_datasets.stored import FilePart


class HuggingFaceDataset(EncodedImages):
    """The images of one split, in its order; `SPLIT/ROW` is an image's id, or what a column says.

    Rows are read where they lie (Arrow files mapped into memory); images are decoded as in every other data set.
    """

    class Config(ImageOptions):
        """Options of the data set `huggingface`."""

        path: str = Field(min_length=1)
        """A folder that `save_to_disk` wrote, a folder of data files, a parquet or Arrow file or a pattern of such, or
        a name on the hub (OWNER/NAME), which is fetched where the cache does not have it."""
        split: str | None = None
        """Which split; may be left out where there is only one."""
        subset: str | None = None
        """Which configuration, of a data set that has several."""
        revision: str | None = None
        """Branch, tag or commit on the hub, which is then asked even if the cache has the data set."""
        image_column: str | None = None
        """The column of the images; found by its type."""
        image_root: Path | None = None
        """The folder of the files that rows name instead of holding an image; the data set's own folder. Rows of a
        stranger's data set may name any file of this machine."""
        label_column: str | None = None
        """The column of the labels; the first whose type is a class label."""
        id_column: str | None = None
        """A column of distinct names that become the images' ids."""

    def __init__(self, config: Config, context: RunContext) -> None:
        try:
            from maia_datasets import columns, hub
        except ImportError as error:
            raise PluginError(
                f"the data set 'huggingface' needs {error.name}: pip install 'maia-datasets[huggingface]'"
            ) from error
        cache = context.cache / "datasets" / "huggingface"
        splits = hub.load(config.path, config.subset, config.revision, cache, context.warn)
        split = columns.choose(splits, config.split, config.path)
        rows = splits[split]
        if not len(rows):
            raise UsageError(f"the split {split} of {config.path} is empty; choose another with dataset.split")
        self._images = columns.images(rows, config.image_column)
        self._labels = columns.Labels(rows, config.label_column)
        ids = columns.ids(rows, config.id_column) if config.id_column else [f"{split}/{i}" for i in range(len(rows))]
        place = Path(config.path).resolve()
        name = (place.parent if "*" in place.name else place).stem
        folders = [config.image_root] if config.image_root else hub.folders_of(config.path, cache)
        self._folders = [os.path.realpath(folder.expanduser()) for folder in folders]
        sizes, outside = columns.sizes(self._images, self._folders)
        if outside:
            context.warn(
                f"{len(outside):,} images of {config.path} are refused: their rows name files outside of the data set, "
                f"{printable(outside[0])} first; if you trust it, set dataset.image_root to the folder of these files"
            )
        super().__init__(f"{name}/{split}", ids, sizes, config)

    def concepts(self, index: int) -> Sequence[str]:
        """Returns the name of the image's class, or what the column of labels says; nothing where it says nothing."""
        return self._labels[index]

    def encoded(self, index: int) -> bytes:
        """See `EncodedImages`."""
        from maia_datasets import columns

        content, path = columns.content(self._images, index)
        if content is not None:
            return content
        size = columns.size_of_file(path, self._folders)
        if path is None or size < 0:
            missing = f": the data set has no file {printable(path)}" if path else " is empty"
            raise UnreadableImage(f"{self.ids[index]}{missing}")
        return FilePart(path, 0, size).read()
