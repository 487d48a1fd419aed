"""Data sets and loaders: read anew in every epoch, the same under the same seed."""

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    default_collate,
)

from autoprune.data import Split, describe, load_data
from autoprune.data.classification import Classification
from autoprune.errors import UsageError
from autoprune.training.loop import FitConfig, fit
from tests.augmenting import Noisy, states
from tests.numbered_samples import numbered

SOURCES = ["torch", "numpy", "random", "own"]


def drawn(split, seed, size=8, **options):
    return torch.cat([x for x, _ in split.batches(size, seed=seed, augment=True, **options)])


def rows(values):
    return sorted(values.floor().flatten().long().tolist())


@pytest.mark.parametrize("source", SOURCES)
def test_every_epoch_reads_every_training_row_anew(source):
    noisy = Noisy(40, (source,))
    train = load_data({"train": noisy, "test": numbered(8)}).train
    noisy.reads.clear()
    first, second = drawn(train, 1), drawn(train, 2)
    assert sorted(noisy.reads) == sorted([*range(36)] * 2)
    assert rows(first) == rows(second) == list(range(36))
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_follows_from_its_seed_alone_and_leaves_random_states_as_they_were(workers):
    noisy = Noisy(40, SOURCES)
    loader = DataLoader(noisy, batch_size=4, shuffle=True, num_workers=workers)
    alone = load_data({"train": Noisy(40, SOURCES), "test": numbered(8)}).train
    torch.manual_seed(3)
    before, own = states(), noisy.own.bit_generator.state
    train = load_data({"train": loader, "test": numbered(8)}).train
    drawn(train, 4)
    seen = drawn(train, 5)
    assert states() == before
    assert noisy.own.bit_generator.state == own
    torch.manual_seed(8)
    assert torch.equal(seen, drawn(alone, 5)), "neither workers nor earlier reads change a sample"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pass_can_begin_in_its_middle_without_reading_what_came_before(workers):
    noisy = Noisy(40)
    loader = DataLoader(noisy, num_workers=workers)
    train = load_data({"train": loader, "test": numbered(8)}).train
    whole = drawn(train, 1, size=5)
    noisy.reads.clear()
    assert torch.equal(drawn(train, 1, size=5, first=2), whole[10:])
    assert len(noisy.reads) == (0 if workers else 26), "workers read copies of the data set"


def test_held_out_samples_are_read_once_and_never_trained_on():
    noisy = Noisy(60)
    data = load_data({"train": noisy, "test": Noisy(20)})
    kept = [torch.cat([x for x, _ in split.batches(3)]) for split in (data.search, data.validation)]
    assert all(isinstance(split, Split) for split in (data.search, data.validation, data.test))
    trained = rows(drawn(data.train, 0))
    assert sorted(trained + rows(torch.cat(kept))) == list(range(60))
    held = data.rows["search"][1].tolist() + data.rows["validation"][1].tolist()
    assert sorted(held) == rows(torch.cat(kept))
    assert sorted(data.rows["train"][1].tolist()) == trained
    calibration = data.calibration(10)
    assert set(rows(calibration.content[0])) <= set(trained)


def test_without_augmentation_a_row_is_the_same_however_it_is_reached():
    train = load_data({"train": Noisy(50, SOURCES), "test": numbered(8)}).train
    order = torch.tensor([7, 3, 11])
    expected = torch.cat([x for x, _ in train.batches(64)])[order]
    for split in (train.rows(order), train.part(0, 20).rows(order)):
        assert torch.equal(torch.cat([x for x, _ in split.batches(2)]), expected)
    some = train.take(6, seed=1)
    assert torch.equal(next(some.batches(6))[0], next(train.take(6, seed=1).batches(6))[0])


def test_the_identity_of_data_that_are_read():
    def key(count=50, **options):
        return load_data({"train": Noisy(count, **options), "test": numbered(8)}).fingerprint

    assert key() == key() != key(count=51)
    assert key(sources=("own",)) == key(sources=("own",)) != key()
    data = load_data({"train": Noisy(50), "test": numbered(8)})
    record = describe(data)["splits"]
    assert record["train"]["rows"] == [[0, 45]] and record["train"]["samples"] == 45


class Unsteady(Noisy):
    def __getitem__(self, row):
        self.reads.append(row)
        return torch.tensor([row + len(self.reads) / 1e3]), row % 4


def test_values_that_nothing_can_seed_do_not_make_the_data_another():
    keys = set()
    for warm_up in (0, 3):
        unsteady = Unsteady(50)
        unsteady.reads += range(warm_up)
        data = load_data({"train": unsteady, "test": numbered(8)})
        keys.add(data.fingerprint)
        assert "differs whenever it is read" in data.remarks[-1]
    assert len(keys) == 1
    assert load_data({"train": Unsteady(51), "test": numbered(8)}).fingerprint not in keys


def named(samples):
    x, y = default_collate(samples)
    return {"ids": x, "labels": y}


def mixing(samples):
    x, y = default_collate(samples)
    return x + torch.rand(()), y


