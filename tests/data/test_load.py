"""Loading by name, by function and from objects."""

import pytest
import torch

from autoprune.data import Data, load_data
from autoprune.errors import UsageError
from tests.numbered_samples import numbered


def test_data_is_passed_through():
    data = load_data("digits")
    assert load_data(data) is data


X, Y = numbered(100)


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


def test_labels_that_are_no_classes():
    assert load_data((X, torch.rand(100))).classes is None
    assert load_data((X, Y - 1)).classes is None
    assert isinstance(load_data((X, Y)), Data)


def test_a_name_that_is_nearly_right():
    with pytest.raises(UsageError, match="did you mean ocr-lines"):
        load_data("ocr_lines")
