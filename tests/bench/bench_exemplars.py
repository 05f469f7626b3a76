"""Times the exemplar index against a bare forward pass and against the usual way, side by side in one run.

The network is torchvision's ResNet-152 with random weights, the images are photograph-sized JPEGs. Index and bare pass
run batch by batch in turns, so that other load on the machine meets both; the ratio is the median of these pairs.

The usual way is what NetDissect and MILAN do: float32, one layer at a time; of each layer the running highest images
and a running quantile sketch (KLL, resolution 4,096) of all values of all maps; then a second pass over the highest
images for their masks. It runs in a process of its own, as it would: without this package's settings of the allocator.
So does the index beside it, before and after.

    python tests/bench/bench_exemplars.py [PART ...]

About 4 minutes on two quiet cores. `bench_neuron.py` has the cost of `system.neuron`.
"""

from __future__ import annotations

import argparse
import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as `maia exemplars build` sets it

import numpy as np
from PIL import Image as PILImage

from maia_core.image import Image

LAYERS = ("relu", "layer1", "layer2", "layer3", "layer4")
"""The paper's layers: 3,904 units."""

BATCH, K = 16, 15

EXPECTED = 2.3
"""As `maia_exemplars.ranking.EXPECTED`, finalists of a unit for each exemplar."""


class Photographs:
    """JPEGs of 500 x 375 pixels, decoded when asked for; there are 64 of them, again and again."""

    name = "photographs"

    def __init__(self, count: int, size: tuple[int, int] = (500, 375)) -> None:
        self.ids = [f"{number:07}" for number in range(count)]
        self.fingerprint = f"photographs of {count}, {size}"
        noise = np.random.default_rng(0)
        self._files = []
        for _ in range(64):
            small = noise.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            picture = np.asarray(PILImage.fromarray(small).resize(size, PILImage.Resampling.BICUBIC), np.int16)
            picture = (picture + noise.normal(0, 12, picture.shape)).clip(0, 255).astype(np.uint8)
            file = io.BytesIO()
            PILImage.fromarray(picture).save(file, "JPEG", quality=88)
            self._files.append(file.getvalue())

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        with PILImage.open(io.BytesIO(self._files[index % len(self._files)])) as picture:
            return Image.from_pixels(np.asarray(picture.convert("RGB")))


def resnet(channels_last: bool = True):
    """Makes the network, as a model."""
    import torch
    import torchvision

    from maia_torch import Preprocessing, TorchModel

    torch.manual_seed(0)
    return TorchModel(
        torchvision.models.resnet152(),
        Preprocessing(224, 256),
        "resnet152",
        channels_last=channels_last,
        fingerprint="x",
    )


