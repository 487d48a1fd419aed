"""Bayesian optimization: a Gaussian process and expected improvement (Jones et al. 1998).

The kernel is a squared exponential of one length on the keep fractions; the length is the one of
largest likelihood on a grid. The next plan is the one of most expected improvement among neighbors
of the best plans and random ones, as in Snoek et al. 2012 (arXiv:1206.2944) with candidates.
"""

from __future__ import annotations

from math import erf

import numpy as np
from fractions_of import fractions, on_budget
from numpy.typing import NDArray

from autoprune import Ledger, PruningProblem

Floats = NDArray[np.float64]

FIRST = 0.15
"""Share of the evaluations that go to random plans."""

CANDIDATES = 16
LENGTHS = (0.2, 0.4, 0.8, 1.6, 3.2)
NOISE = 1e-3


class Bayes:
    """Evaluates the plan of most expected improvement."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Search until no evaluation is left or no candidate is new."""
        rng, groups = np.random.default_rng(seed), len(problem.structure.groups)
        ledger.evaluate(problem.budget.uniform())
        while ledger.left:
            done = [fractions(problem, one.plan) for one in ledger.history]
            known, losses = np.array(done), np.log([one.evaluation.loss for one in ledger.history])
            kept = rng.uniform(0.05, 1, (CANDIDATES, groups))
            if ledger.count >= FIRST * ledger.limit:
                best = known[
                    np.argsort(losses)[rng.integers(0, min(5, len(losses)), CANDIDATES // 2)]
                ]
                moved = rng.normal(0, 0.15, best.shape) * (rng.uniform(size=best.shape) < 0.3)
                kept[: len(best)] = np.clip(best + moved, 0.02, 1)
            plans = dict.fromkeys(on_budget(problem, row) for row in kept)
            new = [plan for plan in plans if plan not in ledger]
            if not new:
                return
            chosen = 0
            if ledger.count >= FIRST * ledger.limit:
                asked = np.array([fractions(problem, plan) for plan in new])
                chosen = int(np.argmax(improvement(known, losses, asked)))
            ledger.evaluate(new[chosen])


def improvement(known: Floats, losses: Floats, asked: Floats) -> Floats:
    """Return the expected improvement of plans [asked, groups] over the least of ``losses``."""
    wanted = (losses - losses.mean()) / (losses.std() + 1e-9)
    apart = ((known[:, None] - known) ** 2).sum(2)

    def unlikely(length: float) -> float:
        factor = np.linalg.cholesky(np.exp(-apart / (2 * length**2)) + NOISE * np.eye(len(known)))
        half = np.linalg.solve(factor, wanted)
        return float(half @ half / 2 + np.log(np.diag(factor)).sum())

    length = min(LENGTHS, key=unlikely)
    kernel = np.exp(-apart / (2 * length**2)) + NOISE * np.eye(len(known))
    cross = np.exp(-((asked[:, None] - known) ** 2).sum(2) / (2 * length**2))
    mean = cross @ np.linalg.solve(kernel, wanted)
    variance = 1 - (cross * np.linalg.solve(kernel, cross.T).T).sum(1)
    spread = np.sqrt(np.maximum(variance, 1e-12))
    z = (wanted.min() - mean) / spread
    normal = np.array([(1 + erf(value / np.sqrt(2))) / 2 for value in z])
    gain: Floats = spread * (z * normal + np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))
    return gain
