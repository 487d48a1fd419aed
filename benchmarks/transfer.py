"""Policies on networks they never saw: leave one out, no evaluations, beside uniform and dp.

python benchmarks/transfer.py --models A=WEIGHTS@DATA,B=...,C=... --cache DIR [--write]

Every network is left out once. A policy is trained on all others and makes a plan for it; so do the
policy before practice (imitation), ``uniform`` and ``dp``. All plans get the same ranking and are
built as ``autoprune apply`` builds them; test accuracy is before any fine-tuning. Evaluations of a
network are made once, for every policy that is trained on it, and kept in the cache (one network
alone is only evaluated), as are the scores of plans; those of the network left out are never used.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from support.reporting import parser
from support.transfer_table import finish
from torch import nn

from autoprune.agents.base import Searcher
from autoprune.agents.ddpg import DDPGSearcher
from autoprune.agents.dp import DynamicProgramming
from autoprune.agents.generalist import Generalist
from autoprune.agents.initial_plans import least_error
from autoprune.agents.policy import Policy
from autoprune.agents.policy_format import DESCRIPTION
from autoprune.agents.training_case import TrainingCase, TrainingTrial
from autoprune.commands.apply.run import starts
from autoprune.commands.train_policy.config import TrainPolicyConfig
from autoprune.commands.train_policy.networks import Network, find_network
from autoprune.commands.train_policy.run import (
    case_of,
    coefficients_of,
    describe_training,
    network_summary,
)
from autoprune.data import Split
from autoprune.data.task import Task
from autoprune.foundation.files import canonical, pretty
from autoprune.foundation.progress import Progress
from autoprune.foundation.terminal import Terminal
from autoprune.networks.score import measure
from autoprune.pipeline import stages
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.curves import Curves
from autoprune.pipeline.finalists import builder, choose, shrink
from autoprune.pipeline.session import Session
from autoprune.pipeline.setup import Setup
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.runs.run import Run
from autoprune.structure.plan import Plan


@dataclass(frozen=True)
class Posed:
    """A network with its problem at every budget, and what was evaluated on it."""

    network: Network
    session: Session
    model: nn.Module
    case: TrainingCase
    trials: list[TrainingTrial]


def main() -> None:
    """Leave every network out once and report."""
    chosen = options_of()
    torch.set_num_threads(chosen.threads)
    progress = Terminal(Console(stderr=True, width=200))
    cache = Path(chosen.cache)
    config = TrainPolicyConfig(
        models=chosen.models,
        data=chosen.data,
        budgets="0.3..0.8",
        agent=chosen.agent,
        evaluations=chosen.evaluations,
        seed=chosen.seed,
        run=str(cache / "posing"),
    )
    with Run(cache / "posing", config, fresh=True) as run, run.events() as events:
        posed = []
        for source in config.sources:
            network = find_network(config, source, progress)
            session = session_of(network, run, Curves(events, network.units.cost), progress)
            posed.append(pose(network, session, cache, chosen.evaluations, chosen.seed))
        if len(posed) == 1:
            return  # evaluated and kept: networks may be taken one at a time
        if chosen.ship:
            ship(posed, config, Path(chosen.ship))
        rows, names = [], [item.network.name for item in posed]
        refined = chosen.refined.split(",") if chosen.refined else names
        for index, left_out in enumerate(posed):
            others = posed[:index] + posed[index + 1 :]
            folder = cache / f"without-{left_out.network.name}-{chosen.agent}-{chosen.seed}"
            policies = train(others, folder, chosen.agent, chosen.seed)
            for text in chosen.test_budgets.split(","):
                row = compare(left_out, text, policies, cache, chosen.images)
                if chosen.refine and left_out.network.name in refined:
                    row |= refine(left_out, text, policies.policy, chosen)
                rows.append(row)
                progress.note(canonical(row))
    networks = [
        f"{item.network.name} on {item.session.inputs.data.name},"
        f" {len(item.network.units.decisions.groups)} groups"
        for item in posed
    ]
    finish(rows, networks, chosen)


def options_of() -> argparse.Namespace:
    """Read the command line."""
    options = parser(__doc__ or "")
    options.add_argument("--models", required=True, help="as autoprune train-policy takes them")
    options.add_argument("--data", default="digits", help="for networks that name none")
    options.add_argument("--cache", required=True, help="directory that keeps what was evaluated")
    options.add_argument("--agent", default="ppo", help="who practices: ppo or ddpg")
    options.add_argument("--test-budgets", default="0.3flops,0.5flops,0.7flops")
    options.add_argument("--evaluations", type=int, default=30, help="on each network trained on")
    options.add_argument("--refine", type=int, default=0, help="evaluations of apply and of dp")
    options.add_argument("--refined", default="", help="networks to refine on (default: all)")
    options.add_argument("--images", type=int, default=4000, help="of the test split")
    options.add_argument("--trained", default="", help="how the networks were trained, in words")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--ship", help="write the policy of all networks here")
    options.add_argument("--name", default="transfer", help="of the stored table")
    return options.parse_args()


def session_of(
    network: Network, run: Run, curves: Curves, progress: Progress
) -> Session[SearchConfig]:
    """Make what the stages of a search work with."""
    first, *_ = network.budgets.values()
    setup = Setup(network.inputs, network.units, first, network.latency)
    return Session(setup, network.config, run, curves, progress)


def pose(network: Network, session: Session, cache: Path, evaluations: int, seed: int) -> Posed:
    """Rank a network, and evaluate plans of it unless the cache knows them."""
    model = stages.train(session)
    problem = stages.pose(session, model)
    file = cache / f"{network.name.replace('/', '-')}-{evaluations}-{seed}.json"
    known: list[dict[Plan, Evaluation]] = [{} for _ in network.budgets]
    if file.exists():
        for entry in json.loads(file.read_text()):
            evaluation = Evaluation(entry["score"], entry["loss"], failed=entry["failed"])
            known[entry["budget"]][Plan.from_json(entry["plan"])] = evaluation
    case = case_of(network, problem, known)
    teacher = Generalist([case], seed)
    with session.progress.phase("search", evaluations) as phase:
        teacher.explore(evaluations, lambda _, __: phase.advance())
    (trials,) = teacher.trials
    file.write_text(json.dumps([entry_of(trial) for trial in trials]))
    return Posed(network, session, model, case, trials)


def entry_of(trial: TrainingTrial) -> dict[str, object]:
    """Write an evaluation for the cache."""
    found = trial.record.evaluation
    return {
        "budget": trial.budget,
        "plan": trial.record.plan.to_json(),
        "score": found.score,
        "loss": found.loss,
        "failed": found.failed,
    }


@dataclass(frozen=True)
class Policies:
    """A policy as it came from imitation, and what practice made of it."""

    imitation: Policy
    policy: Policy


def train(others: Sequence[Posed], folder: Path, agent: str, seed: int) -> Policies:
    """Train a policy on networks by their evaluations, unless the folder holds it already."""
    places = {name: folder / f"{name}.json" for name in ("imitation", "policy")}
    if not all(place.with_suffix(".safetensors").exists() for place in places.values()):
        teacher = Generalist([item.case for item in others], seed, agent=agent)
        teacher.trials = [item.trials for item in others]
        trained = teacher.train(lambda step, loss: None)
        for name, place in places.items():
            write(getattr(trained, name), place)
    return Policies(**{name: Policy.load(place) for name, place in places.items()})


def write(policy: Policy, place: Path) -> None:
    """Write a policy's two files."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(pretty(policy.to_json()), encoding="utf-8")
    place.with_suffix(".safetensors").write_bytes(policy.to_safetensors())


