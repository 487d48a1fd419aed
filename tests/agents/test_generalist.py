"""Generalist: one policy for many networks, trained by few evaluations on each."""

import dataclasses

import numpy as np
import pytest

from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher
from autoprune.agents.generalist import Generalist, GeneralistConfig
from autoprune.agents.initial_plans import least_error
from autoprune.agents.policy_training import PolicyTrainingConfig
from autoprune.agents.shared_reward_model import FEATURES
from autoprune.envs.walk import WalkContext
from autoprune.problem.ledger import Ledger
from tests.agents.cases import BUDGETS, QUICK, case, cases, deep_matters
from tests.landscape import chain_landscape, residual_landscape


def train(evaluations, seed=0):
    teacher = Generalist(cases(), seed, QUICK)
    seen = []
    if evaluations:
        teacher.explore(evaluations, lambda case, trial: seen.append((case.name, trial)))
    return teacher, teacher.train(lambda step, loss: None), seen


@pytest.fixture(scope="module")
def taught():
    return train(45)


def unseen():
    """A deeper network of another family at a budget between the trained ones."""
    return deep_matters(residual_landscape(3, blocks=3, budget="0.6flops"))


def test_without_evaluations_it_plans_as_the_error_curves_do_on_an_unseen_network():
    _, trained, _ = train(0)
    assert trained.reward_model.mean.tolist() == [1.0] + [0.0] * (len(FEATURES) - 1)
    problem = unseen()
    context = WalkContext.of(problem)
    plans = (problem.budget.uniform(), least_error(problem), trained.policy.plan(problem))
    uniform, dp, policy = (context.error(tuple(plan.values())) for plan in plans)
    assert policy <= dp + 0.1 * (uniform - dp)


def test_evaluations_make_it_better_than_the_error_curves_on_an_unseen_network(taught):
    _, trained, _ = taught
    problem = unseen()
    assert trained.reward_model.mean[FEATURES.index("depth")] > 0.3
    uniform, dp, policy = (
        problem.evaluate(plan).score
        for plan in (problem.budget.uniform(), least_error(problem), trained.policy.plan(problem))
    )
    assert policy > dp > uniform


def test_evaluations_go_to_all_networks_and_budgets_in_turn_and_are_never_spent_twice(taught):
    teacher, _, seen = taught
    assert [trial.number for _, trial in seen] == list(range(1, 46))
    assert [len(trials) for trials in teacher.trials] == [15, 15, 15]
    for trials in teacher.trials:
        plans = [(trial.budget, trial.record.plan) for trial in trials]
        assert len(set(plans)) == 15 and {budget for budget, _ in plans} == {0, 1, 2}
    for each, trial in seen:
        problem = next(c for c in teacher.cases if c.name == each).problems
        assert problem[trial.budget].budget.met(trial.record.plan)


def test_the_same_seed_gives_the_same_policy_and_another_seed_another(taught):
    _, first, _ = taught
    content = first.policy.to_safetensors()
    assert train(45)[1].policy.to_safetensors() == content
    assert train(45, seed=1)[1].policy.to_safetensors() != content


def test_known_evaluations_are_recalled_not_repeated(taught):
    teacher, trained, _ = taught
    known = []
    for each, trials in zip(teacher.cases, teacher.trials, strict=True):
        found = [{} for _ in each.problems]
        for trial in trials[:9]:
            found[trial.budget][trial.record.plan] = trial.record.evaluation
        known.append(dataclasses.replace(each, known=found))
    again, recalled = Generalist(known, 0, QUICK), []
    again.explore(45, lambda case, trial: recalled.append(trial.record.recalled))
    assert recalled == [True] * 27 + [False] * 18
    same = again.train(lambda step, loss: None).policy
    assert same.to_safetensors() == trained.policy.to_safetensors()


def test_a_network_with_one_plan_ends_its_turns_early():
    problem = case("tiny", chain_landscape(0, groups=1))
    teacher = Generalist([problem], 0, QUICK)
    teacher.explore(12, lambda case, trial: None)
    assert len(teacher.trials[0]) == 3  # the only plan, once at each budget


def test_on_networks_unlike_its_training_ones_it_falls_back_on_the_error_curves():
    """Networks of two groups say nothing of deep ones: there the policy stays near dp."""
    shallow = [case(f"s{seed}", chain_landscape(seed, groups=2)) for seed in range(2)]
    policy = Generalist(shallow, 0, QUICK).train(lambda step, loss: None).policy
    problem = residual_landscape(3, blocks=3)
    context = WalkContext.of(problem)
    plans = (problem.budget.uniform(), least_error(problem), policy.plan(problem))
    uniform, dp, own = (context.error(tuple(plan.values())) for plan in plans)
    assert own <= dp + 0.2 * (uniform - dp)


def test_a_refinement_starts_from_the_policy_and_never_ends_below_it_or_dp(taught):
    _, trained, _ = taught
    problem = unseen()
    start = DDPGSearcher(DDPGConfig(warm_up=2, gradient_steps=5), start=trained.policy)
    ledger = Ledger(problem, 8)
    start.search(problem, ledger, 0)
    assert ledger.count == 8
    assert ledger.history[0].plan == trained.policy.plan(problem)
    own = problem.evaluate(trained.policy.plan(problem))
    dp = problem.evaluate(problem.budget.top_up(least_error(problem)))
    assert ledger.best.evaluation.loss <= min(own.loss, dp.loss)
    only = Ledger(problem, 1)
    DDPGSearcher(DDPGConfig(warm_up=1), start=trained.policy).search(problem, only, 0)
    assert only.best.plan == trained.policy.plan(problem)


@pytest.mark.parametrize("agent", ["ddpg", "ppo"])
def test_a_generalist_is_evaluated_at_budgets_it_was_never_trained_on(agent):
    training = PolicyTrainingConfig(rounds=12, every=6, warm_up=6, steps=256)
    config = dataclasses.replace(QUICK, steps=300, training=training)
    between = case("held out", chain_landscape(0, groups=8)).problems[:2]
    taught = [dataclasses.replace(each, held_out=between) for each in cases()]
    teacher = Generalist(taught, 0, config, agent)
    teacher.explore(18, lambda case, trial: None)
    trained = teacher.train(lambda step, loss: None)
    assert list(trained.held_out_rewards) == ["planner", "imitation", agent]
    rewards = trained.held_out_rewards
    assert rewards["planner"] >= max(rewards["imitation"], rewards[agent]) - 0.05


def test_evaluated_plans_are_replayed_with_their_measured_rewards():
    teacher = Generalist(cases(), 0, GeneralistConfig(variants=1))
    teacher.explore(27, lambda case, trial: None)
    reward_model = teacher.reward_model()
    contexts = [
        teacher._contexts(each, each.problems, np.random.default_rng(0)) for each in teacher.cases
    ]
    curriculum = teacher._curriculum(reward_model, contexts, np.random.default_rng(0))
    assert len(curriculum.evaluated) == len(curriculum.earned) == 27
    assert len(curriculum.problems) == 3 * len(BUDGETS) * 2
    earned = curriculum.earned.reshape(3, 3, len(BUDGETS))  # network, turn, budget
    assert (earned[:, 0] == 0).all()  # the error curves' own plan
    assert (earned[:, 1] < 0).all()  # the uniform one is worse on these landscapes
