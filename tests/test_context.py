import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import PluginError, UsageError
from maia_core.registry import Registry


def test_seeds_differ_for_replicates_and_agree_for_repeats():
    context = Context(RunConfig(seed=3), Registry([]))
    first, second, other = context.seeds(["a dog", "a dog", "a cat"])
    assert first != second
    assert context.seeds(["a cat", "a dog"]) == [other, first]
    assert Context(RunConfig(seed=4), Registry([])).seeds(["a dog"]) != [first]
    assert all(0 <= seed < 2**31 for seed in (first, second, other))


def test_missing_system_says_how_to_choose_one():
    with pytest.raises(UsageError, match="--system MODEL:LAYER:UNIT"):
        _ = Context(registry=Registry([])).system


def test_missing_plugin_is_named():
    with pytest.raises(PluginError, match="generator 'collage'"):
        _ = Context(registry=Registry([])).generator
