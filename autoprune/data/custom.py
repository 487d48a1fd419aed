"""Four splits of a user's objects, and what the user should know about them.

Training reads a data set or loader as the user's own loop would: by its workers, collate function
and sampler, anew in every epoch. Every sample is read under a seed that follows from the run's
seed, the epoch and the position, so that a run killed in mid-epoch continues to the same bytes.
Samples for search, validation, test and calibration are fixed. They come from ``train_plain`` (the
training rows without augmentation), from a copy of the data set with its augmentation turned off,
or from one reading, which ``Data.remarks`` then says.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprune.data.images import Images
from autoprune.data.labels import class_labels
from autoprune.data.normalization import image_form
from autoprune.data.objects import PLAIN, Part, parts_of
from autoprune.data.overlap import overlaps, shared
from autoprune.data.read_split import ReadSplit, settled
from autoprune.data.reader import LoaderOptions, Reader
from autoprune.data.samples import Samples
from autoprune.data.split import Split
from autoprune.data.splits import Data
from autoprune.data.splitting import Cut, cuts
from autoprune.data.stream_split import StreamSplit
from autoprune.foundation.progress import slow_phase

WORKERS: Final = 4
"""Most processes that decode images."""

SLOW: Final = 10_000
"""From so many samples on, reading all of them takes long enough to be shown as progress."""


def from_objects(name: str, source: object, seed: int) -> Data:
    """Return the splits of a user's objects; see :func:`autoprune.data.load_data`.

    Raises UsageError, in one line, for what cannot be read.
    """
    parts = parts_of(name, source)
    samples = {key: part.samples for key, part in parts.items()}
    if "train" in samples:
        images = tree_leaves(samples["train"].probe)[0]
        if images.dtype == torch.uint8 and images.ndim == 4:
            form = replace(image_form(name, images), shift=0, flip=False)
            samples = {key: replace(split, form=form) for key, split in samples.items()}
    classes: int | Callable[[], int | None] | None = partial(count_classes, samples)
    if not any(isinstance(split, ReadSplit) for split in samples.values()):
        classes = count_classes(samples)
    data = _divided(name, samples, seed, classes)
    notes = remarks(name, parts, {key: part for key, (part, _) in data.rows.items()})
    return replace(data, train=_as_trained(parts["train"], data.train), remarks=notes)


def from_pictures(images: Images, seed: int) -> Data:
    """Return the splits of images that are read as they are needed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    options = LoaderOptions(workers=0 if cores == 1 else min(WORKERS, cores or 1), few=WORKERS)
    samples = {}
    for key, pictures in images.parts.items():
        reader = Reader(f"{images.name} {key}", pictures, options=options)
        rows = np.arange(len(pictures), dtype=np.int64)
        samples[key] = ReadSplit(reader, reader, rows, key)
    form = image_form(images.name, tree_leaves(samples["train"].probe)[0])
    formed = {key: replace(split, form=form) for key, split in samples.items()}
    return _divided(images.name, formed, seed, len(images.classes))


def _divided(
    name: str,
    samples: Mapping[str, Split | ReadSplit],
    seed: int,
    classes: int | Callable[[], int | None] | None,
) -> Data:
    for split in samples.values():
        split.check_finite()
    rows = cuts(name, samples, seed)
    splits = {key: cut.of(samples, key) for key, cut in rows.items()}
    return Data(
        name,
        splits["train"],
        settled(splits["search"]),
        settled(splits["validation"]),
        settled(splits["test"]),
        classes,
        {key: _numbered(samples, cut) for key, cut in rows.items()},
    )


def count_classes(samples: Mapping[str, Split | ReadSplit]) -> int | None:
    """Return the number of classes if all samples are (inputs..., class label), else None.

    Reads every sample of data that are not in memory and do not declare their labels.
    """
    few = [class_labels(split.probe) for split in samples.values()]
    if any(labels is None or (len(labels) and int(labels.min()) < 0) for labels in few):
        return None
    labels = [_all_labels(split) for split in samples.values()]
    if any(int(values.min()) < 0 for values in labels):
        return None
    return max(int(values.max()) for values in labels) + 1


def remarks(name: str, parts: Mapping[str, Part], sources: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line on each part that is not what it should be.

    ``sources``: the part that each split is from.
    """
    lines = []
    for key, part in parts.items():
        if not part.varies:
            continue
        used = [split for split, source in sources.items() if source == key and split != "train"]
        advice = "leave the augmentation out"
        if key == "train":
            used.append("calibration")
            advice = f"give the same rows without it as {PLAIN!r}"
        listed = " and ".join(filter(None, (", ".join(used[:-1]), *used[-1:])))
        lines.append(
            f"{name} {key} is augmented at random: samples for {listed} keep the augmentation of"
            f" one reading; {advice} (docs/data.md)"
        )
    train = parts["train"]
    cut = [split for split, source in sources.items() if source == "train" and split != "train"]
    if train.stream is not None and cut:
        lines.append(
            f"{name} train differs from pass to pass, but {' and '.join(cut)} samples are cut out"
            " of one pass, and every epoch trains on what is left of that; give splits of your own"
            " (docs/data.md)"
        )
    for key, part in parts.items():
        if key != "train" and overlaps(train.samples, part.samples):
            lines.append(shared(key))
    for key, part in parts.items():
        if isinstance(part.samples, ReadSplit) and part.samples.unsteady:
            lines.append(
                f"{name} {key} differs whenever it is read, whatever the seed: a run that is"
                " continued may end differently (docs/data.md)"
            )
    return tuple(lines)


def _as_trained(part: Part, split: Samples) -> Samples:
    """Let the user's sampler choose among the training rows, as many per epoch as it draws.

    Of a stream that nothing is cut out of, every epoch takes a new pass.
    """
    if part.stream is not None and isinstance(split, Split) and len(split) == len(part.samples):
        return StreamSplit(split, part.stream)
    if part.draws is None or not isinstance(split, ReadSplit):
        return split
    share = min(1.0, part.draws.length() / len(part.samples))
    return replace(split, draws=part.draws, count=max(1, round(share * len(split))))


def _numbered(samples: Mapping[str, Split | ReadSplit], cut: Cut) -> tuple[str, Tensor]:
    source = samples[cut.part]
    rows = cut.rows if isinstance(source, Split) else torch.from_numpy(source.index)[cut.rows]
    return cut.part, rows


def _all_labels(split: Split | ReadSplit) -> Tensor:
    labels = split.labels(torch.arange(len(split)))
    if labels is None or len(labels) < len(split):
        # Copied into one tensor: a small one kept of each batch would lie where the batch was, and
        # the next batch, too large for what is left of the place, would take new memory.
        labels = torch.empty(len(split), dtype=torch.int64)
        done = 0
        with slow_phase("labels", len(split), least=SLOW) as advance:
            for batch in split.batches(256):
                labels[done : done + len(batch[-1])] = batch[-1]
                done += len(batch[-1])
                advance(len(batch[-1]))
    return labels
