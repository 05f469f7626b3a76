"""Which models are taken, which are refused in one line, and what tells them apart."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from maia_core.context import Context
from maia_core.errors import MaiaError, PluginError, RunError, UsageError
from maia_core.registry import installed
from maia_core.testing import disc
from maia_diffusers.folder import weights
from maia_diffusers.roles import roles, roles_by_name

Make = Callable[..., Any]


@pytest.fixture
def copy(tiny: Make, tmp_path: Path) -> Callable[..., Path]:
    """Copies a tiny pipeline, so that it can be broken."""

    def make(name: str = "sd") -> Path:
        return Path(shutil.copytree(tiny(name), tmp_path / f"my-{name}"))

    return make


def change_index(folder: Path, **changes: Any) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))


def refused(make: Callable[[], Any], kind: type[MaiaError] = UsageError) -> str:
    """Returns the one line with which something is refused."""

    def use() -> None:
        make().generate(["a dog"], [1])

    with pytest.raises(kind) as error:
        use()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500
    return str(error.value)


# --- kinds of pipelines ---


def test_editor_given_as_generator(generate: Make) -> None:
    for name in ("pix2pix", "kontext"):
        line = refused(lambda name=name: generate(name))
        assert "is an editor" in line
        assert "use it as --editor diffusers" in line


def test_generator_given_as_editor(edit: Make) -> None:
    for name in ("sd", "flux"):
        line = refused(lambda name=name: edit(name))
        assert "is a generator" in line
        assert "use it as --generator diffusers" in line


@pytest.mark.parametrize(
    "kind", ["StableDiffusionInpaintPipeline", "FluxImg2ImgPipeline", "StableVideoDiffusionPipeline"]
)
def test_pipeline_that_is_neither(kind: str, copy: Make, generate: Make, edit: Make) -> None:
    folder = copy()
    change_index(folder, _class_name=kind)
    for make in (generate, edit):
        assert f"is a {kind}, which neither makes images from text" in refused(
            lambda make=make: make(model=str(folder))
        )


def test_pipeline_whose_name_does_not_tell_is_refused_when_it_is_loaded(copy: Make, generate: Make) -> None:
    folder = copy()
    change_index(folder, _class_name="DDPMPipeline")
    assert "is a DDPMPipeline, which neither" in refused(lambda: generate(model=str(folder)))


def test_unknown_pipeline(copy: Make, generate: Make) -> None:
    folder = copy()
    change_index(folder, _class_name="TomorrowsPipeline")
    assert "does not know: upgrade it" in refused(lambda: generate(model=str(folder)))


def test_roles_of_the_pipelines_that_are_promised() -> None:
    import diffusers

    makes = ["StableDiffusion", "StableDiffusionXL", "StableDiffusion3", "Flux", "PixArtSigma", "Sana", "Lumina2"]
    makes += ["AuraFlow", "HunyuanDiT", "Kandinsky3", "Chroma", "QwenImage", "ZImage", "LatentConsistencyModel"]
    edits = ["StableDiffusionInstructPix2Pix", "StableDiffusionXLInstructPix2Pix", "FluxKontext", "QwenImageEdit"]
    others = ["StableDiffusionImg2Img", "StableDiffusionInpaint", "StableDiffusionControlNet", "FluxFill", "AudioLDM2"]
    others += ["StableDiffusionUpscale", "FluxKontextInpaint", "WanImageToVideo", "LTX", "StableDiffusionXLAdapter"]
    expected = dict.fromkeys(makes, "generator") | dict.fromkeys(edits, "editor") | dict.fromkeys(others, "")
    for name, role in (expected | {"Flux2": "editor generator"}).items():
        found = roles(getattr(diffusers, f"{name}Pipeline"))
        assert " ".join(sorted(found)) == role, name
        assert found <= roles_by_name(f"{name}Pipeline"), "the name alone must not refuse what can be used"


# --- folders ---


def test_no_folder_and_no_name() -> None:
    from maia_diffusers.folder import locate

    for model in ("./nowhere", "/no/such/folder", "a/b/c", "no spaces allowed", "~/nope-nope"):
        with pytest.raises(UsageError, match="there is no folder"):
            locate(model, None, "", True, print)


def test_folders_that_are_something_else(tmp_path: Path, generate: Make, tiny: Make) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "it has no model_index.json; name the folder" in refused(lambda: generate(model=str(empty)))
    assert "it is one model alone" in refused(lambda: generate(model=str(tiny("sd") / "unet")))
    (empty / "sd.safetensors").touch()
    assert "a checkpoint in one file" in refused(lambda: generate(model=str(empty)))
    assert "is a file" in refused(lambda: generate(model=str(empty / "sd.safetensors")))
    assert "has no revisions" in refused(lambda: generate(revision="main"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"_class_name": 5}', '{"_class_name": "X", "unet": ["a"]}'])
def test_broken_index(text: str, copy: Make, generate: Make) -> None:
    folder = copy()
    (folder / "model_index.json").write_text(text)
    refused(lambda: generate(model=str(folder)))


def test_code_of_a_model_is_never_run(copy: Make, generate: Make) -> None:
    folder = copy()
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    (folder / "unet" / "evil.py").write_text("raise SystemExit('it ran')")
    change_index(folder, _class_name=["evil", "StableDiffusionPipeline"])
    assert "needs code that comes with it" in refused(lambda: generate(model=str(folder)))
    change_index(folder, _class_name="StableDiffusionPipeline", unet=["evil", "UNet2DConditionModel"])
    assert "of 'evil', which is never imported" in refused(lambda: generate(model=str(folder)))
    change_index(folder, unet=["antigravity", "UNet2DConditionModel"])
    assert "of 'antigravity', which is never imported" in refused(lambda: generate(model=str(folder)))
    assert "antigravity" not in sys.modules


def test_pickles_are_never_read(copy: Make, generate: Make) -> None:
    folder = copy()
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    assert "pickle files only" in refused(lambda: generate(model=str(folder)))


def test_parts_that_are_missing(copy: Make, generate: Make) -> None:
    folder = copy()
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert "unet has no weights in safetensors" in refused(lambda: generate(model=str(folder)))
    shutil.rmtree(folder / "vae")
    change_index(folder, unet=[None, None])
    assert "lacks its folder vae" in refused(lambda: generate(model=str(folder)))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_are_missing_are_not_made_up(part: str, copy: Make, generate: Make) -> None:
    """The libraries go on with random numbers, and say so in the log alone."""
    folder = copy()
    [file] = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file, metadata={"format": "pt"})
    line = refused(lambda: generate(model=str(folder)))
    assert "lack" in line or "cannot be loaded" in line


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"", lambda data: b"\0" * len(data)])
def test_damaged_weights(damage: Callable[[bytes], bytes], copy: Make, generate: Make) -> None:
    folder = copy()
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    assert "cannot be loaded" in refused(lambda: generate(model=str(folder)))


def test_weights_by_variant() -> None:
    names = ["model.safetensors", "model.fp16.safetensors", "model.bin", "config.json", "flax_model.msgpack"]
    assert weights(names, "m", "") == ["model.safetensors"]
    assert weights(names, "m", "fp16") == ["model.fp16.safetensors"]
    assert weights(names, "m", "ema") == ["model.safetensors"], "a part that has no such variant is the plain one"
    parts = [f"diffusion_pytorch_model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert weights(parts, "m", "") == parts
    with pytest.raises(UsageError, match="2 of the 3 files"):
        weights(parts[:2], "m", "")
    with pytest.raises(UsageError, match="set variant to one of: fp16"):
        weights(["model.fp16-00001-of-00001.safetensors"], "m", "")
    assert weights(["model-00001-of-00001.fp16.safetensors"], "m", "fp16") != []


def test_variant_is_loaded(tiny: Make, tmp_path: Path, generate: Make) -> None:
    import torch
    from diffusers import DiffusionPipeline

    folder = tmp_path / "half"
    DiffusionPipeline.from_pretrained(tiny("sd"), dtype=torch.float16).save_pretrained(folder, variant="fp16")
    assert "no plain weights; set variant to one of: fp16" in refused(lambda: generate(model=str(folder)))
    assert "no weights of variant 'ema'" in refused(lambda: generate(variant="ema"))
    half = generate(model=str(folder), variant="fp16")
    assert len(half.generate(["a dog"], [1]).images) == 1
    assert half.fingerprint != generate().fingerprint


# --- fingerprints ---


def test_fingerprint_follows_the_content(copy: Make, generate: Make, tiny: Make) -> None:
    folder = copy()
    before = generate(model=str(folder)).fingerprint
    assert before == generate().fingerprint, "wherever the files lie"
    (folder / "README.md").write_text("not a part of it")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"nor this")
    assert generate(model=str(folder)).fingerprint == before
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_out.bias"] += 1
    save_file(tensors, file, metadata={"format": "pt"})
    changed = generate(model=str(folder)).fingerprint
    assert changed != before
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace('"beta_end": 0.02', '"beta_end": 0.03'))
    assert generate(model=str(folder)).fingerprint not in (before, changed)


def test_weights_are_read_once(generate: Make, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from maia_hub import fingerprints as folder

    read: list[str] = []
    whole = folder._read
    monkeypatch.setattr(folder, "_read", lambda file, cache: read.append(file.suffix) or whole(file, cache))
    first = generate().fingerprint
    assert read.count(".safetensors") == 3
    read.clear()
    assert generate().fingerprint == first
    assert ".safetensors" not in read


def test_file_in_the_hubs_cache_is_known_by_its_name(
    copy: Make, generate: Make, context: Context, tmp_path: Path
) -> None:
    """There, weights are links to files that are named by their hash: nothing must be read to know them."""
    import hashlib

    folder = copy()
    expected = generate(model=str(folder)).fingerprint
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for file in folder.rglob("*.safetensors"):
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(blob)
        file.symlink_to(blob)
    shutil.rmtree(context.cache)
    assert generate(model=str(folder)).fingerprint == expected
    assert not list(context.cache.rglob("*"))


# --- options ---


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scheduler": "DPMSolverMultistp"}, "Did you mean 'DPMSolverMultistepScheduler'"),
        ({"scheduler": "FlowMatchEulerDiscrete"}, "does not fit this model"),
        ({"size": "33x32"}, "multiples of 2, not 33 x 32; the nearest is 32 x 32"),
        ({"device": "cuda:7"}, "device 'cuda:7' cannot be used"),
        ({"device": "toaster"}, "device 'toaster' cannot be used"),
        ({"offload": "model"}, "offload needs an accelerator"),
        ({"params": {"steps": 3}}, "generator.params.steps: a StableDiffusionPipeline does not take it"),
        ({"params": {"num_inference_steps": 3}}, "'num_inference_steps' has an option of its own"),
    ],
)
def test_option_that_does_not_fit_is_named(options: dict[str, Any], expected: str, generate: Make) -> None:
    assert expected in refused(lambda: generate(**options))


SENSELESS = [
    {"model": ""},
    {"size": "big"},
    {"size": "8x8x8"},
    {"size": 7},
    {"steps": 0},
    {"batch": 0},
    {"dtype": "int4"},
]
SENSELESS += [{"guidance": -1}, {"guidance": "nan"}, {"offload": "disk"}, {"redraws": -1}, {"unknown": 1}]


@pytest.mark.parametrize("options", SENSELESS)
def test_value_that_makes_no_sense_is_named(options: dict[str, Any], context: Context) -> None:
    with pytest.raises(UsageError) as error:
        installed().build("generator", "diffusers", {"model": "x"} | options, context)
    assert next(iter(options)) in str(error.value)
    assert "\n" not in str(error.value)


def test_pipeline_that_fails_is_one_line(generate: Make, pool: Any) -> None:
    generator = generate(params={"eta": "much"})
    assert "failed: " in refused(lambda: generator, RunError)


def test_missing_package_is_named(generate: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maia_diffusers.options.NEEDED", ("torch", "not_installed_here"))
    assert "needs not_installed_here: pip install maia-diffusers" in refused(generate, PluginError)


def test_nothing_is_printed(
    generate: Make, edit: Make, tiny: Make, pool: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("sd-picky", "pix2pix"):
        tiny(name)
    capfd.readouterr()
    generate("sd-picky", redraws=20).generate(["a dog " * 60] * 4, range(4))
    edit().edit([disc("red")], ["make it blue"], [1])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_options_are_shown() -> None:
    from maia_cli.main import maia

    shown = CliRunner().invoke(maia, ["plugins", "show", "diffusers"]).output
    for option in ("model", "steps", "guidance", "size", "image_guidance", "offload", "safety"):
        assert option in shown


# --- the hub ---

COMMIT = "0123456789" * 4


class Hub(ThreadingHTTPServer):
    """Serves `acme/tiny`, the files of a folder and some more, and `acme/gated`; notes what it is asked for."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files = files
        self.fetched: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        model, _, rest = path.removeprefix("/api/models/").partition("/tiny")
        _, _, file = path.removeprefix("/acme/tiny/resolve/").partition("/")
        listed = {name: len(data) for name, data in self.server.files.items()}
        if path.startswith("/api/models/acme/gated"):
            self.reply(b"{}", 403, {"X-Error-Code": "GatedRepo"})
        elif model == "acme" and rest.startswith("/revision/old"):
            self.reply(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
        elif model == "acme" and "/tree/" in rest:
            self.reply_json([{"type": "file", "path": n, "size": s, "oid": self.digest(n)} for n, s in listed.items()])
        elif model == "acme":
            files = [{"rfilename": name, "size": size} for name, size in listed.items()]
            self.reply_json({"id": "acme/tiny", "sha": COMMIT, "siblings": files})
        elif file in self.server.files:
            if self.command == "GET":
                self.server.fetched.append(file)
            headers = {"ETag": f'"{self.digest(file)}"', "X-Repo-Commit": COMMIT}
            self.reply(self.server.files[file], 200, headers)
        elif path.startswith("/acme/tiny/resolve/"):
            self.reply(b"{}", 404, {"X-Error-Code": "EntryNotFound"})
        else:
            self.reply(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def digest(self, name: str) -> str:
        """As the hub does: SHA-256 of large files, SHA-1 of small ones."""
        method = hashlib.sha256 if name.endswith(".safetensors") else hashlib.sha1
        return method(self.server.files[name]).hexdigest()

    def reply_json(self, value: Any) -> None:
        self.reply(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})

    def reply(self, body: bytes, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(tiny: Make) -> Iterator[Hub]:
    folder = tiny("sd")
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    more = ["unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "v1.safetensors"]
    server = Hub(files | dict.fromkeys([*more, "onnx/model.onnx", "README.md", "evil.py"], b"not to be fetched"))
    yield server
    server.shutdown()
    server.server_close()


ASK = """
import sys
from pathlib import Path
from maia_core.errors import MaiaError
from maia_diffusers.folder import files, locate
from maia_hub.fingerprints import exact_fingerprint as fingerprint
for model in sys.argv[2:]:
    name, _, revision = model.partition("@")
    try:
        folder = locate(name, revision or None, "", True, print)
        print(fingerprint(folder, files(folder, name, "", safety=True), Path(sys.argv[1]), print))
    except MaiaError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., list[str]]:
    """Takes models of the hub in a new process, and returns what it said of each, or the fingerprint."""

    def run(*models: str, **environment: str) -> list[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        command = [sys.executable, "-c", ASK, str(tmp_path / "cache"), *models]
        environment = clean | {"HF_HOME": str(tmp_path / "hub")} | environment
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


def test_offline_is_said_at_once(ask: Make) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        [line] = ask("acme/tiny", HF_ENDPOINT=f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert line.startswith("RunError cannot fetch acme/tiny: ")
    [line] = ask("acme/tiny", HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE forbids asking the Hub" in line


@pytest.mark.slow
def test_model_of_the_hub_is_fetched_once_and_no_more_than_is_used(hub: Hub, ask: Make, tiny: Make) -> None:
    said, result = ask("acme/tiny", HF_ENDPOINT=hub.address)
    assert said.startswith("fetching acme/tiny from the Hub: ")
    assert [result] == ask(str(tiny("sd"))), "the same files as in the folder"
    assert sorted(hub.fetched) == sorted({name for name in hub.files if hub.files[name] != b"not to be fetched"})
    hub.fetched.clear()
    assert ask("acme/tiny", HF_ENDPOINT=hub.address) == [result]
    assert ask("acme/tiny", HF_HUB_OFFLINE="1") == [result]
    assert hub.fetched == []


@pytest.mark.slow
def test_what_the_hub_refuses_is_one_line(hub: Hub, ask: Make) -> None:
    unknown, gated, old = ask("acme/unknown", "acme/gated", "acme/tiny@old", HF_ENDPOINT=hub.address)
    assert "no such model on the Hub" in unknown
    assert "accept its terms" in gated
    assert "has no revision 'old'" in old
    hub.files.pop("model_index.json")
    [single] = ask("acme/tiny", HF_ENDPOINT=hub.address)
    assert "is not a diffusion pipeline: it has no model_index.json" in single
    hub.files["model_index.json"] = b'{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "X"]}'
    hub.files.pop("unet/diffusion_pytorch_model.safetensors")
    hub.files.pop("unet/diffusion_pytorch_model.fp16.safetensors")
    hub.fetched.clear()
    [pickled] = ask("acme/tiny", HF_ENDPOINT=hub.address)
    assert "pickle files only" in pickled
    assert hub.fetched == ["model_index.json"]
