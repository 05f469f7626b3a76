"""A folder from elsewhere is not acted upon."""

import hashlib
import hmac
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from maia_cli.run import run as command
from maia_core.context import Context
from maia_core.errors import RecordError, UsageError
from maia_core.record import MANIFEST, RunReader
from maia_core.testing import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_runs import launch, signature


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


def test_settings_are_signed_as_the_record_holds_them(monkeypatch):
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
    with pytest.raises(UsageError, match="not created by you on this machine"):
        launch.resume(begun)
    with pytest.raises(UsageError, match=r"system|collage"):  # It gets as far as building parts: there are none.
        launch.resume(begun, trusted=True)


def test_without_a_secret_on_disk_nothing_is_trusted_later(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MAIA_CACHE", str(tmp_path / "file"))
    forged = hmac.new(b"", b"{}", hashlib.sha256).hexdigest()
    signed = signature.sign({})
    signature._of_this_process.cache_clear()  # Another process.
    for found in ("", forged, signed):
        with pytest.raises(UsageError, match="--trust"):
            signature.check_signature({}, found, tmp_path, trusted=False)


def secret_of(cache: Path) -> Path:
    signature.sign({})
    [file] = cache.glob("secrets-*/signature")
    return file


def test_the_secret_is_the_user_s_alone(cache):
    assert signature.sign({"a": 1}) == signature.sign({"a": 1}) != signature.sign({"a": 2})
    status, folder = secret_of(cache).stat(), secret_of(cache).parent.stat()
    assert (status.st_mode & 0o777, status.st_size, folder.st_mode & 0o777) == (0o600, 16, 0o700)


def link_to_a_copy(file: Path) -> None:
    (file.parent.parent / "copy").write_bytes(file.read_bytes())
    (file.parent.parent / "copy").chmod(0o600)
    file.unlink()
    file.symlink_to(file.parent.parent / "copy")


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def linked_folder(file: Path) -> None:
    file.parent.rename(file.parent.parent / "elsewhere")
    file.parent.symlink_to(file.parent.parent / "elsewhere")


FORGERIES = {
    "empty": lambda file: file.write_bytes(b""),
    "short": lambda file: file.write_bytes(b"1234"),
    "long": lambda file: file.write_bytes(b"1" * 17),
    "read by others": lambda file: file.chmod(0o644),
    "written by others": lambda file: file.chmod(0o666),
    "a link": link_to_a_copy,
    "a pipe": pipe,
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "in a folder that others write": lambda file: file.parent.chmod(0o777),
    "in a linked folder": linked_folder,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_secret_that_others_may_know_is_refused(cache, forge):
    forge(secret_of(cache))
    with pytest.raises(UsageError, match=r"cannot use the secret .*; delete the folder .*") as refused:
        signature.sign({})
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_user_is_refused(cache):
    os.chown(secret_of(cache), 12345, -1)
    with pytest.raises(UsageError, match="does not belong to you"):
        signature.sign({})


def test_a_folder_that_others_write_is_refused_for_any_secret(tmp_path):
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match="others may write its folder"):
        signature.local_secret(tmp_path / "key")


def test_a_kill_while_the_secret_is_written_leaves_none(cache, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            signature.sign({})
    assert not list(cache.glob("secrets-*/signature"))
    assert secret_of(cache).stat().st_size == 16


def test_a_linked_folder_of_images_is_not_written_through(begun, tmp_path):
    (begun / "images").rename(tmp_path / "outside")
    (begun / "images").symlink_to(tmp_path / "outside")
    context = Context(parts=fake_parts() | {"backbone": ScriptedBackbone(FAKE_RUN[1:])}, cache=tmp_path / "cache")
    with pytest.raises(RecordError, match="is a link"):
        launch.explain_in(context, begun)


# --- code that the settings lead to ---

NAMED = {
    "a model of your own": {"system": {"name": "module/net.make:head:0"}},
    "an option": {"system": {"name": "module:head:0", "model": "net.make"}},
    "a function": {"tools": [{"name": "own", "function": "net:make"}]},
    "a script": {"dataset": {"name": "huggingface", "path": "net.py"}},
    "a unit of an evaluation": {"units": ["module/net.make:head:0"]},
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working folder whose `net.py` imports a module and a package."""
    folder = tmp_path / "project"
    (folder / "inner").mkdir(parents=True)
    (folder / "net.py").write_text("import helper\nfrom inner.deep import thing\nimport torch\n")
    (folder / "helper.py").write_text("x = 1\n")
    (folder / "inner" / "deep.py").write_text("from . import sibling\n")
    (folder / "inner" / "sibling.py").write_text("y = 1\n")
    (folder / "unrelated.py").write_text("z = 1\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("settings", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize("changed", ["net.py", "helper.py", "inner/sibling.py", "torch.py"])
def test_other_code_behind_the_same_settings_is_refused(project, settings, changed):
    signed = signature.sign(settings)
    (project / "unrelated.py").write_text("z = 2\n")
    signature.check_signature(settings, signed, project, trusted=False)
    (project / changed).write_text("raise SystemExit\n")
    with pytest.raises(UsageError, match=r"net\.py"):
        signature.check_signature(settings, signed, project, trusted=False)


def test_the_same_code_in_another_folder_is_refused(project, tmp_path, monkeypatch):
    """What it imports while it runs cannot be seen beforehand."""
    settings = NAMED["a model of your own"]
    signed = signature.sign(settings)
    shutil.copytree(project, tmp_path / "another")
    monkeypatch.chdir(tmp_path / "another")
    with pytest.raises(UsageError, match="where they were"):
        signature.check_signature(settings, signed, project, trusted=False)


def test_code_beside_a_run_that_needed_none_is_refused(project):
    """The run used an installed package; a file of its name would be imported instead."""
    settings = {"system": {"name": "module/torchvision.models.resnet18:fc:0"}}
    signed = signature.sign(settings)
    (project / "torchvision").mkdir()
    (project / "torchvision" / "__init__.py").write_text("raise SystemExit\n")
    with pytest.raises(UsageError, match="torchvision"):
        signature.check_signature(settings, signed, project, trusted=False)


def test_a_run_without_code_of_its_own_resumes_from_any_folder(project, tmp_path, monkeypatch):
    settings = {"system": {"name": "resnet50:layer4.1:3"}, "runs": "runs", "dataset": {"path": "inner"}}
    signed = signature.sign(settings)
    monkeypatch.chdir(tmp_path)
    signature.check_signature(settings, signed, project, trusted=False)
