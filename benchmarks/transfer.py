"""Policies on networks they never saw: leave one out, no evaluations, beside uniform and dp.

python benchmarks/transfer.py --models A=WEIGHTS@DATA,B=...,C=... --cache DIR [--write]

Every network is left out once. A policy is trained on all others and makes a plan for it; so do the
policy without evaluations (imitation of the error curves alone), ``uniform`` and ``dp``. All plans
get the same ranking, the same least-squares repair and the same adapted batch statistics; test
accuracy is before any fine-tuning. Evaluations of a network serve every policy that is trained on
it, so they are made once and kept in the cache (one network alone is only evaluated); those of the
network left out are never used.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from reporting import parser, report
from rich.console import Console
from torch import nn

from autoprune import phases
from autoprune.agents.ddpg import DDPGSearcher
from autoprune.agents.dp import DynamicProgramming
from autoprune.agents.generalist import Case, Generalist, Trial
from autoprune.agents.policy import DESCRIPTION, WEIGHTS, Policy
from autoprune.agents.seeds import least_error
from autoprune.agents.shared_belief import FEATURES
from autoprune.config import TrainPolicyConfig
from autoprune.curves import Curves
from autoprune.data import Split
from autoprune.files import canonical, pretty
from autoprune.finals import builder, choose, shrink
from autoprune.plan import Plan
from autoprune.problem import Evaluation, Ledger, PruningProblem
from autoprune.progress import Progress, Terminal
from autoprune.run import Run
from autoprune.scoring import measure
from autoprune.session import Session
from autoprune.task import Task
from autoprune.teaching import Network, about, case_of, find_network, pupil_of


@dataclass(frozen=True)
class Posed:
    """A network with its problem at every budget, and what was evaluated on it."""

    network: Network
    session: Session
    model: nn.Module
    case: Case
    trials: list[Trial]


def main() -> None:
    """Leave every network out once and report."""
    options = parser(__doc__ or "")
    options.add_argument("--models", required=True, help="as autoprune train-policy takes them")
    options.add_argument("--data", default="digits", help="for networks that name none")
    options.add_argument("--cache", required=True, help="directory that keeps what was evaluated")
    options.add_argument("--test-budgets", default="0.3flops,0.5flops,0.7flops")
    options.add_argument("--evaluations", type=int, default=30, help="on each network trained on")
    options.add_argument("--refine", type=int, default=0, help="evaluations of apply and of dp")
    options.add_argument("--refined", default="", help="networks to refine on (default: all)")
    options.add_argument("--images", type=int, default=4000, help="of the test split")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--ship", help="write the policy of all networks here")
    options.add_argument("--name", default="transfer", help="of the stored table")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    progress = Terminal(Console(stderr=True, width=200))
    cache = Path(chosen.cache)
    config = TrainPolicyConfig(
        models=chosen.models,
        data=chosen.data,
        budgets="0.3..0.8",
        evaluations=chosen.evaluations,
        seed=chosen.seed,
        run=str(cache / "posing"),
    )
    with Run(cache / "posing", config, fresh=True) as run, run.events() as events:
        posed = []
        for source in config.sources:
            network = find_network(config, source, progress)
            session = session_of(network, run, Curves(events, network.grain.cost), progress)
            posed.append(pose(network, session, cache, chosen.evaluations, chosen.seed))
        if len(posed) == 1:
            return  # evaluated and kept: networks may be taken one at a time
        if chosen.ship:
            ship(posed, config, Path(chosen.ship))
        rows = []
        for index, left_out in enumerate(posed):
            others = posed[:index] + posed[index + 1 :]
            policy, imitation = train(others, chosen.seed), train(others, chosen.seed, free=True)
            for text in chosen.test_budgets.split(","):
                row = compare(left_out, text, policy, imitation, chosen.images)
                if chosen.refine and chosen.refined in ("", left_out.network.name):
                    row |= refine(left_out, text, policy, chosen.refine, chosen.images, chosen.seed)
                rows.append(row)
                progress.note(canonical(row))
    finish(rows, posed, chosen)


def session_of(network: Network, run: Run, curves: Curves, progress: Progress) -> Session:
    """Make what the phases of a search work with."""
    first, *_ = network.budgets.values()
    return Session(
        network.subject,
        network.config,
        network.grain,
        first,
        network.latency,
        run,
        curves,
        progress,
    )


def pose(network: Network, session: Session, cache: Path, evaluations: int, seed: int) -> Posed:
    """Rank a network, and evaluate plans of it unless the cache knows them."""
    model = phases.train(session)
    problem = phases.pose(session, model)
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


def entry_of(trial: Trial) -> dict[str, object]:
    """Write an evaluation for the cache."""
    found = trial.record.evaluation
    return {
        "budget": trial.budget,
        "plan": trial.record.plan.to_json(),
        "score": found.score,
        "loss": found.loss,
        "failed": found.failed,
    }


def train(others: Sequence[Posed], seed: int, free: bool = False) -> Policy:
    """Train a policy on networks, by their evaluations or, ``free``, by error curves alone."""
    teacher = Generalist([item.case for item in others], seed)
    if not free:
        teacher.trials = [item.trials for item in others]
    trained = teacher.train(lambda step, loss: None)
    return trained.policy


def ship(posed: Sequence[Posed], config: TrainPolicyConfig, folder: Path) -> None:
    """Train on every network and write the policy's two files."""
    teacher = Generalist([item.case for item in posed], config.seed)
    teacher.trials = [item.trials for item in posed]
    trained = teacher.train(lambda step, loss: None)
    coefficients = dict(zip(FEATURES, trained.belief.mean.round(4).tolist(), strict=True))
    pupils = [pupil_of(item.network, item.case, item.trials) for item in posed]
    policy = replace(trained.policy, trained_on=about(config, pupils, coefficients))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DESCRIPTION).write_text(pretty(policy.to_json()), encoding="utf-8")
    (folder / WEIGHTS).write_bytes(policy.to_safetensors())


