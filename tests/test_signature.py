"""A folder from elsewhere is not acted upon."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from maia_cli.run import run as command
from maia_core import launch, signature
from maia_core.context import Context
from maia_core.errors import RecordError, UsageError
from maia_core.record import MANIFEST, RunReader
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def begun(tmp_path, cache) -> Path:
    """A run whose backbone failed after its first program, so that it can go on."""
    context = Context(parts=fake_parts() | {"backbone": ScriptedBackbone([FAKE_RUN[0]])}, cache=cache)
    return launch.explain_in(context, tmp_path / "run").folder


def changed(folder: Path, **config) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["config"] |= config
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_what_this_machine_wrote_goes_on(begun):
    reader = RunReader(begun)
    signature.check_signature(reader.manifest.config, reader.manifest.signature, begun, trusted=False)


def test_settings_are_sealed_as_the_record_holds_them(monkeypatch):
    """The record holds no secrets."""
    monkeypatch.setenv("ACME_API_KEY", "sk-proj-0123456789abcdef")
    assert signature.sign({"a": "sk-proj-0123456789abcdef"}) == signature.sign({"a": "[ACME_API_KEY]"})


@pytest.mark.parametrize("config", [{"sandbox": {"name": "unsafe-inprocess"}}, {"seed": 1}])
def test_changed_settings_are_refused_before_any_of_them_is_carried_out(begun, config):
    changed(begun, **config)
    done = CliRunner().invoke(command, ["--resume", str(begun)])
    assert isinstance(done.exception, UsageError)
    assert "--trust" in str(done.exception)


def test_another_machine_s_settings_are_refused_and_can_be_trusted(begun, monkeypatch, tmp_path):
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "another"))
    with pytest.raises(UsageError, match="not begun with this machine's cache"):
        launch.resume(begun)
    with pytest.raises(UsageError, match="system"):  # It gets as far as building the parts, of which this run has none.
        launch.resume(begun, trusted=True)


def test_no_seal_is_no_seal_where_no_secret_can_be_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "file"))
    assert signature.sign({}) == ""
    with pytest.raises(UsageError):
        signature.check_signature({}, "", tmp_path, trusted=False)


def test_the_secret_is_the_user_s_alone(cache):
    assert signature.sign({"a": 1}) == signature.sign({"a": 1}) != signature.sign({"a": 2})
    assert (cache / "seal").stat().st_mode & 0o077 == 0


def test_a_linked_folder_of_images_is_not_written_through(begun, tmp_path):
    (begun / "images").rename(tmp_path / "outside")
    (begun / "images").symlink_to(tmp_path / "outside")
    context = Context(parts=fake_parts() | {"backbone": ScriptedBackbone(FAKE_RUN[1:])}, cache=tmp_path / "cache")
    with pytest.raises(RecordError, match="is a link"):
        launch.explain_in(context, begun)
