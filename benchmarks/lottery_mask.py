"""The mask that a search finds, trained again beside all its controls.

python benchmarks/lottery_mask.py --data DIR --weights FILE --initial FILE [--write]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from support.reporting import report
from support.tickets import options, setup, starts, ticket

from autoprune.foundation.terminal import Terminal
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.search import run_search


def main() -> None:
    """Search, train the mask from every start, and report."""
    parser = options(__doc__ or "", evaluations=40, iterations=100, seeds=3)
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--data", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--initial", required=True)
    parser.add_argument("--budget", default="0.5flops")
    chosen = parser.parse_args()
    chosen.runs = chosen.runs or tempfile.mkdtemp()
    torch.set_num_threads(chosen.threads)
    search = SearchConfig(
        budget=chosen.budget,
        model=chosen.model,
        weights=chosen.weights,
        data=chosen.data,
        evaluations=chosen.evaluations,
        finetune_epochs=0,
        baseline=False,
        run=str(Path(chosen.runs) / "search"),
    )
    found = run_search(search, Terminal(Console(stderr=True)))
    result = ticket(
        chosen,
        "mask",
        run=search.run,
        initial=chosen.initial,
        iterations=chosen.iterations,
        batch_size=128,
        seeds=chosen.seeds,
    )
    name = Path(chosen.data).name
    report(
        f"lottery_mask_{chosen.model}_{name}",
        f"The mask of a search for {chosen.budget} of {chosen.model} (option A) on {name}",
        starts(result),
        [
            setup(result, chosen.seeds, f"SGD, batch 128, {result['macs']:.1%} of the MACs left"),
            f"A training is {chosen.iterations} iterations, an epoch is 352: far too short for the"
            " last word. Searched with ddpg and regression,"
            f" {chosen.evaluations} evaluations, seed 0; pruned, before any training:"
            f" {100 * found.pruned.score:.2f} %.",
            "",
            *result["verdict"],
        ],
        chosen.write,
    )


if __name__ == "__main__":
    main()
