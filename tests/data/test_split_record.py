"""Record of a run's splits."""

import json

import torch

from autoprune.data import describe, load_data
from tests.numbered_samples import numbered

X, Y = numbered(100)


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
