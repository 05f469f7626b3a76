import sys
import textwrap

import pytest

from maia_cli.about import about
from maia_cli.doctor import problems_of
from maia_core import protocols
from maia_core.context import Context
from maia_core.errors import PluginError, UsageError
from maia_core.kinds import KINDS, distribution_of
from maia_core.registry import Registry, installed


class _Distributions:
    """Writes installed distributions (metadata and a module) into a folder."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.monkeypatch = monkeypatch
        monkeypatch.syspath_prepend(str(folder))

    def add(self, name, points, source="", requires=(), version="1.0", summary="what it is"):
        module = name.replace("-", "_")
        self.monkeypatch.delitem(sys.modules, module, raising=False)
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n{needs}"
        )
        groups = "".join(f"[{group}]\n{line}\n" for group, line in points)
        (info / "entry_points.txt").write_text(groups)

    def registry(self):
        from importlib.metadata import distributions

        return Registry(distributions(path=[str(self.folder)]))


@pytest.fixture
def world(tmp_path, monkeypatch):
    return _Distributions(tmp_path, monkeypatch)


FACTORY = """
    from maia_core.plugin import PluginConfig

    class Thing:
        class Config(PluginConfig):
            size: int = 3

        def __init__(self, config, context):
            self.size = config.size
    """


def test_the_table_of_kinds_names_protocols_that_exist_and_groups_that_differ():
    assert len({kind.group for kind in KINDS.values()}) == len(KINDS)
    for kind in KINDS.values():
        assert kind.group.startswith("maia.")
        assert kind.name in ("command", "observer") or hasattr(protocols, kind.protocol)


def test_a_plugin_that_is_known_but_not_installed_names_its_distribution():
    nothing = Registry(())
    with pytest.raises(PluginError, match=r"^there is no backbone 'litellm'; install it: pip install maia-litellm$"):
        nothing.get("backbone", "litellm")
    with pytest.raises(PluginError, match=r"'timm'; install it: pip install maia-timm"):
        Context(registry=nothing).made_by_model("timm/resnet50:layer4:3")
    with pytest.raises(PluginError, match=r"choose --backbone litellm -o backbone\.model=openai/gpt-4o$"):
        nothing.get("backbone", "openai/gpt-4o")
    assert distribution_of("backbone", "nobody-made-this") == ""


def test_listing_imports_nothing(world):
    world.add("bomb", [("maia.generators", "bomb = bomb:Thing")], "raise SystemExit('imported')")
    [plugin] = world.registry().plugins
    assert (plugin.kind, plugin.name, plugin.origin, plugin.summary) == ("generator", "bomb", "bomb 1.0", "what it is")


def test_plugin_is_built_with_validated_options(world):
    world.add("thing", [("maia.generators", "thing = thing:Thing")], FACTORY)
    registry = world.registry()
    context = Context(registry=registry)
    assert registry.build("generator", "thing", {"size": "5"}, context).size == 5
    with pytest.raises(UsageError, match=r"options of generator 'thing'.*'sise'.*'size'"):
        registry.build("generator", "thing", {"sise": 5}, context)


def test_unknown_name_gets_the_nearest(world):
    world.add("thing", [("maia.generators", "thing = thing:Thing")], FACTORY)
    with pytest.raises(PluginError, match=r"no generator 'thign'.*Did you mean 'thing'"):
        world.registry().get("generator", "thign")


def test_two_claims_to_one_name_are_an_error_that_names_both_and_the_way_out(world):
    for name in ("one", "two"):
        world.add(name, [("maia.generators", f"same = {name}:Thing")], FACTORY)
    registry = world.registry()
    with pytest.raises(PluginError, match=r"one 1\.0 and two 1\.0; choose 'same@one' or 'same@two'"):
        registry.get("generator", "same")
    assert registry.get("generator", "same@two").distribution == "two"


def test_broken_plugin_is_named_with_its_cause_and_stops_no_other(world):
    world.add("broken", [("maia.generators", "broken = broken:Thing")], "import nowhere_to_be_found")
    world.add("thing", [("maia.generators", "thing = thing:Thing")], FACTORY)
    registry = world.registry()
    with pytest.raises(PluginError, match=r"generator 'broken' of broken 1\.0.*nowhere_to_be_found"):
        registry.get("generator", "broken").load()
    assert registry.get("generator", "thing").load()
    [problem] = problems_of(registry)
    assert "broken 1.0" in problem.plugin


def test_name_that_a_terminal_would_obey_is_left_out_and_named(world):
    points = [f"{name} = thing:Thing" for name in ("\x1b[2Jbad", "right\u202eleft", "über/b-2.x_y")]
    world.add("thing", [("maia.generators", "\n".join(points))], FACTORY)
    registry = world.registry()
    assert [plugin.name for plugin in registry.plugins] == ["über/b-2.x_y"]
    problems = problems_of(registry)
    assert ["ignored" in problem.cause for problem in problems] == [True, True]
    assert "\\x1b[2Jbad" in problems[0].plugin


def test_metadata_that_cannot_be_read_stops_no_other(world):
    """One broken distribution must not take every command with it, `maia doctor` among them."""
    world.add("good", [("maia.tools", "fine = good:Thing")], FACTORY)
    world.add("mangled", [("maia.tools", "odd = mangled:Thing")])
    (world.folder / "mangled-1.0.dist-info" / "METADATA").write_bytes(b"Metadata-Version: 2.1\nName: \xff\xfe\n")
    world.add("malformed", [("maia.commands", "foo = !!bad")])
    registry = world.registry()
    assert [plugin.name for plugin in registry.of_kind("tool")] == ["fine"]
    # The standard library reads a malformed entry point and fails later; importlib_metadata, which some packages put in
    # its place, refuses it at once.
    assert [about(plugin) for plugin in registry.of_kind("command")] in ([], ["what it is"])


@pytest.mark.parametrize("target", ["thing:Gone", "thing.moved:Thing"])
def test_stale_entry_point_says_reinstall(world, target):
    world.add("thing", [("maia.generators", f"gone = {target}")], FACTORY)
    with pytest.raises(PluginError, match="reinstall"):
        world.registry().get("generator", "gone").load()


@pytest.mark.parametrize("requirement", ["maia-core>=99", "maia_core (<0.0.1)", "maia-core>=99; python_version>'3'"])
def test_plugin_for_another_core_is_named_before_it_is_imported(world, requirement):
    world.add("old", [("maia.generators", "old = old:Thing")], "raise SystemExit('imported')", [requirement])
    with pytest.raises(PluginError, match=r"old 1\.0 needs maia.core.*upgrade (old|maia-core): pip install"):
        world.registry().get("generator", "old").load()


@pytest.mark.parametrize("requirement", ["maia-core", "maia-core>=0.2,<0.3", "maia-core[test]>=0.1"])
def test_plugin_for_this_core_is_loaded(world, requirement):
    world.add("thing", [("maia.generators", "thing = thing:Thing")], FACTORY, [requirement])
    assert world.registry().get("generator", "thing").load()


def test_constructor_that_raises_is_named(world):
    source = "def Thing(config, context):\n    raise ValueError('no luck')"
    world.add("thing", [("maia.generators", "thing = thing:Thing")], source)
    registry = world.registry()
    with pytest.raises(PluginError, match=r"thing 1\.0 failed to start: ValueError: no luck"):
        registry.build("generator", "thing", {}, Context(registry=registry))


def test_the_first_of_two_copies_of_a_distribution_counts_once(tmp_path, monkeypatch):
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        _Distributions(tmp_path / part, monkeypatch).add("thing", [("maia.generators", "thing = thing:Thing")], FACTORY)
    from importlib.metadata import distributions

    assert len(Registry(distributions(path=[str(tmp_path / "a"), str(tmp_path / "b")])).plugins) == 1


def test_what_is_installed_here_has_no_problem():
    assert [f"{p.plugin}: {p.cause}" for p in problems_of(installed())] == []


@pytest.mark.parametrize(
    ("requirement", "upgrade"),
    [("maia-core>=99,<100", "maia-core"), ("maia-core>=0.0.1,<0.0.2", "thing"), ("maia-core==99.*", "maia-core")],
)
def test_skew_names_the_side_to_upgrade(world, requirement, upgrade):
    world.add("thing", [("maia.generators", "thing = thing:Thing")], FACTORY, [requirement])
    with pytest.raises(PluginError, match=rf"upgrade {upgrade}: pip install --upgrade {upgrade}$"):
        world.registry().get("generator", "thing").load()


OLD = """
    from maia_core.config import {name}, PluginConfig
    import maia_core.registry

    class Thing:
        def __init__(self, config, context):
            pass
    """


def test_a_plugin_of_an_older_layout_gets_the_import_to_write(world):
    world.add("thing", [("maia.generators", "thing = thing:Thing")], OLD.format(name="Choice"))
    with pytest.raises(PluginError, match=r"thing 1\.0 cannot be loaded: .*import from maia_core\.plugin"):
        world.registry().get("generator", "thing").load()
    [fault, warning, _] = problems_of(world.registry())
    assert "import from maia_core.plugin" in fault.cause
    assert warning.cause.startswith("thing.py line 2 imports maia_core.config, which is private; ")
    assert warning.cause.endswith("write: from maia_core.plugin import PluginConfig, PluginRef")


def test_doctor_warns_of_private_imports_that_still_work(world):
    world.add("thing", [("maia.generators", "thing = thing:Thing")], OLD.format(name="RunConfig"))
    problems = problems_of(world.registry())
    assert [(problem.plugin, problem.warning) for problem in problems] == [("thing 1.0", True)] * 2
    assert problems[0].cause.endswith("write: from maia_core.plugin import PluginConfig, RunConfig")
    assert problems[1].cause.endswith("import the names that it uses from maia_core.plugin")
