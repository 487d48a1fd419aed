"""One policy for many networks: what evaluations teach it, and what it does on others."""

import dataclasses

import numpy as np
import pytest
import torch

from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher
from autoprune.agents.generalist import Generalist, GeneralistConfig
from autoprune.agents.imitation import demonstrate, initial_actor
from autoprune.agents.initial_plans import least_error
from autoprune.agents.shared_reward_model import FEATURES, Evidence, SharedRewardModel, features
from autoprune.agents.training_case import TrainingCase
from autoprune.cost.budget import Budget
from autoprune.envs.lagrangian import LagrangianPlanner
from autoprune.envs.walk import ENTRIES, WalkContext, initial, observe, planner_action, transition
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.scorer import FunctionScorer
from tests.landscape import chain_landscape, residual_landscape

BUDGETS = ("0.3flops", "0.5flops", "0.7flops")
QUICK = GeneralistConfig(walks=4, variants=1, steps=800)


def deep_matters(problem):
    """The same problem in a world where an error counts more the later its group."""
    context = WalkContext.of(problem)
    weights = np.linspace(0.2, 2.0, context.length)

    def evaluate(plan):
        errors = [curve[k] for curve, k in zip(context.errors, plan.values(), strict=True)]
        damage = float(weights @ errors) / context.length
        return Evaluation(float(np.exp(-damage)), damage)

    return dataclasses.replace(problem, scorer=FunctionScorer(evaluate))


def case(name, problem):
    bound = [Budget.parse(text).bind(problem.cost) for text in BUDGETS]
    return TrainingCase(name, [dataclasses.replace(problem, budget=budget) for budget in bound])


def cases():
    return [case(f"net{seed}", deep_matters(chain_landscape(seed, groups=8))) for seed in range(3)]


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


def test_without_evaluations_it_plans_as_the_error_curves_do_on_a_network_it_never_saw():
    _, trained, _ = train(0)
    assert trained.reward_model.mean.tolist() == [1.0] + [0.0] * (len(FEATURES) - 1)
    problem = unseen()
    context = WalkContext.of(problem)
    plans = (problem.budget.uniform(), least_error(problem), trained.policy.plan(problem))
    uniform, dp, policy = (context.error(tuple(plan.values())) for plan in plans)
    assert policy <= dp + 0.1 * (uniform - dp)


def test_what_evaluations_teach_makes_it_better_than_the_error_curves_where_it_never_was(taught):
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


def evidence(seed, coefficients, plans=40):
    """Plans of a made-up network whose weights follow its features exactly."""
    rng = np.random.default_rng(seed)
    described = features(WalkContext.of(chain_landscape(seed, groups=9)))
    errors = rng.uniform(0, 0.5, (plans, 9))
    series = np.arange(plans) % 2
    rewards = -0.3 * errors @ (described @ coefficients) + 10.0 * series
    return Evidence(described, errors, rewards + rng.normal(0, 0.005, plans), series)


def test_the_belief_finds_what_networks_agree_on_whatever_their_series_start_from():
    truth = np.array([1.0, 0.7, 0.0, 0.0, 0.0, 0.0])
    belief = SharedRewardModel.of([evidence(seed, truth) for seed in range(4)])
    assert 0.35 < belief.mean[1] / belief.mean[0] < 0.8  # shrunk, as three networks warrant
    other = features(WalkContext.of(chain_landscape(9, groups=7)))
    weights = belief.weights(other)
    expected = other @ truth
    assert np.corrcoef(weights, expected)[0, 1] > 0.9


def test_only_what_networks_agree_on_moves_the_weights():
    up, down = (np.array([1.0, sign * 0.6, 0.0, 0.0, 0.0, 0.0]) for sign in (1, -1))
    alone = SharedRewardModel.of([evidence(0, up)])
    agreed = SharedRewardModel.of([evidence(0, up), evidence(1, up)])
    disputed = SharedRewardModel.of([evidence(0, up), evidence(1, down)])
    assert agreed.mean[1] > 0.2
    assert abs(alone.mean[1]) < 0.05 and abs(disputed.mean[1]) < 0.05


