"""User data in Python objects."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from autoprune.data import load_data
from autoprune.errors import UsageError
from tests.numbered_samples import everything, numbered, values

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
    assert torch.cat([y for _, y in data.train.batches(7)]).tolist() == Y[:90].tolist()
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
