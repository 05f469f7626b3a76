"""What one program and one run may put into the record, on the disk and into the memory of the host."""

import numpy as np
import psutil
import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import ToolError
from maia_core.events import Executed
from maia_core.image import Image
from maia_core.image_store import ImageStore
from maia_core.record import RunReader
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_runs.launch import explain_in


def test_refused_calls_do_not_fill_the_record(tmp_path):
    """40 calls with 400,000 wrong values each took a run to its end for good; here they are fewer."""
    program = (
        "def run_experiment(system, tools):\n    for n in range(40):\n        try:\n"
        "            tools.text2image([0] * 10_000)\n        except Exception as error:\n"
        "            print(str(error)[:80])\n"
    )
    parts = fake_parts() | {"backbone": ScriptedBackbone([f"[CODE]:\n```python\n{program}```", FAKE_RUN[-1]])}
    finished = explain_in(Context(parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    assert finished.outcome.status == "answered"
    assert "10000 images are asked for" in RunReader(tmp_path / "run").of_type(Executed)[0].execution.stdout
    assert (tmp_path / "run" / "journal.jsonl").stat().st_size < 200_000


LIMITS = {"MAX_VALUES": 4000, "MAX_EVENTS": 60, "MAX_BYTES": 60_000}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_full_record_ends_with_an_answer_and_resumes(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(f"maia_core.record.{limit}", LIMITS[limit])
    program = (
        "def run_experiment(system, tools):\n    for n in range(500):\n        try:\n"
        "            i = tools.text2image(['a red disc'])\n"
        "        except Exception as error:\n            print(error)\n            break\n"
    )
    parts, config = fake_parts() | {"backbone": ScriptedBackbone([f"[CODE]:\n```python\n{program}```"])}, RunConfig()
    first = explain_in(Context(config, parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    assert first.outcome.status == "failed"  # The script has ended.
    parts["backbone"] = ScriptedBackbone([FAKE_RUN[-1]])
    last = explain_in(Context(config, parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    assert (last.outcome.status, last.outcome.reason) == ("answered", "the run's record is full")
    [executed] = RunReader(tmp_path / "run").of_type(Executed)
    assert "no room" in executed.execution.stdout


def test_pixels_have_a_quota_that_a_program_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageStore, "MAX_BYTES", 40_000)
    program = (
        "def run_experiment(system, tools):\n    i = tools.text2image(['a red disc'] * 5)\n    tools.display(i[0])\n"
        "    tools.text2image(['a red disc'] * 50)\n"
    )
    small = program.partition(" * 5")[0] + ")\n"
    replies = [*(f"[CODE]:\n```python\n{source}```" for source in (program, small)), FAKE_RUN[-1]]
    parts, config = fake_parts() | {"backbone": ScriptedBackbone(replies)}, RunConfig(verify=False)
    finished = explain_in(Context(config, parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    assert finished.outcome.status == "answered"
    [executed, _] = RunReader(tmp_path / "run").of_type(Executed)
    assert "do not fit; continue with images that the run has" in executed.execution.error
    assert sum(file.stat().st_size for file in (tmp_path / "run" / "images").iterdir()) < 40_000


def test_images_that_a_run_has_are_not_new_after_a_resume(tmp_path, monkeypatch):
    image = Image.from_pixels(np.full((50, 50, 3), 9, np.uint8))
    masked = image.masked(np.eye(50, dtype=bool))
    ImageStore(tmp_path).save(masked)
    monkeypatch.setattr(ImageStore, "MAX_BYTES", 7600)
    store = ImageStore(tmp_path)
    store.take_stock()
    assert store.bytes == sum(file.stat().st_size for file in tmp_path.iterdir()) > 0
    assert store.on_disk(masked) == masked
    store.check_room([image, masked, masked])
    with pytest.raises(ToolError, match="1 more do not fit"):
        store.check_room([image, Image.from_pixels(np.zeros((50, 50, 3), np.uint8))])


@pytest.mark.slow
def test_a_displaying_program_leaves_the_memory_of_the_host_flat(tmp_path):
    """30 turns of 6 noise images of 600 x 600 pixels are 194 MB of pixels."""
    program = (
        "import numpy\ndef run_experiment(system, tools):\n    for n in range(6):\n"
        "        x = numpy.random.default_rng().integers(0, 256, (600, 600, 3), numpy.uint8)\n"
        "        tools.display(x)\n        a, m = system.neuron([x])\n        tools.log_experiment(a, m, ['noise'])\n"
    )
    used = []

    class Measuring(ScriptedBackbone):
        def complete(self, messages, limits):
            used.append(psutil.Process().memory_info().rss / 2**20)
            return super().complete(messages, limits)

    replies = [f"[CODE]:\n```python\n{program}```"] * 29 + [FAKE_RUN[-1]]
    parts = fake_parts() | {"backbone": Measuring(replies)}
    config = RunConfig(verify=False)
    finished = explain_in(Context(config, parts=parts, cache=tmp_path / "cache"), tmp_path / "run")
    assert finished.outcome.status == "answered"
    print("host memory in MiB at turns 1, 5, 10, 20, 30:", [round(used[n]) for n in (0, 4, 9, 19, 29)])
    assert max(used[10:]) - used[4] < 60
