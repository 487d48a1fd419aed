"""Backward elimination on the inverse Gram matrix: one sweep gives the order of all units.

A layer computes Y = X W from rows X [rows, columns]. With H = (X'X)^-1, removing the columns B and
refitting the rest by least squares costs

    tr(W_B' [H_BB]^-1 W_B),

after which H and W of the columns that stay are

    H <- H - H_:B [H_BB]^-1 H_B:        W <- W - H_:B [H_BB]^-1 W_B

(Frantar & Alistarh 2022, arXiv:2208.11580, eq. 3, in blocks as Kurtic et al. 2023,
arXiv:2302.04089). Only the rows and columns of the group in question are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from autoprune.ranking.cholesky import cholesky

STEPS_PER_PASS = 64
"""Units fewer than this go one by one; of n units, ceil(n / 64) go together."""


class Reader:
    """View of one consumer from one group, from which units are removed.

    ``inverse`` [units * block, units * block] is the group's part of H, ``weights``
    [units * block, outputs] its rows of W, both unit by unit; both are overwritten. ``energy``
    divides the costs, so that readers of different scale add up. Units that are left come first.
    """

    def __init__(self, inverse: Tensor, weights: Tensor, block: int, energy: float = 1.0) -> None:
        self.inverse, self.weights, self.block = inverse, weights, block
        self.energy = energy
        self.left = len(weights)

    def costs(self) -> Tensor:
        """Cost [units left] of removing each unit, alone."""
        if self.block == 1:
            weights = self.weights[: self.left]
            single: Tensor = weights.square().sum(1) / self.inverse.diagonal()[: self.left]
            return single / self.energy
        units = self.left // self.block
        own = torch.arange(self.left, device=self.weights.device).view(units, self.block)
        blocks = self.inverse[own[:, :, None], own[:, None, :]]
        weights = self.weights[: self.left].view(units, self.block, -1)
        products = weights @ weights.mT
        costs: Tensor = (torch.linalg.inv(blocks) * products).sum((1, 2)) / self.energy
        return costs

    def move(self, targets: Tensor, sources: Tensor) -> None:
        """Put the units at the places ``sources`` to ``targets``, a permutation of them."""
        to, of = self._columns(targets), self._columns(sources)
        self.weights[to] = self.weights[of]
        inverse = self.inverse[: self.left, : self.left]
        inverse[to] = inverse[of]
        inverse[:, to] = inverse[:, of]

    def remove(self, count: int) -> None:
        """Remove the last ``count`` units."""
        stay, end = self.left - count * self.block, self.left
        factor = cholesky(self.inverse[stay:end, stay:end])
        change = _solve(factor, self.weights[stay:end])
        across = _solve(factor, self.inverse[stay:end, :stay])
        self.weights[:stay].addmm_(across.mT, change, alpha=-1)
        self.inverse[:stay, :stay].addmm_(across.mT, across, alpha=-1)
        self.left = stay

    def _columns(self, units: Tensor) -> Tensor:
        return (units[:, None] * self.block + torch.arange(self.block, device=units.device)).ravel()


def eliminate(readers: Sequence[Reader], size: int) -> Tensor:
    """Remove all units of a group, the cheapest first; return them [size], first removed first.

    Readers add their costs; of units that cost the same the lower index goes first.
    """
    places = torch.arange(size, device=readers[0].weights.device)  # place -> unit
    removed = []
    left = size
    while left:
        count = -(-left // STEPS_PER_PASS)
        _to_the_end(readers, places, _cheapest(readers, places[:left], count), left)
        for reader in readers:
            reader.remove(count)
        removed.append(places[left - count : left].clone())
        left -= count
    return torch.cat(removed)


def _cheapest(readers: Sequence[Reader], units: Tensor, count: int) -> Tensor:
    """Places of the ``count`` cheapest units, cheapest first."""
    costs = torch.stack([reader.costs() for reader in readers]).sum(0)
    by_index = units.argsort()
    return by_index[costs[by_index].sort(stable=True).indices[:count]]


def _to_the_end(readers: Sequence[Reader], places: Tensor, chosen: Tensor, left: int) -> None:
    """Swap the chosen units with the last that are left, so that what stays is contiguous."""
    last = torch.arange(left - len(chosen), left, device=places.device)
    targets = torch.cat([chosen[chosen < left - len(chosen)], last])
    sources = torch.cat([last[~torch.isin(last, chosen)], chosen])
    for reader in readers:
        reader.move(targets, sources)
    places[targets] = places[sources]


def _solve(lower: Tensor, right: Tensor) -> Tensor:
    solved: Tensor = torch.linalg.solve_triangular(lower, right, upper=False)
    return solved
