"""Small data sets of images on disk."""

import io

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")
datasets = pytest.importorskip("datasets")


def pixels(count, color, seed=0):
    shape = (count, 6, 5, 3) if color else (count, 6, 5)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def folder(root, arrays, classes=("ant", "bee")):
    for index, array in enumerate(arrays):
        place = root / classes[index % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(place / f"{index:03}.png")
    return root


def table(root, parts, image="picture", label="kind", names=("ant", "bee")):
    """Write the layout of the hub: data/<split>-00000-of-00001.parquet."""
    features = datasets.Features(
        {
            image: datasets.Image(),
            "id": datasets.Value("int64"),
            label: datasets.ClassLabel(names=names),
        }
    )
    (root / "data").mkdir(parents=True)
    for part, arrays in parts.items():
        rows = []
        for index, array in enumerate(arrays):
            stream = io.BytesIO()
            Image.fromarray(array).save(stream, "png")
            picture = {"bytes": stream.getvalue(), "path": None}
            rows.append({image: picture, "id": index, label: index % len(names)})
        made = datasets.Dataset.from_list(rows, features=features)
        made.to_parquet(str(root / "data" / f"{part}-00000-of-00001.parquet"))
    return root
