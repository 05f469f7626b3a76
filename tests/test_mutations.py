"""Records that were changed by hand or by accident end in one line that names the file, never in a traceback."""

import contextlib
import copy
import json
import random
import shutil
import tarfile
from pathlib import Path

import pytest

from maia_core.config import ContextPolicy, RunConfig, validated
from maia_core.context import Context
from maia_core.context_policy import sent_requests
from maia_core.errors import MaiaError
from maia_core.events import HostCall
from maia_core.record import RunReader
from maia_core.registry import Registry
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_report.page import render_run
from maia_runs.launch import explain_in, resume

RUNS = Path(__file__).parent / "fixtures" / "runs"
VALUES = (None, True, 0, -1, 10**30, 1e400, 0.5, "", "x", "\ud800", [], [[]], {}, {"$image": 3}, {"$image": {}})
VALUES += (
    {"$tuple": 5},
    {"$float": "x"},
    {"$text": []},
    {"name": 7},
    {"id": "a" * 32, "width": 1, "height": 1},
    "a" * 32,
)
FAST = 40


def _places(value, path=()):
    """Yields the path of every value inside of JSON data."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*path, key))


def _mutated(data, rng):
    """Returns the data with one value replaced, left out, or added."""
    data = copy.deepcopy(data)
    *parents, last = rng.choice([path for path in _places(data) if path])
    target = data
    for key in parents:
        target = target[key]
    match rng.randrange(6):
        case 0:
            del target[last]
        case 1 if isinstance(target, dict):
            target["extra"] = rng.choice(VALUES)
        case 2 if isinstance(target, dict):
            target[last] = {"$image": target[last]}
        case _:
            target[last] = rng.choice(VALUES)
    return data


def mutate(source: Path, target: Path, rng: random.Random) -> None:
    """Writes a copy of a run folder with one to three values of its manifest or journal changed."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.3:
            text = (target / "run.json").read_text(encoding="utf-8")
            (target / "run.json").write_text(json.dumps(_mutated(json.loads(text), rng)), encoding="utf-8")
        else:
            lines = (target / "journal.jsonl").read_text(encoding="utf-8").splitlines()
            number = rng.randrange(len(lines))
            lines[number] = json.dumps(_mutated(json.loads(lines[number]), rng))
            (target / "journal.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def use(folder: Path, cache: Path) -> None:
    """Reads a run as the report, the evaluation and `--resume` do; errors that MAIA raises on purpose are fine."""

    def read() -> None:
        render_run(folder)
        run = RunReader(folder)
        _ = run.outcome, run.ended, run.effects
        for call in run.of_type(HostCall):
            run.value(call.result), run.value(call.arguments)
        assert all(len(messages) > 0 for _, messages in sent_requests(ContextPolicy(), run.events))

    def again() -> None:
        parts = fake_parts() | {"backbone": ScriptedBackbone(FAKE_RUN[1:])}
        config = validated(RunConfig, RunReader(folder).manifest.config, str(folder))
        explain_in(Context(config, parts=parts, cache=cache), folder)

    for step in (read, again, lambda: resume(folder, trusted=True, registry=Registry(()))):
        with contextlib.suppress(MaiaError):
            try:
                step()
            except MaiaError as error:
                if "\n" in str(error):
                    raise ValueError("the error has several lines") from error
                raise


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    for archive in RUNS.glob("*.tar.gz"):
        with tarfile.open(archive) as file:
            file.extractall(folder / archive.name, filter="data")
    parts = fake_parts() | {"backbone": ScriptedBackbone(FAKE_RUN[:1])}
    explain_in(Context(RunConfig(verify=False), parts=parts, cache=folder / "cache"), folder / "failed")
    return sorted(path.parent for path in folder.rglob("run.json"))


@pytest.mark.slow
def test_changed_records_end_in_one_line(sources, tmp_path, monkeypatch):
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    fuzz(sources, tmp_path, range(FAST))


def fuzz(sources, folder, seeds) -> None:
    """Mutates the runs with these seeds, and tries each."""
    for seed in seeds:
        rng = random.Random(seed)
        target = folder / "changed"
        mutate(rng.choice(sources), target, rng)
        try:
            use(target, folder / "cache")
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
        shutil.rmtree(target)
