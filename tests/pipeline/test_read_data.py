"""Searches and trainings on data sets that are read anew."""

import resource
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from autoprune import search
from autoprune.data import describe, load_data
from autoprune.data.classification import Classification
from autoprune.foundation.progress import Silent
from autoprune.networks.compatibility import check_compatible
from autoprune.training.loop import FitConfig, fit, measure
from autoprune.training.pace import PaceConfig, paced
from tests.augmenting import states
from tests.killing import Dies, Killed

EAGER = PaceConfig(save_every=0.0, save_share=1e9, report_every=0.0)
FILES = ("plan.json", "model.safetensors", "evaluations.jsonl", "splits.json")


class Images(Dataset):
    def __init__(self, count):
        generator = torch.Generator().manual_seed(count)
        self.labels = torch.randint(0, 3, (count,), generator=generator)
        noise = torch.randn(count, 2, 8, 8, generator=generator)
        self.images, self.reads = noise + self.labels[:, None, None, None], []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        self.reads.append(row)
        return self.images[row] + 0.3 * torch.randn(2, 8, 8), self.labels[row]


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


class ReadsOf(Silent):
    """Takes note of the rows that fine-tunings read."""

    def __init__(self, train):
        self.train, self.rows, self.names = train, [], []

    @contextmanager
    def phase(self, name, total):
        begun = len(self.train.reads)
        yield self
        if name.startswith("finetune"):
            self.names.append(name)
            self.rows += self.train.reads[begun:]


def carried_out(run, progress=None, workers=0, model=None, train=None):
    train = train or Images(200)
    loaders = DataLoader(train, 16, shuffle=True, num_workers=workers), DataLoader(Images(60), 16)
    with paced(EAGER):
        return search(model or net(), loaders, "0.6flops", agent="random", evaluations=3,
                        finetune_epochs=3, run=run, progress=progress)  # fmt: skip


def products(run):
    return {name: (run / name).read_bytes() for name in FILES}


def test_a_search_reads_its_training_rows_in_every_epoch_and_says_what_it_cannot(tmp_path):
    train, model, before = Images(200), net(), states()
    reads = ReadsOf(train)
    result = carried_out(tmp_path / "run", reads, model=model, train=train)
    assert states() == before
    assert reads.names == ["finetune", "finetune-plain"]
    tried = [0, 1] * 2  # before each training
    assert sorted(reads.rows) == sorted([*range(180)] * 3 * 2 + tried), "each row in each epoch"
    first, second = result.warnings
    assert "custom train is augmented at random" in first and "train_plain" in first
    assert "custom test is augmented at random" in second


def test_a_search_killed_in_the_middle_of_an_epoch_ends_byte_for_byte_alike(tmp_path):
    carried_out(tmp_path / "whole")
    for steps, workers in ((2, 0), (8, 2)):
        with pytest.raises(Killed):
            carried_out(tmp_path / "killed", Dies("finetune", steps), workers)
    carried_out(tmp_path / "killed")
    assert products(tmp_path / "killed") == products(tmp_path / "whole")


class Large(Dataset):
    """Rows of 200 kB that exist only while they are read; notes the most memory that is in use."""

    def __init__(self, count):
        self.count, self.start, self.peak = count, used(), 0

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        self.peak = max(self.peak, used() - self.start)
        return torch.full((1, 224, 224), float(row % 7)), row % 4


def used():
    """Megabytes of memory in use by this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_data_far_larger_than_the_bound_are_read_in_bounded_memory():
    model = nn.Sequential(nn.AvgPool2d(56), nn.Flatten(), nn.Linear(16, 4))
    rows = Large(6000)
    data = load_data({"train": rows, "test": Subset(rows, range(2000))})
    assert data.fingerprint and describe(data)["splits"]["test"]["samples"] == 2000
    check_compatible(model, data, Classification())
    fit(model, data.train, Classification(), FitConfig(epochs=1, batch_size=25))
    assert measure(model, data.test, Classification()).loss > 0
    whole = (6000 + 2000) * 224 * 224 * 4 >> 20
    assert rows.peak < whole / 2  # the allocator keeps 300 to 650 MB of what is given back
