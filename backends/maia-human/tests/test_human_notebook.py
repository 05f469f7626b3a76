"""Notebooks in a real kernel."""

import json

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from maia_core.events import Executed, HostCall, ProgramStarted
from maia_core.record import RunReader

pytestmark = pytest.mark.slow

BEGIN = """\
from maia_human import study
parts = dict.fromkeys(["dataset", "generator", "editor", "describer"], "discs")
s = study("discs:colours:red", out="run", **parts)
system, tools = s.system, s.tools"""

EXEMPLARS = """\
activations, images = tools.dataset_exemplars(system)
tools.log_experiment(activations, images, [image.title for image in images])"""


@pytest.fixture
def notebook(environment, tmp_path, monkeypatch):
    """Executes cells in a kernel of their own, and returns the cells with their outputs."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))

    def execute(*sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        where = {"metadata": {"path": str(tmp_path)}}
        client = NotebookClient(
            nbformat.v4.new_notebook(cells=cells), timeout=60, kernel_name="python3", allow_errors=True, resources=where
        )
        client.execute()
        return cells

    return execute


def _shown(cell):
    """Returns everything that a cell shows, as text."""
    return json.dumps(cell.outputs)


def test_a_notebook_makes_the_record_and_the_report_of_a_run(notebook, tmp_path):
    cells = notebook(
        BEGIN,
        EXEMPLARS,
        "images[0]",
        's.hypotheses("red")\nprint("now")\na, m = system.neuron(tools.text2image(["a red disc", "a blue disc"]))\na',
        "tools.text2image([])",
        's.answer(description="Red discs.")',
        's.answer(description="Red discs.", label="red")',
    )
    for cell in (*cells[:4], cells[6]):
        assert "error" not in [output.output_type for output in cell.outputs], cell.outputs
    assert "Describe the visual concept" in _shown(cells[0])
    assert _shown(cells[1]).count("data:image/jpeg;base64,") == 4, "the red ones of 24 discs"
    assert "image/png" in cells[2].outputs[0].data
    assert cells[3].outputs[0].text == "now\n"
    assert cells[4].outputs[0].ename == "ToolError"
    assert len(cells[5].outputs[0].traceback) == 1
    assert "red" in cells[6].outputs[-1].data["text/html"]
    run = RunReader(tmp_path / "run")
    assert run.outcome.status == "answered"
    assert [event.execution.stdout for event in run.of_type(Executed)] == ["", "now\n", ""]
    assert run.of_type(Executed)[1].execution.value.startswith("[3.")
    assert "In[5]" in run.of_type(Executed)[2].execution.error
    assert run.of_type(ProgramStarted)[1].hypotheses == ("red",)
    assert "a blue disc" in (tmp_path / "run" / "report.html").read_text()


def test_a_notebook_goes_on_after_its_kernel_was_killed(notebook, tmp_path):
    with pytest.raises(DeadKernelError):
        notebook(BEGIN, EXEMPLARS, 'tools.text2image(["a red disc"])\nimport os\nos.kill(os.getpid(), 9)')
    assert RunReader(tmp_path / "run").outcome is None
    cells = notebook(
        'from maia_human import study\ns = study(resume="run")\nsystem, tools = s.system, s.tools',
        "images",
        'print(len(tools.results), tools.results[0]["exemplar 1"]["activation"])',
        's.answer(description="Red discs.", label="red")',
    )
    assert "Resumed after 2 experiments" in _shown(cells[0])
    assert "variables of earlier cells are gone" in _shown(cells[0])
    assert cells[1].outputs[0].ename == "NameError"
    run = RunReader(tmp_path / "run")
    assert run.outcome.status == "answered"
    executions = [event.execution for event in run.of_type(Executed)]
    assert "kernel ended during this cell" in executions[1].error
    assert executions[2].stdout == "4 2.71484375\n"
    measured = [call.method for call in run.of_type(HostCall) if call.method != "tools.results"]
    assert measured == ["tools.dataset_exemplars", "tools.log_experiment", "tools.text2image"]


def test_what_cannot_begin_is_one_line_in_the_notebook(notebook):
    (cell,) = notebook(BEGIN.replace("red", "pink"))
    assert cell.outputs[-1].ename == "StudyError"
    assert len(cell.outputs[-1].traceback) == 1
    assert "no unit 'pink'" in cell.outputs[-1].traceback[0]
