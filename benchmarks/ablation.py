"""What each part of the agent contributes, and its fifty evaluations against hundreds without help.

One search per variant and seed on a trained network and real data. ``bare`` is what AMC does: the
actor's own noisy rollouts, each evaluated, without initial plans or imagined rollouts. Plans are
scored on the search split, where they race as in `autoprune search`; the five of least loss are
scored again on validation images that no search saw (the test split is not read). Variants of one
seed share ranking and images.

python benchmarks/ablation.py --model resnet20 --weights FILE --data DIR [--write]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import torch
from support.posed import BEST, Posed, best_of, options_of
from support.reporting import percent, report

from autoprune.agents.base import Searcher
from autoprune.agents.ddpg import DDPGConfig, DDPGSearcher
from autoprune.agents.dp import DynamicProgramming
from autoprune.agents.random_search import Random
from autoprune.foundation.statistics import Estimate, difference, estimate
from autoprune.pipeline.tuning import SampleConfig
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.ledger import Record

VARIANTS: dict[str, Callable[[], Searcher]] = {
    "ddpg": DDPGSearcher,
    "without the actor": lambda: DDPGSearcher(DDPGConfig(led=False)),
    "without seeds": lambda: DDPGSearcher(DDPGConfig(seeded=False)),
    "without knapsack": lambda: DDPGSearcher(DDPGConfig(knapsack=False)),
    "without seeds and knapsack": lambda: DDPGSearcher(DDPGConfig(seeded=False, knapsack=False)),
    "bare": lambda: DDPGSearcher(DDPGConfig(seeded=False, knapsack=False, imagine=False)),
    "dp": DynamicProgramming,
    "random": Random,
}


def main() -> None:
    """Search with every variant and report."""
    options = options_of(__doc__ or "")
    options.add_argument("--few", type=int, default=50, help="to set beside --many of `bare`")
    options.add_argument("--many", type=int, default=400)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options.add_argument("--cache", help="directory that keeps the figures of finished searches")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    lengths = {name: [chosen.few, chosen.evaluations] for name in chosen.variants}
    lengths["bare"] = [*lengths.get("bare", []), chosen.many]
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for seed in range(chosen.seeds):
        for name, length, values in one_seed(chosen, lengths, seed):
            found.setdefault((name, length), []).append(values)
            print(json.dumps([seed, name, length, values]), flush=True)
    report(
        f"ablation_{chosen.model}_{Path(chosen.data).name}",
        f"Parts of the agent on {chosen.model}, {Path(chosen.data).name}, {chosen.budget}",
        [row(name, length, values) for (name, length), values in found.items()],
        list(notes(chosen, found)),
        chosen.write,
    )


def one_seed(
    chosen: argparse.Namespace, lengths: dict[str, list[int]], seed: int
) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Search with every variant on the samples of one seed."""
    file = Path(chosen.cache or ".") / f"{chosen.model}-{chosen.budget}-{seed}.json"
    cached = json.loads(file.read_text()) if chosen.cache and file.exists() else {}
    missing = {
        name: wanted
        for name, wanted in lengths.items()
        if any(f"{name} {length}" not in cached for length in wanted)
    }
    if missing:
        posed = Posed.of(chosen, seed)
        score = posed.evaluator(posed.data.search, SampleConfig().evaluation)
        unseen = posed.evaluator(posed.data.validation, SampleConfig().ranking)
    for name, wanted in lengths.items():
        if name in missing:
            began = time.monotonic()
            history = posed.search(VARIANTS[name](), score, max(wanted))
            seconds = time.monotonic() - began
            for length in wanted:
                found = figures(unseen, history[:length])
                cached[f"{name} {length}"] = {**found, "seconds": seconds * length / len(history)}
            if chosen.cache:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(json.dumps(cached))
        for length in wanted:
            yield name, length, cached[f"{name} {length}"]


def figures(unseen: Evaluator, history: tuple[Record, ...]) -> dict[str, float]:
    """Return the least search loss, and loss and score of the best few on unseen images."""
    best = best_of(history)
    again = [unseen(record.plan) for record in best]
    return {
        "search loss": best[0].evaluation.loss,
        "unseen loss": fmean(found.loss for found in again),
        "unseen score": fmean(found.score for found in again),
    }


def row(name: str, length: int, values: list[dict[str, float]]) -> dict[str, str]:
    """Show one variant after so many evaluations."""
    return {
        "searcher": name,
        "evaluations": str(length),
        "search loss": number(estimate([item["search loss"] for item in values])),
        "unseen loss": number(estimate([item["unseen loss"] for item in values])),
        "unseen accuracy": percent(estimate([item["unseen score"] for item in values])),
    }


def notes(
    chosen: argparse.Namespace, found: dict[tuple[str, int], list[dict[str, float]]]
) -> Iterator[str]:
    """Say how it was measured, the paired differences to the whole agent, and the aim."""
    yield (
        f"{chosen.seeds} seeds (calibration, search split, agent), mean +- 95 % interval (t)."
        f" Search loss: the least so far. Unseen: means over the {BEST} plans of least search loss,"
        " on validation images no search saw; before the layer-after-layer fit that finalists get."
    )
    whole = [item["unseen loss"] for item in found["ddpg", chosen.evaluations]]
    for (name, length), values in found.items():
        if length == chosen.evaluations and name != "ddpg":
            gap = difference([item["unseen loss"] for item in values], whole)
            word = "worse" if gap.positive else "better" if gap.negative else "not distinguishable"
            yield f"- {name}: unseen loss {gap.mean:+.4f} +- {gap.margin:.4f}: {word}"
    for kind in ("search loss", "unseen loss"):
        few, many = (
            [item[kind] for item in found[key]]
            for key in (("ddpg", chosen.few), ("bare", chosen.many))
        )
        gap = difference(few, many)
        met = "met" if gap.mean <= 0 else "missed"
        yield (
            f"- aim: ddpg after {chosen.few} evaluations at or below bare after {chosen.many},"
            f" {kind}: {gap.mean:+.4f} +- {gap.margin:.4f}: {met}"
        )


def number(value: Estimate) -> str:
    """Write a loss with its interval."""
    return f"{value.mean:.4f} +- {value.margin:.4f}"


if __name__ == "__main__":
    main()
