"""A network of one operation, for backends that run networks and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from autoprune.cost.latency.calls import Call


class Operation(nn.Module):
    """One operation on random tensors: its first one is the input, the others are buffers."""

    example: Tensor

    def __init__(self, call: Call, sizes: Sequence[int], device: torch.device) -> None:
        super().__init__()
        self._function = call.function
        leaves, self._tree = tree_flatten(call.made(sizes, device))
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
        self._leaves = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        self._first, self._held = places[0], places[1:]
        self.register_buffer("example", leaves[places[0]], persistent=False)
        for place in self._held:
            self.register_buffer(f"held{place}", leaves[place])

    def forward(self, x: Tensor) -> Any:
        """Carry out the operation."""
        leaves: list[Any] = list(self._leaves)
        leaves[self._first] = x
        for place in self._held:
            leaves[place] = getattr(self, f"held{place}")
        args, kwargs = tree_unflatten(leaves, self._tree)
        return self._function(*args, **kwargs)
