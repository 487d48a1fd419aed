"""Cache of decoded data."""

import os

import pytest

from autoprune.data import load_data
from autoprune.data.cache import directory
from tests.image_files import folder, pixels, table

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_decoded_once(tmp_path, monkeypatch):
    root = table(tmp_path / "mine", {"train": pixels(20, True), "test": pixels(4, True)})
    first = load_data(root)
    monkeypatch.setattr(datasets, "load_dataset", None)  # a second decoding would call it
    assert load_data(root).fingerprint == first.fingerprint
    assert [path.suffix for path in directory().iterdir()] == [".safetensors"]


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"garbage" * 100])
def test_an_unreadable_cache_is_rebuilt(tmp_path, damage):
    root = folder(tmp_path / "mine", pixels(20, True))
    first = load_data(root)
    cached = next(directory().iterdir())
    cached.write_bytes(damage)
    assert load_data(root).fingerprint == first.fingerprint
    assert cached.stat().st_size > len(damage)


def test_every_flipped_bit_of_a_cache_is_noticed(tmp_path):
    first = load_data(folder(tmp_path / "mine", pixels(20, True)))
    path = next(directory().iterdir())
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 23)):
        flipped = whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
        path.write_bytes(flipped)
        again = load_data(tmp_path / "mine")
        assert again.fingerprint == first.fingerprint
        assert path.read_bytes() != flipped
    path.unlink()
    os.mkfifo(path)
    assert load_data(tmp_path / "mine").fingerprint == first.fingerprint


def test_a_changed_source_is_decoded_again(tmp_path):
    root = folder(tmp_path / "mine", pixels(20, True))
    first = load_data(root)
    folder(root, pixels(20, True, seed=9))
    assert load_data(root).fingerprint != first.fingerprint


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_data(folder(tmp_path / "mine", pixels(20, True))).train) > 0