def cheap(units: Sequence[tuple[int, int]]):
    """Makes a network that does nearly nothing, with layers of the given units and sides."""
    import torch
    from torch import nn

    from maia_torch import Preprocessing, TorchModel

    class Cheap(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.parts = nn.ModuleList(nn.Conv2d(3, count, 1) for count, _ in units)

        def forward(self, x):
            for (_, side), part in zip(units, self.parts, strict=True):
                x = nn.functional.adaptive_avg_pool2d(x, side)
                part(x)
            return x

    return TorchModel(
        Cheap(), Preprocessing(224, 256), "cheap", channels_last=True, fingerprint=str(units), classifier=False
    )


SHAPES = ((64, 112), (256, 56), (512, 28), (1024, 14), (2048, 7))
"""Units and sides of the maps of `LAYERS`."""


# --- in turns ---


class Enough(Exception):
    """All that is timed has been run."""


def in_turns(model, layers, images: int, precision: str, warm: int) -> tuple[list[float], list[float]]:
    """Builds an index and makes bare passes over the same images, a batch of each in turn; returns seconds of both.

    The bare pass reads and crops its images in the same way, and runs up to the same layer in the same precision.
    Batches on which the two precisions are compared are left out of both, and so are the first ones.
    """
    from maia_cli import process_started
    from maia_exemplars.build import build
    from maia_exemplars.options import Options
    from maia_exemplars.reading import batches

    process_started()  # as `maia exemplars build` does
    dataset = Photographs(images)
    measurer = model.measurer_of(layers)
    engine = model.engine if precision == "exact" else measurer.faster()._engine
    source = batches(dataset, model.preprocess, range(images), BATCH)
    index, bare = [], []
    compared = {images * part // 4 // BATCH for part in range(4)} if precision != "exact" else set()
    started = time.perf_counter()

    def progress(what: str, done: int, of: int) -> None:
        nonlocal started
        spent = time.perf_counter() - started
        begun = time.perf_counter()
        batch = next(source)
        engine.read(batch.pixels, {layers[-1]: lambda values: [values[:1, :1].clone()]})
        number = done // BATCH - 1
        if number >= warm and number not in compared:
            index.append(spent)
            bare.append(time.perf_counter() - begun)
        if done == of:
            raise Enough
        started = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder, suppress(Enough):
        build(measurer, dataset, Path(folder) / "index", Options(k=K, precision=precision), progress=progress)
    return index, bare


def rate(seconds: Sequence[float]) -> float:
    return BATCH / statistics.median(seconds)


def part_bare() -> None:
    """Index of 5 layers, 3,904 units, against a bare pass in the same precision (goal: 0.90)."""
    model = resnet()
    layers = [model.layer(name) for name in LAYERS]
    for precision, images in (("exact", 112), ("bfloat16", 208)):
        index, bare = in_turns(model, layers, images, precision, warm=2)
        name = "float32" if precision == "exact" else precision
        ratio = statistics.median(b / i for i, b in zip(index, bare, strict=True))
        print(f"{name:9} bare {rate(bare):6.1f} images/s   index {rate(index):6.1f}   ratio {ratio:.2f}", flush=True)


# --- the usual way ---


class RunningQuantile:
    """A sketch of KLL's kind for several streams, as in the usual way: full buffers are sorted and every other value
    goes to the next one."""

    def __init__(self, resolution: int = 4096) -> None:
        self.size, self.levels, self.fill = 2 * resolution, [], []

    def add(self, values, level: int = 0) -> None:
        """Takes values of shape (n, streams)."""
        import torch

        values = values.t()
        while values.shape[1]:
            if level == len(self.levels):
                self.levels.append(torch.empty(values.shape[0], max(self.size >> level, 64)))
                self.fill.append(0)
            buffer, filled = self.levels[level], self.fill[level]
            taken = min(buffer.shape[1] - filled, values.shape[1])
            buffer[:, filled : filled + taken] = values[:, :taken]
            self.fill[level], values = filled + taken, values[:, taken:]
            if self.fill[level] == buffer.shape[1]:
                ordered, _ = buffer.sort(dim=1)
                self.fill[level] = 0
                self.add(ordered[:, int(torch.randint(2, ())) :: 2].t(), level + 1)


class RunningTopK:
    """The highest values of several streams so far, as in the usual way."""

    def __init__(self, k: int = K) -> None:
        self.k, self.values, self.ids, self.seen = k, None, None, 0

    def add(self, values) -> None:
        """Takes values of shape (images, streams)."""
        import torch

        ids = torch.arange(self.seen, self.seen + len(values)).unsqueeze(1).expand_as(values)
        self.seen += len(values)
        if self.values is not None:
            values, ids = torch.cat([self.values, values]), torch.cat([self.ids, ids])
        self.values, at = values.topk(min(self.k, len(values)), dim=0)
        self.ids = ids.gather(0, at)


def usual(layer: str, batches_to_run: int) -> None:
    """Runs the usual way; prints seconds of a batch of the tally, and of the second pass."""
    import torch
    import torchvision

    from maia_exemplars.preprocess import Preprocessing

    torch.manual_seed(0)
    net = torchvision.models.resnet152().eval()
    kept = {}
    net.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.update(output=output.detach().clone())
    )
    preprocess, dataset = Preprocessing(224, 256), Photographs(batches_to_run * BATCH)
    mean = torch.tensor(preprocess.mean).view(3, 1, 1)
    std = torch.tensor(preprocess.std).view(3, 1, 1)

    class Tensors(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(dataset)

        def __getitem__(self, index: int):
            crop = torch.from_numpy(preprocess.crop(dataset[index]).copy()).permute(2, 0, 1)
            return (crop.float() / 255 - mean) / std

    def loaded() -> Iterator:
        return iter(torch.utils.data.DataLoader(Tensors(), BATCH, num_workers=2))

    tally, second = [], []
    highest, quantiles = RunningTopK(), RunningQuantile()
    with torch.no_grad():
        source = loaded()
        for _ in range(batches_to_run):
            started = time.perf_counter()
            net(next(source))
            maps = kept["output"]
            highest.add(maps.flatten(2).max(2).values)
            quantiles.add(maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1]))
            tally.append(time.perf_counter() - started)
        for _ in range(2):
            started = time.perf_counter()
            net(torch.zeros(BATCH, 3, 224, 224))
            second.append(time.perf_counter() - started)
    print(f"{statistics.median(tally):.4f} {min(second):.4f}")


