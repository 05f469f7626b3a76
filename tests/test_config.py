import re

import pytest

from maia_core.config import PluginConfig, RunConfig, validated
from maia_core.context import Context, load
from maia_core.errors import UsageError


def _write(tmp_path, text):
    file = tmp_path / "maia.toml"
    file.write_text(text)
    return file


def test_choice_is_a_name_or_a_table_with_options(tmp_path):
    config = load(_write(tmp_path, 'editor = "x"\n[generator]\nname = "y"\nsize = 3\n'))
    assert (config.editor.name, config.editor.options) == ("x", {})
    assert (config.generator.name, config.generator.options) == ("y", {"size": 3})


def test_command_line_wins_over_the_file_and_keeps_its_other_options(tmp_path):
    file = _write(tmp_path, '[generator]\nname = "y"\nsize = 3\nsteps = 4\n')
    config = load(file, [("generator.size", 5), ("limits.turns", "7")])
    assert config.generator.options == {"size": 5, "steps": 4}
    assert config.limits.turns == 7


def test_choosing_another_plugin_drops_the_options_of_the_old_one(tmp_path):
    file = _write(tmp_path, '[generator]\nname = "y"\nsize = 3\n')
    assert load(file, [("generator", "z")]).generator.options == {}
    assert load(file, [("generator", "y")]).generator.options == {"size": 3}


def test_options_of_a_model_hold_for_all_its_units(tmp_path):
    file = _write(tmp_path, '[system]\nname = "net:deep:1"\nweights = "mine.pth"\n')
    assert load(file, [("system", "net:top:2")]).system.options == {"weights": "mine.pth"}
    assert load(file, [("system", "other:deep:1")]).system.options == {}
    nameless = _write(tmp_path, "[system]\nsize = 96\n")
    assert load(nameless, [("system", "net:top:2")]).system.options == {"size": 96}


def test_option_of_a_default_plugin_can_be_set_without_naming_it():
    config = load(overrides=[("generator.size", 5)])
    assert config.generator.name == RunConfig().generator.name
    assert config.generator.options == {"size": 5}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("generater = 'x'", "unknown key 'generater'.*'generator'"),
        ("[limits]\nturn = 3", "unknown key 'limits.turn'.*'turns'"),
        ("seed = 'x'", "'seed'.*integer.*'x'"),
        ("[limits]\nturns = 0", "'limits.turns'.*greater than 0"),
        ("seed = ", "not valid TOML"),
        pytest.param("a = " + "[" * 100_000, "not valid TOML", id="levels"),
        ("[generator]\nsize = 3", "'generator.name'.*is missing"),
    ],
)
def test_wrong_file_names_file_key_and_what_is_allowed(tmp_path, text, says):
    with pytest.raises(UsageError, match=f"maia.toml.*{says}"):
        load(_write(tmp_path, text))


def test_what_the_command_line_set_is_its_fault(tmp_path):
    (tmp_path / "maia.toml").write_text("seed = 3\n")
    with pytest.raises(UsageError, match=r"^the command line: 'limits\.turns'"):
        load(tmp_path / "maia.toml", [("limits.turns", "abc")])


def test_a_text_that_reads_as_something_else_can_be_quoted(tmp_path):
    with pytest.raises(UsageError, match=r"for a text write runs='\"\.\.\.\"'"):
        load(None, [("runs", False)])


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml")


def test_setting_below_a_plain_value_is_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"cannot set 'seed\.x': 'seed' is not a table"):
        load(_write(tmp_path, "seed = 3"), [("seed.x", "1")])
    with pytest.raises(UsageError, match="'seed': must be an integer"):
        load(overrides=[("seed.x", "1")])


def test_plugin_without_options_says_so():
    with pytest.raises(UsageError, match="no options"):
        validated(PluginConfig, {"size": 3}, "options of generator 'x'")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("limits", 3, "'limits': must be a table, not 3"),
        ("generator", [1], "'generator': must be the name of a plugin, or a table with its name and options"),
        ("generator", {"size": 3}, "'generator.name': is missing"),
        ("tools", 3, "'tools': must be a list"),
        ("limits.turns", 1.5, "'limits.turns': must be an integer, not 1.5"),
        ("verify", "perhaps", "'verify': must be true or false"),
        ("seed", -1, "'seed': must be greater than or equal to 0"),
    ],
)
def test_no_word_of_pydantic_reaches_a_person(key, value, says):
    with pytest.raises(UsageError, match=re.escape(says)) as caught:
        load(None, [(key, value)])
    assert not re.search(r"instance|dictionary|Input should|field required", str(caught.value), re.IGNORECASE)


@pytest.mark.parametrize("in_file", [True, False], ids=["file", "option"])
def test_options_of_the_verifier_that_the_task_prefers_do_not_choose_another_one(tmp_path, in_file):
    file = _write(tmp_path, "[verifier]\npairs = 3\n" if in_file else "seed = 1\n")
    config = load(file, [("task", "bias")] + [("verifier.pairs", 3)] * (not in_file))
    assert (config.verifier.name, config.verifier.options) == ("matched-pairs", {"pairs": 3})
    assert RunConfig.model_validate(config.model_dump()) == config
    assert Context(config).config == config
    chosen = load(file, [("task", "bias"), ("verifier", {"name": "held-out"})])
    assert chosen.verifier == RunConfig().verifier
