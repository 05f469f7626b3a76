"""Where llama-cpp-python is missing or unusable, one line has the command that mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maia_core.errors import PluginError
from maia_llama_cpp import native
from maia_llama_cpp.backbone import LlamaCppBackbone

BUILD = """
import json, sys
{before}
from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import MaiaError
from maia_core.testing import fake_parts
try:
    parts = {{kind: part for kind, part in fake_parts().items() if kind != "describer"}}
    context = Context(RunConfig.model_validate({config!r}), parts=parts)
    context.part({kind!r})
except MaiaError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def built(kind: str, pair: Any, before: str) -> list[str]:
    """Builds a part in a new process, where `before` was run first; returns the error's type and text."""
    options = {"name": "llama-cpp", "model": str(pair.model), "projector": str(pair.projector)}
    code = BUILD.format(before=before, kind=kind, config={kind: options})
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    answer: list[str] = json.loads(run.stdout)
    return answer


@pytest.mark.parametrize("kind", ["backbone", "describer"])
def test_missing_package_prints_the_command_that_installs_it(llava: Any, kind: str) -> None:
    error, text = built(kind, llava, "sys.modules['llama_cpp'] = None")
    assert error == "PluginError"
    assert "llama-cpp-python is not installed" in text
    assert native.install_command() in text
    assert "\n" not in text


def test_command_has_the_flags_that_work_on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the defaults, llama.cpp crashes at the first token on a processor with AMX."""
    monkeypatch.setattr(native.platform, "machine", lambda: "x86_64")
    assert native.install_command().startswith('CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX=ON')
    assert " pip install " in native.install_command()
    monkeypatch.setattr(native.platform, "machine", lambda: "arm64")
    assert native.install_command().startswith("pip install ")


def test_broken_library_is_named(llava: Any) -> None:
    """The library of another platform raises a RuntimeError when it is imported."""
    before = """
class Broken:
    def find_spec(self, name, path, target=None):
        if name == "llama_cpp":
            raise RuntimeError("Failed to load shared library 'libllama.so'")
sys.meta_path.insert(0, Broken())
"""
    error, text = built("backbone", llava, before)
    assert error == "PluginError"
    assert "libllama.so" in text
    assert "--force-reinstall" in text


def test_old_version_is_named(llama: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import llama_cpp

    monkeypatch.setattr(llama_cpp, "__version__", "0.2.90")
    with pytest.raises(PluginError, match=r"0\.2\.90 is too old"):
        native.llama.__wrapped__()


def test_settings_of_other_libraries_are_left_alone(llama: None) -> None:
    """How llama.cpp's threads wait is set while its libraries are loaded; PyTorch's have their own mind."""
    code = (
        "import os, maia_llama_cpp.native as n; before = dict(os.environ); n.mtmd(); print(dict(os.environ) == before)"
    )
    for given in ({}, {"OMP_WAIT_POLICY": "active"}):
        environment = os.environ | given
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert run.stdout.strip() == "True"


def test_sheet_says_what_is_missing_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, maia_llama_cpp.backbone as b; b.LlamaCppBackbone.models(); print('llama_cpp' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    [sheet] = LlamaCppBackbone.models()
    assert not sheet.ready
    assert native.install_command() in sheet.note
    assert (sheet.input_price, sheet.output_price) == (0, 0)


def test_options_that_are_missing_are_named(tmp_path: Path) -> None:
    from maia_core.errors import UsageError
    from maia_llama_cpp.options import checked

    with pytest.raises(UsageError, match=r"-o backbone\.model=FILE\.gguf"):
        checked(LlamaCppBackbone.Config(), "backbone")
