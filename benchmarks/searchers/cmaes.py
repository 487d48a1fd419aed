"""CMA-ES (Hansen 2016, The CMA Evolution Strategy: A Tutorial, arXiv:1604.00772, appendix A).

It moves the mean and the covariance of a normal distribution over the keep fractions. Constants are
those of its table 1 without negative weights; the first mean is the uniform plan, the first step
0.2 of the range. Plans that were evaluated before cost nothing.
"""

from __future__ import annotations

import numpy as np
from fractions_of import Floats, fractions, on_budget

from autoprune import Ledger, PruningProblem

STEP = 0.2
"""First standard deviation, of keep fractions in [0, 1]."""

PATIENCE = 20
"""Generations without a new plan until it gives up."""


class CMAES:
    """Evolves a normal distribution of keep fractions."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Draw generations until no evaluation is left or nothing new turns up."""
        start = problem.budget.uniform()
        ledger.evaluate(start)
        strategy = _Strategy(fractions(problem, start))
        rng, idle = np.random.default_rng(seed), 0
        while ledger.left and idle < PATIENCE:
            before, drawn = ledger.count, strategy.draw(rng)
            plans = [on_budget(problem, np.clip(one, 0.02, 1.0)) for one in drawn]
            strategy.learn(drawn, np.array([ledger.evaluate(plan).loss for plan in plans]))
            idle = 0 if ledger.count > before else idle + 1


class _Strategy:
    """Mean, step and covariance, with the two paths that change them."""

    def __init__(self, mean: Floats) -> None:
        n = self.n = len(mean)
        self.mean, self.step = mean, STEP
        self.covariance, self.path, self.step_path = np.eye(n), np.zeros(n), np.zeros(n)
        self.offspring = 4 + int(3 * np.log(n))
        raw = np.log((self.offspring + 1) / 2) - np.log(np.arange(1, self.offspring // 2 + 1))
        self.weights = raw / raw.sum()
        self.mass = mass = 1 / (self.weights**2).sum()
        self.c_step = (mass + 2) / (n + mass + 5)
        self.damping = 1 + 2 * max(0.0, np.sqrt((mass - 1) / (n + 1)) - 1) + self.c_step
        self.c_path = (4 + mass / n) / (n + 4 + 2 * mass / n)
        self.c_one = 2 / ((n + 1.3) ** 2 + mass)
        self.c_mass = min(1 - self.c_one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        self.length = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw a generation, [offspring, groups]."""
        values, axes = np.linalg.eigh(self.covariance)
        self.root = (axes * np.sqrt(np.maximum(values, 1e-12))) @ axes.T
        drawn = rng.standard_normal((self.offspring, self.n)) @ self.root
        found: Floats = self.mean + self.step * drawn
        return found

    def learn(self, drawn: Floats, losses: Floats) -> None:
        """Move towards the better half of a generation (equations 41 to 47)."""
        best = np.argsort(losses, kind="stable")[: len(self.weights)]
        moves = (drawn[best] - self.mean) / self.step
        move = self.weights @ moves
        self.mean = self.mean + self.step * move
        c, mass = self.c_step, self.mass
        white = np.linalg.solve(self.root, move)
        self.step_path = (1 - c) * self.step_path + np.sqrt(c * (2 - c) * mass) * white
        long = float(np.linalg.norm(self.step_path))
        c = self.c_path
        held = float(long < (1.4 + 2 / (self.n + 1)) * self.length)
        self.path = (1 - c) * self.path + held * np.sqrt(c * (2 - c) * mass) * move
        spread = (moves * self.weights[:, None]).T @ moves
        rest = 1 - self.c_one * (1 - (1 - held) * c * (2 - c)) - self.c_mass
        self.covariance = rest * self.covariance + self.c_mass * spread
        self.covariance += self.c_one * np.outer(self.path, self.path)
        self.step *= float(np.exp(self.c_step / self.damping * (long / self.length - 1)))