def ship(posed: Sequence[Posed], config: TrainPolicyConfig, folder: Path) -> None:
    """Train on every network and write the policy's two files."""
    teacher = Generalist([item.case for item in posed], config.seed, agent=config.agent)
    teacher.trials = [item.trials for item in posed]
    trained = teacher.train(lambda step, loss: None)
    trained_on = [network_summary(item.network, item.case, item.trials) for item in posed]
    policy = replace(
        trained.policy, trained_on=describe_training(config, trained_on, coefficients_of(trained))
    )
    write(policy, folder / DESCRIPTION)


def at_budget(item: Posed, text: str) -> PruningProblem:
    """Return the problem of a network at one of its budgets."""
    return replace(item.case.problems[0], budget=item.network.budgets[text])


def compare(
    item: Posed, text: str, policies: Policies, cache: Path, images: int
) -> dict[str, float | str]:
    """Measure the plans of uniform, dp, imitation and the policy on the test split."""
    problem = at_budget(item, text)
    plans = {
        "base": None,
        "uniform": problem.budget.uniform(),
        "dp": least_error(problem),
        "imitation": policies.imitation.plan(problem),
        "policy": policies.policy.plan(problem),
    }

    def network_of(plan: Plan | None) -> nn.Module:
        return shrink(item.session, item.model, plan, problem.ranking) if plan else item.model

    found = {
        name: accuracy(
            item, cache, images, "dense" if plan is None else plan.key, partial(network_of, plan)
        )
        for name, plan in plans.items()
    }
    return {"network": item.network.name, "budget": text, **found}


def refine(item: Posed, text: str, policy: Policy, chosen: argparse.Namespace) -> dict[str, float]:
    """Spend the same evaluations from the policy on and by dp's own refinement."""
    problem, evaluations = at_budget(item, text), chosen.refine
    build = builder(item.session, item.model, problem.ranking)

    def search(agent: Searcher, besides: Sequence[Plan]) -> nn.Module:
        ledger = Ledger(problem, evaluations)
        agent.search(problem, ledger, chosen.seed)
        return choose(item.session, item.model, build, ledger, besides).network

    ways = {
        "policy": partial(search, DDPGSearcher(start=policy), starts(policy, problem)),
        "dp": partial(search, DynamicProgramming(), ()),
    }
    cache = Path(chosen.cache)
    return {
        f"{name} + {evaluations}": accuracy(
            item, cache, chosen.images, f"{text}, {name} + {evaluations}, seed {chosen.seed}", way
        )
        for name, way in ways.items()
    }


def accuracy(
    item: Posed, cache: Path, images: int, key: str, network: Callable[[], nn.Module]
) -> float:
    """Measure a network on the test split, unless the cache holds it."""
    file = cache / f"{item.network.name.replace('/', '-')}-test-{images}.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    if key not in known:
        known[key] = measure(network(), *test_of(item, images), precision="auto").score
        file.write_text(json.dumps(known))
    return float(known[key])


def test_of(item: Posed, images: int) -> tuple[Split, Task]:
    """Return some images of the test split, drawn by chance and always the same, and the task."""
    inputs = item.session.inputs
    test = inputs.data.test
    return test.take(min(images, len(test)), seed=0).to(inputs.device), inputs.task


if __name__ == "__main__":
    main()
