"""One pass over a data set: what it finds, killed and gone on with, in a faster precision, in bad circumstances."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from maia_core.errors import RunError, UsageError
from maia_core.image import Image, content_id
from maia_exemplars import build as building
from maia_exemplars import checkpoint
from maia_exemplars import precision as choice
from maia_exemplars.build import build
from maia_exemplars.finalists import Candidates
from maia_exemplars.folder import Index
from maia_exemplars.histogram import RELATIVE
from maia_exemplars.info import DEFAULT_K
from maia_exemplars.layer import LayerIndex
from maia_exemplars.maps import MAPPED
from maia_exemplars.options import Options
from maia_exemplars.topk import TopK
from maia_torch import Preprocessing, TorchModel

LAYERS = ("cells", "mix", "act@2", "fc", "prob")

fork = multiprocessing.get_context("fork")


class Blobs:
    """Images of coloured noise, made when asked for; every 50th cannot be read."""

    name = "blobs"

    def __init__(self, count: int, side: int = 40) -> None:
        self.side = side
        self.ids = [f"blob {number}" for number in range(count)]
        self.fingerprint = content_id(b"blobs", str(count).encode())

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        from maia_core.errors import UnreadableImage

        if index % 50 == 49:
            raise UnreadableImage("broken")
        noise = np.random.default_rng(index)
        cells = noise.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        return Image.from_pixels(np.kron(cells, np.ones((self.side // 5, self.side // 5, 1), np.uint8)))


class Deep(nn.Module):
    """A few convolutions, deep enough that bfloat16 differs; unit 0 of `last` is never on, unit 1 hardly ever."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Sequential(nn.Conv2d(3, 16, 5, stride=2), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(16, 32, 3), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(32, 24, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(24, 6)
        with torch.no_grad():
            self.last[0].bias[0] = -100.0
            self.last[0].bias[1] -= 0.35

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.last(self.second(self.first(x))).mean((2, 3)))


@pytest.fixture
def deep() -> TorchModel:
    return TorchModel(Deep(), Preprocessing(40), "deep")


def chosen(model: TorchModel, names=LAYERS):
    return [model.layer(name) for name in names]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def measured(model: TorchModel, layer: str, dataset) -> tuple[list[int], np.ndarray]:
    readable = [index for index in range(len(dataset)) if index % 50 != 49]
    return readable, model.activations([dataset[index] for index in readable], layer)


# --- what is found ---


