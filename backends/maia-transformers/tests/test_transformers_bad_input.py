"""What a user may get wrong: one line that says what to change."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from maia_core.errors import MaiaError, PluginError, UsageError
from maia_core.registry import installed
from maia_core.types import CallLimits, Message
from maia_transformers.backbone import TransformersBackbone
from maia_transformers.describer import TransformersDescriber
from maia_transformers.template import ChatTemplate


class Canary:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture
def folder(tiny, tmp_path):
    return shutil.copytree(tiny("llava"), tmp_path / "model")


@pytest.fixture
def build(context):
    def make(kind="backbone", **options):
        return installed().build(kind, "transformers", options, context)

    return make


def said(call):
    with pytest.raises(MaiaError) as raised:
        call()
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    return str(raised.value)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("./nope", "no folder './nope'"),
        ("/nope/nope", "no folder '/nope/nope'"),
        ("~/nope", "no folder '~/nope'"),
        ("a/b/c", "no folder 'a/b/c'"),
        ("two words", "not a name on the Hub"),
        ("C:\\models\\llava", "no folder"),
        ("nope", "cannot fetch nope: .*HF_HUB_OFFLINE"),
        ("acme/nope", "cannot fetch acme/nope: .*HF_HUB_OFFLINE"),
        ("", "'model'"),
    ],
)
def test_a_model_that_is_not_there(build, model, says):
    assert re.search(says, said(lambda: build(model=model)))


def edit(path, **changes):
    data = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))


def without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def half(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(dict(list(weights.items())[::2]), folder / "model.safetensors", {"format": "pt"})


def sharded(folder):
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def only_pickles(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(folder / "canary")))


def with_code(folder):
    (folder / "evil.py").write_text(f"open({str(folder / 'canary')!r}, 'w')\n")
    edit(folder / "config.json", auto_map={"AutoConfig": "evil.Config"}, model_type="evil")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("config.json"), "config.json"),
        (without("processor_config.json"), "processor_config.json"),
        (without("tokenizer.json", "tokenizer_config.json"), "cannot be"),
        (without("model.safetensors"), "no weights in safetensors"),
        (without("chat_template.jinja"), "no chat template"),
        (only_pickles, "pickle files only, which run code"),
        (with_code, "custom code"),
        (cut, "cannot be loaded"),
        (half, r"lack \d+ weights, such as "),
        (sharded, "lacks 1 of its files, such as model-00001"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be loaded"),
        (
            lambda folder: edit(folder / "config.json", model_type="resnet"),
            "'resnet', which cannot hold a conversation",
        ),
        (lambda folder: edit(folder / "config.json", model_type="t5"), "'t5', which cannot hold a conversation"),
        (lambda folder: edit(folder / "config.json", model_type="new"), "cannot be loaded.*new"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}"), "refuses"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{% for"), "refuses"),
        (lambda folder: (folder / "chat_template.jinja").write_text("hello"), "leaves out"),
        (
            lambda folder: (folder / "chat_template.jinja").write_text(
                "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endfor %}"
            ),
            "no placeholder",
        ),
    ],
)
def test_a_folder_that_cannot_be_used(build, folder, spoil, says):
    spoil(folder)
    assert re.search(says, said(lambda: build(model=str(folder))))
    assert not (folder / "canary").exists(), "code of the folder was run"


def test_a_template_that_reaches_the_time_limit_is_tried_once(monkeypatch):
    """It was rendered in 16 forms, which took 92 s."""
    tried = []

    def late(render):
        tried.append(render)
        raise TimeoutError("it takes longer than 5 s")

    monkeypatch.setattr("maia_transformers.template.bounded", late)
    tokenizer = SimpleNamespace(all_special_tokens=[], added_tokens_decoder={}, chat_template="{{ 7 ** 100000000 }}")
    with pytest.raises(UsageError, match="longer than 5 s"):
        ChatTemplate(tokenizer, tokenizer, images=True)
    assert len(tried) == 1


def test_pickles_beside_safetensors_are_left_alone(build, folder):
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(folder / "canary")))
    build(model=str(folder))
    assert not (folder / "canary").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"device": "cuda:7"}, "device 'cuda:7' cannot be used.*choose one of auto, .*cpu"),
        ({"device": "gpu"}, "device 'gpu' cannot be used"),
        ({"dtype": "int3"}, "dtype.*float32"),
        ({"revision": "main"}, "revision"),
        ({"temperature": -1}, "temperature"),
        ({"max_image_side": 3}, "max_image_side"),
        ({"contxt_tokens": 3}, "Did you mean 'context_tokens'"),
    ],
)
def test_a_wrong_option(build, tiny, options, says):
    assert re.search(says, said(lambda: build(model=str(tiny("llava")), **options)))


def test_a_file_is_no_folder(build, folder):
    assert "is a file" in said(lambda: build(model=str(folder / "config.json")))


@pytest.mark.slow
def test_a_describer_needs_eyes(build, tiny):
    assert "sees no images" in said(lambda: build("describer", model=str(tiny("llama"))))


@pytest.mark.slow
def test_a_conversation_that_the_template_refuses(build, tiny):
    """Roles of Gemma's conversations must take turns."""
    model = build(model=str(tiny("gemma3")))
    twice = [Message.of("user", "a"), Message.of("user", "b")]
    assert "roles must alternate" in said(lambda: model.complete(twice, CallLimits()))


@pytest.mark.parametrize("missing", ["transformers", "torch"])
def test_a_missing_package_names_the_line_that_installs_it(missing, monkeypatch):
    from maia_transformers import options

    find = options.find_spec
    monkeypatch.setattr(options, "find_spec", lambda name: None if name == missing else find(name))
    for factory in (TransformersBackbone, TransformersDescriber):
        with pytest.raises(PluginError, match=f"needs {missing}: pip install maia-transformers"):
            factory(factory.Config(model="x"), None)
    [sheet] = TransformersBackbone.models()
    assert not sheet.ready
    assert f"pip install {missing}" in sheet.note


def test_offload_without_accelerate_names_the_line_that_installs_it(build, tiny, monkeypatch, fresh):
    from maia_transformers import weights

    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"maia-transformers\[offload\]"):
        build(model=str(tiny("llava")), offload=True)


def test_listing_models_imports_nothing_heavy():
    code = (
        "import sys; from maia_transformers.backbone import TransformersBackbone as B; [m] = B.models(); "
        "assert m.ready and m.note and m.input_price == 0; print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


@pytest.mark.slow
def test_loading_says_nothing_on_the_terminal(tiny):
    """Progress bars and warnings of the libraries would break the display of a run."""
    code = (
        "import sys; from maia_core.context import Context; from maia_core.types import *\n"
        "from maia_transformers.backbone import TransformersBackbone as B\n"
        "made = B(B.Config(model=sys.argv[1], temperature=0.5), Context())\n"
        "made.complete([Message.of('user', 'word ' * 3000)], CallLimits(max_output_tokens=3))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, tiny("qwen2-vl")], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_usage_errors_are_not_run_errors(build):
    """A wrong name ends the command with its own exit code, before a run begins."""
    with pytest.raises(UsageError):
        build(model="./nope")
