"""Devices, batches, shared models, fingerprints and silence."""

import gc
import subprocess
import sys
import warnings
import weakref

import pytest
import torch

from maia_core.plugin import MaiaError, PluginError, UsageError
from maia_hub.batches import Batches
from maia_hub.device import choose_device, choose_dtype, free_bytes, is_out_of_memory
from maia_hub.errors import OutOfMemory, loading_errors
from maia_hub.fingerprints import BLOCK, BLOCKS, sampled_fingerprint
from maia_hub.quiet import quiet
from maia_hub.shared import SharedModels
from maia_hub.weights import check_model_folder, locate

CPU = torch.device("cpu")


def test_import_is_light():
    modules = "maia_hub.weights, maia_hub.device, maia_hub.batches, maia_hub.shared, maia_hub.quiet"
    script = f"import sys, {modules}; print(*sys.modules.keys() & {{'torch', 'huggingface_hub', 'psutil', 'httpx'}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_devices_that_do_not_exist_are_refused_with_those_that_do():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda", "mps", "xpu")
    for name in ("warp", "cuda:99"):
        with pytest.raises(UsageError, match=rf"device '{name}' cannot be used: .*; choose one of auto, .*cpu"):
            choose_device(name)


def test_auto_dtype_of_a_diffusion_network_on_a_processor_is_exact():
    assert choose_dtype("auto", CPU, "unet") == choose_dtype("auto", CPU, "diffusion-transformer") == torch.float32
    assert choose_dtype("auto", torch.device("mps"), "unet") == torch.float16
    assert choose_dtype("auto", torch.device("mps"), "diffusion-transformer") == torch.bfloat16
    assert choose_dtype("float16", CPU, "language") == torch.float16
    assert free_bytes(CPU) > 1_000_000


def test_memory_errors_are_known_by_class_and_by_text():
    for error in (torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("MPS backend out of memory (1 GB)")):
        assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


class Full(MaiaError):
    """Not even one item fits."""


def test_a_batch_is_halved_until_it_fits_and_stays_small():
    tried, lines = [], []

    def work(batch):
        tried.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("full")
        return [item * 10 for item in batch]

    batches = Batches(8, CPU, too_large=Full, warn=lines.append)
    assert batches.map(work, range(8)) == [item * 10 for item in range(8)]
    assert tried == [8, 4, 2, 2, 2, 2]
    assert batches.size == 2
    assert "batch of 8" in lines[0]


def test_groups_never_share_a_batch_and_results_keep_their_order():
    seen = []
    batches = Batches(8, CPU, too_large=Full)
    result = batches.map(lambda batch: seen.append(list(batch)) or batch, [1, 2, 3, 4, 5], group=lambda n: n % 2)
    assert result == [1, 2, 3, 4, 5]
    assert seen == [[1, 3, 5], [2, 4]]
    assert batches.map(list, [1, 2, 3], limit=1) == [1, 2, 3]
    assert batches.size == 8, "the limit of one call does not last"


def test_idle_models_leave_before_a_batch_is_halved():
    idle = [True]

    def work(batch):
        if idle:
            raise MemoryError
        return batch

    batches = Batches(4, CPU, too_large=Full, relieve=lambda: bool(idle and idle.pop()))
    assert batches.map(work, [1, 2, 3, 4]) == [1, 2, 3, 4]
    assert batches.size == 4


def test_one_item_that_does_not_fit_is_the_users_error_and_other_errors_pass():
    def work(batch):
        raise MemoryError

    with pytest.raises(Full):
        Batches(4, CPU, too_large=Full).map(work, [1, 2])
    with pytest.raises(ZeroDivisionError):
        Batches(4, CPU, too_large=Full).map(lambda batch: 1 / 0, [1])


def test_errors_of_loading_name_the_fix():
    cases = [
        (torch.OutOfMemoryError("x"), OutOfMemory, "acme/x does not fit into the memory of cpu: set dtype=float16"),
        (ImportError("no module einops"), PluginError, "needs a package"),
        (UsageError("its files lack weights"), UsageError, "acme/x cannot be used: its files lack weights"),
        (
            OSError("broken If you were trying to load it from 'the hub', ..."),
            UsageError,
            "cannot be loaded: OSError: broken$",
        ),
    ]
    for cause, kind, text in cases:
        with pytest.raises(kind, match=text), loading_errors("acme/x", CPU, "set dtype=float16"):
            raise cause


class Buffer:
    """Stands for a tensor."""


def test_tensors_of_a_failed_batch_are_freed_before_the_next():
    held = []

    def work(batch):
        assert not any(buffer() for buffer in held), "the failed batch still holds its memory"
        buffer = Buffer()
        held.append(weakref.ref(buffer))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return list(batch)

    assert Batches(4, CPU, too_large=Full).map(work, [1, 2, 3]) == [1, 2, 3]


class User:
    """Holds a model."""


def test_a_model_stays_until_another_is_loaded():
    freed, loads = [], []
    models = SharedModels(freed.append)

    def load(name):
        return lambda: loads.append(name) or name

    first, second = User(), User()
    models.acquire(first, "a", load("a"))
    _, done = models.acquire(second, "a", load("a"))
    assert loads == ["a"]
    done()
    models.free_unused()
    assert freed == [], "the first user still has it"
    del first
    gc.collect()
    assert models.loaded() == ["a"], "the next run takes it over"
    models.acquire(second, "b", load("b"))
    assert (freed, models.loaded()) == (["a"], ["b"])


def test_a_fingerprint_changes_with_the_middle_of_a_large_file(tmp_path):
    file = tmp_path / "model.safetensors"
    data = bytearray(BLOCK * BLOCKS + BLOCK)
    file.write_bytes(data)
    before = sampled_fingerprint(tmp_path, (".safetensors",))
    data[BLOCK * 100 : BLOCK * 104] = b"x" * (4 * BLOCK)
    file.write_bytes(data)
    assert sampled_fingerprint(tmp_path, (".safetensors",)) != before


def test_folders_without_whole_weights_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no config\.json"):
        locate(str(tmp_path), None, print)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_text("")
    with pytest.raises(UsageError, match="pickle files only"):
        check_model_folder(tmp_path, "it")
    (tmp_path / "model-1.safetensors").write_text("")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}')
    with pytest.raises(UsageError, match=r"lacks 1 of its files, such as model-2\.safetensors"):
        check_model_folder(tmp_path, "it")
    index.write_text("[]")
    with pytest.raises(UsageError, match="cannot be read; fetch the model again"):
        check_model_folder(tmp_path, "it")
    with pytest.raises(UsageError, match="is a folder, which has no revisions"):
        locate(str(tmp_path), "main", print)
    with pytest.raises(UsageError, match=r"segmenter '.*' is a file"):
        locate(str(index), None, print, option="segmenter")


def test_silence_ends_with_the_last_user(capsys, monkeypatch):
    logging = pytest.importorskip("transformers.utils.logging")
    monkeypatch.setattr(logging, "_tqdm_active", True)
    logger = logging.get_logger("transformers.models")
    with quiet():
        with quiet():
            pass
        logger.error("hidden")
        with warnings.catch_warnings(record=True) as seen:
            warnings.warn("hidden", stacklevel=1)
        assert not seen
        assert not logging.is_progress_bar_enabled()
    logger.error("shown")
    assert logging.is_progress_bar_enabled()
    assert "hidden" not in capsys.readouterr().err
