"""Images on disk, in every layout."""

import io

import numpy as np
import pytest
import torch
from rich.console import Console

from autoprune.data import load_data
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.progress import shown_by
from autoprune.foundation.terminal import Terminal
from tests.image_files import folder, pixels, table

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("color", [True, False])
def test_hub_layout(tmp_path, color):
    train, test = pixels(40, color), pixels(10, color, seed=1)
    root = table(tmp_path / "mine", {"train": train, "test": test})
    data = load_data(str(root))
    assert data.name == "mine" and data.classes == 2
    assert data.image_shape == (3 if color else 1, 6, 5)
    images, labels = data.test.content
    assert data.class_names == ("ant", "bee") and len(data.form.mean) == data.image_shape[0]
    assert images.dtype == torch.uint8 and labels.tolist() == [0, 1] * 5
    expected = test.transpose(0, 3, 1, 2) if color else test[:, None]
    assert np.array_equal(images.numpy(), expected)
    assert np.array_equal(
        data.train.content[0].numpy(),
        (train.transpose(0, 3, 1, 2) if color else train[:, None])[:36],
    )


def test_image_folder_with_splits(tmp_path):
    train, test = pixels(30, False), pixels(6, False, seed=1)
    folder(tmp_path / "mine" / "train", train)
    folder(tmp_path / "mine" / "test", test)
    data = load_data(str(tmp_path / "mine"))
    assert data.classes == 2 and len(data.test) == 6 and data.class_names == ("ant", "bee")
    again = load_data(str(tmp_path / "mine"))  # from the cache
    assert again.class_names == data.class_names and again.form == data.form
    by_class = np.concatenate([test[0::2], test[1::2]])
    assert np.array_equal(data.test.content[0][:, 0].numpy(), by_class)
    assert data.test.content[1].tolist() == [0, 0, 0, 1, 1, 1]
    held = torch.cat([data.search.content[1], data.validation.content[1]])
    assert set(held.tolist()) == {0, 1}  # rows come sorted by class


def test_a_test_directory_that_leads_to_the_training_images_is_said(tmp_path):
    train = folder(tmp_path / "mine" / "train", pixels(30, True))
    (tmp_path / "mine" / "test").symlink_to(train)
    (line,) = load_data(tmp_path / "mine").remarks
    assert line.startswith("test holds samples of train")


def test_color_decides_by_the_first_image(tmp_path):
    arrays = [*pixels(20, True), *pixels(2, False)]
    assert load_data(folder(tmp_path / "mine", arrays)).image_shape == (3, 6, 5)


def test_errors_of_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no data set"):
        load_data(str(tmp_path / "empty"))
    root = folder(tmp_path / "corrupt", pixels(10, True))
    (root / "ant" / "000.png").write_bytes(b"not a picture")
    with pytest.raises(DamagedError, match=r"ant.000\.png cannot be read"):
        load_data(root)
    uneven = folder(tmp_path / "uneven", [*pixels(10, True), pixels(1, True)[0, :4]])
    with pytest.raises(UsageError, match=r"differ in size: .*010\.png has 5x4, the first 5x6"):
        load_data(uneven)
    folder(tmp_path / "strange" / "train", pixels(10, True))
    folder(tmp_path / "strange" / "test", pixels(4, True), classes=("ant", "cow"))
    with pytest.raises(UsageError, match="cow is no class of the training images"):
        load_data(tmp_path / "strange")


def test_errors_of_tables(tmp_path):
    root = tmp_path / "words"
    root.mkdir()
    datasets.Dataset.from_dict({"text": ["a", "b"]}).to_parquet(str(root / "train.parquet"))
    with pytest.raises(UsageError, match=r"no column of images.*its columns are text"):
        load_data(root)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DamagedError, match=r"broken/train.parquet cannot be read") as caught:
        load_data(tmp_path / "broken")
    assert "\n" not in str(caught.value)


def test_whoever_waits_for_data_is_told(tmp_path):
    root = folder(tmp_path / "mine", pixels(10, True))
    out = io.StringIO()
    with shown_by(Terminal(Console(file=out, width=80)).phase, short_too=True):
        load_data(root)
        load_data(root)
    lines = [line.partition(" in ")[0] for line in out.getvalue().splitlines()]
    assert lines.count("reading     10 images") == 1, "the second time it lies in the cache"
    # Both times the files and the cache, the first time as it is written.
    assert sum(line.startswith("checking") and not line.endswith("...") for line in lines) == 4


def test_without_the_extra(tmp_path, monkeypatch):
    root = table(tmp_path / "mine", {"train": pixels(10, True)})
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'autoprune\[data\]'"):
        load_data(root)


def test_cifar10_jpeg(cifar10_jpeg):
    data = cifar10_jpeg
    assert [len(split) for split in data.splits.values()] == [45_000, 2_500, 2_500, 10_000]
    assert data.train.form.mean == (0.4914, 0.4822, 0.4465)
    assert torch.bincount(data.test.content[1]).tolist() == [1_000] * 10
