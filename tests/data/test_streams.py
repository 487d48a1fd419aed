"""Sources without rows: read to their end, within bounds."""

import itertools

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from autoprune.data import load_data, streams
from autoprune.errors import UsageError
from tests.augmenting import states
from tests.numbered_samples import everything, numbered

X, Y = numbered(100)


class Endless(IterableDataset):
    def __iter__(self):
        for number in itertools.count():
            yield torch.full((64,), float(number)), number % 4


def forever():
    while True:
        yield X, Y


ENDLESS = {
    "generator": forever,
    "stream": Endless,
    "loader": lambda: DataLoader(Endless(), batch_size=16),
    "workers": lambda: DataLoader(Endless(), batch_size=16, num_workers=2),
    "cycle": lambda: itertools.cycle([(X, Y)]),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("bound", ["STREAMED", "BATCHES"])
def test_endless_sources_are_refused(make, bound, monkeypatch):
    monkeypatch.setattr(streams, bound, {"STREAMED": 2**20, "BATCHES": 200}[bound])
    with pytest.raises(UsageError, match=r"custom train does not end within .* batches") as caught:
        load_data({"train": make(), "test": (X, Y)})
    assert "__getitem__" in caught.value.hint


def test_of_an_endless_source_no_more_is_read_than_the_bound(monkeypatch):
    monkeypatch.setattr(streams, "STREAMED", 2**20)
    made = []

    def batches():
        while True:
            made.append(2**18)
            yield torch.zeros(2**14, 4), torch.zeros(2**14, dtype=torch.int64)

    with pytest.raises(UsageError, match="does not end within 1 MB"):
        load_data({"train": batches(), "test": (X, Y)})
    assert sum(made) <= 2**20


def test_finite_generators_are_read_once_and_leave_random_states_as_they_were():
    def batches():
        for at in range(0, 100, 10):
            yield X[at : at + 10] + torch.rand(()) * 0, Y[at : at + 10]

    before = states()
    data = load_data({"train": batches(), "test": (X + 1000, Y)})
    assert states() == before
    assert everything(data) == sorted([*range(100), *range(1000, 1100)])
