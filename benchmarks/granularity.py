"""`autoprune search` at several granularities on a trained network, at one budget.

python benchmarks/granularity.py --model NAME --weights FILE --data DIR [--budget B] [--write]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from support.reporting import parser, report

from autoprune.foundation.terminal import Terminal
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Result
from autoprune.pipeline.search import run_search


def main() -> None:
    """Search at every granularity, once with the agent and once without one, and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.6flops")
    options.add_argument("--granularities", nargs="+", default=["channel", "weight", "2:4"])
    options.add_argument("--evaluations", type=int, default=60)
    options.add_argument("--finetune-epochs", type=int, default=1, help="of the agent's networks")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--runs", default=None, help="where runs are kept, to continue them")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    home = Path(chosen.runs or tempfile.mkdtemp())
    rows = []
    for granularity in chosen.granularities:
        for agent, epochs in (("uniform", 0), ("ddpg", chosen.finetune_epochs)):
            config = SearchConfig(
                budget=chosen.budget,
                model=chosen.model,
                weights=chosen.weights,
                data=chosen.data,
                agent=agent,
                granularity=granularity,
                evaluations=chosen.evaluations,
                finetune_epochs=epochs,
                baseline=False,
                seed=chosen.seed,
                run=str(home / f"{granularity.replace(':', '-')}-{chosen.budget}-{agent}"),
            )
            result = run_search(config, Terminal(Console(stderr=True)))
            rows.append(row(result, epochs))
    name = Path(chosen.data).name
    report(
        f"granularity_{chosen.model}_{name}_{chosen.budget}",
        f"{chosen.model} on {name}, budget {chosen.budget}, by granularity",
        rows,
        [
            f"Seed {chosen.seed}; {chosen.evaluations} evaluations of the agent on the search "
            f"split; the test split read once; {chosen.finetune_epochs} epoch(s) of fine-tuning of "
            f"the agent's networks. Dense: {result.dense.score:.2%}, {result.dense.macs:,} MACs, "
            f"{result.dense.parameters:,} parameters, {result.dense.bytes:,} bytes. MACs of masked "
            "networks are those by weights that are left, bytes those of bitmap and values: this "
            "machine takes as long for them as for the dense network.",
        ],
        chosen.write,
    )


def row(result: Result, epochs: int) -> dict[str, str]:
    """Show one search."""
    found = result.finetuned
    return {
        "granularity": result.granularity,
        "plan": f"{result.agent} + {result.ranking}",
        "MACs": f"{found.macs / result.dense.macs:.2%}",
        "parameters": f"{found.parameters / result.dense.parameters:.2%}",
        "bytes": f"{found.bytes / result.dense.bytes:.2%}",
        "search split": f"{result.score:.2%}",
        "test, pruned": f"{result.pruned.score:.2%}",
        "test, fine-tuned": f"{found.score:.2%}" if epochs else "",
        "seconds": f"{result.seconds:.0f}",
    }


if __name__ == "__main__":
    main()
