r"""Writes `fixtures/`: small autoencoders as their libraries save them, and the latents that the libraries compute.

    pip install --no-deps --target LIBRARIES saev==0.1.0 overcomplete==0.3.0 dictionary_learning==0.1.0 \
        sae-lens==6.54.12
    PYTHONPATH=LIBRARIES python make_fixtures.py saev overcomplete dictionary_learning saelens prisma
    PYTHONPATH=OTHERS python make_fixtures.py saelens5          # with sae-lens<6

and what these import (einops, jaxtyping, beartype, transformer-lens<4, ...). The registry has no release of saev with a
schema, nor of ViT-Prisma with autoencoders: their files are written here byte for byte as the repositories' code does,
and their latents are computed in float64 by the formulas of that code.
"""

from __future__ import annotations

import dataclasses
import gzip
import importlib
import importlib.util
import io
import json
import pickle
import sys
import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parent / "fixtures"
UNITS, LATENTS, K = 8, 24, 5
X = np.random.default_rng(0).normal(0.3, 1, (64, UNITS)).astype(np.float32)


def main(libraries: list[str]) -> None:
    """Writes the fixtures of some libraries."""
    np.save(FIXTURES / "x.npy", X)
    for library in libraries:
        globals()[f"write_{library}"]()


def write_saev() -> None:
    """Files without a schema by the library itself; with one, as its repository writes them."""
    nn, config = importlib.import_module("saev.nn"), importlib.import_module("saev.config")
    sae = randomised(nn.SparseAutoencoder(config.SparseAutoencoder(d_vit=UNITS, exp_factor=LATENTS // UNITS)))
    nn.dump(str(folder("saev-0.1.0") / "sae.pt"), sae)
    expect("saev-0.1.0", sae(torch.from_numpy(X))[1])
    model = {"d_model": UNITS, "d_sae": LATENTS, "reinit_blend": 0.8, "remove_parallel_grads": True}
    old = {"d_vit": UNITS, "exp_factor": LATENTS // UNITS, "n_reinit_samples": 9, "seed": 0, "normalize_w_dec": True}
    no_sparsity = {"cls": "NoSparsity", "params": {"kind": "no-sparsity"}}
    relu = {"cls": "Relu", "params": {"kind": "relu", "sparsity": {"cls": "L1Sparsity", "params": {"coeff": 4e-4}}}}
    topk = {"cls": "TopK", "params": {"kind": "top-k", "top_k": K, "sparsity": no_sparsity}}
    batch = {
        "cls": "BatchTopK",
        "params": {"kind": "batch-top-k", "top_k": K, "momentum": 0.1, "sparsity": no_sparsity},
    }
    new = {"commit": "0123abc", "lib": "0.1.0"}
    headers = {
        "schema1-cls": {"schema": 1, "cls": "TopK", "cfg": old | {"top_k": K}, **new},
        "schema1-relu": {"schema": 1, "cls": "SparseAutoencoderConfig", "cfg": old, **new},
        "schema2": {"schema": 2, "cfg": old | {"activation": {"cls": "Relu", "params": {}}}, **new},
        "schema4-topk": {"schema": 4, "cfg": model | {"activation": {"cls": "TopK", "params": {"top_k": K}}}, **new},
        "schema5-relu": {"schema": 5, "cfg": model | {"activation": relu}, **new},
        "schema5-topk": {"schema": 5, "cfg": model | {"activation": topk}, **new},
        "schema5-batch-topk": {"schema": 5, "cfg": model | {"activation": batch}, **new},
    }
    for seed, (name, header) in enumerate(headers.items()):
        tensors = {key: torch.from_numpy(value) for key, value in random_tensors(seed).items()}
        if "batch" in name:
            tensors["activation.threshold"] = torch.tensor(0.7)
        where = folder(f"saev-{name}" if "schema5" not in name else f"saev-{name}/layer_9/run")
        with (where / "sae.pt").open("wb") as file:
            file.write((json.dumps(header) + "\n").encode())
            torch.save(OrderedDict(tensors), file)
        arrays = {key: value.double().numpy() for key, value in tensors.items()}
        x = X.astype(float) - (arrays["b_dec"] if "schema1" in name else 0)
        z = x @ arrays["W_enc"] + arrays["b_enc"]
        if "batch" in name:
            z = np.where(z > arrays["activation.threshold"], z, 0)
        elif "topk" in name or "cls" in name:
            z = np.where(z >= np.sort(z, 1)[:, -K][:, None], z, 0)
        else:
            z = z.clip(min=0)
        expect(f"saev-{name}", z)


def write_prisma() -> None:
    """Files as ViT-Prisma's `save_model` and `save_config` write them."""
    x = X.astype(float)
    cases = {
        "standard": {"architecture": "standard", "normalize_activations": "layer_norm"},
        "topk": {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}, "normalize_activations": "none"},
        "tanh": {"activation_fn_str": "tanh-relu", "normalize_activations": "constant_norm_rescale"},
        "gated": {"architecture": "gated", "normalize_activations": "layer_norm", "use_ghost_grads": False},
        "class": {"cls_token_only": True, "normalize_activations": "layer_norm", "context_size": 1},
    }
    for seed, (name, changes) in enumerate(cases.items()):
        tensors = random_tensors(seed, gated=name == "gated")
        config = PRISMA | changes
        where = folder(f"prisma-{name}")
        state = OrderedDict((key, torch.from_numpy(value)) for key, value in tensors.items())
        torch.save(state, where / "n_images_2600058.pt")
        (where / "config.json").write_text(json.dumps(config, indent=4))
        expect(f"prisma-{name}", prisma_latents(tensors, config, x))
    # The old files hold the configuration as an object of the library's class.
    module = types.ModuleType("vit_prisma.sae.config")
    kind = dataclasses.make_dataclass("VisionModelSAERunnerConfig", [(key, object, None) for key in PRISMA])
    kind.__module__, module.VisionModelSAERunnerConfig = module.__name__, kind
    sys.modules[module.__name__] = module
    for name in ("vit_prisma", "vit_prisma.sae"):
        sys.modules.setdefault(name, types.ModuleType(name))
    config = {**PRISMA, "device": torch.device("cpu"), "dtype": torch.float32}
    tensors = random_tensors(9)
    state = OrderedDict((key, torch.from_numpy(value)) for key, value in tensors.items())
    content = {"cfg": kind(**config), "state_dict": state}
    torch.save(content, folder("prisma-old") / "final.pt")
    with gzip.open(folder("prisma-gz") / "final.pkl.gz", "wb") as file:
        pickle.dump(content, file)
    (folder("prisma-pkl") / "final.pkl").write_bytes(pickle.dumps(content))
    for name in ("old", "gz", "pkl"):
        expect(f"prisma-{name}", prisma_latents(tensors, PRISMA, x))


def prisma_latents(tensors: dict[str, np.ndarray], config: dict, x: np.ndarray) -> np.ndarray:
    """Returns the latents by the formulas of ViT-Prisma's `encode`."""
    if config["normalize_activations"] == "layer_norm":
        x = x - x.mean(1, keepdims=True)
        x = x / (x.std(1, ddof=1, keepdims=True) + 1e-5)
    elif config["normalize_activations"] == "constant_norm_rescale":
        x = x * UNITS**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    x = x - tensors["b_dec"]
    if config["architecture"] == "gated":
        magnitude = x @ (tensors["W_enc"] * np.exp(tensors["r_mag"])) + tensors["b_mag"]
        return (x @ tensors["W_enc"] + tensors["b_gate"] > 0) * magnitude.clip(min=0)
    z = x @ tensors["W_enc"] + tensors["b_enc"]
    if config["activation_fn_str"] == "topk":
        return np.where(z >= np.sort(z, 1)[:, -K][:, None], z.clip(min=0), 0)
    return np.tanh(z.clip(min=0)) if config["activation_fn_str"] == "tanh-relu" else z.clip(min=0)


PRISMA = {
    "model_class_name": "HookedViT",
    "model_name": "open-clip:laion/CLIP-ViT-B-32-DataComp.XL-s13B-b90K",
    "vit_model_cfg": None,
    "model_path": None,
    "hook_point_layer": 9,
    "layer_subtype": "hook_resid_post",
    "hook_point_head_index": None,
    "context_size": 50,
    "use_cached_activations": False,
    "use_patches_only": False,
    "cached_activations_path": "activations",
    "d_in": UNITS,
    "activation_fn_str": "relu",
    "activation_fn_kwargs": {},
    "cls_token_only": False,
    "max_grad_norm": 1.0,
    "initialization_method": "encoder_transpose_decoder",
    "normalize_activations": "layer_norm",
    "n_batches_in_buffer": 20,
    "store_batch_size": 32,
    "num_workers": 16,
    "num_epochs": 10,
    "total_training_images": 13000000,
    "total_training_tokens": 650000000,
    "image_size": 224,
    "device": {"__type__": "torch.device", "value": "cuda"},
    "seed": 42,
    "dtype": {"__type__": "torch.dtype", "value": "torch.float32"},
    "architecture": "standard",
    "verbose": False,
    "b_dec_init_method": "geometric_median",
    "expansion_factor": LATENTS // UNITS,
    "from_pretrained_path": None,
    "d_sae": LATENTS,
    "l1_coefficient": 0.0002,
    "lp_norm": 1,
    "lr": 0.001,
    "lr_warm_up_steps": 500,
    "lr_scheduler_name": "cosineannealingwarmup",
    "train_batch_size": 4096,
    "is_transcoder": False,
    "transcoder_with_skip_connection": False,
    "out_hook_point_layer": 9,
    "layer_out_subtype": "hook_mlp_out",
    "d_out": 768,
    "dataset_name": "imagenet1k",
    "dataset_path": "d",
    "dataset_train_path": "t",
    "dataset_val_path": "v",
    "use_ghost_grads": True,
    "feature_sampling_window": 1000,
    "dead_feature_window": 5000,
    "dead_feature_threshold": 1e-08,
    "log_to_wandb": True,
    "wandb_project": "p",
    "wandb_entity": None,
    "wandb_log_frequency": 10,
    "n_validation_runs": 100,
    "n_checkpoints": 10,
    "checkpoint_path": "c",
}
"""The fields of its class of settings, as they are saved."""


def write_overcomplete() -> None:
    """State dicts, with the settings that they lack beside them, and one whole module."""
    package("overcomplete")
    sae = importlib.import_module("overcomplete.sae")
    made = {
        "SAE": sae.base.SAE(UNITS, LATENTS),
        "TopKSAE": sae.TopKSAE(UNITS, LATENTS, top_k=K),
        "BatchTopKSAE": sae.BatchTopKSAE(UNITS, LATENTS, top_k=K * 64),
        "JumpSAE": sae.JumpSAE(UNITS, LATENTS),
        "untied": sae.TopKSAE(UNITS, LATENTS, top_k=K).untied(bias=True),
        "RATopKSAE": sae.RATopKSAE(UNITS, LATENTS, points=torch.from_numpy(X), top_k=K),
    }
    for seed, (name, module) in enumerate(made.items()):
        torch.manual_seed(seed)
        with torch.no_grad():
            for key, value in module.encoder.named_parameters():
                value.copy_(torch.randn(value.shape) * (0.5 if key.endswith("weight") else 0.2))
        if name == "BatchTopKSAE":
            module.train().encode(torch.from_numpy(X))
        module.eval()
        expect(f"overcomplete-{name}", module.encode(torch.from_numpy(X))[1])
        torch.save(module.state_dict(), folder(f"overcomplete-{name}") / "sae.pt")
        settings = {"class": "TopKSAE" if name == "untied" else name}
        if "TopK" in settings["class"]:
            settings["top_k"] = int(module.top_k)
        if name == "BatchTopKSAE":
            settings["running_threshold"] = float(module.running_threshold)
        if name != "JumpSAE":
            (folder(f"overcomplete-{name}") / "config.json").write_text(json.dumps(settings))
    torch.save(made["TopKSAE"], folder("overcomplete-whole") / "sae.pt")


def write_dictionary_learning() -> None:
    """Folders `trainer_0` with `ae.pt` and `config.json`."""
    package("dictionary_learning", "dictionary_learning.trainers")
    dictionary = importlib.import_module("dictionary_learning.dictionary")
    trainers = "dictionary_learning.trainers"
    topk = importlib.import_module(f"{trainers}.top_k").AutoEncoderTopK
    batch = importlib.import_module(f"{trainers}.batch_top_k").BatchTopKSAE
    groups = importlib.import_module(f"{trainers}.matryoshka_batch_top_k").MatryoshkaBatchTopKSAE
    made = [
        *(kind(UNITS, LATENTS) for kind in (dictionary.AutoEncoder, dictionary.AutoEncoderNew)),
        *(kind(UNITS, LATENTS) for kind in (dictionary.GatedAutoEncoder, dictionary.JumpReluAutoEncoder)),
        *(topk(UNITS, LATENTS, K), batch(UNITS, LATENTS, K), groups(UNITS, LATENTS, K, [8, 16])),
    ]
    for seed, module in enumerate(made):
        name = type(module).__name__
        torch.manual_seed(seed)
        randomised(module)
        if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
            module.threshold.fill_(0.6)
        where = folder(f"dictionary-{name}/trainer_0")
        torch.save(module.state_dict(), where / "ae.pt")
        trainer = {"trainer_class": "Trainer", "dict_class": name, "lr": 1e-4, "steps": 10, "seed": 0, "layer": 6}
        trainer |= {"activation_dim": UNITS, "dict_size": LATENTS, "device": "cpu", "lm_name": "clip"}
        trainer |= {"submodule_name": "resid_post_layer_6", "wandb_name": "w", "warmup_steps": 1}
        trainer |= {"k": K} if "TopK" in name else {}
        buffer = {"d_submodule": UNITS, "io": "out", "n_ctxs": 3, "ctx_len": 5, "refresh_batch_size": 2}
        (where / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": buffer}))
        expect(f"dictionary-{name}", module.encode(torch.from_numpy(X)))


def write_saelens() -> None:
    """Folders of SAELens 6, and one of a batch-topk that it saves as jumprelu."""
    lens = importlib.import_module("sae_lens")
    meta = lens.saes.sae.SAEMetadata(model_name="clip", hook_name="blocks.6.hook_resid_post")
    base = {"d_in": UNITS, "d_sae": LATENTS, "metadata": meta}
    made = {
        "standard": lens.StandardSAE(lens.StandardSAEConfig(**base)),
        "layer-norm": lens.StandardSAE(lens.StandardSAEConfig(**base, normalize_activations="layer_norm")),
        "not-centred": lens.StandardSAE(lens.StandardSAEConfig(**base, apply_b_dec_to_input=False)),
        "topk": lens.TopKSAE(lens.TopKSAEConfig(**base, k=K)),
        "topk-rescaled": lens.TopKSAE(lens.TopKSAEConfig(**base, k=K, rescale_acts_by_decoder_norm=True)),
        "jumprelu": lens.JumpReLUSAE(lens.JumpReLUSAEConfig(**base)),
        "gated": lens.GatedSAE(lens.GatedSAEConfig(**base)),
        "abstopk": lens.saes.abstopk_sae.AbsTopKSAE(lens.saes.abstopk_sae.AbsTopKSAEConfig(**base, k=K)),
    }
    for seed, (name, module) in enumerate(made.items()):
        torch.manual_seed(seed)
        randomised(module)
        if name == "jumprelu":
            module.threshold.data.abs_()
        module.save_model(folder(f"saelens-{name}"))
        expect(f"saelens-{name}", module.encode(torch.from_numpy(X)))
    training = lens.BatchTopKTrainingSAE(lens.BatchTopKTrainingSAEConfig(**base, k=K))
    torch.manual_seed(99)
    randomised(training)
    training.topk_threshold.fill_(0.8)
    training.save_inference_model(folder("saelens-batchtopk"))
    again = lens.SAE.load_from_disk(folder("saelens-batchtopk"))
    expect("saelens-batchtopk", again.encode(torch.from_numpy(X)))


def write_saelens5() -> None:
    """Folders of SAELens 5."""
    lens = importlib.import_module("sae_lens")
    common = {"d_in": UNITS, "d_sae": LATENTS, "model_name": "clip", "hook_name": "blocks.6.hook_resid_post"}
    common |= {"hook_layer": 6, "hook_head_index": None, "prepend_bos": False, "dataset_path": "d", "context_size": 50}
    common |= {"dtype": "float32", "device": "cpu", "finetuning_scaling_factor": False, "normalize_activations": "none"}
    common |= {"dataset_trust_remote_code": False, "sae_lens_training_version": lens.__version__}
    cases = {
        "standard": {"architecture": "standard", "activation_fn_str": "relu", "apply_b_dec_to_input": True},
        "topk": {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}},
        "gated": {"architecture": "gated", "activation_fn_str": "relu", "apply_b_dec_to_input": False},
        "jumprelu": {"architecture": "jumprelu", "activation_fn_str": "relu", "apply_b_dec_to_input": True},
    }
    for seed, (name, changes) in enumerate(cases.items()):
        values = {"apply_b_dec_to_input": True} | common | changes
        module = lens.SAE(lens.SAEConfig(**values))
        torch.manual_seed(seed)
        randomised(module)
        if name == "jumprelu":
            module.threshold.data.abs_()
        module.save_model(str(folder(f"saelens5-{name}")))
        expect(f"saelens5-{name}", module.encode(torch.from_numpy(X)))


def package(*names: str) -> None:
    """Makes packages importable without their `__init__`, which imports what the autoencoders do not need."""
    for name in names:
        spec = importlib.util.find_spec(name)
        module = types.ModuleType(name)
        module.__path__ = list(spec.submodule_search_locations)
        sys.modules[name] = module


def random_tensors(seed: int, gated: bool = False) -> dict[str, np.ndarray]:
    """Returns the tensors of an autoencoder, with every bias far from 0."""
    noise = np.random.default_rng(seed)
    shapes = {"W_enc": (UNITS, LATENTS), "b_enc": (LATENTS,), "W_dec": (LATENTS, UNITS), "b_dec": (UNITS,)}
    shapes |= dict.fromkeys(("b_gate", "r_mag", "b_mag"), (LATENTS,)) if gated else {}
    return {name: noise.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    """Gives all weights of a module values far from 0."""
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape) * 0.5)
    return module.eval()


def folder(name: str) -> Path:
    """Returns a folder of the fixtures."""
    where = FIXTURES / name
    where.mkdir(parents=True, exist_ok=True)
    return where


def expect(name: str, latents: torch.Tensor | np.ndarray) -> None:
    """Saves the latents of `X`."""
    array = latents.detach().numpy() if isinstance(latents, torch.Tensor) else latents
    with io.BytesIO() as data:
        np.save(data, array.astype(np.float32))
        (folder(name) / "latents.npy").write_bytes(data.getvalue())


if __name__ == "__main__":
    main(sys.argv[1:])
