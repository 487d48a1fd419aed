"""Surrogate of a table: a Gaussian process over the widths of a plan, and its measured error.

The kernel is a squared exponential with one length for each group, plus a linear one, on the
square roots of the keep fractions and of the error curves (Rasmussen and Williams 2006, Gaussian
Processes for Machine Learning, sections 2.2, 4.2 and 5.4.1 for the marginal likelihood that chooses
the lengths). Losses are predicted as logarithms. A prediction is a sum of numpy products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray

from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.errors import DamagedError

Floats = NDArray[np.float64]

ENOUGH: Final = 0.95
"""Rank correlation on plans never fitted, of all and of the best tenth, that a table aims at."""

FEWEST: Final = 10
"""Plans that the best tenth has at least: the rank correlation of fewer says nothing."""

STEPS: Final = 150
"""Steps of gradient ascent on the marginal likelihood."""

JITTER: Final = 1e-6
"""Least variance of the noise, in units of the variance of the logarithms of the losses."""


@dataclass(frozen=True)
class Quality:
    """Error of a surrogate at a budget, on plans that it was never fitted to, on the search split.

    ``spearman`` of all, ``top`` of the tenth of least loss (at least ``FEWEST``); ``rmse`` of the
    logarithm of the loss, ``top_rmse`` in that tenth; ``spread``: its standard deviation there.
    """

    plans: int
    spearman: float
    top: float
    rmse: float
    top_rmse: float
    spread: float

    @property
    def enough(self) -> bool:
        """Whether both correlations reach ``ENOUGH``."""
        return min(self.spearman, self.top) >= ENOUGH

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Surrogate: predictions of loss and score on each split for plans in no row.

    ``scales`` [features]; ``square`` and ``linear``: variances of the two kernels. ``dual``
    [fitted plans, 6]: weights for the losses, then the scores, on each split; ``center`` and
    ``unit`` [6].
    """

    scales: Floats
    square: float
    linear: float
    center: Floats
    unit: Floats
    dual: Floats
    inputs: Floats
    problem: FrozenProblem

    @classmethod
    def fit(
        cls, problem: FrozenProblem, counts: NDArray[np.int64], losses: Floats, scores: Floats
    ) -> Self:
        """Fit to plans [plans, groups], their losses and scores [plans, 3]."""
        inputs = features(problem, counts)
        targets = np.concatenate((np.log(losses), scores), axis=1)
        center, unit = targets.mean(0), targets.std(0) + 1e-12
        wanted = (targets - center) / unit
        scales, square, linear, noise = _likeliest(inputs, wanted[:, 0])
        kernel = _kernel(inputs * scales, inputs * scales, square, linear)
        kernel[np.diag_indices_from(kernel)] += noise
        return cls(
            scales, square, linear, center, unit, np.linalg.solve(kernel, wanted), inputs, problem
        )

    def __call__(self, counts: NDArray[np.int64], column: int) -> tuple[Floats, Floats]:
        """Return the losses and the scores of plans [plans, groups] on a split, [plans] each."""
        inputs = features(self.problem, counts) * self.scales
        kernel = _kernel(inputs, self.inputs * self.scales, self.square, self.linear)
        found = kernel @ self.dual * self.unit + self.center
        return np.exp(found[:, column]), np.clip(found[:, 3 + column], 0.0, 1.0)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able object of all but ``dual`` and what the table holds."""
        return {
            "scales": self.scales.tolist(),
            "square": self.square,
            "linear": self.linear,
            "center": self.center.tolist(),
            "unit": self.unit.tolist(),
        }

    @classmethod
    def from_json(
        cls,
        data: Mapping[str, Any],
        problem: FrozenProblem,
        fitted: NDArray[np.int64],
        dual: Floats,
    ) -> Self:
        """Read what ``to_json`` wrote; ``fitted`` [plans, groups]: the plans of ``dual``."""
        if len(fitted) != len(dual):
            raise DamagedError(f"the surrogate has {len(dual)} weights for {len(fitted)} plans")
        center, unit = np.array(data["center"]), np.array(data["unit"])
        inputs, scales = features(problem, fitted), np.array(data["scales"])
        return cls(
            scales,
            float(data["square"]),
            float(data["linear"]),
            center,
            unit,
            dual,
            inputs,
            problem,
        )


def features(problem: FrozenProblem, counts: NDArray[np.int64]) -> Floats:
    """Return the features of plans [plans, groups]: [plans, 2 * groups], each of at most about 1.

    The square root of each group's keep fraction, and of its error relative to its largest. What
    goes with a branch keeps nothing; ``counts`` has it whole.
    """
    sizes = np.array([group.size for group in problem.structure.groups], np.float64)
    kept = [list(problem.cost.plan(row).values()) for row in counts]
    counts = np.array(kept, np.int64).reshape(counts.shape)
    columns = []
    for place, group in enumerate(problem.structure.groups):
        curve = np.asarray(problem.ranking.errors[group.name], np.float64)
        columns.append(np.sqrt(np.maximum(curve, 0.0) / max(curve.max(), 1e-12))[counts[:, place]])
    return np.concatenate((np.sqrt(counts / sizes), np.stack(columns, axis=1)), axis=1)


def quality(surrogate: Surrogate, counts: NDArray[np.int64], losses: Floats) -> Quality:
    """Measure a surrogate on plans that it was not fitted to; ``losses`` [plans] of the search."""
    found, true = np.log(surrogate(counts, 0)[0]), np.log(losses)
    top = np.argsort(true, kind="stable")[: max(FEWEST, len(true) // 10)]
    return Quality(
        len(true),
        spearman(found, true),
        spearman(found[top], true[top]),
        float(np.sqrt(np.mean((found - true) ** 2))),
        float(np.sqrt(np.mean((found[top] - true[top]) ** 2))),
        float(true[top].std()),
    )


def spearman(one: Floats, other: Floats) -> float:
    """Return the rank correlation of two samples [n]; equal values share their mean rank."""
    a, b = _ranks(one), _ranks(other)
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _ranks(values: Floats) -> Floats:
    _, place, number = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(number)
    ranks: Floats = (last - (number - 1) / 2)[place]
    return ranks


def _kernel(one: Floats, other: Floats, square: float, linear: float) -> Floats:
    """Return the covariances of scaled features, [one, other]."""
    products = one @ other.T
    apart = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * products
    kernel: Floats = square * np.exp(-0.5 * np.maximum(apart, 0.0)) + linear * products
    return kernel


def _likeliest(inputs: Floats, wanted: Floats) -> tuple[Floats, float, float, float]:
    """Return scales [features], both kernels' variances and the noise of largest likelihood."""
    x, y = torch.from_numpy(inputs), torch.from_numpy(wanted)
    logs = torch.zeros(x.shape[1] + 3, dtype=torch.float64)
    logs[-2:] = torch.log(torch.tensor([0.1, 0.01], dtype=torch.float64))
    logs.requires_grad_()
    descent = torch.optim.Adam([logs], 0.05)
    with torch.enable_grad():
        for _ in range(STEPS):
            descent.zero_grad()
            scaled, (square, linear, noise) = x * logs[:-3].exp(), logs[-3:].exp()
            products = scaled @ scaled.T
            norms = products.diagonal()
            apart = (norms[:, None] + norms - 2 * products).clamp(min=0)
            kernel = square * torch.exp(-0.5 * apart) + linear * products
            kernel = kernel + (noise + JITTER) * torch.eye(len(x), dtype=torch.float64)
            factor = torch.linalg.cholesky(kernel)
            half = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
            lost = 0.5 * half.square().sum() + factor.diagonal().log().sum()
            lost.backward()
            descent.step()
    found = logs.detach().exp().numpy()
    square, linear, noise = map(float, found[-3:])
    return found[:-3], square, linear, noise + JITTER
