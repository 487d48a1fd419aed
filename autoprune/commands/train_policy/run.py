"""Training of a policy: every network is posed at every budget, a policy trained and stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from autoprune.agents.generalist import Generalist, GeneralistConfig, TrainedPolicy
from autoprune.agents.initial_plans import baseline_plans
from autoprune.agents.policy import Policy
from autoprune.agents.policy_format import DESCRIPTION
from autoprune.agents.registry import check_name, learners
from autoprune.agents.shared_reward_model import FEATURES
from autoprune.agents.training_case import TrainingCase, TrainingTrial
from autoprune.commands.train_policy.config import TrainPolicyConfig
from autoprune.commands.train_policy.networks import Network, find_network, with_unique_names
from autoprune.commands.train_policy.page import policy_page
from autoprune.commands.train_policy.result import PlanErrors, PolicyResult, TrainingNetwork
from autoprune.cost.budget import Budget
from autoprune.foundation.files import text_writer
from autoprune.foundation.page import REPORT
from autoprune.foundation.progress import Phase, Progress
from autoprune.foundation.schema import encode
from autoprune.pipeline.curves import Curves, PolicyCurves
from autoprune.pipeline.inputs import weights_hash
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import Setup
from autoprune.pipeline.stages import keep_policy, pose, train
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.problem import PruningProblem
from autoprune.ranking.registry import find_ranking
from autoprune.runs.run import RESULT, Run
from autoprune.runs.tensorboard import Events
from autoprune.structure.plan import Plan
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done


def run_train_policy(
    config: TrainPolicyConfig, progress: Progress, teaching: GeneralistConfig | None = None
) -> PolicyResult:
    """Train a policy in a run; raises AutopruneError for anything a user can mend."""
    began = time.monotonic()
    find_ranking(config.ranking)
    check_name(config.agent, learners())
    for text in config.grid:
        Budget.parse(text)
    networks = [find_network(config, source, progress) for source in config.sources]
    networks = with_unique_names(networks)
    with Run(config.directory, config, fresh=config.fresh) as run:
        for item in networks:
            facts = f"{weights_hash(item.inputs.model)} {item.inputs.data.fingerprint}"
            run.expect(**{f"weights or data of {item.name}": facts})
        if done(run, progress):
            return PolicyResult.from_json(run.artifacts.json(RESULT))
        with run.events() as writer:
            cases = [_case(item, run, writer, progress) for item in networks]
            generalist = Generalist(cases, config.seed, teaching, config.agent)
            result = _train_policy(config, networks, generalist, run, writer, progress)
        result = replace(result, seconds=round(time.monotonic() - began, 2))
        run.publish(REPORT, text_writer(policy_page(result, config)))
        run.publish_json(RESULT, result.to_json())
        discard(run.artifacts)
        return result


def _train_policy(
    config: TrainPolicyConfig,
    networks: Sequence[Network],
    generalist: Generalist,
    run: Run,
    writer: Events,
    progress: Progress,
) -> PolicyResult:
    curves = PolicyCurves(writer)
    if config.evaluations:
        with progress.phase("search", config.evaluations) as search:

            def note(case: TrainingCase, trial: TrainingTrial) -> None:
                if not trial.record.recalled:
                    run.journal.append(_entry(case, trial))
                curves.trial(case.name, case.budget(trial), trial.record, trial.number)
                search.advance(score=trial.record.evaluation.score)

            generalist.explore(config.evaluations, note)
    trained = _train(generalist, curves, progress)
    coefficients = coefficients_of(trained)
    trained_on = tuple(
        network_summary(item, case, trials)
        for item, case, trials in zip(networks, generalist.cases, generalist.trials, strict=True)
    )
    policy = replace(trained.policy, trained_on=describe_training(config, trained_on, coefficients))
    keep_policy(run, policy)
    return PolicyResult(
        policy=run.path / DESCRIPTION,
        agent=config.agent,
        networks=trained_on,
        budgets=config.budgets,
        evaluations=sum(map(len, generalist.trials)),
        ranking=config.ranking,
        seed=config.seed,
        seconds=0.0,
        coefficients=coefficients,
        plans=tuple(row for case in generalist.cases for row in _plan_errors(case, policy)),
        exam={name: round(reward, 4) for name, reward in trained.held_out_rewards.items()},
        run=run.path,
        warnings=tuple(run.warnings),
    )


def _train(generalist: Generalist, curves: PolicyCurves, progress: Progress) -> TrainedPolicy:
    """Imitate, then train by reinforcement learning, with progress shown."""
    steps, rounds = generalist.config.steps, generalist.config.training.rounds
    with ExitStack() as stack:
        imitation = stack.enter_context(progress.phase("imitate", steps))
        practice: list[Phase] = []

        def step(done: int, loss: float) -> None:
            curves.imitation(done, loss)
            imitation.advance(steps // 100, loss=loss)

        def round_over(done: int, reward: float) -> None:
            if not practice:
                stack.pop_all().close()
                practice.append(stack.enter_context(progress.phase("practice", rounds)))
            curves.practice(done, reward)
            practice[0].advance(reward=reward)

        return generalist.train(step, round_over)


def coefficients_of(trained: TrainedPolicy) -> dict[str, float]:
    """Return how much errors matter, by feature, and how much their squares add."""
    found = dict(zip(FEATURES, trained.reward_model.mean.round(4).tolist(), strict=True))
    return {**found, "curvature": trained.reward_model.curvature}


def _case(item: Network, run: Run, writer: Events, progress: Progress) -> TrainingCase:
    """Pose the problem of a network once, and bind it to every budget."""
    first, *_ = item.budgets.values()
    setup = Setup(item.inputs, item.units, first, item.latency)
    session = Session(setup, item.config, run, Curves(writer, item.units.cost), progress)
    problem = pose(session, train(session))
    known: list[dict[Plan, Evaluation]] = []
    for text in item.budgets:
        mine = {"network": item.name, "budget": text}
        entries = [entry for entry in run.journal.records if mine.items() <= entry.items()]
        known.append({Plan.from_json(e["keep"]): _evaluation(e) for e in entries})
    return case_of(item, problem, known)


def case_of(
    item: Network, problem: PruningProblem, known: Sequence[Mapping[Plan, Evaluation]]
) -> TrainingCase:
    """Bind the problem of a network to every budget; ``known``: plans evaluated at each."""
    problems = [replace(problem, budget=bound) for bound in item.budgets.values()]
    held_out = [replace(problem, budget=bound) for bound in item.between]
    return TrainingCase(item.name, problems, known, held_out)


def _entry(case: TrainingCase, trial: TrainingTrial) -> dict[str, object]:
    """Return the journal's record; the plan is ``keep``, since it is of one of many networks."""
    found = trial.record.evaluation
    return {
        "evaluation": trial.number,
        "network": case.name,
        "budget": case.budget(trial),
        "keep": trial.record.plan.to_json(),
        "score": found.score,
        "loss": found.loss,
        "failed": found.failed,
    }


