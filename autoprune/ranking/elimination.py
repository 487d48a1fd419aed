"""Backward elimination on the inverse Gram matrix: one sweep gives every count's order and error.

A layer computes Y = X W from rows X [rows, columns]. With H = (X'X)^-1, removing the columns B and
refitting the rest by least squares costs

    tr(W_B' [H_BB]^-1 W_B),

after which H and W of the columns that stay are

    H <- H - H_:B [H_BB]^-1 H_B:        W <- W - H_:B [H_BB]^-1 W_B

(Frantar & Alistarh 2022, arXiv:2208.11580, eq. 3, in blocks as Kurtic et al. 2023,
arXiv:2302.04089). Costs add up: their sum is the least-squares error of all that is removed. Only
the rows and columns of the group that is being thinned out are needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

STEPS_PER_PASS = 64
"""Units fewer than this go one by one; of n units, ceil(n / 64) go together, costs still exact."""


class Reader:
    """One consumer as one group sees it.

    ``inverse`` [units * block, units * block] is the group's part of H, ``weights``
    [units * block, outputs] its rows of W, both unit by unit; both are overwritten. ``energy``
    divides the costs, so that readers of different scale add up.
    """

    def __init__(self, inverse: Tensor, weights: Tensor, block: int, energy: float = 1.0) -> None:
        self.inverse, self.weights, self.block = inverse, weights, block
        self.energy = energy

    def costs(self) -> Tensor:
        """Cost [units] of removing each unit that is left, alone."""
        units = len(self.weights) // self.block
        shape = (units, self.block, units, self.block)
        blocks = self.inverse.view(shape).diagonal(dim1=0, dim2=2).permute(2, 0, 1)
        weights = self.weights.view(units, self.block, -1)
        products = weights @ weights.mT
        costs: Tensor = (torch.linalg.inv(blocks) * products).sum((1, 2)) / self.energy
        return costs

    def remove(self, units: Tensor, rest: Tensor) -> Tensor:
        """Remove ``units`` one after the other, leaving ``rest``; return what each costs [units].

        With H_BB = L L' and Z = L^-1 W_B, the rows of Z that belong to a unit are its cost given
        that the units before it are gone.
        """
        gone, left = self._columns(units), self._columns(rest)
        factor = torch.linalg.cholesky(self.inverse[gone[:, None], gone])
        change = _solve(factor, self.weights[gone])
        across = _solve(factor, self.inverse[gone[:, None], left])
        self.weights = self.weights[left].addmm_(across.mT, change, alpha=-1)
        self.inverse = self.inverse[left[:, None], left].addmm_(across.mT, across, alpha=-1)
        return change.square().sum(1).view(len(units), self.block).sum(1) / self.energy

    def _columns(self, units: Tensor) -> Tensor:
        return (units[:, None] * self.block + torch.arange(self.block, device=units.device)).ravel()


def eliminate(
    readers: Sequence[Reader], size: int, order: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Remove all units of a group; return (units, costs), both [size], first removed first.

    Readers add their costs. Without ``order`` the cheapest unit goes first, the lower index where
    costs tie; with it (units, first removed first) the costs of that order are computed.
    """
    device = readers[0].weights.device
    alive = torch.arange(size, device=device)
    ahead = None if order is None else order.to(device)
    removed, costs = [], []
    while len(alive):
        count = -(-len(alive) // STEPS_PER_PASS)
        if ahead is None:
            total = torch.stack([reader.costs() for reader in readers]).sum(0)
            chosen = total.sort(stable=True).indices[:count]
        else:
            chosen = torch.searchsorted(alive, ahead[:count])
            ahead = ahead[count:]
        rest = torch.ones(len(alive), dtype=torch.bool, device=device)
        rest[chosen] = False
        stays = rest.nonzero().ravel()
        costs.append(torch.stack([reader.remove(chosen, stays) for reader in readers]).sum(0))
        removed.append(alive[chosen])
        alive = alive[stays]
    return torch.cat(removed), torch.cat(costs)


def _solve(lower: Tensor, right: Tensor) -> Tensor:
    solved: Tensor = torch.linalg.solve_triangular(lower, right, upper=False)
    return solved
