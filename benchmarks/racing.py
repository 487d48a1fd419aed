"""What a search gains by seeing hard samples first and abandoning plans that fall behind.

The same searches by ddpg with and without each of these: processor time, and the quality of the
plans found, on validation images that no search saw (all of them for every row, statistics adapted
on 1,000 samples; the test split is not read).

python benchmarks/racing.py --model resnet20 --weights FILE --data DIR [--write]
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import torch
from support.posed import BEST, Posed, best_of, options_of
from support.reporting import percent, report

from autoprune.agents.registry import searcher
from autoprune.foundation.statistics import difference, estimate
from autoprune.pipeline.tuning import SampleConfig
from autoprune.problem.evaluator import Evaluator
from autoprune.problem.racing import RacingConfig

NEVER = 10**9


@dataclass(frozen=True)
class Variant:
    """How plans are scored: looks of a race, samples for statistics, and from which split on."""

    racing: RacingConfig = field(default_factory=RacingConfig)
    statistics: int = 64


VARIANTS = {
    "all samples": Variant(RacingConfig(stops=(), least=NEVER), 128),
    "the weighted half": Variant(RacingConfig(stops=()), 128),
    "+ races with two looks": Variant(RacingConfig(stops=(0.2, 0.4)), 128),
    "+ statistics by 64 samples": Variant(RacingConfig(stops=(0.2, 0.4))),
    "+ three more looks: as shipped": Variant(),
}


def main() -> None:
    """Search by every variant and report."""
    options = options_of(__doc__ or "")
    options.add_argument("--seeds", type=int, default=3)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    for seed in range(chosen.seeds):
        posed = Posed.of(chosen, seed)
        everything = VARIANTS["all samples"].racing
        unseen = posed.evaluator(posed.data.validation, SampleConfig().ranking, everything)
        for name, variant in VARIANTS.items():
            figures = search(posed, variant, unseen, chosen.evaluations)
            print(seed, name, figures, flush=True)
            found[name].append(figures)
    shipped = [item["loss"] for item in found[list(VARIANTS)[-1]]]
    whole = [item["loss"] for item in found["all samples"]]
    gap = difference(shipped, whole)
    report(
        f"racing_{chosen.model}_{Path(chosen.data).name}",
        f"Searches that see less: {chosen.model}, {Path(chosen.data).name}, {chosen.budget}",
        [row(name, values) for name, values in found.items()],
        [
            f"ddpg, {chosen.evaluations} evaluations, {chosen.seeds} seeds (calibration, search"
            " split, agent); mean +- 95 % interval (t). Seconds of the processor, the agent's"
            " included. Loss and accuracy:"
            f" the {BEST} plans of least search loss on all validation images, before the"
            " layer-after-layer fit that finalists get.",
            f"As shipped minus all samples, loss, paired: {gap.mean:+.4f} +- {gap.margin:.4f}.",
        ],
        chosen.write,
    )


def search(posed: Posed, variant: Variant, unseen: Evaluator, evaluations: int) -> dict[str, float]:
    """Search once; return what it took and how good the best few plans are elsewhere."""
    began = time.process_time()
    score = posed.evaluator(posed.data.search, variant.statistics, variant.racing)
    history = posed.search(searcher("ddpg"), score, evaluations)
    seconds = time.process_time() - began
    again = [unseen(record.plan) for record in best_of(history)]
    return {
        "seconds": seconds,
        "loss": fmean(item.loss for item in again),
        "score": fmean(item.score for item in again),
    }


def row(name: str, values: list[dict[str, float]]) -> dict[str, str]:
    """Show one variant."""
    loss = estimate([item["loss"] for item in values])
    return {
        "plans see": name,
        "seconds": f"{fmean(item['seconds'] for item in values):.0f}",
        "loss": f"{loss.mean:.4f} +- {loss.margin:.4f}",
        "accuracy": percent(estimate([item["score"] for item in values])),
    }


if __name__ == "__main__":
    main()
