"""Shortcuts of residual blocks: what they lack in a compact network, its branches make up for.

A block adds a branch to its input. In a compact network the input differs from the dense one, by
branches that are gone or units that are. The branch's last layer is therefore fitted to its dense
outputs plus what the shortcut lacks (He et al. 2017, arXiv:1707.06168, section 3.3.2):

    Y + (s - s') sigma / gamma,

s and s' being the block's inputs, and sigma / gamma what the batch norm after the layer divides
by, if there is one. That norm keeps the dense variance: moved to what the regression leaves, it
would undo what was fitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoprune.networks.padding import rows_of
from autoprune.ranking.patches import choose_rows, input_of
from autoprune.structure.table import Branch, Ending

LEAST: Final = 1e-2
"""Least scale of a norm's unit, relative to its largest, by which anything is divided."""


class Shortcut:
    """Shortcut around a branch: its dense values on the patches that the last layer is fitted to.

    ``seed`` and ``limit`` are those of the patches.
    """

    def __init__(self, branch: Branch, ending: Ending, seed: int, limit: int) -> None:
        self.ending, self.branch = ending, branch
        self._seed, self._limit, self._dim = seed, limit, branch.removal.dim
        self._dense: Tensor | None = None
        self._now: Tensor | None = None

    def see_dense(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note the values that enter the dense network's branch: a hook."""
        self._dense = self._rows(input_of(args, kwargs))

    def see(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note the values that enter a compact network's branch: a hook."""
        self._now = self._rows(input_of(args, kwargs))

    def lacks(self, stays: Tensor, scale: Tensor | float) -> Tensor | None:
        """Return what the shortcut lacks, [rows, units that stay] times ``scale`` [units]."""
        if self._dense is None or self._now is None:
            return None
        dense = self._dense[:, stays]
        return (dense - self._now) * scale if dense.shape == self._now.shape else None

    def _rows(self, value: Tensor) -> Tensor:
        rows = rows_of(value.movedim(self._dim, -1))
        generator = torch.Generator().manual_seed(self._seed)
        return rows[choose_rows(len(rows), self._limit, generator, rows.device)].float()


def divided_by(norm: nn.Module | None) -> Tensor | float:
    """Return sigma / gamma of a batch norm, 0 where gamma is next to nothing; 1 without one."""
    if not isinstance(norm, _BatchNorm) or norm.running_var is None:
        return 1.0
    sigma = (norm.running_var + norm.eps).sqrt()
    if norm.weight is None:
        return sigma
    scale = norm.weight.detach()
    sound = scale.abs() > LEAST * scale.abs().max()
    return torch.where(sound, sigma / torch.where(sound, scale, 1.0), 0.0)


def settle_mean(norm: nn.Module | None, wanted: Tensor, given: Tensor) -> None:
    """Move a norm's mean by what the fitted outputs miss the ``wanted`` ones by, on average."""
    if isinstance(norm, _BatchNorm) and norm.running_mean is not None:
        norm.running_mean = norm.running_mean + (given - wanted).mean(0).to(norm.running_mean)


def shortcuts(
    branches: Iterable[Branch], drawn: Mapping[str, tuple[int, int]]
) -> dict[str, Shortcut]:
    """Return the shortcuts by the paths of the last layers of their branches.

    ``drawn``: seed and limit of the patches of each layer that is fitted.
    """
    return {
        branch.ending.layer: Shortcut(branch, branch.ending, *drawn[branch.ending.layer])
        for branch in branches
        if branch.ending is not None and branch.ending.layer in drawn
    }
