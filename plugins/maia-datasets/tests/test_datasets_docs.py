"""The blocks of docs/use/datasets.md work when they are copied."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maia_core.context import load
from maia_core.registry import installed, plugin_config

PAGE = Path(__file__).parents[3] / "docs" / "use" / "datasets.md"
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split('"')[1])
def test_block_is_a_valid_choice(tmp_path, block):
    (tmp_path / "maia.toml").write_text(block, encoding="utf-8")
    choice = load(tmp_path / "maia.toml").dataset
    plugin = installed().find("dataset", choice.name)
    if plugin is None:
        pytest.skip(f"the data set {choice.name} is of another distribution")
    plugin_config(plugin.load(), choice.options, "the page")


def test_page_shows_every_data_set_of_these_distributions():
    named = {block.split('"')[1] for block in BLOCKS}
    assert named == {"folder", "imagenet", "huggingface", "webdataset"}
