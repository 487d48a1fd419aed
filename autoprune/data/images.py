"""Labeled images on disk or on the Hugging Face hub, decoded once and kept as uint8.

What would take too much memory is decoded as it is read.
"""

from __future__ import annotations

import json
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoprune.data import hub
from autoprune.data.bombs import refuse_bombs
from autoprune.data.cache import cached, fingerprint
from autoprune.data.pictures import Pictures, Pixels, Row, as_channels, check, decode
from autoprune.errors import UsageError
from autoprune.foundation.libraries import needed
from autoprune.foundation.progress import slow_phase

TABLES = {".parquet", ".arrow", ".jsonl", ".csv"}
"""Endings of files that show a directory to have the layout of the hub."""

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}

SPLIT_NAMES = {"train": "train", "test": "test", "validation": "validation"} | dict.fromkeys(
    ("val", "valid"), "validation"
)
"""Common names of splits -> our names."""

MANY = 2000
"""From so many images on, decoding takes long enough to be shown as progress."""

DECODED = 2**31
"""Most bytes of images, decoded, that are held in memory."""


@dataclass(frozen=True)
class Images:
    """Images of each part: uint8 [N, C, H, W] and int64 labels [N], or a data set to read."""

    name: str
    parts: Mapping[str, tuple[Tensor, Tensor] | Pictures]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """Images that are not decoded yet; ``resize``: their size once they are, None for their own."""

    name: str
    rows: Mapping[str, Sequence[Row]]
    classes: tuple[str, ...]
    resize: int | None

    @property
    def total(self) -> int:
        """Number of images."""
        return sum(map(len, self.rows.values()))

    def first(self) -> Pixels:
        """Decode the first training image."""
        _require_pillow(self.name)
        if not self.rows["train"]:
            raise UsageError(f"{self.name}: train holds no images")
        content, _ = self.rows["train"][0]
        where = content if isinstance(content, str) else "image 0 of train"
        return decode(content, f"{self.name}: {where}", resize=self.resize)


Content = tuple[Mapping[str, tuple[Tensor, Tensor]], tuple[str, ...]]
"""Images and labels of each part, and the names of the classes."""


class _TooLargeError(Exception):
    """A source that takes too much memory to be decoded at once."""

    def __init__(self, source: _Source) -> None:
        super().__init__(source.name)
        self.source = source


def from_directory(path: Path, resize: int | None = None) -> Images:
    """Load a directory in the layout of the hub, or with one sub-directory of images per class.

    ``resize``: see :func:`autoprune.data.pictures.decode`. Raises UsageError if it holds neither,
    DamagedError for an image that cannot be decoded.
    """
    path = path.resolve()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if any(file.suffix.lower() in TABLES for file in files):
        relevant = [file for file in files if file.suffix.lower() not in PICTURES]
        return _load(path.name, path, relevant, partial(_table, path, resize), resize)
    relevant = [file for file in files if file.suffix.lower() in PICTURES]
    if not relevant:
        raise UsageError(
            f"{path} holds no data set", "parquet files, or one sub-directory of images per class"
        )
    return _load(path.name, path, relevant, partial(_folder, path, resize), resize)


def from_hub(name: str, resize: int | None = None) -> Images:
    """Load a data set from the hub, or from its local cache when there is no network.

    Raises UsageError if it cannot be had, or holds no labeled images.
    """
    loaded = hub.from_hub(name)
    arrows = [Path(file["filename"]) for part in loaded.values() for file in part.cache_files]
    make = partial(_columns, name, loaded, resize)
    return _load(name, Path("/"), sorted(arrows), make, resize)


def _load(
    name: str, root: Path, files: Sequence[Path], make: Callable[[], _Source], resize: int | None
) -> Images:
    """Decode what ``make`` returns, unless the cache has it; read as needed what is too large."""
    if sum(file.stat().st_size for file in files) > DECODED:
        return _as_needed(make())
    key = fingerprint(root, files) + ("" if resize is None else f"-{resize}")
    try:
        return _cached(f"{name.replace('/', '--')}-{key}", name, make)
    except _TooLargeError as error:
        return _as_needed(error.source)


def _as_needed(source: _Source) -> Images:
    first = source.first()
    parts = {
        part: Pictures(source.name, rows, len(source.classes), first, source.resize)
        for part, rows in source.rows.items()
    }
    return Images(source.name, parts, source.classes)


def _cached(key: str, name: str, make: Callable[[], _Source]) -> Images:
    tensors, facts = cached(key, lambda: _pack(_decode(make())))
    parts = {
        part: (tensors[f"{part}.images"], tensors[f"{part}.labels"])
        for part in ("train", "validation", "test")
        if f"{part}.images" in tensors
    }
    return Images(name, parts, tuple(json.loads(facts["classes"])))


