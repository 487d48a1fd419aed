"""Four splits of a user's objects, and what the user should know about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from autoprune.data.labels import class_labels
from autoprune.data.normalization import image_form
from autoprune.data.objects import PLAIN, Part, parts_of
from autoprune.data.overlap import overlaps
from autoprune.data.read_split import ReadSplit, settled
from autoprune.data.split import Split
from autoprune.data.splits import Data
from autoprune.data.splitting import Cut, cuts
from autoprune.foundation.progress import slow_phase

SLOW = 10_000
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
    for split in samples.values():
        split.check_finite()
    rows = cuts(name, samples, seed)
    splits = {key: cut.of(samples, key) for key, cut in rows.items()}
    return Data(
        name,
        _as_trained(parts["train"], splits["train"]),
        settled(splits["search"]),
        settled(splits["validation"]),
        settled(splits["test"]),
        count_classes=partial(count_classes, samples),
        rows={key: _numbered(samples, cut) for key, cut in rows.items()},
        remarks=remarks(name, parts, rows),
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


def remarks(name: str, parts: Mapping[str, Part], rows: Mapping[str, Cut]) -> tuple[str, ...]:
    """Return a line on each part that is not what it should be."""
    lines = []
    for key, part in parts.items():
        if not part.varies:
            continue
        used = [split for split, cut in rows.items() if cut.part == key and split != "train"]
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
    for key, part in parts.items():
        if key != "train" and overlaps(train, part):
            lines.append(f"{key} holds samples of train: a score on it says nothing about new ones")
    return tuple(lines)


def _as_trained(part: Part, split: Split | ReadSplit) -> Split | ReadSplit:
    """Let the user's sampler choose among the training rows, as many per epoch as it draws."""
    if part.draws is None or isinstance(split, Split):
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
        found = []
        with slow_phase("labels", len(split), least=SLOW) as advance:
            for batch in split.batches(256):
                found.append(batch[-1])
                advance(len(batch[-1]))
        labels = torch.cat(found)
    return labels
