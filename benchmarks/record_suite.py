"""Record plans for the tables of `autoprune suite`: real evaluations, a journal, then a table.

python benchmarks/record_suite.py digits-resnet --weights RUN --minutes 4
python benchmarks/record_suite.py resnet20-cifar10-jpeg --weights FILE --data DIR --minutes 60

The weights, a file or a run, are copied into the table's folder the first time.

A recording goes on where its journal ends. Searchers run with seeds that no replay uses.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from support.confirming import Confirmed, confirm
from support.reporting import machine, parser

from autoprune.agents.base import let_search
from autoprune.agents.random_search import random_walk
from autoprune.agents.registry import searcher
from autoprune.commands.suite.frozen import FrozenProblem
from autoprune.commands.suite.recording import WEIGHTS, Recorded, Recorder
from autoprune.commands.suite.surrogate import Surrogate, quality
from autoprune.commands.suite.table import INDEX, SPLITS, SuiteIndex, SuiteTask, Table
from autoprune.cost.budget import Budget
from autoprune.cost.polynomial import Counts
from autoprune.envs.walk import WalkContext
from autoprune.networks.weights import weights_file
from autoprune.pipeline.posing import Problem
from autoprune.problem.evaluation import Evaluation
from autoprune.problem.ledger import Ledger
from autoprune.problem.problem import PruningProblem
from autoprune.problem.scorer import FunctionScorer
from autoprune.structure.plan import Plan

VERSION = "1"
"""Version of the suite: another one where a table changes."""

HELD = 100
"""Plans at each budget that the surrogate is never fitted to, and that measure it."""

SPENT = 0.9
"""Part of a budget that a plan spends at least to count as one at it."""

LICENSE = "CC0-1.0 for the figures of this table; network and data have licenses of their own"

EVALUATED = (
    "units by least squares, weights repaired, then fitted to the dense network layer after layer"
    " on 256 training samples without labels; float32; the first samples of each split; no training"
)

SEED = 1000
"""First seed of the searchers that record; a replay counts from 0."""

SEARCHERS = ("uniform", "dp", "evolution", "random", "ddpg", "greedy")

EVALUATIONS = 50
"""Plans of each searcher in a round, and of the mutations."""


ROUNDS = 100
"""Most rounds of a recording."""


@dataclass(frozen=True)
class Spec:
    """What a table is about, and the budgets of its tasks."""

    of: Recorded
    tasks: dict[str, tuple[str, ...]]
    whole: bool = False
    """Whether every plan within a budget is evaluated: no surrogate is then needed."""


HARSH = ("0.3flops", "0.5flops")
FLOPS = (*HARSH, "0.7flops")
PARAMETERS = ("0.3params", "0.5params")
DIGITS = {"classes": 10, "channels": 1, "size": 8}
ALL = (500, 500, 500)

SPECS = {
    "digits-resnet": Spec(
        Recorded("digits-resnet", "digits", ALL, DIGITS),
        {"digits-resnet-flops": FLOPS, "digits-resnet-params": PARAMETERS},
        whole=True,
    ),
    "resnet20-cifar10-jpeg": Spec(
        Recorded("resnet20", "CIFAR-10-JPEG", (1500, 500, 1500)),
        {"resnet20-flops": ("0.3flops", "0.5flops"), "resnet20-params": ("0.4params",)},
    ),
    "mobilenetv2-digits": Spec(
        Recorded("mobilenetv2", "digits", ALL, DIGITS),
        {"mobilenetv2-flops": HARSH},
    ),
    "conv6-digits": Spec(
        Recorded("conv-6", "digits", ALL, DIGITS),
        {"conv6-flops": HARSH},
    ),
    "vit-fashion": Spec(
        Recorded("networks.py:small_vit", "FashionMNIST", (1500, 500, 2000)),
        {"vit-flops": HARSH},
    ),
    "vit-fashion-depth": Spec(
        Recorded("networks.py:small_vit", "FashionMNIST", (1500, 500, 2000), depth="auto"),
        {"vit-depth-flops": HARSH},
    ),
    "gpt-bytes": Spec(
        Recorded(
            "networks.py:small_gpt",
            "the source of Python's standard library",
            (400, 200, 400),
            task="causal-lm",
        ),
        {"gpt-flops": HARSH},
    ),
}


class Over(Exception):
    """Signal that the time is over."""


def main() -> None:
    """Record for some minutes."""
    options = parser(__doc__ or "")
    options.add_argument("table", choices=SPECS)
    options.add_argument("--weights", default=None)
    options.add_argument("--data", default=None)
    options.add_argument("--minutes", type=float, default=2.0)
    options.add_argument("--journals", default="logs/suite-journals")
    options.add_argument("--out", default="benchmarks/suite")
    options.add_argument("--confirm", help="run of the suite whose chosen plans are evaluated")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    spec = SPECS[chosen.table]
    folder = Path(chosen.out) / chosen.table
    if chosen.weights is not None and not (folder / WEIGHTS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights_file(Path(chosen.weights)), folder / WEIGHTS)
    problem = spec.of.pose(folder, chosen.data)
    place = Path(chosen.journals)
    place.mkdir(parents=True, exist_ok=True)
    recorder = Recorder(problem, spec.of.samples, place / f"{chosen.table}.jsonl")
    try:
        record(problem, recorder, spec, time.monotonic() + 60 * chosen.minutes)
    except Over:
        if spec.whole:
            raise SystemExit("plans are missing: run the same again, it goes on") from None
    print(f"{chosen.table}: {len(recorder.known)} plans")
    confirmed = confirm(Path(chosen.confirm), tasks_of(spec), recorder) if chosen.confirm else None
    print(confirmed)
    table = made(chosen.table, spec, problem, recorder, confirmed)
    place = Path(chosen.out)
    known = dict(SuiteIndex.read(place).tables) if (place / INDEX).exists() else {}
    written = {table.name: table.write(place / table.name)}
    SuiteIndex(VERSION, {**known, **written}).write(place)


def tasks_of(spec: Spec) -> tuple[SuiteTask, ...]:
    """Return the tasks of a table."""
    return tuple(SuiteTask(task, budgets) for task, budgets in spec.tasks.items())


def made(
    name: str, spec: Spec, problem: Problem, recorder: Recorder, confirmed: Confirmed | None
) -> Table:
    """Make the table of what was recorded, with a surrogate unless it is whole."""
    frozen = FrozenProblem.of(problem)
    plans = list(recorder.known)
    counts = np.array([frozen.cost.counts(plan) for plan in plans])
    losses = np.array([recorder.known[plan].losses for plan in plans], np.float32).astype(float)
    scores = np.array([recorder.known[plan].scores for plan in plans], np.float32).astype(float)
    held = np.zeros(len(plans), bool)
    surrogate, measured = None, {}
    if not spec.whole:
        at = {text: spent(frozen, text, counts) for texts in spec.tasks.values() for text in texts}
        for number, there in enumerate(at.values()):
            some = np.random.default_rng(number).permutation(np.flatnonzero(there))
            held[some[: min(HELD, len(some) // 3)]] = True
        surrogate = Surrogate.fit(frozen, counts[~held], losses[~held], scores[~held])
        for text, there in at.items():
            measured[text] = quality(surrogate, counts[held & there], losses[held & there, 0])
            print(text, measured[text])
    dense = recorder.known[Plan.dense(problem.structure)]
    about = {
        **{name: value for name, value in asdict(spec.of).items() if name != "samples"},
        "license": LICENSE,
        "samples": dict(zip(SPLITS, recorder.sizes, strict=True)),
        "dense": {"losses": dense.losses, "scores": dense.scores},
        "evaluated": EVALUATED,
        "machine": machine(),
        "confirmed": confirmed and confirmed.to_json(),
    }
    return Table(
        *(name, about, frozen, tasks_of(spec), counts, losses, scores, held, spec.whole),
        surrogate=surrogate,
        quality=measured,
    )


def spent(problem: FrozenProblem, budget: str, counts: Counts) -> NDArray[np.bool_]:
    """Whether plans [plans, groups] meet a budget and spend most of it, [plans]."""
    bound = Budget.parse(budget).bind(problem.cost, problem.steps)
    used = np.array([bound.excess(plan) for plan in counts])
    found: NDArray[np.bool_] = (used <= 1) & (used >= SPENT)
    return found


def record(problem: Problem, recorder: Recorder, spec: Spec, end: float) -> None:
    """Let all searchers search at all budgets, round after round, until the time is over."""

    def score(plan: Plan) -> Evaluation:
        if time.monotonic() > end:
            raise Over
        return recorder(plan)

    recorder(Plan.dense(problem.structure))
    budgets = [
        Budget.parse(text).bind(problem.cost, problem.budget.steps)
        for task in spec.tasks.values()
        for text in task
    ]
    if spec.whole:
        for counts in product(*problem.budget.choices):
            plan = problem.cost.plan(counts)
            if any(bound.met(plan) for bound in budgets):
                score(plan)
        return
    for number in range(ROUNDS):
        for bound in budgets:
            at = replace(plain(problem), budget=bound, scorer=FunctionScorer(score))
            search_all(at, recorder, SEED + number)
            print(f"round {number}, {bound.name}: {len(recorder.known)} plans", flush=True)


def search_all(problem: PruningProblem, recorder: Recorder, seed: int) -> None:
    """Let every searcher search, then evaluate neighbors of the best plans."""
    for name in SEARCHERS:
        let_search(searcher(name), problem, Ledger(problem, EVALUATIONS), seed)
    for plan in mutated(problem, recorder, np.random.default_rng(seed)):
        problem.evaluate(plan)


def plain(problem: Problem) -> PruningProblem:
    """Return the problem without its network."""
    names = PruningProblem.__dataclass_fields__
    return PruningProblem(**{name: getattr(problem, name) for name in names})


def mutated(
    problem: PruningProblem, recorder: Recorder, rng: np.random.Generator
) -> Iterator[Plan]:
    """Yield neighbors of the best plans at a budget, and random walks between them."""
    context, budget = WalkContext.of(problem), problem.budget
    good = [plan for plan in recorder.known if budget.met(plan)]
    good.sort(key=lambda plan: recorder.known[plan].losses[0])
    for number in range(EVALUATIONS):
        if number % 4 == 3:
            yield random_walk(context, rng)
            continue
        base = good[int(rng.integers(min(30, len(good))))]
        yield budget.top_up(problem.cost.plan(_moved(budget.counts(base), budget.choices, rng)))


def _moved(counts: Counts, choices: Sequence[Counts], rng: np.random.Generator) -> Counts:
    """Shrink one or two groups by one or two steps, so that others can grow."""
    counts = counts.copy()
    for group in rng.choice(len(counts), int(rng.integers(1, 3)), replace=False):
        at = int(np.searchsorted(choices[group], counts[group]))
        counts[group] = choices[group][max(at - int(rng.integers(1, 3)), 0)]
    return counts


if __name__ == "__main__":
    main()
