"""Images of unequal size are brought to one; image sets too large for memory are read as needed."""

import io

import numpy as np
import pytest
import torch

from autoprune.commands.train.config import TrainConfig
from autoprune.commands.train.run import run_train
from autoprune.data import images, load_data
from autoprune.data.pictures import decode
from autoprune.data.read_split import ReadSplit
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.progress import Silent
from autoprune.pipeline.inputs import of_run
from tests.image_files import Image, folder, pixels, table


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def encoded(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "png")
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (12, 12)])
def test_the_middle_square_is_what_is_left(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    top, left = ((side - 12) // 2 for side in shape)
    small = decode(encoded(array), "it", resize=12)
    assert np.array_equal(small, array[top : top + 12, left : left + 12])


def test_the_shorter_side_is_scaled():
    gradient = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (20, 1))  # 60 wide, 20 high
    small = decode(encoded(gradient), "it", resize=10)
    expected = Image.fromarray(gradient).resize((30, 10), Image.Resampling.BILINEAR)
    assert np.array_equal(small, np.asarray(expected)[:, 10:20])


def test_a_strip_of_pixels_takes_no_more_memory_than_its_square():
    strip = np.zeros((1, 20_000, 3), np.uint8)
    assert decode(encoded(strip), "it", resize=64).shape == (64, 64, 3)


def uneven(count, seed=0):
    sizes = np.random.default_rng(seed).integers(5, 12, (count, 2)).tolist()
    return [np.full((*size, 3), 10 * number, np.uint8) for number, size in enumerate(sizes)]


@pytest.mark.parametrize("layout", [folder, lambda root, arrays: table(root, {"train": arrays})])
def test_images_of_unequal_size(tmp_path, layout):
    root = layout(tmp_path / "mine", uneven(20))
    with pytest.raises(UsageError, match="images differ in size") as caught:
        load_data(root)
    assert "--resize N" in caught.value.hint
    data = load_data(root, resize=6)
    assert data.image_shape == (3, 6, 6)
    seen = torch.cat([split.content[0][:, 0, 3, 3] for split in data.splits.values()])
    assert sorted(seen.tolist()) == list(range(0, 200, 10))
    assert load_data(root, resize=6).fingerprint == data.fingerprint
    assert load_data(root, resize=7).image_shape == (3, 7, 7), "the cache knows sizes apart"


@pytest.mark.parametrize("size", [0, -3, 5000])
def test_sizes_that_make_no_sense(tmp_path, size):
    with pytest.raises(UsageError, match="1 to 4096 pixels a side"):
        load_data(tmp_path, resize=size)


def test_a_run_remembers_the_size_of_its_images(tmp_path):
    root = folder(tmp_path / "mine", uneven(24))
    run = tmp_path / "run"
    run_train(
        TrainConfig(model="lenet-300-100", data=str(root), resize=6, steps=1, run=str(run), seed=1),
        Silent(),
    )
    assert of_run(run)[0].image_shape == (3, 6, 6)
    assert of_run(run, resize=7)[0].image_shape == (3, 7, 7)
    with pytest.raises(UsageError, match="differ in size"):
        of_run(run, data=str(root))


def test_what_is_no_image_on_disk_is_not_resized():
    for spec in ("digits", (torch.rand(20, 3), torch.arange(20) % 2)):
        with pytest.raises(UsageError, match="cannot be resized"):
            load_data(spec, resize=8)


@pytest.mark.parametrize("resize", [None, 4])
@pytest.mark.parametrize("color", [True, False])
@pytest.mark.parametrize("layout", ["folder", "table"])
def test_sets_too_large_for_memory_hold_the_same_images(
    tmp_path, monkeypatch, layout, color, resize
):
    train, test = pixels(60, color), pixels(10, color, seed=1)
    if layout == "folder":
        folder(tmp_path / "mine" / "train", train)
        folder(tmp_path / "mine" / "test", test)
    else:
        table(tmp_path / "mine", {"train": train, "test": test})
    held = load_data(tmp_path / "mine", resize=resize)
    monkeypatch.setattr(images, "DECODED", 1000)
    read = load_data(tmp_path / "mine", resize=resize)
    assert isinstance(read.train, ReadSplit) and read.classes == 2
    assert read.image_shape == held.image_shape
    for name, split in held.splits.items():
        assert torch.equal(read.rows[name][1], held.rows[name][1])
        ours, theirs = (
            torch.cat([x for x, _ in one.batches(7)]) for one in (read.splits[name], split)
        )
        torch.testing.assert_close(ours, theirs)
    shuffled = torch.cat([y for _, y in read.train.batches(7, seed=3, augment=True)])
    assert len(shuffled) == len(held.train)


def test_a_damaged_image_in_a_large_set_is_named(tmp_path, monkeypatch):
    root = folder(tmp_path / "mine", pixels(60, True))
    monkeypatch.setattr(images, "DECODED", 1000)
    (root / "ant" / "002.png").write_bytes(b"not a picture")
    with pytest.raises(DamagedError, match=r"ant.002\.png cannot be read") as caught:
        list(load_data(root).train.batches(8))
    assert "\n" not in str(caught.value)
