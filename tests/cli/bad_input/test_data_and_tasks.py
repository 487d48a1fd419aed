"""Data and tasks that do not fit."""

import pytest

from tests.complaints import FAILED, USAGE, command, complaint, untouched

DATA = {
    "empty": "train data is empty",
    "scarce": "too few",
    "uneven": "59 and 60 samples",
    "colored": "[2, 3, 8, 8]: RuntimeError: Given groups=1",
    "five": "has outputs for 3 classes, but train has label 4",
    "negative": "has label -1",
    "floats": "the labels of train are float32, not integers",
    "onehot": "[3] per sample",
    "nan": "NaN or infinity, first in sample 3",
    "raises": "ValueError: no data today",
    "none": "cannot read samples from NoneType",
    "number": "cannot read samples from int",
    "words": "holds str",
    "typo": "unknown split 'tset'",
}

RAISING = ("raises", "colored", "NoInputs")
"""What makes code of the user's raise; the others are found out."""


@pytest.mark.parametrize("name", DATA)
def test_data_that_does_not_fit(name, place, capsys):
    code = FAILED if name in RAISING else USAGE
    assert DATA[name] in complaint(capsys, command(data=f"mydata.py:{name}"), code)
    assert untouched(place)


def test_images_of_another_size_than_a_flatten_expects(place, capsys):
    arguments = command(model="nets.py:flat", weights="flat.safetensors", data="mydata.py:large")
    assert "of shape [2, 1, 28, 28]" in complaint(capsys, arguments, USAGE)
    assert untouched(place)


TASKS = {
    "NoInputs": "finds no inputs",
    "ManyLosses": "returns a loss of shape [2]",
    "NanLoss": "returns the loss nan",
    "Percent": "returns the scores",
    "Words": "returns str for scores",
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_that_do_not_work(name, place, capsys):
    code = FAILED if name in RAISING else USAGE
    assert TASKS[name] in complaint(capsys, command(task=f"mytask.py:{name}"), code)
    assert untouched(place)
