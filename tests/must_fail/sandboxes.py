"""Broken sandboxes, each with a mistake that sandboxes really make; `catches` names the tests that must fail for it."""

from __future__ import annotations

import itertools
import json
from types import ModuleType
from typing import Any

import pytest

from maia_core import testing
from maia_core.plugin import Execution, Image, ToolError
from maia_core.testing import InProcessSandbox
from maia_core.testing.inprocess import ProgramImage


class Channel:
    """The host as a broken sandbox reaches it: `args` and `result` change the values that cross."""

    def __init__(self, host, args=lambda values: values, result=lambda value: value, properties=None):
        self._host, self._args, self._result = host, args, result
        self.methods = host.methods
        self.properties = host.properties if properties is None else properties
        self.number = host.number
        self.hidden = host.hidden

    def call(self, method, args, kwargs):
        return self._result(self._host.call(method, self._args(args), kwargs))


class Sandbox(testing.SandboxSuite):
    broken: Any = InProcessSandbox

    @pytest.fixture
    def sandbox(self):
        return self.broken(None, self.context())

    @pytest.fixture
    def twin(self):
        return self.broken(None, self.context())


class TestSandbox(Sandbox):
    """In order: nothing must be caught."""

    catches = ()


class TestSandboxThatForgetsMasks(Sandbox):
    catches = ("test_what_an_image_shows_and_its_mask_are_read",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            def without(value):
                return value.clean if isinstance(value, Image) and value.clean else value

            return super().run(program, Channel(host, result=without))


class TestSandboxThatDropsTheOutput(Sandbox):
    catches = ("test_value_output_and_calls_come_back",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            return super().run(program, host).model_copy(update={"stdout": ""})


class TestSandboxThatKnowsOneEntry(Sandbox):
    catches = ("test_older_name_of_the_entry_is_accepted",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            done = super().run(program, host)
            return done if "def run_experiment" in program else Execution(error="NameError: run_experiment")


class TestSandboxThatSendsPlainJson(Sandbox):
    """Tuples become lists on their way to the host."""

    catches = ("test_values_cross_unchanged",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            return super().run(program, Channel(host, lambda args: json.loads(json.dumps(args))))


class TestSandboxThatMakesEverythingAMethod(Sandbox):
    catches = ("test_properties_are_read_without_a_call",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            return super().run(program, Channel(host, properties=frozenset()))


class TestSandboxThatForgets(Sandbox):
    """A new namespace for every program."""

    catches = ("test_names_of_a_module_persist_and_locals_do_not",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            self._module = ModuleType("experiment")
            return super().run(program, host)


class TestSandboxThatRunsTheLastFunctionAgain(Sandbox):
    catches = ("test_last_programs_function_is_not_run_again",)

    class broken(InProcessSandbox):
        last = ""

        def run(self, program, host):
            if "def run_experiment" in program:
                self.last = program
            return super().run(program if program == self.last else f"{self.last}\n{program}", host)


class TestSandboxThatPrependsALine(Sandbox):
    """The lines of errors are off by one."""

    catches = ("test_error_names_the_programs_own_line", "test_syntax_error_names_the_line")

    class broken(InProcessSandbox):
        def run(self, program, host):
            return super().run(f"import math\n{program}", host)


class TestSandboxThatHidesErrors(Sandbox):
    catches = (
        "test_error_names_the_programs_own_line",
        "test_syntax_error_names_the_line",
        "test_wrong_parameters_are_explained",
        "test_unknown_tool_lists_what_there_is",
        "test_refusal_of_a_tool_can_be_caught",
    )

    class broken(InProcessSandbox):
        def run(self, program, host):
            done = super().run(program, host)
            return done.model_copy(update={"error": done.error and "the program failed"})


class TestSandboxWhoseProgramsSwallowTheEndOfTheRun(Sandbox):
    catches = ("test_what_no_program_can_mend_reaches_the_caller",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            class Swallowing(Channel):
                def call(self, method, args, kwargs):
                    try:
                        return super().call(method, args, kwargs)
                    except Exception as error:
                        raise ToolError(str(error)) from error

            return super().run(program, Swallowing(host))


class TestSandboxThatSendsPixelsInsteadOfImages(Sandbox):
    """Titles and clean images are lost."""

    catches = ("test_images_are_handles",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            def flat(value):
                return Image.from_pixels(value.pixels()) if isinstance(value, Image) else value

            return super().run(program, Channel(host, result=flat))


class TestSandboxThatTakesHandlesOnly(Sandbox):
    """A program cannot draw an image by itself."""

    catches = ("test_pixels_are_read_and_new_images_are_passed",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            def known(args):
                if any(isinstance(value, Image) and "source" in value.provenance for value in args):
                    raise ToolError("not an image of this run")
                return args

            return super().run(program, Channel(host, known))


class TestSandboxWithASeedOfItsOwn(Sandbox):
    catches = ("test_randomness_repeats",)

    class broken(InProcessSandbox):
        count = itertools.count()

        def __init__(self, config, context):
            super().__init__(config, context)
            self._seed = next(self.count)


class TestSandboxThatClosesOnce(Sandbox):
    catches = ("test_closing_twice_is_allowed",)

    class broken(InProcessSandbox):
        def close(self):
            del self._module


class TestSandboxThatOnlyNamesReturnedImages(Sandbox):
    catches = ("test_images_in_a_returned_value_are_displayed_once",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            return super().run(program, host).model_copy(update={"displays": ()})


class TestSandboxWhoseImagesHaveNoOrder(Sandbox):
    catches = ("test_images_order_by_title_where_activations_tie",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            order = ProgramImage.__lt__
            del ProgramImage.__lt__
            try:
                return super().run(program, host)
            finally:
                ProgramImage.__lt__ = order


class TestSandboxWithABareModule(Sandbox):
    catches = ("test_system_tools_and_common_modules_are_names_of_the_module",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            vars(self._module).pop("random", None)
            return super().run(program, host)


class TestSandboxThatListsEveryName(Sandbox):
    catches = ("test_hidden_names_work_and_are_not_listed",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            channel = Channel(host)
            channel.hidden = frozenset()
            return super().run(program, channel)


class TestSandboxThatKnowsNoOwner(Sandbox):
    catches = ("test_tool_without_its_owner_is_named",)

    class broken(InProcessSandbox):
        def run(self, program, host):
            done = super().run(program, host)
            return done.model_copy(update={"error": done.error.partition(" Did you mean 'tools.")[0]})
