import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from autoprune.data import Data, ImageForm, Split, describe, load_data
from autoprune.data.normalization import CIFAR, image_form
from autoprune.data.splitting import make_splits
from autoprune.errors import UsageError


def numbered(count, classes=4, offset=0):
    """Samples that can be told apart: the value of sample i is offset + i."""
    x = torch.arange(offset, offset + count).float()[:, None]
    return x, torch.arange(count) % classes


def values(split):
    return split.content[0].flatten().tolist()


def everything(data):
    return sorted(value for split in data.splits.values() for value in values(split))


# ---- splits


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


# ---- images


def test_normalization_is_the_textbook_formula():
    images = torch.randint(256, (5, 3, 4, 4), dtype=torch.uint8)
    batch, labels = next(Split((images, torch.arange(5)), CIFAR).batches(5))
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CIFAR.mean, CIFAR.std))
    torch.testing.assert_close(batch, (images / 255 - mean) / std)
    assert labels.tolist() == [0, 1, 2, 3, 4]


def test_computed_form_whitens():
    images = torch.randint(256, (50, 2, 6, 6), dtype=torch.uint8)
    images[:, 1] //= 8
    form = image_form("mine", images)
    white = form.normalize(images).double()
    torch.testing.assert_close(white.mean((0, 2, 3)), torch.zeros(2).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(
        white.std((0, 2, 3), correction=0), torch.ones(2).double(), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("value", [0, 7, 99, 255])
def test_a_constant_channel_stays_small(value):
    images = torch.full((4, 1, 3, 3), value, dtype=torch.uint8)
    assert image_form("mine", images).normalize(images).abs().max() < 1e-6


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


# ---- carving


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


# ---- sources


def test_digits():
    data = load_data("digits", 0)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 1008,
        "search": 215,
        "validation": 215,
        "test": 359,
    }
    assert data.classes == 10 and data.image_shape == (1, 8, 8)
    assert data.example_inputs.shape == (2, 1, 8, 8)
    assert data.fingerprint == load_data("digits", 0).fingerprint
    assert data.fingerprint != load_data("digits", 1).fingerprint
    assert torch.equal(data.test.content[0], load_data("digits", 1).test.content[0])
    assert len(data.calibration(100, seed=3)) == 100


def test_data_is_passed_through():
    data = load_data("digits")
    assert load_data(data) is data


X, Y = numbered(100)


class Rows:
    """Indexed like a data set, but no relative of torch's."""

    def __len__(self):
        return 100

    def __getitem__(self, index):
        return X[index], int(Y[index])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Rows()[index] for index in range(100))


@pytest.mark.parametrize(
    "source",
    [
        (X, Y),
        (X.numpy(), Y.numpy().astype(np.int32)),
        TensorDataset(X, Y),
        Subset(TensorDataset(X, Y), range(100)),
        Rows(),
        Stream(),
        DataLoader(TensorDataset(X, Y), batch_size=7),
        DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True, drop_last=True),
        [(X[:40], Y[:40]), (X[40:], Y[40:])],
        ((X[at : at + 10], Y[at : at + 10]) for at in range(0, 100, 10)),
    ],
    ids=[
        "tensors",
        "arrays",
        "tensor set",
        "set",
        "rows",
        "stream",
        "loader",
        "shuffled",
        "list",
        "generator",
    ],
)
def test_every_kind_of_source_comes_to_the_same(source):
    data = load_data({"train": source, "test": (X, Y)})
    assert values(data.train) == list(range(90))
    assert data.train.content[1].tolist() == (Y[:90]).tolist()
    assert data.classes == 4


def test_tuples_of_sources():
    train, validation, test = numbered(50), numbered(10, offset=100), numbered(10, offset=200)
    two = load_data((train, test))
    assert len(two.train) == 45 and values(two.test) == list(range(200, 210))
    three = load_data((TensorDataset(*train), validation, [test]))
    assert len(three.train) == 50 and len(three.search) == len(three.validation) == 5


def test_a_single_source_is_cut_up():
    data = load_data((X, Y))
    assert everything(data) == list(range(100))


def test_a_sampler_that_chooses_is_respected():
    loader = DataLoader(TensorDataset(X, Y), sampler=range(50), batch_size=10)
    assert everything(load_data({"train": loader})) == list(range(50))


def test_batches_of_dicts():
    batches = [{"ids": X[:50], "labels": Y[:50]}, {"ids": X[50:], "labels": Y[50:]}]
    data = load_data({"train": batches})
    assert data.classes is None
    assert set(data.train.content) == {"ids", "labels"}