def bent(seed, curvature):
    """Plans of a made-up network where an error's square counts too."""
    item = evidence(seed, np.eye(len(FEATURES))[0])
    damage = (item.errors + curvature * item.errors**2).sum(axis=1)
    return dataclasses.replace(item, rewards=-0.1 * damage)


def test_the_belief_finds_how_much_worse_large_errors_are():
    for curvature in (0.0, 2.0, 8.0):
        assert (
            SharedRewardModel.of([bent(seed, curvature) for seed in range(3)]).curvature
            == curvature
        )


def test_a_network_whose_losses_the_errors_do_not_explain_has_little_say():
    """One that was hardly trained scores by chance, and must not undo what others agree on."""
    truth = np.array([1.0, 0.6, 0.0, 0.0, 0.0, 0.0])
    good = [evidence(seed, truth) for seed in range(3)]
    rng = np.random.default_rng(0)
    noisy = dataclasses.replace(evidence(5, truth), rewards=rng.normal(0, 1, 40))
    described = features(WalkContext.of(chain_landscape(9, groups=7)))
    weights = SharedRewardModel.of([*good, noisy]).weights(described)
    assert np.corrcoef(weights, described @ truth)[0, 1] > 0.95
    assert SharedRewardModel.of([*good, noisy]).mean[1] > 0.3


def test_nothing_to_learn_from_breaks_no_belief():
    described = features(WalkContext.of(chain_landscape(0, groups=4)))
    for plans in (1, 2):
        flat = Evidence(described, np.full((plans, 4), 0.2), np.zeros(plans), np.zeros(plans, int))
        belief = SharedRewardModel.of([flat])
        assert np.isfinite(belief.mean).all()
        assert (belief.weights(described) > 0).all()


def test_an_apprentice_does_what_the_error_curves_suggest_before_it_learns_anything():
    column = list(ENTRIES).index("guided")
    for seed in range(3):
        torch.manual_seed(seed)
        observations = torch.rand(500, len(ENTRIES)) * 2 - 1
        with torch.no_grad():
            actions = initial_actor(64)(observations)[:, 0]
        assert (actions - observations[:, column]).abs().max() < 0.03


def test_whatever_it_learned_from_it_falls_back_on_the_error_curves_elsewhere():
    """Networks of two groups say nothing of deep ones: there the policy stays near dp."""
    shallow = [case(f"s{seed}", chain_landscape(seed, groups=2)) for seed in range(2)]
    policy = Generalist(shallow, 0, QUICK).train(lambda step, loss: None).policy
    problem = residual_landscape(3, blocks=3)
    context = WalkContext.of(problem)
    plans = (problem.budget.uniform(), least_error(problem), policy.plan(problem))
    uniform, dp, own = (context.error(tuple(plan.values())) for plan in plans)
    assert own <= dp + 0.2 * (uniform - dp)


def test_lessons_show_what_the_weighted_guide_does_on_and_off_its_way():
    context = WalkContext.of(chain_landscape(2, groups=6))
    weights = np.array([0.2, 0.2, 0.2, 2.0, 2.0, 2.0])
    damage = [weight * curve for weight, curve in zip(weights, context.errors, strict=True)]
    found = demonstrate(context, damage, np.random.default_rng(0), walks=3)
    assert found.observations.shape == (18, len(ENTRIES))
    guide, state = LagrangianPlanner.of(context.budget, damage), initial(context)
    for step in range(6):  # the first walk has no noise
        assert np.array_equal(found.observations[step], observe(context, state))
        assert found.actions[step] == np.float32(planner_action(guide, state))
        state = transition(context, state, float(found.actions[step]))
    plain = demonstrate(context, context.errors, np.random.default_rng(0), walks=1)
    late = context.error(state.kept[:3]) > context.error(tuple(walk(context, plain)[:3]))
    assert late  # what matters less keeps less


def walk(context, taught):
    state = initial(context)
    for action in taught.actions[: context.length]:
        state = transition(context, state, float(action))
    return state.kept


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
