"""Data that claim or expand to more than there is memory for."""

import io
import struct
import zlib

import pytest

from autoprune.data import bombs
from autoprune.data.images import from_directory
from autoprune.errors import DamagedError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
PIL = pytest.importorskip("PIL.Image")


def claimed(width, height):
    """A PNG that says a size and has no pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(8193, 8192), (12_000, 12_000), (2**31 - 1, 2**31 - 1)])
def test_an_image_that_claims_too_many_pixels_is_not_decoded(tmp_path, monkeypatch, size):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(claimed(*size))
    with pytest.raises(DamagedError, match=r"0\.png cannot be read: .*pixels.*at most 67,108,864"):
        from_directory(tmp_path / "images")


def table(place, column, **options):
    pq.write_table(pa.table({"image": column}), place / "a.parquet", store_schema=False, **options)
    return place


@pytest.fixture
def meager(monkeypatch):
    monkeypatch.setattr(bombs, "FREE", 2**16)


def test_rows_that_stand_for_one_value_are_counted(tmp_path, meager):
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), [bytes(1000)])
    with pytest.raises(DamagedError, match=r"a\.parquet expands to more than"):
        bombs.refuse_bombs(table(tmp_path, once))


def test_what_a_file_says_it_expands_to_is_believed(tmp_path, meager):
    with pytest.raises(DamagedError, match="expands to more than"):
        bombs.refuse_bombs(table(tmp_path, pa.array([bytes(2**22)]), compression="zstd"))


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_file_that_is_cut_is_named(tmp_path, keep):
    path = table(tmp_path, pa.array([b"picture"] * 100)) / "a.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DamagedError, match=r"a\.parquet cannot be read"):
        bombs.refuse_bombs(tmp_path)


def test_images_as_they_are_pass(tmp_path, meager):
    PIL.effect_noise((64, 64), 50).save(stream := io.BytesIO(), "png")
    bombs.refuse_bombs(table(tmp_path, pa.array([stream.getvalue()] * 3)))
