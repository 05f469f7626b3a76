"""The shims compute what Python's own modules compute, in CPython and inside of Monty."""

import heapq
import importlib
import statistics
import string

import pytest

from maia_sandbox.testing.sandbox_suite import SandboxSuite
from maia_sandbox.testing.trial import SuiteHost
from maia_sandbox_monty import prelude
from maia_sandbox_monty.sandbox import MontySandbox
from maia_sandbox_monty.shims import statistics as shim

SAMPLES = [
    [3.5, 1.0, 2.0, 2.0],
    [1.0, 2.0],
    [0.1, 0.2, 0.3, 0.4, 0.5],
    [5.0, 1e9, 2.5, 3.0],
    list(map(float, range(1, 30))),
]
PLAIN = [
    name
    for name in vars(shim)
    if name[0] != "_" and name.endswith(("mean", "mode", "stdev", "variance")) and name != "covariance"
]
PLAIN += ["median", "median_low", "median_high"]


@pytest.fixture(scope="module")
def sandbox():
    sandbox = MontySandbox(MontySandbox.Config(), SandboxSuite.context())
    yield sandbox
    sandbox.close()


@pytest.fixture
def value(sandbox):
    """Evaluates an expression inside of Monty."""

    def value(imports, expression):
        done = sandbox.run(f"{imports}\ndef run_experiment(system, tools): return {expression}", SuiteHost())
        assert done.error == ""
        return eval(done.value)

    return value


@pytest.mark.parametrize("name", PLAIN)
def test_statistics_of_one_sample(value, name):
    came = value("import statistics", f"[statistics.{name}(x) for x in {SAMPLES!r}]")
    assert came == [pytest.approx(getattr(statistics, name)(sample)) for sample in SAMPLES]


@pytest.mark.parametrize("n", [2, 4, 10])
@pytest.mark.parametrize("method", ["exclusive", "inclusive"])
def test_quantiles(value, n, method):
    came = value("from statistics import quantiles", f"[quantiles(x, n={n}, method={method!r}) for x in {SAMPLES!r}]")
    assert came == [pytest.approx(statistics.quantiles(sample, n=n, method=method)) for sample in SAMPLES]


@pytest.mark.parametrize("name", ["covariance", "correlation", "linear_regression"])
def test_statistics_of_two_samples(value, name):
    came = value("import statistics as s", f"s.{name}([1, 2, 3, 5], [2.0, 1.5, 4, 4.5])")
    assert came == pytest.approx(
        tuple(got) if isinstance(got := getattr(statistics, name)([1, 2, 3, 5], [2.0, 1.5, 4, 4.5]), tuple) else got
    )


def test_statistics_take_what_programs_give(value):
    came = value("from statistics import mean, stdev", "mean({'a': 1, 'b': 2}.values()), stdev(x for x in range(4))")
    assert came == (1.5, pytest.approx(statistics.stdev(range(4))))


def test_too_little_data_is_refused(sandbox):
    program = "import statistics\ndef run_experiment(system, tools): return statistics.stdev([1])"
    error = sandbox.run(program, SuiteHost()).error
    assert "stdev requires at least 2 data points" in error
    assert "line 2" in error


def test_string_constants(value):
    names = [name for name in vars(importlib.import_module("maia_sandbox_monty.shims.string")) if name[0] != "_"]
    names.remove("capwords")
    assert value("import string", f"[{', '.join(f'string.{n}' for n in names)}]") == [getattr(string, n) for n in names]


def test_heapq(value):
    came = value(
        "import heapq",
        "[heapq.nlargest(2, [3, 1, 2]), heapq.nsmallest(2, ['bb', 'a', 'ccc'], key=len), heapq.nlargest(-1, [1])]",
    )
    assert came == [heapq.nlargest(2, [3, 1, 2]), heapq.nsmallest(2, ["bb", "a", "ccc"], key=len), []]
    steps = "h = [3, 1, 2]\nheapq.heapify(h)\nheapq.heappush(h, 0)\nout = [heapq.heappop(h) for _ in range(4)]"
    assert value(f"import heapq\n{steps}", "out") == [0, 1, 2, 3]


def test_operator_sorts(value):
    came = value(
        "from operator import itemgetter", "sorted([{'a': 2}, {'a': 1}], key=itemgetter('a')), itemgetter(0, 1)('xyz')"
    )
    assert came == ([{"a": 1}, {"a": 2}], ("x", "y"))


def test_every_module_that_the_error_lists_can_be_imported(sandbox):
    imports = "\n".join(f"import {name}" for name in prelude.AVAILABLE)
    assert sandbox.run(f"{imports}\ndef run_experiment(system, tools): pass", SuiteHost()).error == ""


def test_a_changed_shim_is_whole_again_in_the_next_program(sandbox):
    sandbox.run("import statistics\nstatistics.mean = None\ndef run_experiment(system, tools): pass", SuiteHost())
    program = "import statistics\ndef run_experiment(system, tools): return statistics.mean([1, 2])"
    assert sandbox.run(program, SuiteHost()).value == "1.5"