def ran(*arguments: str, env: dict[str, str] | None = None) -> list[float]:
    """Runs this file in a process of its own and returns the numbers that it prints."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        sys.exit(done.stderr)
    return [float(word) for word in done.stdout.split()]


def part_usual() -> None:
    """Index against the usual way (goal: 3 times for one layer, accordingly more for several)."""
    passive = {"OMP_WAIT_POLICY": "passive"}
    before = ran("--ours", "layer4", "--batches", "4", env=passive)
    tally, second = (spent / BATCH for spent in ran("--usual", "layer4", "--batches", "4"))
    after = ran("--ours", "layer4", "--batches", "4", env=passive)
    exact, fast = (statistics.mean(pair) / BATCH for pair in zip(before, after, strict=True))
    print(f"layer4: usual tally {1 / tally:.1f} images/s, its second pass {1 / second:.1f}; index {1 / exact:.1f},")
    print(f"        ranking in bfloat16 {1 / fast:.1f}", flush=True)
    units = 2048
    for images in (2_000, 50_000, 1_281_167):
        # Of so many images, those that are exemplars of some unit if each is as likely; and those measured again.
        shown, finalists = (1 - np.exp(-units * K * each / images) for each in (1, EXPECTED))
        index, whole = min(exact, fast + finalists * exact), tally + shown * second
        hours = [f"{images * each / 3600:.2f} h" for each in (tally, whole, index)]
        print(
            f"  {images:9,} images: usual {hours[0]}, with masks {hours[1]}; index with masks {hours[2]}: "
            f"ratio {tally / index:.1f}, with masks {whole / index:.1f}"
        )
    others = [ran("--usual", name, "--batches", "2")[0] / BATCH for name in LAYERS[:-1]]
    together = ran("--ours", ",".join(LAYERS), "--batches", "4", env=passive)[0] / BATCH
    apart = sum(others) + tally
    print(f"5 layers: usual {apart:.2f} s an image without masks, index {together:.2f} s: ratio {apart / together:.1f}")


def ours(layers: str, batches_to_run: int) -> None:
    """Prints seconds of a batch of the index build: exactly, and ranking in bfloat16."""
    from maia_exemplars.build import build
    from maia_exemplars.options import Options

    model = resnet()
    chosen = [model.layer(name) for name in layers.split(",")]
    for precision in ("exact", "bfloat16"):
        # Of these, 4 are compared with the exact pass; the median leaves them out.
        number = batches_to_run if precision == "exact" else 10
        times: list[float] = []

        def progress(what: str, done: int, of: int, times: list[float] = times) -> None:
            times.append(time.perf_counter())
            if done == of:
                raise Enough

        with tempfile.TemporaryDirectory() as folder, suppress(Enough):
            options = Options(k=K, precision=precision)
            build(
                model.measurer_of(chosen),
                Photographs(number * BATCH),
                Path(folder) / "index",
                options,
                progress=progress,
            )
        spent = [after - before for before, after in itertools.pairwise(times)]
        print(statistics.median(spent), end=" ")


# --- memory, queries, growth ---


def peak() -> float:
    # Not `ru_maxrss`: a new process begins with that of the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory(kind: str, images: int) -> None:
    """Prints the greatest memory of a process that builds an index, or makes bare passes, in MB."""
    from maia_exemplars.build import build
    from maia_exemplars.options import Options
    from maia_exemplars.reading import batches

    model = cheap([(2048, 7)] if kind == "large" else SHAPES)
    layers = [layer for layer in model.engine.layers if layer.module]
    dataset = Photographs(images, (64, 48) if kind == "large" else (500, 375))
    if kind == "bare":
        for batch in batches(dataset, model.preprocess, range(images), BATCH):
            model.engine.read(batch.pixels, {layers[-1]: lambda values: [values[:1, :1].clone()]})
    else:
        with tempfile.TemporaryDirectory() as folder:
            precision = "exact" if kind == "large" else kind
            build(model.measurer_of(layers), dataset, Path(folder) / "index", Options(precision=precision))
    print(peak())


def part_memory() -> None:
    """Memory beyond that of a bare pass, for the units and maps of 5 layers of ResNet-152 (goal: 300 MB, and flat)."""
    kinds = [("bare", 150), ("exact", 150), ("exact", 1500), ("bfloat16", 150)]
    found = {kind: [ran("--memory", kind[0], "--images", str(kind[1]))[0] for _ in range(2)] for kind in kinds}
    bare = statistics.mean(found.pop(kinds[0]))
    for (kind, images), peaks in found.items():
        beyond = " and ".join(f"{peak - bare:.0f}" for peak in peaks)
        print(f"3,904 units, {images:5,} images, {kind:8}: {beyond} MB beyond the bare pass's {bare:.0f}", flush=True)


def part_large() -> None:
    """Greatest memory of a search of 2,048 units, as the images grow (goal: flat)."""
    few, many = (ran("--memory", "large", "--images", str(images))[0] for images in (500, 5000))
    print(
        f"2,048 units: {few:.0f} MB for 500 small images, {many:.0f} MB for 5,000, ratio {many / few:.2f}", flush=True
    )


def part_query() -> None:
    """One unit of 4,000 from a built index, in a new process without torch (goal: 20 ms)."""
    from maia_exemplars.build import build

    model = cheap([(4000, 7)])
    layers = [layer for layer in model.engine.layers if layer.module]
    code = """
