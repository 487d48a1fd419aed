"""TPE (Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization), the sampler of Optuna.

A trial suggests the keep fraction of every group; fractions are scaled to the budget. The settings
are Optuna's own; the uniform plan goes first. Needs `pip install 'autoprune[optuna]'`.
"""

from __future__ import annotations

import numpy as np
import optuna
from fractions_of import fractions, on_budget

from autoprune import Ledger, PruningProblem

PATIENCE = 50
"""Suggestions of known plans, one after another, until it gives up."""


class TPE:
    """Suggests keep fractions by Parzen estimators of good and bad ones."""

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Search until no evaluation is left or nothing new is suggested."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed % 2**32))
        names, known = list(problem.structure.sizes), 0
        first = fractions(problem, problem.budget.uniform())
        study.enqueue_trial(dict(zip(names, np.clip(first, 0.02, 1.0).tolist(), strict=True)))
        while ledger.left and known < PATIENCE:
            trial = study.ask()
            kept = np.array([trial.suggest_float(name, 0.02, 1.0) for name in names])
            plan = on_budget(problem, kept)
            known = known + 1 if plan in ledger else 0
            study.tell(trial, ledger.evaluate(plan).loss)
