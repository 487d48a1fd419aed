"""What ``autoprune apply`` runs: a search's phases with a policy's plan in place of the search."""

from __future__ import annotations

from functools import partial

from torch import nn

from autoprune import phases
from autoprune.agents.ddpg import DDPGSearcher
from autoprune.agents.policy import Policy
from autoprune.budget import BoundBudget
from autoprune.config import ApplyConfig
from autoprune.exploration import Found, find
from autoprune.files import canonical, digest
from autoprune.pipeline import check_words, conduct, prune_by
from autoprune.problem import PruningProblem
from autoprune.progress import Progress
from autoprune.result import Result
from autoprune.session import Session
from autoprune.subject import from_config

SEEDS = 6
"""Plans that a refinement starts from: the policy's, the error curves' own, the rules of thumb."""


def run_apply(config: ApplyConfig, progress: Progress) -> Result:
    """Prune by a policy; raises AutopruneError for anything a user can mend."""
    check_words(config)
    policy = Policy.shipped() if config.policy is None else Policy.load(config.policy)
    work = partial(prune_by, partial(_find, policy, config), config)
    return conduct(from_config(config), config, progress, work)


def _find(
    policy: Policy,
    config: ApplyConfig,
    session: Session,
    model: nn.Module,
    problem: PruningProblem,
) -> Found:
    """Take the policy's plan, or refine it by evaluations."""
    run = session.run
    run.expect(policy=digest(canonical(policy.to_json()) + policy.to_safetensors().hex())[:16])
    run.warnings.extend(warnings(policy, session.budget, config.evaluations))
    if config.evaluations:
        agent = DDPGSearcher(on_step=session.curves.learning, start=policy)
        return find(agent, config, session, model, problem)
    phases.keep_policy(run, policy)
    return Found(policy.plan(problem), None, 0)


def warnings(policy: Policy, budget: BoundBudget, evaluations: int) -> list[str]:
    """Say what a policy cannot do well here."""
    found = []
    if len(budget.largest) == 1:
        found.append("the network has one group: the budget alone decides, no policy can")
    trained = policy.budgets
    if trained is not None:
        low, high = trained
        for cost, fraction in budget.fractions.items():
            if not low <= round(fraction, 3) <= high:
                found.append(
                    f"the budget is {fraction:.3g} of the dense {cost}; the policy was trained on"
                    f" {low:g} to {high:g} and may do worse than --evaluations 50 would"
                )
    if 0 < evaluations <= SEEDS:
        found.append(
            f"{evaluations} evaluations are spent on the plans a refinement starts from: nothing"
            " was refined"
        )
    return found
