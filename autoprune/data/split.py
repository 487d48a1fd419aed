"""Splits of data held in memory, and the four splits of a data set together."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._pytree import tree_leaves, tree_map

from autoprune.data.classification import Classification
from autoprune.data.task import Batch, Task, example_inputs
from autoprune.errors import UsageError


@dataclass(frozen=True)
class ImageForm:
    """Normalization and augmentation that turn uint8 images into float32 inputs.

    ``x / 255`` has the channel means ``mean`` taken off and is divided by ``std``. In augmented
    batches each image is first shifted by up to ``shift`` pixels, black moving in (the random crop
    of He et al. 2016, section 4.2), and mirrored with probability 1/2 if ``flip``.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    shift: int = 0
    flip: bool = False

    def normalize(self, images: Tensor) -> Tensor:
        """Turn uint8 [B, C, H, W] into float32 of the same shape."""
        mean, std = (
            torch.tensor(values, device=images.device).view(1, -1, 1, 1)
            for values in (self.mean, self.std)
        )
        return (images.float() * (1 / (255 * std))).sub_(mean / std)

    def augment(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Shift and mirror every image of uint8 [B, C, H, W] by itself, in one gather."""
        if not (self.shift or self.flip):
            return images
        count, channels, height, width = images.shape

        def draw(values: int) -> Tensor:
            return torch.randint(values, (count, 1), generator=generator)

        rows = torch.arange(height) + draw(2 * self.shift + 1)
        columns = torch.arange(width).expand(count, width)
        if self.flip:
            mirrored = draw(2).bool()
            columns = torch.where(mirrored, columns.flip(1), columns)
        columns = columns + draw(2 * self.shift + 1)
        padded = pad(images, (self.shift,) * 4)
        where = (
            torch.arange(count).view(-1, 1, 1, 1),
            torch.arange(channels).view(1, -1, 1, 1),
            rows.view(count, 1, height, 1),
            columns.view(count, 1, 1, width),
        )
        return padded[tuple(index.to(images.device) for index in where)]


@dataclass(frozen=True, eq=False)
class Split:
    """Samples held in memory.

    ``content`` is a pytree (tuple, dict, nested) of tensors whose first dimension is the sample.
    With ``form``, its first leaf holds uint8 images, normalized as batches are drawn.
    Raises UsageError if it is empty, if lengths differ, or if a float leaf holds NaN or infinity.
    """

    content: Any
    form: ImageForm | None = None
    name: str = "split"

    def __post_init__(self) -> None:
        leaves = tree_leaves(self.content)
        odd = [type(leaf).__name__ for leaf in leaves if not isinstance(leaf, Tensor)]
        if odd or not leaves:
            raise UsageError(
                f"{self.name} data must hold tensors, not {odd[0] if odd else 'nothing'}"
            )
        if any(leaf.ndim == 0 for leaf in leaves):
            raise UsageError(f"{self.name} data has a tensor without a sample dimension")
        lengths = [len(leaf) for leaf in leaves]
        if len(set(lengths)) > 1:
            raise UsageError(
                f"{self.name} data does not match up: "
                + " and ".join(f"{length:,}" for length in lengths)
                + " samples",
                "every tensor has one entry per sample, in its first dimension",
            )
        if lengths[0] == 0:
            raise UsageError(f"{self.name} data is empty", "give at least a few samples")

    def __len__(self) -> int:
        return len(tree_leaves(self.content)[0])

    @property
    def sample(self) -> str:
        """Description of one sample: kind and shape of every tensor in it."""
        return ", ".join(
            f"{'float' if leaf.is_floating_point() else 'integer'} {list(leaf.shape[1:])}"
            for leaf in tree_leaves(self.content)
        )

    def batches(
        self, size: int, *, seed: int | None = None, augment: bool = False
    ) -> Iterator[Batch]:
        """Yield all samples in batches of at most ``size``.

        Without a seed: in order, the last batch takes the rest. With one: shuffled by it, and batch
        sizes differ by at most one sample, so that no batch is too small for its batch norm.
        ``augment`` (needs a seed) applies the random part of ``form``.
        """
        if size < 1:
            raise UsageError(f"batch size must be at least 1, not {size}")
        if seed is None:
            if augment:
                raise UsageError("augmented batches need a seed")
            for start in range(0, len(self), size):
                yield self._finish(
                    tree_map(lambda leaf, at=start: leaf[at : at + size], self.content), None
                )
            return
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        for rows in order.tensor_split(math.ceil(len(self) / size)):
            yield self._finish(
                tree_map(lambda leaf, rows=rows: leaf[rows.to(leaf.device)], self.content),
                generator if augment else None,
            )

    def take(self, count: int, seed: int | None = None) -> Split:
        """Return the first ``count`` samples, or ``count`` different ones drawn by ``seed``."""
        if seed is None:
            return self.part(0, count)
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return self.rows(order[:count])

    def part(self, start: int, end: int) -> Split:
        """Return the samples from ``start`` up to ``end``, sharing memory."""
        return replace(self, content=tree_map(lambda leaf: leaf[start:end], self.content))

    def rows(self, index: Tensor) -> Split:
        """Return the samples at ``index``, in that order."""
        return replace(
            self, content=tree_map(lambda leaf: leaf[index.to(leaf.device)], self.content)
        )

    def to(self, device: torch.device | str) -> Split:
        """Return the split with its tensors on ``device``."""
        return replace(self, content=tree_map(lambda leaf: leaf.to(device), self.content))

    def check_finite(self) -> None:
        """Raise UsageError if a float leaf holds NaN or infinity."""
        for leaf in tree_leaves(self.content):
            if leaf.is_floating_point() and not torch.isfinite(leaf.sum(dtype=torch.float64)):
                bad = (~torch.isfinite(leaf.reshape(len(leaf), -1)).all(1)).nonzero()
                if len(bad):
                    raise UsageError(
                        f"{self.name} data holds NaN or infinity, first in sample {int(bad[0])}",
                        "mend or drop such samples",
                    )

    def update(self, digest: Any) -> None:
        """Feed shapes, types and bytes of all samples to a hashlib digest."""
        for leaf in tree_leaves(self.content):
            digest.update(f"{tuple(leaf.shape)} {leaf.dtype} {self.form}".encode())
            flat = leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(np.ascontiguousarray(flat.numpy()))

    def _finish(self, batch: Batch, generator: torch.Generator | None) -> Batch:
        if self.form is None:
            return batch
        form, first = self.form, True

        def convert(leaf: Tensor) -> Tensor:
            nonlocal first
            if not first:
                return leaf
            first = False
            return form.normalize(form.augment(leaf, generator) if generator else leaf)

        return tree_map(convert, batch)


@dataclass(frozen=True, eq=False)
class Data:
    """The four disjoint splits of a data set; ``test`` is read once, at the end.

    ``classes`` is the number of classes if the samples are (inputs..., class label), else None;
    ``rows`` says for every split which part of the source it is from, and which rows of that.
    Raises UsageError if samples of the splits differ in form or a float among them is not finite.
    """

    name: str
    train: Split
    search: Split
    validation: Split
    test: Split
    classes: int | None = None
    rows: Mapping[str, tuple[str, Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        form = self.train.sample
        for name, split in self.splits.items():
            if split.sample != form:
                raise UsageError(
                    f"{self.name}: a sample of {name} is {split.sample}, one of train is {form}"
                )
            split.check_finite()

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {
            "train": self.train,
            "search": self.search,
            "validation": self.validation,
            "test": self.test,
        }

    def calibration(self, count: int, seed: int = 0) -> Split:
        """Draw ``count`` training samples (all, if there are fewer), to be used unaugmented."""
        return self.train.take(count, seed)

    def example(self, task: Task, count: int = 2) -> Any:
        """Return ``count`` training samples as the inputs that ``analyze`` takes."""
        batch = next(iter(self.train.take(count).batches(count)))
        return example_inputs(task, batch)

    @property
    def example_inputs(self) -> Any:
        """Two training samples as inputs of a classifier, in the form that ``analyze`` takes."""
        return self.example(Classification())

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width) if the first leaf of a sample is an image."""
        shape = tuple(tree_leaves(self.train.content)[0].shape[1:])
        return (shape[0], shape[1], shape[2]) if len(shape) == 3 else None

    @cached_property
    def fingerprint(self) -> str:
        """Content hash over all splits, stable across processes."""
        digest = hashlib.sha256()
        for name, split in self.splits.items():
            digest.update(name.encode())
            split.update(digest)
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Data:
        """Return the data with its tensors on ``device``."""
        moved = {name: split.to(device) for name, split in self.splits.items()}
        return Data(self.name, **moved, classes=self.classes, rows=self.rows)
