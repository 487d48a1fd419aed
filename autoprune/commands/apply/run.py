"""Pruning by a policy's plan in place of a search: the public ``apply``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from torch import nn

from autoprune.agents.ddpg import DDPGSearcher
from autoprune.agents.depth_plans import branches_as, has_branches
from autoprune.agents.initial_plans import baseline_plans, least_error
from autoprune.agents.policy import Policy
from autoprune.commands.apply.config import ApplyConfig
from autoprune.cost.bound_budget import BoundBudget
from autoprune.envs.rewards import find_reward
from autoprune.foundation.files import canonical, digest
from autoprune.foundation.logged import progress_of
from autoprune.foundation.options import Depth, Minimized
from autoprune.foundation.progress import Progress
from autoprune.pipeline.aim import pruned_as_asked
from autoprune.pipeline.execute import check_words, execute_in_run
from autoprune.pipeline.explore import SearchOutcome, find
from autoprune.pipeline.family import Family, execute_family
from autoprune.pipeline.inputs import from_config
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import default_budget, named_layers, with_caller_inputs
from autoprune.pipeline.session import Session
from autoprune.pipeline.stages import keep_policy
from autoprune.pipeline.tuning import Tuning
from autoprune.problem.problem import PruningProblem
from autoprune.structure.plan import Plan

SEEDS = 6
"""Plans that a refinement starts from: the policy's, the error curves' own, the rules of thumb."""


def apply(
    model: nn.Module | str,
    data: object,
    budget: str | None = None,
    *,
    max_drop: float | None = None,
    minimize: Minimized | None = None,
    policy: str | Path | None = None,
    evaluations: int = 0,
    task: object = "classification",
    granularity: str = "channel",
    keep: Collection[str] | Mapping[str, float] = (),
    only: Collection[str] = (),
    outputs: Collection[str] = (),
    sizes: Collection[str] = (),
    ranking: str = "regression",
    finetune_epochs: int = 10,
    align: int | None = None,
    depth: Depth = None,
    resize: int | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 1,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool | Progress | None = True,
) -> Result:
    """Prune a model within a budget by a policy that never saw it, and fine-tune.

    - ``model``, ``data``, ``budget``, ``max_drop``, ``minimize``, ``task``, ``granularity``,
      ``keep``, ``only``, ``outputs``, ``sizes``, ``align``, ``depth``, ``resize``: as
      :func:`autoprune.search` takes them.
    - ``policy``: the run of ``train-policy`` or of a search by ``ddpg`` or ``ppo``, or a policy's
      file, and the bundled one if None.
    - ``evaluations``: plans that are tried, from the policy's own on; 0 takes that one.
    - ``ranking``: which units go first. ``finetune_epochs``: epochs after pruning.
    - ``seed``, ``device``, ``workers``, ``run``, ``fresh``, ``progress``: as there.

    The same call continues its run. Returns a Result, its ``score`` None without evaluations.
    Raises AutopruneError for whatever can be mended.
    """
    config = ApplyConfig(
        budget=default_budget(budget, max_drop),
        max_drop=max_drop,
        minimize=minimize,
        policy=None if policy is None else str(policy),
        granularity=granularity,
        **named_layers(keep, only, outputs, sizes),
        ranking=ranking,
        evaluations=evaluations,
        finetune_epochs=finetune_epochs,
        align=align,
        depth=depth,
        resize=resize,
        seed=seed,
        device=str(device),
        workers=workers,
        run=None if run is None else str(run),
        fresh=fresh,
    )
    work, budget_asked = partial(_apply, _policy(config)), check_words(config)
    inputs, config = with_caller_inputs(model, data, task, config)
    return execute_in_run(inputs, config, budget_asked, progress_of(progress), work)


def run_apply(
    config: ApplyConfig, progress: Progress, tuning: Tuning | None = None
) -> Result | Family:
    """Prune by a policy; raises AutopruneError for anything a user can mend."""
    budget, policy = check_words(config), _policy(config)
    if config.budgets is not None:
        by_policy = partial(_find, policy)
        return execute_family(from_config(config), config, progress, by_policy, tuning)
    work = partial(_apply, policy)
    return execute_in_run(from_config(config), config, budget, progress, work, tuning)


def _policy(config: ApplyConfig) -> Policy:
    """Read the policy, before any network or data is loaded."""
    return Policy.shipped() if config.policy is None else Policy.load(config.policy)


def _apply(policy: Policy, session: Session[ApplyConfig]) -> Result:
    return pruned_as_asked(partial(_find, policy), session)


def _find(
    policy: Policy, session: Session[ApplyConfig], model: nn.Module, problem: PruningProblem
) -> SearchOutcome:
    """Take the policy's plan, or refine it by evaluations."""
    run, config = session.run, session.config
    run.expect(policy=digest(canonical(policy.to_json()) + policy.to_safetensors().hex())[:16])
    run.warnings.extend(warnings(policy, session.budget, config.evaluations))
    if config.evaluations:
        agent = DDPGSearcher(
            on_step=session.curves.learning, start=policy, reward=find_reward(config.reward)
        )
        return find(agent, session, model, problem, starts(policy, problem))
    keep_policy(run, policy)
    return SearchOutcome(_plan(policy, problem), None, 0)


def _plan(policy: Policy, problem: PruningProblem) -> Plan:
    """Return the policy's plan; which branches go is what the errors predict."""
    if not has_branches(problem):
        return policy.plan(problem)
    decided = branches_as(problem, least_error(problem))  # no policy was trained on branches
    return problem.budget.top_up(policy.plan(decided))


def starts(policy: Policy, problem: PruningProblem) -> list[Plan]:
    """Return the plans that a refinement must not end below: the policy's and the cheap ones.

    They are built in the end in any case. What the search scores is not yet fitted layer after
    layer, which may turn the order of plans around.
    """
    return [_plan(policy, problem), *baseline_plans(problem)]


def warnings(policy: Policy, budget: BoundBudget, evaluations: int) -> list[str]:
    """Return warnings about networks and budgets on which a policy does badly."""
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