def at_budget(item: Posed, text: str) -> PruningProblem:
    """Return the problem of a network at one of its budgets."""
    return replace(item.case.problems[0], budget=item.network.budgets[text])


def compare(
    item: Posed, text: str, policy: Policy, imitation: Policy, images: int
) -> dict[str, float | str]:
    """Measure the plans of uniform, dp, imitation and the policy on the test split."""
    problem = at_budget(item, text)
    plans = {
        "uniform": problem.budget.uniform(),
        "dp": least_error(problem),
        "imitation": imitation.plan(problem),
        "policy": policy.plan(problem),
    }
    accuracies = {name: accuracy(item, problem, plan, images) for name, plan in plans.items()}
    base = measure(item.model, *test_of(item, images), precision="auto").score
    return {"network": item.network.name, "budget": text, "base": base, **accuracies}


def refine(
    item: Posed, text: str, policy: Policy, evaluations: int, images: int, seed: int
) -> dict[str, float]:
    """Spend the same evaluations from the policy on and by dp's own refinement."""
    problem = at_budget(item, text)
    found = {}
    for name, agent in (
        (f"policy + {evaluations}", DDPGSearcher(start=policy)),
        (f"dp + {evaluations}", DynamicProgramming()),
    ):
        ledger = Ledger(problem, evaluations)
        agent.search(problem, ledger, seed)
        build = builder(item.session, item.model, problem.ranking)
        _, network = choose(item.session, build, ledger)
        found[name] = measure(network, *test_of(item, images), precision="auto").score
    return found


def accuracy(item: Posed, problem: PruningProblem, plan: Plan, images: int) -> float:
    """Prune by a plan and measure on the test split, batch statistics adapted, no fine-tuning."""
    compact = shrink(item.session, item.model, plan, problem.ranking)
    return measure(compact, *test_of(item, images), precision="auto").score


def test_of(item: Posed, images: int) -> tuple[Split, Task]:
    """Return some images of the test split, drawn by chance and always the same, and the task."""
    subject = item.session.subject
    test = subject.data.test
    return test.take(min(images, len(test)), seed=0).to(subject.device), subject.task


def finish(
    rows: list[dict[str, float | str]],
    posed: Sequence[Posed],
    chosen: argparse.Namespace,
) -> None:
    """Add up, name the aims beside what was reached, and report."""
    gains = {
        other: [100 * (float(row["policy"]) - float(row[other])) for row in rows]
        for other in ("uniform", "dp", "imitation")
    }
    columns = dict.fromkeys(name for row in rows for name in row)  # not all may be refined
    shown = [{name: _cell(row.get(name, "")) for name in columns} for row in rows]
    above = sum(gain > 0 for gain in gains["uniform"])
    notes = [
        f"Test accuracy in percent, {chosen.images} test images (all, where there are fewer), batch"
        " statistics adapted, no fine-tuning. dp, imitation and policy: no evaluation of the"
        " network in the row.",
        f"Policies trained on the other networks, {chosen.evaluations} evaluations on each, seed"
        f" {chosen.seed}; imitation: none.",
        f"- policy above uniform in {above} of {len(rows)} rows (aim: all); mean"
        f" {np.mean(gains['uniform']):+.2f} points",
        f"- policy minus dp: mean {np.mean(gains['dp']):+.2f} points, least"
        f" {min(gains['dp']):+.2f} (aim: mean >= -1)",
        f"- policy minus imitation, what evaluations on the other networks add: mean"
        f" {np.mean(gains['imitation']):+.2f} points",
        "Networks: "
        + "; ".join(
            f"{item.network.name} on {item.session.subject.data.name},"
            f" {len(item.network.grain.units.groups)} groups"
            for item in posed
        )
        + ". CIFAR ResNets have option-A shortcuts.",
    ]
    refined = [row for row in rows if f"dp + {chosen.refine}" in row]
    if refined:
        better = [
            100 * (float(row[f"policy + {chosen.refine}"]) - float(row[f"dp + {chosen.refine}"]))
            for row in refined
        ]
        notes.append(
            f"- with {chosen.refine} evaluations each, DDPG from the policy minus dp's own"
            f" refinement: mean {np.mean(better):+.2f} points, least {min(better):+.2f}, at or"
            f" above in {sum(gain >= 0 for gain in better)} of {len(better)} (aim: all)"
        )
    title = "Policies on networks they never saw"
    report(chosen.name, title, shown, notes, chosen.write)


def _cell(value: float | str) -> str:
    return value if isinstance(value, str) else f"{100 * value:.2f}"


if __name__ == "__main__":
    main()
