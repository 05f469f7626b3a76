"""An autoencoder that is trained here on EfficientNet-Lite0, explained by `maia run` and labelled by `maia sweep`."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.registry import installed

PARTS = [("model", "efficientnet-lite0"), ("backbone", "heuristic"), ("generator", "collage"), ("dataset", "collage")]
PARTS += [("command", "sweep"), ("command", "run")]
LAYER, LATENTS, K, IMAGES = "blocks.15", 128, 12, 64

pytestmark = [
    pytest.mark.slow,
    pytest.mark.pack,
    pytest.mark.skipif(
        not all(installed().find(kind, name) for kind, name in PARTS), reason="the offline laboratory is not installed"
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a top-k autoencoder, as SAELens saves one."""
    torch.manual_seed(0)
    context = Context(RunConfig())
    try:
        dataset, model = context.dataset, context.model("efficientnet-lite0")
    except Exception as error:
        pytest.skip(f"the data set is not there: {error}")
    layer = model.layer(LAYER)
    images = [dataset[int(index)] for index in np.linspace(0, len(dataset) - 1, IMAGES)]
    parts = []
    for _, pixels in model.batches(images):
        parts.append(model.engine.read(pixels, {layer: lambda values: [values.movedim(1, -1).flatten(1, 2)]})[layer][0])
    x = torch.from_numpy(np.concatenate(parts)).flatten(0, 1)
    scale = x.std()
    x = x / scale
    decoder = torch.nn.functional.normalize(x[torch.randint(len(x), (LATENTS,))] - x.mean(0), dim=1)
    weights = [x.mean(0).clone(), decoder.clone(), decoder.T.clone(), torch.zeros(LATENTS)]
    centre, decoder, encoder, bias = (weight.requires_grad_() for weight in weights)
    optimizer = torch.optim.Adam([centre, decoder, encoder, bias], 3e-3)
    for _ in range(300):
        batch = x[torch.randint(len(x), (256,))]
        top = ((batch - centre) @ encoder + bias).topk(K, dim=1)
        latents = torch.zeros(len(batch), LATENTS).scatter(1, top.indices, top.values.relu())
        loss = (latents @ decoder + centre - batch).square().sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("trained")
    tensors = {"W_enc": encoder / scale, "b_enc": bias, "W_dec": decoder * scale, "b_dec": centre * scale}
    tensors = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / "sae_weights.safetensors")
    settings = {"architecture": "topk", "k": K, "d_in": x.shape[1], "d_sae": LATENTS, "apply_b_dec_to_input": True}
    settings |= {"normalize_activations": "none", "metadata": {"hook_name": LAYER, "sae_lens_version": "6.54.12"}}
    (folder / "cfg.json").write_text(json.dumps(settings))
    return folder


def maia(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs `maia`."""
    program = str(Path(sys.executable).with_name("maia"))
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=os.environ)


@pytest.fixture(scope="module")
def checked(trained) -> dict:
    """What `maia sae check` prints of it, without a layer: the file names it."""
    done = maia("sae", "check", f"efficientnet-lite0:sae={trained}", "--json", cwd=trained)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_it_fits_the_layer_that_its_file_names(trained, checked):
    assert checked["layer"] == f"efficientnet-lite0:{LAYER}:sae={trained}"
    assert checked["explained_variance"] > 0.5
    assert 1 < checked["l0"] <= K
    assert checked["warnings"] == []


def test_a_latent_is_explained_and_the_sweep_labels_several(trained, checked):
    idle = {*checked["dead"], *checked["dense"]}
    units = [unit for unit in range(LATENTS) if unit not in idle][:2]
    options = ["-o", "limits.turns=4", "--no-verify", "--seed", "0"]
    ref = f"efficientnet-lite0:sae={trained}:{units[0]}"
    done = maia("run", "--system", ref, "-o", "runs=out", *options, cwd=trained)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[0].strip()
    [run] = (trained / "out").iterdir()
    report = (run / "report.html").read_text()
    assert f"{LAYER}:sae={trained}:{units[0]}" in report.replace("&#x2F;", "/")
    assert "a latent of a sparse autoencoder (topk), 0 where it is off" in (run / "journal.jsonl").read_text()
    words = [f"efficientnet-lite0:{LAYER}:sae={trained}:{unit}" for unit in units]
    done = maia("sweep", *words, "--out", "labels", *options, cwd=trained)
    assert done.returncode == 0, done.stderr
    with (trained / "labels" / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["unit"] for row in rows} == set(words)
    assert all(row["label"] for row in rows)
