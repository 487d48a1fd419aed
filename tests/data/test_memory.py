"""Data larger than memory: what is held of a Dataset does not grow with it."""

import os
import subprocess
import sys

SOURCE = """
import resource
import torch
from torch.utils.data import Dataset
from autoprune.data import load_data


class Large(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        return torch.full((3, 96, 96), row % 7, dtype=torch.float32), row % 4


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


before = peak()
data = load_data((Large(30_000), Large(2_000)))
assert data.classes == 4
rows = sum(len(labels) for _, labels in data.train.batches(256, seed=0, augment=True))
assert rows == len(data.train), rows
for split in (data.search, data.validation, data.test, data.calibration(1000)):
    assert sum(len(labels) for _, labels in split.batches(64)) == len(split)
data.fingerprint
print(peak() - before)
"""


def test_a_data_set_of_three_gigabytes_is_never_held(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SOURCE], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1400, done.stdout  # MiB; the samples take 3,400
