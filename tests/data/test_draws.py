"""Samplers of a user's loader choose the rows of an epoch; what is held out stays held out."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from autoprune.data import load_data
from autoprune.errors import UsageError
from tests.augmenting import Noisy, states
from tests.numbered_samples import numbered


class Balanced(Sampler):
    """Batches of one row of each of four classes, drawn by a generator of its own."""

    def __init__(self, count):
        self.count, self.rng = count, np.random.default_rng(1)

    def __iter__(self):
        for _ in range(self.count // 4):
            yield [int(self.rng.integers(self.count // 4)) * 4 + label for label in range(4)]

    def __len__(self):
        return self.count // 4


class Endless(Sampler):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        while True:
            yield torch.randint(self.count, ())


class Epochs(Sampler):
    """As DistributedSampler: shuffles by the number of the epoch."""

    def __init__(self, count):
        self.count, self.epoch = count, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        order = torch.randperm(self.count, generator=torch.Generator().manual_seed(self.epoch))
        yield from order[:20].tolist()


def train_of(**options):
    return load_data({"train": DataLoader(Noisy(80), **options), "test": numbered(8)})


def rows(split, seed):
    batches = split.batches(8, seed=seed, augment=True)
    return torch.cat([x for x, _ in batches]).floor().flatten().long().tolist()


WEIGHTS = [0.0] * 20 + [1.0] * 30 + [5.0] * 30


@pytest.mark.parametrize(
    ("options", "universe", "count"),
    [
        ({"sampler": WeightedRandomSampler(WEIGHTS, 80)}, range(20, 80), 54),
        ({"sampler": RandomSampler(range(80), num_samples=16)}, range(80), 14),
        ({"sampler": RandomSampler(range(80), replacement=True)}, range(80), 72),
        ({"sampler": SubsetRandomSampler(range(10, 50))}, range(10, 50), 36),
        ({"sampler": range(50)}, range(50), 45),
        ({"batch_sampler": BatchSampler(range(0, 80, 2), 3, drop_last=False)}, range(0, 80, 2), 36),
    ],
    ids=["weighted", "fewer", "repeated", "subset", "range", "batches"],
)
def test_rows_that_a_sampler_may_draw_are_divided_and_drawn_by_it(options, universe, count):
    data = train_of(**options)
    held = {row for name in ("search", "validation") for row in data.rows[name][1].tolist()}
    allowed = set(data.rows["train"][1].tolist())
    assert held | allowed == set(universe) and not held & allowed
    assert held == set(sorted(universe)[-len(held) :])
    seen = rows(data.train, 1)
    assert len(seen) == len(data.train) == count
    assert set(seen) <= allowed
    assert seen == rows(data.train, 1) != rows(data.train, 2)


def test_weights_decide_how_often():
    sampler = WeightedRandomSampler([1.0] * 36 + [9.0] * 36 + [1.0] * 8, 80)
    train = train_of(sampler=sampler).train
    seen = [row for seed in range(20) for row in rows(train, seed)]
    heavy = sum(row >= 36 for row in seen) / len(seen)
    assert 0.85 < heavy < 0.95


@pytest.mark.parametrize("kind", [Balanced, Endless, Epochs])
def test_samplers_of_a_users_own(kind):
    sampler = kind(80)
    name = "batch_sampler" if kind is Balanced else "sampler"
    before = states()
    train, again = (train_of(**{name: kind(80)}).train for _ in range(2))
    train_of(**{name: sampler})
    seen = rows(train, 3)
    assert states() == before
    assert seen == rows(again, 3) != rows(train, 4)
    if kind is Balanced:
        assert sampler.rng.integers(1000) == np.random.default_rng(1).integers(1000)
        steps = [(later - row) % 4 for row, later in pairwise(seen)]
        assert steps.count(1) > 0.7 * len(steps), "rows come in the order of its batches"


def test_a_generator_of_the_users_is_left_as_it_was():
    generator = torch.Generator().manual_seed(5)
    data = train_of(sampler=RandomSampler(range(80), replacement=True, generator=generator))
    rows(data.train, 1)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(5).get_state())


@pytest.mark.parametrize(
    ("sampler", "message"),
    [([3, 99], "draws row 99 of 80"), ([], "draws nothing"), (["a"], "fails: ValueError")],
)
def test_samplers_that_draw_nonsense(sampler, message):
    with pytest.raises(UsageError, match=f"the sampler of custom train {message}"):
        train_of(sampler=sampler)


class Last(Sampler):
    """Draws all rows at first, later only the last ones."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        return iter(range(80) if self.passes < 6 else range(75, 80))


def test_a_sampler_that_draws_only_what_is_held_out_is_refused():
    train = train_of(sampler=Last()).train
    with pytest.raises(UsageError, match="draws only rows that are held out"):
        for seed in range(10):
            rows(train, seed)
