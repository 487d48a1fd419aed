"""`autoprune search` on a trained network and real data, beside uniform + l1 at the same budget.

python benchmarks/search.py --model resnet20 --weights resnet20.safetensors --data DIR [--write]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from rich.console import Console
from support.reporting import parser, report

from autoprune.foundation.terminal import Terminal
from autoprune.pipeline.config import SearchConfig
from autoprune.pipeline.result import Measure, Result
from autoprune.pipeline.search import run_search


def main() -> None:
    """Search once for every ranking and report."""
    options = parser(__doc__ or "")
    options.add_argument("--model", required=True)
    options.add_argument("--weights", required=True)
    options.add_argument("--data", required=True)
    options.add_argument("--budget", default="0.5flops")
    options.add_argument("--agent", default="ddpg")
    options.add_argument("--evaluations", type=int, default=100)
    options.add_argument("--finetune-epochs", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    config = SearchConfig(
        budget=chosen.budget,
        model=chosen.model,
        weights=chosen.weights,
        data=chosen.data,
        agent=chosen.agent,
        evaluations=chosen.evaluations,
        finetune_epochs=chosen.finetune_epochs,
        seed=chosen.seed,
        run=str(Path(tempfile.mkdtemp()) / "run"),
    )
    result = run_search(config, Terminal(Console(stderr=True)))
    name = Path(chosen.data).name
    report(
        f"search_{chosen.model}_{name}",
        f"{chosen.model} on {name}, budget {chosen.budget}",
        rows(result),
        [
            f"Seed {chosen.seed}; {result.evaluations} evaluations on the search split; the test "
            f"split read once; {chosen.finetune_epochs} epochs of fine-tuning; "
            f"{result.seconds:.0f} s in all. Batch-norm statistics are recomputed in both rows.",
        ],
        chosen.write,
    )


def rows(result: Result) -> list[dict[str, str]]:
    """Make a row for the dense network, the search, and the baseline."""
    found = [("dense", result.dense, result.dense)]
    found.append((f"{result.agent} + {result.ranking}", result.pruned, result.finetuned))
    if result.baseline:
        base = result.baseline
        found.append((base.name, base.pruned, base.finetuned))
    return [row(result, name, before, after) for name, before, after in found]


def row(result: Result, name: str, before: Measure, after: Measure) -> dict[str, str]:
    """Show one network before and after fine-tuning, on the test split."""
    return {
        "network": name,
        "MACs": f"{before.macs / 1e6:.3f} M ({before.macs / result.dense.macs:.2%})",
        "parameters": f"{before.parameters:,}",
        "pruned": f"{before.score:.2%}",
        "fine-tuned": f"{after.score:.2%}",
        "change": f"{100 * (after.score - result.dense.score):+.2f}",
        "ms per sample": f"{after.latency_ms:.3f}",
    }


if __name__ == "__main__":
    main()
