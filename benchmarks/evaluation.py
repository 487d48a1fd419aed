"""One evaluation of a plan, compared with the bare forward pass of the same compact network.

An evaluation takes a plan it has not seen: it looks up the units and solves for the repaired
weights, slices, adapts the batch statistics on the calibration images, folds the batch norms, runs
the search images that it sees (half of them, see autoprune/problem/racing.py) and scores them. The
bare forward pass runs the finished compact network over as many images in the same arithmetic.
Plans do not race here: one that falls behind takes less.

python benchmarks/evaluation.py [--write]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from support.reporting import parser, report
from torch import nn
from torch.utils._pytree import tree_map

from autoprune.data import Split
from autoprune.data.classification import Classification
from autoprune.data.task import Batch
from autoprune.networks import zoo
from autoprune.networks.execution import Form, forward, laid_out
from autoprune.networks.folding import find_foldable, folded
from autoprune.pipeline.tuning import SampleConfig
from autoprune.problem.evaluator import CPU_BATCH, Evaluator, EvaluatorParts
from autoprune.problem.racing import RacingConfig
from autoprune.ranking.rank import rank
from autoprune.structure import Structure
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

TASK = Classification()
NETWORKS = ("resnet20", "resnet56", "mobilenetv1")
SEARCH, ROUNDS = 5000, 5
AIM = 1.10


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "").parse_args()
    torch.set_num_threads(options.threads)
    rows = [network(name) for name in NETWORKS]
    notes = [
        f"{SEARCH:,} search images, of which {round(RacingConfig().share * SEARCH):,} are seen, and"
        f" {SampleConfig().evaluation} calibration images of 3x32x32, regression ranking, a new"
        f" random plan each round; medians of {ROUNDS} rounds, interleaved, of the thread's own"
        f" time. Aim: ratio to folded <= {AIM:.2f}.",
        "`folded` is the bare forward pass with batch norms folded into the convolutions, `ratio to"
        " all` the ratio to that over all search images.",
    ]
    report("evaluation", "One evaluation beside the bare forward pass", rows, notes, options.write)


def network(name: str) -> dict[str, Any]:
    """Compare on one network."""
    torch.manual_seed(0)
    model = zoo.build(name).eval()
    structure = analyze(model, torch.randn(2, 3, 32, 32))
    search, calibration = images(SEARCH), images(SampleConfig().evaluation)
    ranking = rank(model, structure, "regression", task=TASK, calibration=calibration)
    evaluate = Evaluator(EvaluatorParts(model, structure, ranking, TASK, search, calibration))
    slicer = Slicer(model, structure)
    seen = search.take(round(RacingConfig().share * SEARCH))
    batches = [laid(batch, evaluate.form) for batch in seen.batches(CPU_BATCH)]
    rounds = []
    for seed in range(ROUNDS + 1):
        plan = random_plan(structure, seed)
        taken = timed(lambda plan=plan: evaluate(plan))
        compact = slicer.build(ranking.kept(plan), ranking.weights(plan)).eval()
        rounds.append((taken, *bare(compact, batches, evaluate.form)))
    evaluation, plain, fused = (median(times) for times in zip(*rounds[1:], strict=True))
    return {
        "network": name,
        "arithmetic": "bfloat16" if evaluate.form.bfloat16 else "float32",
        "evaluation": f"{evaluation:.2f} s",
        "bare forward": f"{plain:.2f} s",
        "ratio": f"{median(e / p for e, p, _ in rounds[1:]):.2f}",
        "folded": f"{fused:.2f} s",
        "ratio to folded": f"{median(e / f for e, _, f in rounds[1:]):.2f}",
        "ratio to all": f"{median(RacingConfig().share * e / f for e, _, f in rounds[1:]):.2f}",
    }


def bare(compact: nn.Module, batches: list[Batch], form: Form) -> tuple[float, float]:
    """Seconds of a forward pass over all batches: as it is, and with batch norms folded."""

    def run() -> None:
        for batch in batches:
            forward(compact, TASK, batch, form)

    with torch.inference_mode(), laid_out(compact, form):
        plain = timed(run)
        with folded(find_foldable(compact, TASK, tree_map(lambda leaf: leaf[:2], batches[0]))):
            return plain, timed(run)


def random_plan(structure: Structure, seed: int) -> Plan:
    """Keep between 0.5 and 0.9 of every group."""
    generator = torch.Generator().manual_seed(seed)
    share = 0.5 + 0.4 * torch.rand(len(structure.groups), generator=generator)
    keep = {
        group.name: max(1, round(group.size * float(part)))
        for group, part in zip(structure.groups, share, strict=True)
    }
    return Plan.of(keep)


def images(count: int) -> Split:
    """Noise; what is measured does not depend on what the images show."""
    return Split((torch.randn(count, 3, 32, 32), torch.randint(0, 10, (count,))))


def laid(batch: Batch, form: Form) -> Batch:
    """Lay images out as the evaluation does."""
    if not form.channels_last:
        return batch
    return (batch[0].contiguous(memory_format=torch.channels_last), *batch[1:])


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


if __name__ == "__main__":
    main()
