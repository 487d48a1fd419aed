"""Repair by least squares from Gram matrices: weights that make up for the removed inputs.

A consumer computes Y = X W. With only the columns S of its input left, the weights

    W_S = (G_SS + eps I)^-1 (G_S: + eps I_S:) W,    G = X'X

come nearest to Y: X'Y = G W, so no output is ever stored. With eps on both sides W_S is W where
nothing is missing, and what the data does not determine stays as it was.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from autoprune.ranking.cholesky import cholesky, principal
from autoprune.ranking.gram import DEFAULT, Moments


def damped(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return G + eps I and W as least squares takes them.

    For a consumer with a bias both keep the column of ones (undamped; its row of W is 0), so that
    the bias is fitted too; for one without, the column is left out.
    """
    size = len(moments.weights)
    ones = 1 if moments.consumer.bias else 0
    gram = moments.gram[: size + ones, : size + ones].clone()
    diagonal = gram.diagonal()[:size]
    diagonal += moments.damping * diagonal.mean() + torch.finfo(gram.dtype).tiny
    weights = moments.weights
    return gram, torch.cat([weights, weights.new_zeros(ones, weights.shape[1])])


def least_squares(gram: Tensor, products: Tensor, kept: Tensor) -> Tensor:
    """Return W_S [len(kept), outputs] from G + eps I, products = (G + eps I) W, and S = kept."""
    factor = cholesky(principal(gram, kept))
    return torch.cholesky_solve(products[kept], factor)


class Solver(Protocol):
    """Solver of the least squares of one Gram matrix, for any plan."""

    def __call__(self, plan: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        """Return the columns S that stay and W_S [len(S), outputs]."""
        ...

    def costs(self) -> dict[str, Tensor]:
        """Return by group what each unit adds to the squared error when it goes, [size].

        Last ones first, all groups shrinking side by side, each in its order. With L L' =
        G + eps I, columns that go later first, that is the square of the unit's rows of L' W.
        """
        ...


class Nested:
    """Solver for the units of a single group.

    With the columns in the order in which they stay longest, what a plan keeps is a leading part,
    and so is its Cholesky factor: one factorisation serves all plans, each of which then costs one
    triangular solve.
    """

    def __init__(self, moments: Moments, orders: Mapping[str, Tensor]) -> None:
        gram, weights = damped(moments)
        ((self.group, index),) = moments.consumer.groups.items()
        self.block = index.shape[1]
        ranked = index[orders[self.group]].ravel().to(gram.device)
        fixed = _others(len(gram), ranked)
        self.fixed, self.columns = len(fixed), torch.cat([fixed, ranked])
        self.factor = cholesky(principal(gram, self.columns))
        # (L L') W = products, so L^-1 products is L' W.
        self.half = self.factor.mT @ weights[self.columns]

    def __call__(self, plan: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        """Return the columns S that stay and W_S."""
        size = self.fixed + self.block * plan[self.group]
        upper = self.factor[:size, :size].mT
        solved = torch.linalg.solve_triangular(upper, self.half[:size], upper=True)
        return self.columns[:size], solved

    def costs(self) -> dict[str, Tensor]:
        """Return what each unit adds to the squared error, [size]."""
        rows = self.half[self.fixed :].square().sum(1)
        return {self.group: rows.view(-1, self.block).sum(1)}


class Joint:
    """Solver for units of several groups: one Cholesky factorisation per plan."""

    def __init__(self, moments: Moments, orders: Mapping[str, Tensor]) -> None:
        self.gram, self.weights = damped(moments)
        self.products = self.gram @ self.weights
        self.ranked = {
            name: index[orders[name]].to(self.gram.device)
            for name, index in moments.consumer.groups.items()
        }
        taken = torch.cat([index.ravel() for index in self.ranked.values()])
        self.fixed = _others(len(self.gram), taken)

    def __call__(self, plan: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        """Return the columns S that stay and W_S."""
        stays = [index[: plan[name]].ravel() for name, index in self.ranked.items()]
        columns = torch.cat([self.fixed, *stays])
        return columns, least_squares(self.gram, self.products, columns)

    def costs(self) -> dict[str, Tensor]:
        """Return by group what each unit adds to the squared error as all shrink, [size]."""
        units = sorted(
            ((rank + 0.5) / len(index), name, rank)
            for name, index in self.ranked.items()
            for rank in range(len(index))
        )
        owned = [self.ranked[name][rank] for _, name, rank in units]
        columns = torch.cat([self.fixed, *owned])
        factor = cholesky(principal(self.gram, columns))
        rows = (factor.mT @ self.weights[columns]).square().sum(1)[len(self.fixed) :]
        costs = {name: rows.new_zeros(len(index)) for name, index in self.ranked.items()}
        parts = torch.split(rows, [len(own) for own in owned])
        for (_, name, rank), part in zip(units, parts, strict=True):
            costs[name][rank] = part.sum()
        return costs


class LeastSquares:
    """Repaired weight (and bias) of one consumer, which may have been split into several parts."""

    def __init__(
        self,
        parts: Sequence[Moments],
        orders: Mapping[str, Tensor],
        bias: Tensor | None,
        remembered: int = DEFAULT.remembered,
    ) -> None:
        consumer = parts[0].consumer
        self.tensor, self.weight = consumer.tensor, consumer.weight
        self.bias_name, self.bias, self.remembered = consumer.bias, bias, remembered
        self.sizes = {
            name: len(index) for part in parts for name, index in part.consumer.groups.items()
        }
        self.solvers: list[tuple[Tensor, Solver]] = [
            (
                part.consumer.columns.to(part.gram.device),
                (Nested if len(part.consumer.groups) == 1 else Joint)(part, orders),
            )
            for part in parts
        ]
        self._memory: OrderedDict[tuple[int, ...], dict[str, Tensor]] = OrderedDict()

    def __call__(self, plan: Mapping[str, int]) -> Mapping[str, Tensor]:
        """Return repaired tensors by name, dense shape; nothing if the plan keeps all inputs."""
        counts = tuple(plan[name] for name in self.sizes)
        if counts == tuple(self.sizes.values()):
            return {}
        if counts not in self._memory:
            self._memory[counts] = self._repair(plan)
            while len(self._memory) > max(1, self.remembered // self.weight.nbytes):
                self._memory.popitem(last=False)
        self._memory.move_to_end(counts)
        return self._memory[counts]

    def costs(self) -> dict[str, Tensor]:
        """Return by group what each unit in its order adds to the squared error, float64 [size].

        See ``Solver.costs``; parts of a consumer that was split add up.
        """
        total: dict[str, Tensor] = {}
        for _, solver in self.solvers:
            for name, part in solver.costs().items():
                costs = part.double().cpu()
                total[name] = total[name] + costs if name in total else costs
        return total

    def _repair(self, plan: Mapping[str, int]) -> dict[str, Tensor]:
        weight = torch.zeros_like(self.weight.flatten(1).T)
        shift = torch.zeros_like(weight[0])
        for own, solver in self.solvers:
            columns, values = solver(plan)
            inner = columns < len(own)  # the last column, of ones, is the bias
            weight[own[columns[inner]]] = values[inner].to(weight)
            shift += values[~inner].sum(0).to(shift)
        result = {self.tensor: weight.T.reshape(self.weight.shape)}
        if self.bias_name is not None and self.bias is not None:
            result[self.bias_name] = self.bias + shift
        return result


def _others(count: int, taken: Tensor) -> Tensor:
    free = torch.ones(count, dtype=torch.bool, device=taken.device)
    free[taken] = False
    return free.nonzero().ravel()