def test_a_collate_function_is_used_and_seeded():
    train = load_data(
        {"train": DataLoader(Noisy(40), collate_fn=named), "test": named_test()}
    ).train
    batch = next(train.batches(5, seed=1, augment=True))
    assert set(batch) == {"ids", "labels"} and batch["ids"].shape == (5, 1)
    train = load_data(
        {"train": DataLoader(Noisy(40), collate_fn=mixing), "test": numbered(8)}
    ).train
    assert torch.equal(drawn(train, 1), drawn(train, 1))
    assert not torch.equal(drawn(train, 1), drawn(train, 2))


def named_test():
    x, y = numbered(8)
    return {"ids": x, "labels": y}


class Opened(Noisy):
    """Opens its file where it is first read, as data sets do that want to be read by workers."""

    def __init__(self, count):
        super().__init__(count, ())
        self.process = None

    def __getitem__(self, row):
        self.process = self.process or os.getpid()
        assert self.process == os.getpid(), "a file is shared between processes"
        return super().__getitem__(row)


def test_a_data_set_with_workers_is_read_by_workers_alone():
    rows = Opened(40)
    data = load_data((DataLoader(rows, num_workers=2), DataLoader(Opened(9), num_workers=1)))
    assert len(drawn(data.train, 1)) == 36 and len(data.calibration(5)) == 5
    assert data.fingerprint and rows.process is None


class Mixer:
    """A collate function that is a method, and draws numbers of its own."""

    def __init__(self):
        self.rng = np.random.default_rng(3)

    def collate(self, samples):
        x, y = default_collate(samples)
        return x + self.rng.random(), y


def test_a_method_that_collates_is_seeded():
    loader = DataLoader(Noisy(40), collate_fn=Mixer().collate)
    train = load_data({"train": loader, "test": numbered(8)}).train
    assert torch.equal(drawn(train, 1), drawn(train, 1))
    assert not torch.equal(drawn(train, 1), drawn(train, 2))


def test_a_training_on_dicts_from_a_loader_learns():
    loader = DataLoader(Noisy(80), collate_fn=named)
    train = load_data({"train": loader, "test": named_test()}).train

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 4)

        def forward(self, ids):
            return self.layer(ids / 80)

    torch.manual_seed(0)
    net, losses = Net(), []
    fit(net, train, Classification(), FitConfig(epochs=3, batch_size=16),
        on_epoch=lambda *facts: losses.append(facts[-1]))  # fmt: skip
    assert losses[-1] < losses[0]


class Bad(Noisy):
    def __getitem__(self, row):
        if row == 17:
            raise ValueError("no such picture\nsecond line")
        return super().__getitem__(row)


class Infinite(Noisy):
    def __getitem__(self, row):
        x, label = super().__getitem__(row)
        return (x * torch.inf if row == 17 else x), label


class Texts(Noisy):
    def __getitem__(self, row):
        return "text", row


class Ragged(Noisy):
    def __getitem__(self, row):
        return torch.zeros(row + 1), row % 4


class Huge(Noisy):
    def __len__(self):
        return 10**12


class Unsized(torch.utils.data.Dataset):
    def __getitem__(self, row):
        return torch.zeros(1), 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Bad(30), "custom train cannot be read: ValueError: no such picture"),
        (Infinite(30), "custom train data holds NaN or infinity"),
        (Texts(30), "custom train data must hold tensors, not str"),
        (Ragged(30), "custom train cannot be read: RuntimeError"),
    ],
)
def test_what_goes_wrong_in_a_data_set_is_one_line(source, message, workers):
    loader = DataLoader(source, batch_size=4, num_workers=workers)
    with pytest.raises(UsageError, match=message) as caught:
        list(load_data({"train": loader, "test": numbered(8)}).train.batches(2))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Noisy(0), "is empty"),
        (Huge(0), "1,000,000,000,000 rows, too many"),
        (Unsized(), "Unsized does not say how many samples it has"),
    ],
)
def test_sizes_that_make_no_sense(source, message):
    with pytest.raises(UsageError, match=message):
        load_data({"train": source, "test": numbered(8)})


def test_labels_are_counted_without_holding_the_samples():
    class Many(Noisy):
        def __getitem__(self, row):
            return super().__getitem__(row)[0], 77 if row == 900 else 0

    assert load_data({"train": Many(1000), "test": numbered(8)}).classes == 78


class Uneven(torch.utils.data.Dataset):
    """Images whose width depends on the row."""

    def __init__(self, count, width):
        self.count, self.width = count, width

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        return torch.zeros(1, 4, self.width(row)), row % 2


@pytest.mark.parametrize(
    "width",
    [lambda row: 4 + row % 3, lambda row: 4 + row // 64, lambda row: 1 if row > 300 else 4],
)
def test_samples_of_several_sizes_are_refused_with_what_to_do(width):
    # In one batch, from one batch to the next, and where broadcasting would hide it.
    with pytest.raises(UsageError, match="let a transform or a collate function bring all"):
        data = load_data((Uneven(400, width), Uneven(400, width)))
        for split in (data.search, data.validation, data.test):
            list(split.batches(64))
