import resource
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_passes_in_new_threads_do_not_fault_their_memory_in_again():
    """Each call of a tool runs in a thread of its own; its arena must not be handed back to the kernel."""
    code = """
import resource, threading
import numpy as np, torch
from maia_cli import process_started
process_started()
from maia_torch import Preprocessing, TorchModel
from maia_core.image import Image
net = torch.nn.Sequential(*[torch.nn.Conv2d(c, 32, 3, padding=1) for c in (3, 32, 32)])
model = TorchModel(net, Preprocessing(size=160, mean=(0.5,) * 3, std=(0.5,) * 3), name="net")
images = [Image.from_pixels(np.full((160, 160, 3), n, np.uint8)) for n in range(32)]
def work():
    model.activations(images, "2")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=work); thread.start(); thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(min(faults() for _ in range(3)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    layer_pages = 32 * 32 * 160 * 160 * 4 // resource.getpagesize()
    assert int(done.stdout) < layer_pages / 10
