"""Samplers of Optuna as searchers: an action for each group is what a trial suggests."""

from __future__ import annotations

import optuna

from autoprune import Ledger, PruningProblem
from autoprune.agents.base import isolated
from autoprune.envs.walk import WalkContext, initial, plan_of, terminal, transition


class TPE:
    """Searcher by Optuna's tree-structured Parzen estimator; the uniform plan goes first."""

    patience = 50

    def search(self, problem: PruningProblem, ledger: Ledger, seed: int) -> None:
        """Let the sampler suggest walks, which end on the budget whatever their actions are."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        context, known = WalkContext.of(problem), 0
        with isolated(seed):
            study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed % 2**32))
            study.enqueue_trial({group.name: 0.0 for group in problem.structure.groups})
            while ledger.left and known < self.patience:
                trial, state = study.ask(), initial(context)
                while not terminal(context, state):
                    name = problem.structure.groups[state.group].name
                    state = transition(context, state, trial.suggest_float(name, -1.0, 1.0))
                plan = problem.budget.top_up(plan_of(context, state))
                known = known + 1 if plan in ledger else 0
                study.tell(trial, ledger.evaluate(plan).loss)