def _evaluation(entry: Mapping[str, Any]) -> Evaluation:
    return Evaluation(float(entry["score"]), float(entry["loss"]), failed=bool(entry["failed"]))


def network_summary(
    item: Network, case: TrainingCase, trials: Sequence[TrainingTrial]
) -> TrainingNetwork:
    """Summary of the evaluations on one network."""
    middle = len(case.problems) // 2
    scores = [trial.record.evaluation.score for trial in trials if trial.budget == middle]
    return TrainingNetwork(
        item.name,
        item.inputs.data.name,
        len(item.units.decisions.groups),
        len(trials),
        scores[0] if scores else None,
        max(scores, default=None),
    )


def describe_training(
    config: TrainPolicyConfig,
    trained_on: Sequence[TrainingNetwork],
    coefficients: Mapping[str, float],
) -> dict[str, Any]:
    """Describe the training for the policy; no path of this machine is named."""
    return {
        "agent": config.agent,
        "networks": [encode(network) for network in trained_on],
        "ranges": config.budgets,
        "budgets": [min(low for low, _, _ in config.ranges), max(h for _, h, _ in config.ranges)],
        "evaluations": sum(network.evaluations for network in trained_on),
        "ranking": config.ranking,
        "seed": config.seed,
        "coefficients": dict(coefficients),
    }


def _plan_errors(case: TrainingCase, policy: Policy) -> list[PlanErrors]:
    rows = []
    for problem, context in zip(case.problems, case.contexts, strict=True):
        plans = (*baseline_plans(problem), policy.plan(problem))
        errors = [round(context.error(tuple(plan.values())), 6) for plan in plans]
        rows.append(PlanErrors(case.name, problem.budget.name, *errors))
    return rows
