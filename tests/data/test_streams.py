"""Sources without rows: read to their end, within bounds."""

import itertools

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from autoprune.data import load_data, streams
from autoprune.data.split import Split
from autoprune.errors import UsageError
from tests.augmenting import Noisy, states
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


class Shuffled(IterableDataset):
    """A stream of 60 noisy samples in an order of its own in every pass."""

    def __init__(self, short=False):
        self.passes, self.short = 0, short

    def __iter__(self):
        self.passes += 1
        rows = torch.randperm(60).tolist()
        yield from (Noisy(60)[row] for row in rows[: 40 if self.short and self.passes > 2 else 60])


GIVEN = {"validation": numbered(10, offset=1000), "test": numbered(10, offset=2000)}


def epoch(train, seed, **options):
    return torch.cat([x for x, _ in train.batches(8, seed=seed, augment=True, **options)])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_that_differs_is_streamed_anew_in_every_epoch(workers):
    before = states()
    loader = DataLoader(Shuffled(), batch_size=7, num_workers=workers)
    data = load_data({"train": loader, **GIVEN})
    first, second = epoch(data.train, 1), epoch(data.train, 2)
    assert states() == before and data.remarks == ()
    assert sorted(first.floor().flatten().tolist()) == list(range(60))
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist())
    torch.manual_seed(4)
    begun = data.train.batches(8, seed=1, augment=True, first=3)
    pieces = []
    for x, _ in begun:
        torch.manual_seed(len(pieces))  # as a training does between two batches
        pieces.append(x)
    assert torch.equal(torch.cat(pieces), first[24:])
    assert len({len(x) for x, _ in data.train.batches(8, seed=1, augment=True)}) <= 2
    fixed = [torch.cat([x for x, _ in data.train.batches(9)]) for _ in range(2)]
    assert torch.equal(*fixed)


def test_a_pass_that_is_shorter_is_followed_by_another():
    train = load_data({"train": Shuffled(short=True), **GIVEN}).train
    assert len(train) == len(epoch(train, 1)) == 60


def test_what_is_cut_out_of_a_stream_is_held_and_said():
    data = load_data({"train": Shuffled(), "test": GIVEN["test"]})
    assert isinstance(data.train, Split)
    assert "differs from pass to pass, but search and validation" in data.remarks[0]
    every = sorted(value for value in everything(data) if value < 1000)
    assert [int(value) for value in every] == list(range(60))
