"""Small files that expand without bound, in every form that image data have."""

import io
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.torture.forge import Forge
from tests.torture.works import RUN, Tally, clear

ROOM = 3 * 2**30
"""Bytes that a command may take beyond what is there when it starts."""

LONGEST, LARGEST = 20.0, 1000.0
"""What a refusal may take, libraries for tables included: seconds of the processor, megabytes."""

SEARCH = (
    "search --budget 0.5flops --model nets.py:build --weights build.safetensors --agent uniform"
    f" --finetune-epochs 0 --no-baseline --run {RUN} --data"
)


def png(width: int, height: int, *chunks: tuple[bytes, bytes], bits: int = 1) -> bytes:
    """Write a black gray PNG, with further chunks before its data."""
    packer, row = zlib.compressobj(1), bytes(1 + -(-width * bits // 8))
    block = row * max(1, 2**22 // len(row))
    left, parts = height * len(row), []
    while left > 0:
        parts.append(packer.compress(block[:left]))
        left -= len(block)
    data = b"".join(parts) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in body)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _claimed(width: int, height: int) -> bytes:
    """A PNG that says a size and has a few bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in body)


def pictures() -> dict[str, bytes]:
    """Images by name of their file."""
    zeros = zlib.compress(bytes(2**27))
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x01\x04\x00;"
    bmp = struct.pack("<IiiHHIIiiII", 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    return {
        "huge.png": png(40_000, 40_000),
        "large.png": png(12_000, 12_000),
        "thin.png": png(2**27, 1),
        "claims.png": _claimed(2**31 - 1, 2**31 - 1),
        "wide.png": _claimed(30_000, 3_000),
        "text.png": png(8, 8, (b"zTXt", b"Comment\0\0" + zeros)),
        "profile.png": png(8, 8, (b"iCCP", b"p\0\0" + zeros)),
        "endless.png": png(8, 8, (b"IDAT", zeros)),
        "claims.gif": gif + frame,
        "claims.bmp": b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bmp + bytes(64),
        "claims.ppm": b"P6 60000 60000 255\n" + bytes(64),
    }


HARMLESS = ("text.png", "profile.png", "endless.png")
"""Images of 8 x 8 pixels whose other parts may be left out: reading them is no harm."""


def tables() -> Iterator[tuple[str, bytes]]:
    """Yield parquet files in the layout of the hub, by name."""
    small = png(8, 8)
    yield (
        "rows",
        _table(pa.DictionaryArray.from_arrays(_zeros(2 * 10**7), [small * 4]), store_schema=False),
    )
    values = pa.DictionaryArray.from_arrays(_zeros(3000), [bytes(2**20)])
    yield "long values", _table(values, store_schema=False)
    yield "a dictionary", _table(values)
    yield "one value", _table(pa.array([bytes(2**29)], pa.binary()))
    yield "picture", _table(pa.array([png(40_000, 40_000)], pa.binary()))
    whole = _table(pa.array([small] * 10, pa.binary()))
    yield "cut", whole[: len(whole) // 2]
    yield "claims", whole[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1"


def _zeros(count: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int32(), count, [None, pa.py_buffer(bytes(4 * count))])


def _table(content: pa.Array, store_schema: bool = True) -> bytes:
    """Write images and labels as a data set of the hub does.

    With ``store_schema`` dictionaries are read as such, else as the values they stand for.
    """
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    paths = pa.nulls(len(content), pa.string())
    image = pa.StructArray.from_arrays([content, paths], ["bytes", "path"])
    table = pa.table({"image": image, "label": _zeros(len(content)).cast(pa.int64())})
    stream = io.BytesIO()
    noted = table.replace_schema_metadata(features.arrow_schema.metadata)
    pq.write_table(noted, stream, compression="zstd", store_schema=store_schema)
    return stream.getvalue()


def explode(forge: Forge, every: int = 1) -> tuple[Tally, dict[str, float]]:
    """Offer every bomb as data under a limit of memory."""
    tally, most = Tally(), {"seconds": 0.0, "megabytes": 0.0}
    calm = forge.run("search", "--budget", "no").megabytes
    offers = [*pictures().items()]
    cases: list[tuple[str, Callable[[Path], None], bool]] = [
        (name, lambda place, n=name, c=content: _folder(place, n, c), name in HARMLESS)
        for name, content in offers[::every]
    ]
    cases += [
        (f"{name}.parquet", lambda place, c=content: _hub(place, c), False)
        for name, content in list(tables())[::every]
    ]
    for name, build, harmless in cases:
        clear(forge.place)
        shutil.rmtree(forge.place / "bomb", ignore_errors=True)
        (forge.place / "bomb").mkdir()
        build(forge.place / "bomb")
        death = forge.run(*SEARCH.split(), "bomb", memory=ROOM, kill=120.0)
        spent = death.megabytes - calm
        most["seconds"] = max(most["seconds"], death.busy)
        most["megabytes"] = max(most["megabytes"], spent)
        lines = [line for line in death.output.splitlines() if line.startswith("autoprune: error")]
        refused = death.code in (1, 2, 4) and len(lines) == 1
        wrong = "Traceback" in death.output or "internal error" in death.output
        sound = (refused or (harmless and death.code == 0)) and not wrong
        quick = death.busy < LONGEST and spent < LARGEST
        about = f"{name}: exit {death.code}, {death.busy:.1f} s, {spent:.0f} MB"
        tally.note("" if sound and quick else f"{about}: {death.output[-200:]}")
    return tally, most


def _folder(place: Path, name: str, content: bytes) -> None:
    """Lay out sub-directories of classes, one of them with the bomb."""
    for label in "abc":
        (place / label).mkdir()
        for number in range(20):
            (place / label / f"{number}.png").write_bytes(png(8, 8))
    (place / "b" / f"bomb-{name}").write_bytes(content)


def _hub(place: Path, content: bytes) -> None:
    (place / "data").mkdir()
    (place / "data" / "train-00000-of-00001.parquet").write_bytes(content)
