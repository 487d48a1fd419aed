"""What train and test share is said."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset

from autoprune.data import load_data
from tests.augmenting import Noisy
from tests.numbered_samples import numbered

X, Y = numbered(100)
ROWS = Noisy(100, ())
HELD = TensorDataset(X, Y)
ARRAYS = X.numpy(), Y.numpy()


class Files(Dataset):
    """Data set that lists its files, as torchvision's ImageFolder does."""

    def __init__(self, root, count=20):
        self.samples = [(f"{root}/{number}.png", number % 4) for number in range(count)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, row):
        return torch.tensor([float(row)]), self.samples[row][1]


SHARED = {
    "same tensors": ((X, Y), (X, Y)),
    "views of one tensor": ((X[:80], Y[:80]), (X[60:], Y[60:])),
    "equal tensors": ((X, Y), (X.clone(), Y.clone())),
    "arrays and tensors on them": (ARRAYS, (torch.from_numpy(ARRAYS[0]), Y)),
    "one tensor set": (HELD, DataLoader(HELD, batch_size=8)),
    "one data set": (ROWS, ROWS),
    "loaders of one data set": (DataLoader(ROWS, shuffle=True), DataLoader(ROWS)),
    "a subset and the whole": (Subset(ROWS, range(50)), ROWS),
    "overlapping subsets": (Subset(ROWS, range(60)), Subset(ROWS, range(50, 100))),
    "nested subsets": (Subset(Subset(ROWS, range(20, 80)), range(30)), Subset(ROWS, range(40, 60))),
    "one directory": (Files("a"), Files("a")),
}

APART = {
    "other tensors": ((X, Y), (X + 1000, Y)),
    "halves of one tensor": ((X[:50], Y[:50]), (X[50:], Y[50:])),
    "every other row": ((X[::2], Y[::2]), (X[1::2], Y[1::2])),
    "halves of a data set": (Subset(ROWS, range(50)), Subset(ROWS, range(50, 100))),
    "equal data sets of other rows": (Noisy(100, ()), Noisy(50, ())),
    "joined halves": (
        ConcatDataset([Subset(ROWS, range(30)), Subset(ROWS, range(30, 50))]),
        Subset(ROWS, range(50, 90)),
    ),
    "directories": (Files("a"), Files("b")),
}


@pytest.mark.parametrize(("train", "test"), SHARED.values(), ids=SHARED)
def test_shared_samples_are_said(train, test):
    (line,) = load_data((train, test)).remarks
    assert line.startswith("test holds samples of train") and "\n" not in line


@pytest.mark.parametrize(("train", "test"), APART.values(), ids=APART)
def test_nothing_is_said_of_samples_apart(train, test):
    assert load_data((train, test)).remarks == ()


def test_a_validation_split_counts_too():
    lines = load_data({"train": HELD, "validation": HELD, "test": (X + 1000, Y)}).remarks
    assert [line.split()[0] for line in lines] == ["validation"]


def test_what_is_cut_out_of_train_is_not_shared():
    assert load_data((X, Y)).remarks == load_data({"train": ROWS}).remarks == ()


def test_arrays_in_other_types_are_not_mistaken():
    assert load_data(((np.zeros((20, 2)), Y[:20]), (np.ones((20, 2)), Y[:20]))).remarks == ()