def test_one_pass_finds_what_every_unit_of_every_layer_does(deep, tmp_path):
    dataset = Blobs(200)
    build(deep.measurer_of(chosen(deep, ("first", "last", "head"))), dataset, tmp_path)
    for name in ("first", "last", "head"):
        index = Index(tmp_path).layer(name)
        readable, values = measured(deep, name, dataset)
        order = np.argsort(-values, axis=0, kind="stable")[:DEFAULT_K]
        np.testing.assert_array_equal(index.units["places"], np.array(readable)[order].T)
        np.testing.assert_allclose(index.units["values"], np.take_along_axis(values, order, 0).T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(index.units["mean"], values.mean(axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.sqrt(index.units["squares"] / 196), values.std(axis=0), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(index.sample, values.T, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(index.sample_images, readable)
        assert index.ids(index.skipped.tolist()) == ["blob 49", "blob 99", "blob 149", "blob 199"]
        assert index.unit(3).ids()[0] == f"blob {readable[order[0, 3]]}"
        index.check()


def test_places_and_maps_are_where_the_unit_is_highest(deep, tmp_path):
    dataset = Blobs(60)
    build(deep.measurer_of(chosen(deep, ["second"])), dataset, tmp_path)
    index = Index(tmp_path).layer("second")
    for number in (0, 7):
        unit = index.unit(number)
        images = [dataset[place] for place in unit.places.tolist()]
        maps = np.concatenate(
            [deep.engine.unit(pixels, deep.layer("second"), number) for _, pixels in deep.batches(images)]
        )
        for rank, (stored, exact) in enumerate(zip(unit.positions, maps, strict=True)):
            assert exact[stored] == pytest.approx(exact.max(), rel=1e-5)
            if rank < MAPPED:
                np.testing.assert_allclose(unit.map(rank), exact, atol=1e-4 * exact.max())
            else:
                assert unit.map(rank) is None


def test_more_images_than_the_sample_holds_are_described_by_histograms(deep, tmp_path, monkeypatch):
    for module in ("measures", "layer", "sampling"):
        monkeypatch.setattr(f"maia_exemplars.{module}.SAMPLE", 64)
    monkeypatch.setattr(
        "maia_exemplars.state.sample_images",
        lambda name, count: np.sort(np.random.default_rng(0).permutation(count)[:64]),
    )
    dataset = Blobs(400)
    build(deep.measurer_of(chosen(deep, ["last", "head"])), dataset, tmp_path)
    for name in ("last", "head"):
        index = Index(tmp_path).layer(name)
        readable, values = measured(deep, name, dataset)
        rows = np.searchsorted(readable, index.sample_images)
        assert 40 < len(rows) <= 64
        np.testing.assert_allclose(index.sample, values[rows].T, rtol=1e-4, atol=1e-5)
        for number in range(2, index.info.units):
            found = index.unit(number).statistics(0.99)
            low, high = (np.quantile(values[:, number], (0, 0.5, 0.9, 1), method=how) for how in ("lower", "higher"))
            slack = RELATIVE * np.abs(high) + 1e-5 + abs(values[:, number]).max() / 512
            got = np.array([found.quantiles[i] for i in (0, 3, 5, 8)])
            assert (got >= low - slack).all()
            assert (got <= high + slack).all()


def test_thresholds_of_few_images_with_large_maps_are_those_of_all_positions(tmp_path):
    model = TorchModel(nn.Conv2d(3, 2, 1, bias=False), Preprocessing(160), "conv")
    dataset = Blobs(24, side=160)
    build(model.measurer_of([model.layer("output")]), dataset, tmp_path)
    index = Index(tmp_path).layer("output")
    assert index.info.looked == index.info.positions == 160 * 160
    pixels = np.stack([model.preprocess.crop(dataset[place]) for place in range(24)])
    for number in range(2):
        maps = model.engine.unit(pixels, model.layer("output"), number)
        ranked = np.quantile(maps, 0.95, method="lower")
        assert index.unit(number).threshold(0.95) == pytest.approx(ranked, rel=RELATIVE)
        assert index.unit(number).threshold_error(0.95)[1] == 0


def test_a_layer_of_tokens_and_one_without_maps_have_exemplars(tmp_path):
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.patch = nn.Conv2d(3, 8, 8, stride=8)
            self.mix = nn.Linear(8, 12)
            self.token = nn.Parameter(torch.randn(1, 1, 8))

        def forward(self, x):
            x = self.patch(x).flatten(2).transpose(1, 2)
            x = self.mix(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
            return x[:, 0]

    model = TorchModel(Tokens(), Preprocessing(40), "tokens")
    dataset = Blobs(30)
    build(model.measurer_of(chosen(model, ["mix"])), dataset, tmp_path)
    index = Index(tmp_path).layer("mix")
    assert index.info.shape == (12, 5, 5)
    _, values = measured(model, "mix", dataset)
    np.testing.assert_allclose(index.units["values"][:, 0], values.max(axis=0), rtol=1e-5)


# --- in a faster precision ---


@pytest.mark.slow
@pytest.mark.parametrize("k", [3, 15])
def test_ranking_in_bfloat16_finds_the_same_exemplars_with_exact_values(deep, tmp_path, k):
    dataset, layers = Blobs(600), chosen(deep, ("first", "second", "last", "head"))
    build(deep.measurer_of(layers), dataset, tmp_path / "exact", Options(k=k, precision="exact"))
    build(deep.measurer_of(layers), dataset, tmp_path / "fast", Options(k=k, precision="bfloat16"))
    for layer in layers:
        exact, fast = (Index(tmp_path / name).layer(layer.name) for name in ("exact", "fast"))
        assert fast.info.fast == "bfloat16"
        np.testing.assert_array_equal(exact.units["places"], fast.units["places"])
        np.testing.assert_allclose(fast.units["values"], exact.units["values"], rtol=1e-4, atol=1e-6)
        error = np.sqrt(((fast.sample - exact.sample) ** 2).mean(axis=1))
        assert (error <= 3 * fast.units["error"] + 1e-6).all(), "the stated error of statistics"
        assert fast.units["error"].max() > 0


def test_not_all_images_are_measured_exactly_where_the_ranking_tells(deep, tmp_path, monkeypatch):
    dataset = Blobs(900)
    counts = {"exact": 0}
    read = type(deep.engine).read

    def counting(engine, pixels, wanted):
        counts["exact"] += len(pixels) if engine is deep.engine else 0
        return read(engine, pixels, wanted)

    monkeypatch.setattr(type(deep.engine), "read", counting)
    build(deep.measurer_of(chosen(deep, ["first"])), dataset, tmp_path, Options(k=3, precision="bfloat16"))
    assert 0 < counts["exact"] < 300


def test_where_the_candidates_are_too_few_all_images_are_measured_exactly(deep, tmp_path, monkeypatch):
    monkeypatch.setattr("maia_exemplars.ranking.CANDIDATES", 1)
    dataset, notes = Blobs(300), []
    layers = chosen(deep, ["last"])
    build(deep.measurer_of(layers), dataset, tmp_path / "exact", Options(precision="exact"))
    build(deep.measurer_of(layers), dataset, tmp_path / "fast", Options(precision="bfloat16"), warn=notes.append)
    assert any("cannot tell the exemplars" in note for note in notes)
    exact, fast = (Index(tmp_path / name).layer("last").units for name in ("exact", "fast"))
    np.testing.assert_array_equal(exact["places"], fast["places"])


class Cancelling(nn.Module):
    """Red, but in bfloat16 black where the image is blue: a rare error, and a huge one."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.Conv2d(3, 1, 1, bias=False)
        self.cells.weight.data[:] = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red, green, blue = x[:, :1], x[:, 1:2], x[:, 2:]
        return self.cells(torch.cat([(blue * 1000 + red) - blue * 1000, green, blue], 1))


class Reds:
    """Dark red images, now and then a brighter one, and a single one that is blue too, and the reddest."""

    name = fingerprint = "reds"
    ids = tuple(map(str, range(1000)))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        red = 200 + index // 20 if index % 50 == 25 else index * 7 % 50
        return Image.from_pixels(np.full((8, 8, 3), (255, 0, 255) if index == 3 else (red, 0, 0), np.uint8))


def test_an_image_that_bfloat16_misjudges_utterly_is_an_exemplar(tmp_path):
    model = TorchModel(Cancelling(), Preprocessing(8, mean=(0, 0, 0), std=(1, 1, 1)), "cancelling")
    found = {}
    for precision in ("exact", "bfloat16"):
        build(
            model.measurer_of([model.layer("cells")]), Reds(), tmp_path / precision, Options(k=5, precision=precision)
        )
        found[precision] = Index(tmp_path / precision).layer("cells").units[0]
    assert found["exact"]["places"][0] == 3
    np.testing.assert_array_equal(found["bfloat16"]["places"], found["exact"]["places"])
    np.testing.assert_array_equal(found["bfloat16"]["values"], found["exact"]["values"])
    assert found["bfloat16"]["error"] > 0


@pytest.mark.parametrize("where", ["calibration", "finalist", "no candidate"])
def test_a_margin_is_never_less_than_twice_an_error_that_was_seen(where):
    """40 finalists are so many that six times the root mean square of their errors is less than the largest of them."""
    fast = np.linspace(0, 1, 1000, dtype=np.float32)
    fast[:40] = np.linspace(5.9, 6, 40)
    exact = fast + np.where(np.arange(1000) % 2, 0.02, -0.02).astype(np.float32)
    fast[40], exact[40] = 4.6, 6.2  # Lost, where the margin is less than 1.3.
    exact[{"calibration": 500, "finalist": 1, "no candidate": 41}[where]] -= 1
    candidates, best = Candidates(1, 120), TopK.empty(1, 15)
    calibration = np.arange(450, 514)
    for places in (calibration, np.setdiff1d(np.arange(1000), calibration)):
        known = exact[places][:, None] if places is calibration else None
        candidates.offer(places, fast[places][:, None], known)
    best.offer(calibration, exact[calibration][:, None])
    if where == "no candidate":
        exact[41] = fast[candidates.places[0]].min() + 1
        best.offer(np.array([41]), exact[[41], None])
        candidates.measured(np.array([41]), exact[[41], None])
    while len(wanted := candidates.places[candidates.open(best)[0]]):
        assert not np.isin(wanted, calibration).any(), "what was measured is not measured again"
        best.offer(wanted, exact[wanted][:, None])
        candidates.measured(wanted, exact[wanted][:, None])
    assert best.places[0, best.order()[0, 0]] == 40
    assert not candidates.open(best)[1].any()


@pytest.mark.parametrize(("fast", "expected"), [(0.01, "bfloat16"), (0.9, "")])
def test_auto_ranks_only_where_that_is_expected_to_be_faster(deep, tmp_path, monkeypatch, fast, expected):
    monkeypatch.setattr(choice, "MIN_SECONDS", 0)
    exact = deep.measurer(["head"])
    monkeypatch.setattr(choice, "seconds", lambda measurer, pixels: 1.0 if measurer is exact else fast)
    build(exact, Blobs(600), tmp_path, Options(k=2))
    assert Index(tmp_path).layer("head").info.fast == expected


def test_auto_begins_anew_exactly_when_nearly_every_image_turns_out_to_be_a_finalist(deep, tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "MIN_SECONDS", 0)
    monkeypatch.setattr(choice, "MAX_FINALISTS", 1e9)
    exact, said = deep.measurer(["second", "last", "head"]), []
    monkeypatch.setattr(choice, "seconds", lambda measurer, pixels: 1.0 if measurer is exact else 0.5)
    build(exact, Blobs(200), tmp_path, progress=lambda what, *rest: said.append(what))
    assert Index(tmp_path).layer("head").info.fast == ""
    assert said[-1] == "measuring"
    build(exact, Blobs(200), tmp_path / "exact", Options(precision="exact"))
    assert files(tmp_path / "head") == files(tmp_path / "exact" / "head")


# --- killed, and gone on with ---


def _killed_after(model, dataset, folder, options, calls, monkeypatch):
    """Builds in a child process that kills itself the hard way; every image is a reason to save."""

    def child() -> None:
        torch.set_num_threads(1)
        seen = 0

        def progress(*told: object) -> None:
            nonlocal seen
            seen += 1
            if seen == calls:
                os.kill(os.getpid(), signal.SIGKILL)

        build(model.measurer_of(chosen(model, ("first", "last", "head"))), dataset, folder, options, progress=progress)

    monkeypatch.setattr(checkpoint, "MIN_PAUSE", 0.0)
    monkeypatch.setattr(checkpoint, "MAX_PAUSE", 0.0)
    process = fork.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(("precision", "calls"), [("exact", 2), ("exact", 5), ("bfloat16", 3), ("bfloat16", 9)])
def test_a_killed_build_goes_on_and_the_index_is_identical(deep, tmp_path, monkeypatch, precision, calls):
    dataset, layers = Blobs(100), chosen(deep, ("first", "last", "head"))
    build(deep.measurer_of(layers), dataset, tmp_path / "whole", Options(k=2, precision=precision))
    again = tmp_path / "again"
    _killed_after(deep, dataset, again, Options(k=2, precision=precision), calls, monkeypatch)
    with pytest.raises(UsageError, match="--resume"):
        build(deep.measurer_of(layers), dataset, again, Options(k=2, precision=precision))
    told = []
    build(
        deep.measurer_of(layers),
        dataset,
        again,
        Options(k=2, precision=precision, resume=True),
        progress=lambda what, done, of: told.append((what, done)),
    )
    if precision == "exact":
        assert told[0][1] > 16 * (calls - 1), "what was saved is not measured again"
    assert files(tmp_path / "whole") == files(again)


@pytest.mark.parametrize("where", ["write", "put_in_place"])
def test_a_build_killed_while_it_writes_goes_on(deep, tmp_path, monkeypatch, where):
    dataset, layers = Blobs(40), chosen(deep, ("first", "head"))
    build(deep.measurer_of(layers), dataset, tmp_path / "whole")
    real = getattr(building, where)

    def child() -> None:
        torch.set_num_threads(1)
        done = []

        def once(*arguments):
            if done:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(real(*arguments))

        setattr(building, where, once)
        build(deep.measurer_of(layers), dataset, tmp_path / "again")

    monkeypatch.setattr(checkpoint, "MIN_PAUSE", 0.0)
    process = fork.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    build(deep.measurer_of(layers), dataset, tmp_path / "again", Options(resume=True))
    assert files(tmp_path / "whole") == files(tmp_path / "again")


def test_an_unfinished_build_of_something_else_is_refused(deep, tmp_path, monkeypatch):
    dataset = Blobs(100)
    _killed_after(deep, dataset, tmp_path, Options(), 3, monkeypatch)
    layers = chosen(deep, ("first", "last", "head"))
    other = TorchModel(Deep(), Preprocessing(40, std=(0.5, 0.5, 0.5)), "deep")
    for arguments, differs in (
        (
            (other.measurer_of(chosen(other, ("first", "last", "head"))), dataset, tmp_path, Options(resume=True)),
            "preprocessing",
        ),
        ((deep.measurer_of(layers), Blobs(101), tmp_path, Options(resume=True)), "data set"),
        ((deep.measurer_of(layers[:2]), dataset, tmp_path, Options(resume=True)), "choice of layers"),
        ((deep.measurer_of(layers), dataset, tmp_path, Options(resume=True, k=4)), "number of exemplars"),
        ((deep.measurer_of(layers), dataset, tmp_path, Options(resume=True, span=(0, 50))), "part of the data set"),
    ):
        with pytest.raises(UsageError, match=f"unfinished build with another .*{differs}"):
            build(*arguments)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_a_broken_state_is_one_line_or_begun_anew_where_nobody_is_there(deep, tmp_path, monkeypatch, damage):
    dataset, layers = Blobs(100), chosen(deep, ("first", "last", "head"))
    _killed_after(deep, dataset, tmp_path, Options(), 3, monkeypatch)
    file = tmp_path / ".building" / checkpoint.STATE
    file.write_bytes(file.read_bytes()[:-500] if damage is None else damage)
    with pytest.raises(UsageError, match=r"cannot resume from .*; delete .*\.building"):
        build(deep.measurer_of(layers), dataset, tmp_path, Options(resume=True))
    build(deep.measurer_of(layers), dataset, tmp_path, Options(unattended=True))
    assert Index(tmp_path).layers() == ["first", "head", "last"]


# --- bad circumstances ---


def test_two_builders_of_one_folder_do_not_meet(deep, tmp_path):
    dataset, layers = Blobs(20), chosen(deep, ["head"])
    with (
        checkpoint.locked(tmp_path / ".building", wait=False),
        pytest.raises(UsageError, match="another process is building"),
    ):
        build(deep.measurer_of(layers), dataset, tmp_path)
    build(deep.measurer_of(layers), dataset, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["head"]


def test_of_two_unattended_builders_the_second_waits_and_finds_it_done(deep, tmp_path):
    dataset, layers = Blobs(60), chosen(deep, ["head"])
    begun, go_on = fork.Event(), fork.Event()

    def child() -> None:
        torch.set_num_threads(1)

        def progress(*told: object) -> None:
            begun.set()
            go_on.wait(30)

        build(deep.measurer_of(layers), dataset, tmp_path, Options(unattended=True), progress=progress)

    process = fork.Process(target=child)
    process.start()
    assert begun.wait(30)
    go_on.set()
    measured = []
    build(
        deep.measurer_of(layers),
        dataset,
        tmp_path,
        Options(unattended=True),
        is_done=lambda: (tmp_path / "head").exists(),
        progress=lambda *told: measured.append(told),
    )
    process.join()
    assert process.exitcode == 0
    assert measured == []
    assert [path.name for path in tmp_path.iterdir()] == ["head"]


def test_a_full_disk_is_one_line_and_what_was_saved_is_gone_on_from(deep, tmp_path, monkeypatch):
    dataset, layers = Blobs(100), chosen(deep, ["first", "last"])
    build(deep.measurer_of(layers), dataset, tmp_path / "whole")
    said = fork.Queue()

    def child() -> None:
        torch.set_num_threads(1)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            build(deep.measurer_of(layers), dataset, tmp_path / "full")
        except RunError as error:
            said.put(str(error))

    process = fork.Process(target=child)
    process.start()
    line = said.get(timeout=60)
    process.join()
    assert "cannot be written (File too large)" in line
    assert "--resume" in line
    assert "\n" not in line
    assert Index(tmp_path / "full").layers() == []
    build(deep.measurer_of(layers), dataset, tmp_path / "full", Options(resume=True))
    assert files(tmp_path / "whole") == files(tmp_path / "full")


def test_values_that_are_not_finite_end_the_build(deep, tmp_path):
    with torch.no_grad():
        deep.engine.module.head.bias[2] = float("nan")
    with pytest.raises(UsageError, match=r"layer head of .* gave values that are not finite on every image"):
        build(deep.measurer_of(chosen(deep, ["head"])), Blobs(20), tmp_path)


def test_an_index_is_read_without_torch(deep, tmp_path):
    import subprocess
    import sys

    build(deep.measurer_of(chosen(deep, ["last"])), Blobs(20), tmp_path)
    code = f"""
import sys
from pathlib import Path
from maia_exemplars.folder import Index
unit = Index(Path({str(tmp_path)!r})).layer("last").unit(3)
print(len(unit.ids()), unit.statistics(0.99).count, unit.map(0).shape, len(unit.sample), "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "20 20 (7, 7) 20 False"


@pytest.mark.parametrize("hostile", ["ends", "places", "bins", "letters", "sheet"])
def test_numbers_that_lead_nowhere_are_named_not_followed(deep, tmp_path, hostile):
    build(deep.measurer_of(chosen(deep, ["last"])), Blobs(20), tmp_path)
    folder = tmp_path / "last"
    index = LayerIndex(folder)
    units = np.array(index.units)
    if hostile == "ends":
        units["map_end"] = -5
        np.save(folder / "units.npy", units)
    elif hostile == "places":
        units["places"] = 10**12
        np.save(folder / "units.npy", units)
    elif hostile == "bins":
        bins = np.load(folder / "map_bins.npy")
        np.save(folder / "map_bins.npy", np.full_like(bins, 65535))
    elif hostile == "letters":
        ends = np.load(folder / "id_ends.npy")
        np.save(folder / "id_ends.npy", ends + 10**9)
    else:
        text = (folder / "sheet.json").read_text()
        (folder / "sheet.json").write_text(text.replace('"k": 32', '"k": -1'))

    def read() -> None:
        unit = LayerIndex(folder).unit(3)
        unit.threshold(0.99)
        unit.ids()

    with pytest.raises(UsageError, match="cannot be used"):
        read()
