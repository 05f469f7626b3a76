import pytest

from maia_core.plugin import UsageError
from maia_core.testing import FakeDataset, FakeSystem
from maia_exemplars import BruteForce


def test_brute_force_finds_the_highest_with_ties_by_index_and_counts_what_it_skips():
    warnings = []
    dataset = FakeDataset(FakeDataset.Config(count=40, broken=(6, 7)))
    system = FakeSystem()
    exemplars, statistics = BruteForce(dataset, warnings.append).exemplars(system, 5)
    readable = [n for n in range(40) if n not in (6, 7)]
    values = {n: system.neuron([dataset[n]])[0][0] for n in readable}
    best = sorted(readable, key=lambda n: (-values[n], n))[:5]
    assert [e.activation for e in exemplars] == [values[n] for n in best]
    assert [e.image.provenance["id"] for e in exemplars] == [f"disc-{n}" for n in best]
    assert (statistics.count, statistics.skipped) == (38, 2)
    assert statistics.quantiles[-1] == pytest.approx(max(values.values()))
    assert "2 images of discs" in warnings[0]
    assert "disc-6" in warnings[0]


def test_ties_keep_the_order_of_the_data_set():
    dataset = FakeDataset(FakeDataset.Config(count=70))

    class Constant(FakeSystem):
        def neuron(self, images):
            return [1.0] * len(images), list(images)

    exemplars, _ = BruteForce(dataset).exemplars(Constant(), 15)
    assert [e.image.provenance["id"] for e in exemplars] == [f"disc-{n}" for n in range(15)]


def test_data_set_without_a_readable_image_is_refused():
    with pytest.raises(UsageError, match="no readable image"):
        BruteForce(FakeDataset(FakeDataset.Config(count=2, broken=(0, 1)))).exemplars(FakeSystem(), 5)
