"""Splits: batches, parts, augmentation, checks."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoprune.data import ImageForm, Split, load_data
from autoprune.data.normalization import CIFAR
from autoprune.errors import UsageError
from tests.numbered_samples import numbered, values


@given(count=st.integers(1, 50), size=st.integers(1, 60), seed=st.none() | st.integers(0, 9))
def test_batches_hold_every_sample_once(count, size, seed):
    split = Split(numbered(count))
    batches = list(split.batches(size, seed=seed))
    seen = torch.cat([x for x, _ in batches]).flatten().tolist()
    assert sorted(seen) == values(split)
    assert max(len(y) for _, y in batches) <= size
    for x, y in batches:
        assert (x.flatten().long() % 4 == y).all()
    if seed is None:
        assert seen == values(split)
    else:
        assert max(len(y) for _, y in batches) - min(len(y) for _, y in batches) <= 1


def test_shuffling_follows_the_seed():
    split = Split(numbered(40))
    first, again, other = (next(split.batches(40, seed=s))[0] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_take():
    split = Split(numbered(20))
    assert values(split.take(3)) == [0, 1, 2]
    drawn = values(split.take(5, seed=1))
    assert drawn == values(split.take(5, seed=1)) != values(split.take(5, seed=2))
    assert len(set(drawn)) == 5
    assert len(split.take(100)) == len(split.take(100, seed=1)) == 20


def test_nested_content():
    content = {"ids": torch.arange(6), "pair": (torch.zeros(6, 2), torch.ones(6))}
    batch = next(Split(content).batches(4))
    assert batch["ids"].tolist() == [0, 1, 2, 3]
    assert batch["pair"][0].shape == (4, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((torch.zeros(0, 3), torch.zeros(0)), "is empty"),
        ((torch.zeros(3, 3), torch.zeros(2)), "3 and 2 samples"),
        ((torch.zeros(3), torch.tensor(1)), "without a sample dimension"),
        ((torch.zeros(3), [1, 2, 3]), "must hold tensors, not int"),
        ((), "must hold tensors, not nothing"),
    ],
)
def test_unusable_content(content, message):
    with pytest.raises(UsageError, match=message):
        Split(content)


def test_batch_requests_that_make_no_sense():
    with pytest.raises(UsageError, match="at least 1, not 0"):
        next(Split(numbered(3)).batches(0))
    with pytest.raises(UsageError, match="need a seed"):
        next(Split(numbered(3)).batches(2, augment=True))


def test_normalization_is_the_textbook_formula():
    images = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    batch, labels = next(Split((images, torch.arange(5)), CIFAR).batches(5))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CIFAR.mean, CIFAR.std))
    torch.testing.assert_close(batch, (images / 255 - mean) / std)
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_augmentation_only_shifts_and_mirrors():
    form = ImageForm((0.0,), (1.0,), shift=2, flip=True)
    images = torch.randint(1, 256, (64, 1, 5, 5), dtype=torch.uint8)
    out = form.augment(images, torch.Generator().manual_seed(0))
    seen = set()
    for before, after in zip(images[:, 0], out[:, 0], strict=True):
        matches = []
        for mirrored in (False, True):
            source = torch.nn.functional.pad(before.flip(1) if mirrored else before, (2, 2, 2, 2))
            matches += [
                (mirrored, y, x)
                for y in range(5)
                for x in range(5)
                if torch.equal(source[y : y + 5, x : x + 5], after)
            ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert {mirrored for mirrored, _, _ in seen} == {False, True}
    assert {y for _, y, _ in seen} == {x for _, _, x in seen} == {0, 1, 2, 3, 4}


def test_augmentation_follows_the_seed_and_leaves_the_data_alone():
    images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    split = Split((images.clone(), torch.arange(8)), CIFAR)
    first, again, other = (next(split.batches(8, seed=s, augment=True))[0] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(split.content[0], images)


X, Y = numbered(100)


def test_one_bad_sample_is_found():
    x = X.clone()
    x[17] = torch.inf
    with pytest.raises(UsageError, match="first in sample 17"):
        load_data({"train": (x, Y), "test": (X, Y), "search": (X, Y), "validation": (X, Y)})


def test_fingerprint_sees_a_single_value():
    changed = X.clone()
    changed[3] += 1
    keys = {load_data((x, Y)).fingerprint for x in (X, X.clone(), changed)}
    assert len(keys) == 2
