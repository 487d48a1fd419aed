"""Splits held in memory, and the form of their images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from autoprune.data.labels import class_labels
from autoprune.data.task import Batch
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
    With ``form``, its first leaf holds uint8 images, normalized as batches are drawn. ``key``
    stands for the content in hashes, where that differs whenever it is read.
    Raises UsageError if it is empty, if lengths differ, or if a float leaf holds NaN or infinity.
    """

    content: Any
    form: ImageForm | None = None
    name: str = "split"
    key: str | None = None

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

    @property
    def probe(self) -> Batch:
        """All samples, without normalization."""
        return self.content

    def batches(
        self, size: int, *, seed: int | None = None, augment: bool = False, first: int = 0
    ) -> Iterator[Batch]:
        """Yield batches; see :class:`autoprune.data.samples.Samples`.

        ``augment`` applies the random part of ``form``.
        """
        check_request(size, seed, augment)
        # Batches before the first are drawn too: what comes after depends on their random numbers.
        return islice(self._batches(size, seed, augment), first, None)

    def _batches(self, size: int, seed: int | None, augment: bool) -> Iterator[Batch]:
        if seed is None:
            for start in range(0, len(self), size):
                yield finished(
                    tree_map(lambda leaf, at=start: leaf[at : at + size], self.content), self.form
                )
            return
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator)
        for rows in order.tensor_split(math.ceil(len(self) / size)):
            yield finished(
                tree_map(lambda leaf, rows=rows: leaf[rows.to(leaf.device)], self.content),
                self.form,
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

    def called(self, name: str) -> Split:
        """Return the same samples under another name."""
        return replace(self, name=name)

    def labels(self, index: Tensor) -> Tensor | None:
        """Return the class labels of those at ``index``, None if samples have another form."""
        labels = class_labels(self.content)
        return None if labels is None else labels[index.to(labels.device)]

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
        """Feed shapes, types and bytes of all samples, or their key, to a hashlib digest."""
        if self.key is not None:
            digest.update(self.key.encode())
            return
        for leaf in tree_leaves(self.content):
            digest.update(f"{tuple(leaf.shape)} {leaf.dtype} {self.form}".encode())
            flat = leaf.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(np.ascontiguousarray(flat.numpy()))


def check_request(size: int, seed: int | None, augment: bool) -> None:
    """Raise UsageError for a request of batches that makes no sense."""
    if size < 1:
        raise UsageError(f"batch size must be at least 1, not {size}")
    if seed is None and augment:
        raise UsageError("augmented batches need a seed")


def finished(
    batch: Batch, form: ImageForm | None, generator: torch.Generator | None = None
) -> Batch:
    """Bring the first leaf of a batch, if it has a ``form``, into it; augmented by a generator."""
    if form is None:
        return batch
    leaves, structure = tree_flatten(batch)
    leaves[0] = form.normalize(form.augment(leaves[0], generator) if generator else leaves[0])
    return tree_unflatten(leaves, structure)