import sys, time
from pathlib import Path
import numpy
from maia_exemplars.folder import Index
started = time.perf_counter()
unit = Index(Path(sys.argv[1])).layer("parts.0").unit(int(sys.argv[2]))
unit.ids(), unit.values, unit.positions, unit.statistics(0.99), unit.sample.sum(), unit.map(0)
print((time.perf_counter() - started) * 1000)
assert "torch" not in sys.modules
"""
    with tempfile.TemporaryDirectory() as folder:
        build(model.measurer_of(layers), Photographs(160), Path(folder))
        times = []
        for unit in range(3, 4000, 800):
            done = subprocess.run(
                [sys.executable, "-c", code, folder, str(unit)], capture_output=True, text=True, check=True
            )
            times.append(float(done.stdout))
    print(f"one unit of 4,000: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms, without torch")


def part_growth() -> None:
    """Cost of the index beyond the bare pass, a millisecond an image, as layers, units and images grow."""
    for what, shapes, images in (
        ("1 layer, 512 units of 28 x 28", [(512, 28)], 128),
        ("2 layers", [(512, 28)] * 2, 128),
        ("4 layers", [(512, 28)] * 4, 128),
        ("1 layer, 1,024 units", [(1024, 28)], 128),
        ("1 layer, 2,048 units", [(2048, 28)], 128),
        ("4 layers, 4 times the images", [(512, 28)] * 4, 512),
    ):
        model = cheap(shapes)
        layers = [layer for layer in model.engine.layers if layer.module]
        index, bare = in_turns(model, layers, images, "exact", warm=images // BATCH // 2)
        beyond = statistics.median(i - b for i, b in zip(index, bare, strict=True)) / BATCH * 1000
        print(f"{what:32} {beyond:6.2f} ms an image beyond {statistics.median(bare) / BATCH * 1000:.2f}", flush=True)


PARTS: dict[str, Callable[[], None]] = {
    "bare": part_bare,
    "usual": part_usual,
    "memory": part_memory,
    "large": part_large,
    "query": part_query,
    "growth": part_growth,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help=", ".join(PARTS))
    for name in ("--usual", "--ours", "--memory"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    for name in ("--batches", "--images"):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.usual:
        usual(options.usual, options.batches)
    elif options.ours:
        ours(options.ours, options.batches)
    elif options.memory:
        memory(options.memory, options.images)
    else:
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for name in options.parts or PARTS:
            print(f"-- {PARTS[name].__doc__}")
            PARTS[name]()


if __name__ == "__main__":
    main()
