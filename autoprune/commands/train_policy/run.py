"""Training of a policy: every network is posed at every budget, a policy trained and stored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoprune.agents.generalist import Generalist, GeneralistConfig, TrainedPolicy
from autoprune.agents.initial_plans import baseline_plans
from autoprune.agents.policy import Policy
from autoprune.agents.policy_format import DESCRIPTION
from autoprune.agents.registry import check_name, learners
from autoprune.agents.shared_reward_model import FEATURES
from autoprune.agents.training_case import TrainingCase, TrainingTrial
from autoprune.commands.train_policy.config import Source, TrainPolicyConfig
from autoprune.commands.train_policy.result import PlanErrors, PolicyResult, TrainingNetwork
from autoprune.cost.budget import BoundBudget, Budget
from autoprune.cost.latency import LatencyModel
from autoprune.errors import InfeasibleError, UsageError
from autoprune.foundation import trust
from autoprune.foundation.progress import Phase, Progress
from autoprune.foundation.schema import encode
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.curves import Curves, PolicyCurves
from autoprune.pipeline.inputs import Inputs, from_config, weights_hash
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import Setup, bind_budget, price
from autoprune.pipeline.stages import keep_policy, pose, train
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.granularity.units import PruningUnits
from autoprune.problem.problem import PruningProblem
from autoprune.ranking.registry import find_ranking
from autoprune.runs.artifacts import Artifacts
from autoprune.runs.run import CONFIG, RESULT, Run
from autoprune.runs.tensorboard import Events
from autoprune.structure.plan import Plan
from autoprune.training.checkpoint import discard
from autoprune.training.in_run import done


@dataclass(frozen=True)
class Network:
    """A network to train on, found and analyzed.

    ``budgets`` [texts] are those it can meet; ``between`` lie between them and judge a policy.
    """

    name: str
    config: SearchConfig
    inputs: Inputs
    units: PruningUnits
    latency: LatencyModel | None
    budgets: Mapping[str, BoundBudget]
    between: Sequence[BoundBudget]


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
    networks = _with_unique_names(networks)
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
        run.publish_json(RESULT, result.to_json())
        discard(run.artifacts)
        return result


def find_network(config: TrainPolicyConfig, source: Source, progress: Progress) -> Network:
    """Find and analyze one network, and bind every budget that it can meet.

    Raises UsageError or DamagedError for what is missing or malformed, InfeasibleError if it can
    meet none of the budgets.
    """
    name, source = _from_run(source, trust_code=config.trust_code)
    asked = SearchConfig(
        budget=",".join(f"{high:g}{unit}" for _, high, unit in config.ranges),
        model=source.model,
        weights=source.weights,
        data=source.data or config.data,
        task=config.task,
        ranking=config.ranking,
        align=config.align,
        seed=config.seed,
        device=config.device,
    )
    inputs = from_config(asked)
    units, latency = price(inputs, asked, Budget.parse(asked.budget), progress)
    budgets = {}
    for text in config.grid:
        try:
            budgets[text] = bind_budget(Budget.parse(text), asked, units.cost, inputs.device)
        except InfeasibleError as error:
            if text == config.grid[-1] and not budgets:
                raise
            progress.note(f"{name} is not trained at {text}: {error.args[0]}")
    between = []
    for text in config.between:
        with suppress(InfeasibleError):
            between.append(bind_budget(Budget.parse(text), asked, units.cost, inputs.device))
    return Network(name, asked, inputs, units, latency, budgets, between)


def _from_run(source: Source, *, trust_code: bool) -> tuple[str, Source]:
    """Name a network, and look up its weights and data in the run that trained it."""
    path = Path(source.model)
    if not (path / CONFIG).is_file():
        return source.model, source
    artifacts = Artifacts(path)
    meta = artifacts.json(CONFIG)
    said = meta.get("config") if isinstance(meta, dict) else None
    if not isinstance(said, dict) or meta.get("command") != "train":
        raise UsageError(
            f"{path} is not a run of autoprune train", "name its network as MODEL=WEIGHTS@DATA"
        )
    if not trust_code:
        for named in (str(said["model"]), *([] if source.data else [str(said["data"])])):
            trust.check_named(named)
    weights = artifacts.file("model.safetensors")
    return path.name, Source(str(said["model"]), str(weights), source.data or str(said["data"]))


def _with_unique_names(networks: Sequence[Network]) -> list[Network]:
    names = [item.name for item in networks]
    return [
        replace(item, name=f"{item.name}-{names[:index].count(item.name) + 1}")
        if item.name in names[:index]
        else item
        for index, item in enumerate(networks)
    ]


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
        rows.append(PlanErrors(case.name, str(problem.budget.budget), *errors))
    return rows