def test_double_arrays_become_single_and_tensors_stay():
    data = load_data((np.zeros((20, 3)), np.zeros(20, dtype=np.int64)))
    assert data.train.content[0].dtype == torch.float32
    assert load_data((X.double(), Y)).train.content[0].dtype == torch.float64


def test_a_users_byte_images_are_normalized_but_never_augmented():
    images = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8)
    data = load_data((images, torch.arange(20) % 2))
    plain = torch.cat([x for x, _ in data.train.batches(5)])
    assert plain.dtype == torch.float32 and not data.train.form.flip


def test_a_function_in_a_file(tmp_path):
    file = tmp_path / "mydata.py"
    file.write_text(
        "import torch\n"
        "def loaders():\n"
        "    x = torch.arange(40.)[:, None]\n"
        "    return {'train': (x, torch.arange(40) % 2), 'test': (x, torch.arange(40) % 2)}\n"
        "def broken(): raise ValueError('no disk')\n"
    )
    assert len(load_data(f"{file}:loaders").train) == 36
    with pytest.raises(UsageError, match="broken fails: ValueError: no disk"):
        load_data(f"{file}:broken")


class Broken:
    def __len__(self):
        return 3

    def __iter__(self):
        raise OSError("disk gone\nsecond line")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((torch.full((20, 2), torch.nan), torch.zeros(20)), "NaN or infinity, first in sample 0"),
        ({"train": (X, Y), "holdout": (X, Y)}, "unknown split 'holdout'"),
        ({"train": 3}, "cannot read samples from int"),
        ({"train": X}, "cannot read samples from Tensor"),
        ({"train": []}, "is empty"),
        ({"train": [("a", "b")]}, "a batch holds str, not only tensors"),
        ({"train": Broken()}, "cannot be read: OSError: disk gone"),
        ({"train": [(X[:3], Y[:3]), (X[:3, :0], Y[:3])]}, "cannot be read: RuntimeError"),
        ({"train": (X, Y[:-1])}, "100 and 99 samples"),
        (
            {"train": (X, Y), "test": (X[:, :0], Y)},
            r"of test is float \[0\], integer \[\], one of train",
        ),
        ("./nowhere", "no such directory: ./nowhere"),
        ("/nowhere/data", "no such directory"),
        ("no such thing", "no such directory"),
    ],
)
def test_bad_sources_get_one_line(source, message):
    with pytest.raises(UsageError, match=message) as caught:
        load_data(source)
    assert "\n" not in str(caught.value)


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


def test_labels_that_are_no_classes():
    assert load_data((X, torch.rand(100))).classes is None
    assert load_data((X, Y - 1)).classes is None
    assert isinstance(load_data((X, Y)), Data)


def test_the_record_of_the_splits_names_every_row_once():
    X, y = torch.arange(100.0)[:, None], torch.arange(100) % 3
    data = load_data((X, y), seed=5)
    record = json.loads(json.dumps(describe(data)))
    found = []
    for name, split in data.splits.items():
        entry = record["splits"][name]
        rows = [row for first, end in entry["rows"] for row in range(first, end)]
        assert entry["from"] == "train" and entry["samples"] == len(rows) == len(split)
        assert sorted(split.content[0].flatten().tolist()) == rows, "the rows are the samples"
        found += rows
    assert sorted(found) == list(range(100))
    other = describe(load_data((X, y), seed=6))["splits"]
    assert other["test"] == record["splits"]["test"] and other["train"] == record["splits"]["train"]
    assert other["search"] != record["splits"]["search"]


def test_the_record_says_which_part_of_the_source_a_split_is_from():
    part = (torch.rand(20, 1), torch.arange(20) % 2)
    cases = {
        ("train", "test"): {"search": "train", "validation": "train", "test": "test"},
        ("train", "validation"): {"search": "train", "validation": "train", "test": "validation"},
        ("train", "validation", "test"): {
            "search": "validation", "validation": "validation", "test": "test",
        },
        ("train", "search", "validation", "test"): {
            "search": "search", "validation": "validation", "test": "test",
        },
    }  # fmt: skip
    for parts, expected in cases.items():
        splits = describe(load_data(dict.fromkeys(parts, part)))["splits"]
        assert {name: entry["from"] for name, entry in splits.items()} == {
            "train": "train",
            **expected,
        }
