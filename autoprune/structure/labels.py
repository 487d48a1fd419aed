"""Unit labels: a union-find over ids, and the tensors of ids that travel through the graph.

An activation is represented by an int64 tensor of its shape whose entries say which unit each
element belongs to. Movement operators run on such a tensor as themselves, so a shuffle, a chunk or
a flatten needs no index arithmetic of ours. Labels that do not change along a dimension are kept
as stride-0 views, which makes the cost nearly independent of the resolution.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

FREE = 0
"""Label of elements that adapt to any size (an expanded gate): joins with all, binds none."""


class Labels:
    """Union-find over unit ids; a class of ids may be pinned, with the first reason given."""

    def __init__(self) -> None:
        self._parent = [FREE]
        self._reason: dict[int, str] = {}
        self._fixed: dict[str, int] = {}

    def fresh(self, count: int) -> Tensor:
        """Return ``count`` new ids, shape [count]."""
        start = len(self._parent)
        self._parent.extend(range(start, start + count))
        return torch.arange(start, start + count)

    def fixed(self, reason: str) -> int:
        """Return the id of what has one size only; equal reasons share an id."""
        if reason not in self._fixed:
            label = int(self.fresh(1))
            self._fixed[reason] = label
            self._reason[label] = reason
        return self._fixed[reason]

    def find(self, label: int) -> int:
        """Return the representative of an id's class."""
        parent = self._parent
        while parent[label] != label:
            parent[label] = parent[parent[label]]
            label = parent[label]
        return label

    def roots(self, labels: Tensor) -> Tensor:
        """Replace every id by its representative."""
        unique, inverse = torch.unique(labels, return_inverse=True)
        roots = [self.find(label) for label in unique.tolist()]
        return torch.tensor(roots, dtype=torch.int64)[inverse]

    def reason(self, label: int) -> str | None:
        """Why the class of ``label`` is pinned, None if it is not."""
        root = self.find(label)
        return "fixed size" if root == FREE else self._reason.get(root)

    def join(self, left: Tensor, right: Tensor) -> None:
        """Declare that the elements of two tensors (broadcast) belong to the same units."""
        left, right = squash(left), squash(right)
        shape = np.broadcast_shapes(left.shape, right.shape)
        pairs = torch.stack([left.expand(shape).flatten(), right.expand(shape).flatten()])
        pairs = pairs[:, (pairs[0] != pairs[1]) & (pairs[0] != FREE) & (pairs[1] != FREE)]
        count = len(self._parent)  # one number for a pair is sorted far sooner than two
        for pair in torch.unique(pairs[0] * count + pairs[1]).tolist():
            self._union(*divmod(pair, count))

    def _union(self, one: int, other: int) -> None:
        one, other = sorted((self.find(one), self.find(other)))
        if one == other:
            return
        self._parent[other] = one
        reason = self._reason.get(one) or self._reason.get(other)
        if reason:
            self._reason[one] = reason

    def pin(self, labels: Tensor, reason: str) -> None:
        """Declare that the units of ``labels`` must stay."""
        for label in torch.unique(squash(labels)).tolist():
            root = self.find(label)
            if root != FREE:
                self._reason.setdefault(root, reason)

    def varies(self, labels: Tensor, dim: int) -> bool:
        """Whether the unit depends on the index along ``dim``."""
        if labels.shape[dim] < 2 or labels.stride(dim) == 0:
            return False
        roots = self.roots(squash(labels, but=dim))
        return bool((roots != roots.narrow(dim, 0, 1)).any())

    def varying(self, labels: Tensor) -> list[int]:
        """Return the dimensions along which the unit changes."""
        return [dim for dim in range(labels.dim()) if self.varies(labels, dim)]

    def column(self, labels: Tensor, dim: int) -> Tensor:
        """Join all that shares an index along ``dim``; return one label per index, shape [size]."""
        moved = squash(labels, but=dim).movedim(dim, 0).reshape(labels.shape[dim], -1)
        self.join(moved[:, 1:], moved[:, :1])
        return moved[:, 0]


def squash(labels: Tensor, but: int | None = None) -> Tensor:
    """Cut stride-0 dimensions to length one, except ``but``."""
    for dim in range(labels.dim()):
        if labels.stride(dim) == 0 and labels.shape[dim] > 1 and dim != but:
            labels = labels.narrow(dim, 0, 1)
    return labels


def compress(labels: Tensor) -> Tensor:
    """Turn dimensions along which nothing changes back into stride-0 views."""
    shape, small = labels.shape, squash(labels)
    for dim in range(small.dim()):
        first = small.narrow(dim, 0, 1)
        if small.shape[dim] > 1 and bool((small == first).all()):
            small = first
    return small.expand(shape)


def spread(column: Tensor, dim: int, shape: torch.Size) -> Tensor:
    """View ``column`` (one label per index along ``dim``) as a tensor of ``shape``."""
    view = [1] * len(shape)
    view[dim] = -1
    return column.view(view).expand(shape)
