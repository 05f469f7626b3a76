"""What programs may rely on in every `maia_core.plugin.Sandbox`.

Whether a sandbox keeps hostile programs in is tested by `maia_sandbox.testing.sandbox_suite.SandboxSuite`, which has
these tests too.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from maia_core.plugin import Context, RunConfig, RunContext, RunError, Sandbox, installed
from maia_core.testing.host import SuiteHost

ENTRY = "def run_experiment(system, tools):\n"


class SandboxSuite:
    """Subclass it and return the sandbox from the fixture `sandbox`, made with `self.context()`.

    Attributes:
        offers_numpy: Whether programs may import numpy and PIL.
    """

    offers_numpy: ClassVar[bool] = True

    @classmethod
    def context(cls) -> RunContext:
        """Returns the context to make the sandbox with; no observer wraps the sandboxes that it builds."""
        observers = {plugin.name for plugin in installed().of_kind("observer")}
        return Context(RunConfig(seed=7), installed().without_observers(observers))

    @pytest.fixture
    def sandbox(self) -> Sandbox:
        """The sandbox under test."""
        raise NotImplementedError("override the fixture `sandbox`: it returns the sandbox under test")

    @pytest.fixture
    def twin(self) -> Sandbox | None:
        """A second instance made in the same way, in which no program ran yet; None where that costs too much."""
        return None

    @pytest.fixture
    def host(self) -> SuiteHost:
        """The host that programs reach."""
        return SuiteHost()

    def test_value_output_and_calls_come_back(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(
            f"print('start')\n{ENTRY}"
            "    images = [tools.image(10), tools.image(20)]\n    activations, masked = system.neuron(images)\n"
            "    print(len(masked))\n    return activations\n",
            host,
        )
        assert (done.error, done.stdout, done.value, done.host_calls) == ("", "start\n2\n", "[10.0, 20.0]", 3)
        assert host.asked == ["tools.image", "tools.image", "system.neuron"]

    def test_older_name_of_the_entry_is_accepted(self, sandbox: Sandbox, host: SuiteHost) -> None:
        assert sandbox.run("def execute_command(system, tools): return 'text'", host).value == "text"

    def test_values_cross_unchanged(self, sandbox: Sandbox, host: SuiteHost) -> None:
        values = "[None, True, -3, 2.5, 'ä\\n', [1, (2, [3])], {'a': {'b': ()}}, float('inf'), '']"
        done = sandbox.run(f"{ENTRY}    v = {values}\n    return tools.echo(v) == v", host)
        assert (done.error, done.value) == ("", "True")

    def test_properties_are_read_without_a_call(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run("def run_experiment(s, tools): return tools.results, s.info['model']", host)
        assert done.value == "([{'label': 'a', 'activations': (1.0, 2.5)}], 'suite')"

    def test_names_of_a_module_persist_and_locals_do_not(self, sandbox: Sandbox, host: SuiteHost) -> None:
        sandbox.run(
            f"kept = [1]\ndef helper(x):\n    return [x + y for y in kept]\n{ENTRY}    local = 1",
            host,
        )
        done = sandbox.run(f"{ENTRY}    kept.append(2)\n    return helper(1)", host)
        assert (done.value, done.variables_lost) == ("[2, 3]", False)
        assert "NameError" in sandbox.run(f"{ENTRY}    return local", host).error

    def test_last_programs_function_is_not_run_again(self, sandbox: Sandbox, host: SuiteHost) -> None:
        sandbox.run(f"{ENTRY}    return 1", host)
        assert "run_experiment(system, tools)" in sandbox.run("x = 1", host).error

    def test_error_names_the_programs_own_line(self, sandbox: Sandbox, host: SuiteHost) -> None:
        error = sandbox.run(f"\n\n{ENTRY}    x = 1\n    return x.lenght\n", host).error
        assert "line 5" in error
        assert "AttributeError" in error
        assert "maia_core" not in error

    def test_syntax_error_names_the_line(self, sandbox: Sandbox, host: SuiteHost) -> None:
        error = sandbox.run("x = 1\ndef run_experiment(system, tools)\n    pass\n", host).error
        assert "line 2" in error
        assert "SyntaxError" in error

    def test_wrong_parameters_are_explained(self, sandbox: Sandbox, host: SuiteHost) -> None:
        assert "(system, tools)" in sandbox.run("def run_experiment(system): pass", host).error

    def test_unknown_tool_lists_what_there_is(self, sandbox: Sandbox, host: SuiteHost) -> None:
        error = sandbox.run(f"{ENTRY}    tools.ecko(1)", host).error
        assert "AttributeError" in error
        assert "echo" in error
        assert not host.asked

    def test_refusal_of_a_tool_can_be_caught(self, sandbox: Sandbox, host: SuiteHost) -> None:
        program = f"{ENTRY}    try: tools.fail()\n    except Exception as e: return str(e)"
        assert sandbox.run(program, host).value == "give a list of prompts"
        error = sandbox.run(f"{ENTRY}    tools.fail()", host).error
        assert "give a list of prompts" in error
        assert "line 2" in error

    def test_what_no_program_can_mend_reaches_the_caller(self, sandbox: Sandbox, host: SuiteHost) -> None:
        for name, kind in (("ended", RunError), ("broken", ZeroDivisionError)):
            with pytest.raises(kind):
                sandbox.run(f"{ENTRY}    try: tools.{name}()\n    except BaseException: pass", host)
        assert sandbox.run(f"{ENTRY}    return tools.echo(1)", host).value == "1"

    def test_images_are_handles(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(
            f"{ENTRY}    a, b = tools.masked(), tools.image(200)\n"
            "    return a.title, a.width, a.height, a.size, a.clean == b, a == b, b.clean == b, tools.echo(a) == a\n",
            host,
        )
        assert (done.error, done.value) == ("", "('a tiger on grass', 32, 24, (32, 24), True, False, True, True)")

    def test_images_in_a_returned_value_are_displayed_once(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(
            f"{ENTRY}    a, b = tools.image(1), tools.image(2)\n    return {{'first': [a, (b, a)], 'activation': 2.5}}",
            host,
        )
        assert done.error == ""
        shown = [part.image.pixels()[0, 0, 0] for part in done.displays if part.type == "image"]
        assert list(dict.fromkeys(shown)) == [1, 2]

    def test_images_order_by_title_where_activations_tie(self, sandbox: Sandbox, host: SuiteHost) -> None:
        program = (
            f"{ENTRY}    images = [tools.masked(), tools.image(1)]\n"
            "    ranked = sorted(zip([2.0, 2.0], images), reverse=True)\n    return [pair[0] for pair in ranked]"
        )
        done = sandbox.run(program, host)
        assert (done.error, done.value) == ("", "[2.0, 2.0]")

    def test_system_tools_and_common_modules_are_names_of_the_module(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(
            "def measured(n):\n    return system.neuron([tools.image(n)])[0]\n"
            "def run_experiment(s: System, t: Tools):\n"
            "    random.seed(0)\n    return measured(10), statistics.mean([1.5, 3]), math.floor(2.5)",
            host,
        )
        assert (done.error, done.value) == ("", "([10.0], 2.25, 2)")
        sandbox.run(f"system = 3\n{ENTRY}    pass", host)
        own = "def helper():\n    return system\ndef run_experiment(s, t):\n    return helper()"
        assert sandbox.run(own, host).value == "3", "a name that a program has given another meaning keeps it"

    def test_hidden_names_work_and_are_not_listed(self, sandbox: Sandbox, host: SuiteHost) -> None:
        host.hidden = frozenset(["tools.image"])
        try:
            assert sandbox.run(f"{ENTRY}    return tools.image(3).title", host).value == "a tiger on grass"
            assert "image" not in sandbox.run(f"{ENTRY}    tools.nothing()", host).error.rpartition("Available")[2]
        finally:
            host.hidden = frozenset()

    def test_tool_without_its_owner_is_named(self, sandbox: Sandbox, host: SuiteHost) -> None:
        assert "Did you mean 'tools.echo'?" in sandbox.run(f"{ENTRY}    echo(1)", host).error

    def test_pixels_are_read_and_new_images_are_passed(self, sandbox: Sandbox, host: SuiteHost) -> None:
        if not self.offers_numpy:
            pytest.skip("programs have no numpy")
        done = sandbox.run(
            f"import numpy\n{ENTRY}    image = tools.masked()\n    pixels = numpy.array(image)\n"
            "    tools.echo(pixels + numpy.uint8(1))\n    tools.echo(image.to_pil().rotate(180))\n"
            "    seen = int(pixels[0, 0, 0]), int(pixels[-1, -1, 2])\n"
            "    return seen, pixels.shape, tools.echo(pixels.mean((1, 2))[:1])",
            host,
        )
        assert (done.error, done.value) == ("", "((200, 50), (24, 32, 3), [200.0])")
        array, turned = host.images
        assert array.pixels()[0, 0, 0] == 201
        assert turned.pixels()[0, 0, 0] == 50

    def test_what_an_image_shows_and_its_mask_are_read(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(f"{ENTRY}    return tools.masked().shows, tools.image().shows", host)
        assert (done.error, done.value) == ("", "('a cat on grass', '')")
        program = f"{ENTRY}    mask = tools.masked().mask\n    return mask.shape, int(mask.sum()), tools.image().mask"
        if self.offers_numpy:
            assert sandbox.run(program, host).value == "((24, 32), 384, None)"

    def test_randomness_repeats(self, sandbox: Sandbox, twin: Sandbox | None, host: SuiteHost) -> None:
        if twin is None:
            pytest.skip("no twin is given")
        program = f"import random\n{ENTRY}    return random.random()"
        host.number = 5
        first = sandbox.run(program, host).value
        assert twin.run(program, host).value == first
        host.number = 6
        assert twin.run(program, host).value != first

    def test_closing_twice_is_allowed(self, twin: Sandbox | None) -> None:
        if twin is None:
            pytest.skip("no twin is given")
        twin.close()
        twin.close()
