"""Labeled images on disk or on the Hugging Face hub, decoded once and kept as uint8."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoprune.data import hub
from autoprune.data.bombs import refuse_bombs
from autoprune.data.cache import cached, fingerprint
from autoprune.errors import DamagedError, UsageError
from autoprune.foundation.progress import slow_phase

TABLES = {".parquet", ".arrow", ".jsonl", ".csv"}
"""Endings of files that show a directory to have the layout of the hub."""

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm"}

SPLIT_NAMES = {"train": "train", "test": "test", "validation": "validation"} | dict.fromkeys(
    ("val", "valid"), "validation"
)
"""Common names of splits -> our names."""

GRAY = {"1", "L", "LA", "I", "I;16", "F"}
"""Pillow's modes of images without color."""

MOST_PIXELS = 2**26
"""Pixels of an image, 8192 x 8192: what a file of a few bytes claims beyond is not decoded."""

MANY = 2000
"""From so many images on, decoding takes long enough to be shown as progress."""

Row = tuple[str | bytes, int]
"""An image, as the path of its file or as the file's content, and its label."""


@dataclass(frozen=True)
class Images:
    """Decoded images: for each part, uint8 [N, C, H, W] and int64 labels [N]."""

    name: str
    parts: Mapping[str, tuple[Tensor, Tensor]]
    classes: int


@dataclass(frozen=True)
class _Source:
    """Images that are not decoded yet."""

    name: str
    rows: Mapping[str, Iterable[Row]]
    total: int
    classes: int


def from_directory(path: Path) -> Images:
    """Load a directory in the layout of the hub, or with one sub-directory of images per class.

    Raises UsageError if it holds neither, DamagedError for an image that cannot be decoded.
    """
    path = path.resolve()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if any(file.suffix.lower() in TABLES for file in files):
        relevant = [file for file in files if file.suffix.lower() not in PICTURES]
        return _cached(path.name, fingerprint(path, relevant), lambda: _table(path))
    relevant = [file for file in files if file.suffix.lower() in PICTURES]
    if not relevant:
        raise UsageError(
            f"{path} holds no data set", "parquet files, or one sub-directory of images per class"
        )
    return _cached(path.name, fingerprint(path, relevant), lambda: _decode(_folder(path)))


def from_hub(name: str) -> Images:
    """Load a data set from the hub, or from its local cache when there is no network.

    Raises UsageError if it cannot be had, or holds no labeled images.
    """
    loaded = hub.from_hub(name)
    arrows = [Path(file["filename"]) for part in loaded.values() for file in part.cache_files]
    key = fingerprint(Path("/"), sorted(arrows))
    return _cached(name.replace("/", "--"), key, lambda: _decode(_columns(name, loaded)), name)


def _cached(file: str, key: str, make: Callable[[], Images], name: str | None = None) -> Images:
    tensors, facts = cached(f"{file}-{key}", lambda: _pack(make()))
    parts = {
        part: (tensors[f"{part}.images"], tensors[f"{part}.labels"])
        for part in ("train", "validation", "test")
        if f"{part}.images" in tensors
    }
    return Images(name or file, parts, int(facts["classes"]))


def _pack(images: Images) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors: dict[str, Tensor] = {}
    for part, (pictures, labels) in images.parts.items():
        tensors |= {f"{part}.images": pictures, f"{part}.labels": labels}
    return tensors, {"classes": str(images.classes)}


def _table(path: Path) -> Images:
    refuse_bombs(path)
    with tempfile.TemporaryDirectory() as scratch:  # our own cache is the one that lasts
        return _decode(_columns(path.name, hub.from_files(str(path), scratch)))


def _columns(name: str, loaded: Mapping[str, Any]) -> _Source:
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
    rows = {key: _raw_rows(part, image[0], label[0]) for key, part in raw.items()}
    total = sum(part.num_rows for part in parts.values())
    return _Source(name, rows, total, features[label[0]].num_classes)


def _raw_rows(part: Any, image: str, label: str) -> Iterator[Row]:
    for batch in part.select_columns([image, label]).iter(1000):
        for picture, number in zip(batch[image], batch[label], strict=True):
            stored = picture or {}
            yield stored.get("bytes") or stored.get("path") or b"", number


def _folder(path: Path) -> _Source:
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
    return _Source(path.name, rows, sum(map(len, rows.values())), len(classes))


def _decode(source: _Source) -> Images:
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise UsageError(
            f"loading {source.name} needs pillow", "pip install 'autoprune[data]'"
        ) from None
    gray: bool | None = None
    parts = {}
    with slow_phase("decode", source.total, least=MANY) as advance:
        for part in sorted(source.rows, key=lambda key: key != "train"):
            pictures: list[np.ndarray[Any, Any]] = []
            labels: list[int] = []
            for content, label in source.rows[part]:
                where = content if isinstance(content, str) else f"image {len(labels)} of {part}"
                picture = _picture(content, f"{source.name}: {where}", gray)
                pictures.append(picture)
                gray = picture.ndim == 2
                _check(source, where, pictures, label)
                labels.append(label)
                advance(1)
            if not pictures:
                raise UsageError(f"{source.name}: {part} holds no images")
            stacked = torch.from_numpy(np.stack(pictures))
            stacked = stacked[:, None] if gray else stacked.permute(0, 3, 1, 2).contiguous()
            parts[part] = (stacked, torch.tensor(labels))
    return Images(source.name, parts, source.classes)


def _picture(content: str | bytes, what: str, gray: bool | None) -> np.ndarray[Any, Any]:
    """Decode an image, uint8 [H, W] or [H, W, 3]: as ``gray`` says, or as it is if that is None."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"{image.width}x{image.height} pixels are too many")
            gray = image.mode in GRAY if gray is None else gray
            return np.asarray(image.convert("L" if gray else "RGB"))
    except (
        *(OSError, SyntaxError, ValueError),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    ) as error:
        raise DamagedError(
            f"{what} cannot be read: {error}", f"images have at most {MOST_PIXELS:,} pixels"
        ) from None


def _check(source: _Source, where: str, pictures: list[np.ndarray[Any, Any]], label: int) -> None:
    first, last = pictures[0].shape, pictures[-1].shape
    if first != last:
        raise UsageError(
            f"{source.name}: images differ in size: {where} has {last[1]}x{last[0]}, the first"
            f" {first[1]}x{first[0]}",
            "bring them to one size",
        )
    if not isinstance(label, int) or not 0 <= label < source.classes:
        raise UsageError(
            f"{source.name}: {where} has label {label}, there are {source.classes} classes"
        )
