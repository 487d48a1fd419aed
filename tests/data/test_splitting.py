"""Splitting of a source into four splits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.data.splitting import make_splits
from autoprune.errors import UsageError
from tests.numbered_samples import everything, numbered, values


@given(
    count=st.integers(30, 200),
    given_=st.sets(st.sampled_from(["search", "validation", "test"])),
    seed=st.integers(0, 5),
)
def test_carved_splits_are_disjoint_and_complete(count, given_, seed):
    parts = {"train": numbered(count)}
    for number, key in enumerate(sorted(given_)):
        parts[key] = numbered(10, offset=1000 * (number + 1))
    data = make_splits("mine", parts, seed)
    assert everything(data) == sorted(float(v) for x, _ in parts.values() for v in x)


def test_the_last_rows_are_held_out_whatever_the_seed():
    parts = {"train": numbered(100), "test": numbered(10)}
    one, two = (make_splits("mine", parts, seed) for seed in (1, 2))
    for data in (one, two):
        assert values(data.train) == list(range(90))
        assert sorted(values(data.search) + values(data.validation)) == list(range(90, 100))
        assert values(data.test) == list(range(10))
    assert values(one.search) != values(two.search)


def test_seeds_never_move_a_sample_to_or_from_train_and_test():
    one, two = (make_splits("mine", {"train": numbered(100)}, seed) for seed in (1, 2))
    assert values(one.train) == values(two.train)
    assert values(one.test) == values(two.test)
    assert len(one.test) == 20


def test_rows_sorted_by_class_are_shuffled_before_the_cut():
    x = torch.arange(100).float()[:, None]
    data = make_splits("mine", {"train": (x, torch.arange(100) // 25), "test": numbered(5)}, 0)
    held = torch.cat([data.search.content[1], data.validation.content[1]])
    assert len(held.unique()) > 1
    assert everything(data) == sorted(list(range(100)) + list(range(5)))


def test_a_given_validation_split_becomes_both():
    parts = {"train": numbered(30), "validation": numbered(10, offset=100), "test": numbered(5)}
    data = make_splits("mine", parts, 0)
    assert values(data.train) == list(range(30))
    assert sorted(values(data.search) + values(data.validation)) == list(range(100, 110))


def test_validation_stands_in_for_test():
    data = make_splits("mine", {"train": numbered(30), "validation": numbered(10, offset=100)}, 0)
    assert values(data.test) == list(range(100, 110))


def test_too_few_samples():
    with pytest.raises(UsageError, match="too few"):
        make_splits("mine", {"train": numbered(1)}, 0)
    with pytest.raises(UsageError, match="no training data"):
        make_splits("mine", {"test": numbered(5)}, 0)