def _pack(content: Content) -> tuple[dict[str, Tensor], dict[str, str]]:
    parts, classes = content
    tensors: dict[str, Tensor] = {}
    for part, (pictures, labels) in parts.items():
        tensors |= {f"{part}.images": pictures, f"{part}.labels": labels}
    return tensors, {"classes": json.dumps(classes)}


def _table(path: Path, resize: int | None) -> _Source:
    refuse_bombs(path)
    scratch = _Scratch()  # our own cache is the one that lasts
    return _columns(path.name, hub.from_files(str(path), scratch.path), resize, scratch)


class _Scratch:
    """A directory that goes with the last object that refers to it."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp()
        weakref.finalize(self, rmtree, self.path, ignore_errors=True)


def _columns(
    name: str, loaded: Mapping[str, Any], resize: int | None, scratch: object = None
) -> _Source:
    """Find the image and the label column by their types."""
    import datasets

    parts = {SPLIT_NAMES[key]: part for key, part in loaded.items() if key in SPLIT_NAMES}
    if "train" not in parts:
        raise UsageError(f"{name} has no split 'train'", f"it has {', '.join(loaded) or 'none'}")
    features = parts["train"].features
    image = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
    label = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not image or not label:
        raise UsageError(
            f"{name} has no column of {'class labels' if image else 'images'}",
            f"its columns are {', '.join(features)}; write a function and use --data file.py:f",
        )
    raw = {
        key: part.cast_column(image[0], datasets.Image(decode=False)) for key, part in parts.items()
    }
    rows = {key: _TableRows(part, image[0], label[0], scratch) for key, part in raw.items()}
    return _Source(name, rows, tuple(features[label[0]].names), resize)


class _TableRows(Sequence[Row]):
    """Rows of a table; ``scratch`` is kept as long as they are, since they lie in it."""

    def __init__(self, table: Any, image: str, label: str, scratch: object) -> None:
        self._table = table.select_columns([image, label])
        self._image, self._label, self._scratch = image, label, scratch

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, number: Any) -> Any:
        row = self._table[number]
        return self._row(row[self._image], row[self._label])

    def __iter__(self) -> Iterator[Row]:
        for batch in self._table.iter(1000):
            for picture, label in zip(batch[self._image], batch[self._label], strict=True):
                yield self._row(picture, label)

    def _row(self, picture: Mapping[str, Any] | None, label: int) -> Row:
        stored = picture or {}
        return stored.get("bytes") or stored.get("path") or b"", label


def _folder(path: Path, resize: int | None) -> _Source:
    """List class sub-directories, inside ``train/``, ``test/`` and ``val/`` if those are there."""
    inside = {
        SPLIT_NAMES[child.name]: child for child in path.iterdir() if child.name in SPLIT_NAMES
    }
    if "train" not in inside:
        inside = {"train": path}
    classes = sorted(child.name for child in inside["train"].iterdir() if child.is_dir())
    number = {name: index for index, name in enumerate(classes)}
    rows: dict[str, list[Row]] = {}
    for part, folder in inside.items():
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in PICTURES)
        names = [file.relative_to(folder).parts[0] for file in files]
        strange = set(names) - set(number)
        if strange:
            raise UsageError(
                f"{folder / min(strange)} is no class of the training images",
                f"{inside['train']} has {', '.join(classes[:5]) or 'no sub-directories'}",
            )
        rows[part] = [(str(file), number[name]) for file, name in zip(files, names, strict=True)]
    return _Source(path.name, rows, tuple(classes), resize)


def _require_pillow(name: str) -> None:
    with needed("PIL", "'autoprune[data]'", f"loading {name}"):
        import PIL.Image  # noqa: F401


def _decode(source: _Source) -> Content:
    gray: bool | None = None
    parts = {}
    if source.first().nbytes * source.total > DECODED:
        raise _TooLargeError(source)
    with slow_phase("decode", source.total, least=MANY) as advance:
        for part in sorted(source.rows, key=lambda key: key != "train"):
            pictures: list[Pixels] = []
            labels: list[int] = []
            for content, label in source.rows[part]:
                where = content if isinstance(content, str) else f"image {len(labels)} of {part}"
                name = f"{source.name}: {where}"
                picture = decode(content, name, gray=gray, resize=source.resize)
                pictures.append(picture)
                gray = picture.ndim == 2
                shape = pictures[0].shape
                check(source.name, where, picture, shape, label, len(source.classes))
                labels.append(label)
                advance(1)
            if not pictures:
                raise UsageError(f"{source.name}: {part} holds no images")
            stacked = torch.from_numpy(np.stack(pictures))
            parts[part] = (as_channels(stacked), torch.tensor(labels))
    return parts, source.classes
