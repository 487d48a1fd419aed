"""Time and memory of one knapsack over the error curves, by the number of groups.

Networks are chains of 3x3 convolutions of 64 channels with random error curves, the budget half of
the MACs. A searcher solves such a knapsack before its first plan, and `ddpg` one for every other
one. Each row is a process of its own, so that its peak is its own; seconds are of the processor.

python benchmarks/knapsack.py [--groups 10 40 160 400] [--write]
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
from support.reporting import parser, report

from autoprune.agents.knapsack import cheapest_errors
from autoprune.cost.budget import Budget
from autoprune.cost.model import CostModel
from autoprune.structure.table import Extent, Group, Layer, Product, Structure

WIDTH, PIXELS = 64, 256


def main() -> None:
    """Measure every number of groups in a process of its own, or one here."""
    options = parser(__doc__ or "")
    options.add_argument("--groups", nargs="+", type=int, default=[10, 40, 160, 400])
    options.add_argument("--one", type=int, help="measure one, print JSON")
    chosen = options.parse_args()
    if chosen.one:
        print(json.dumps(measured(chosen.one)))
        return
    rows = []
    for groups in chosen.groups:
        command = [sys.executable, __file__, "--one", str(groups)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(answer.stdout))
    notes = [
        "Aim: 160 groups in a second and 700 MiB, 400 groups in 10 seconds, of the processor. The",
        "peak includes the imports.",
    ]
    report("knapsack", "One knapsack over the error curves", rows, notes, chosen.write, "float64")


def measured(groups: int) -> dict[str, Any]:
    """Solve one; return its time and the peak of this process."""
    structure, rng = chain(groups), np.random.default_rng(0)
    cost = CostModel(structure)
    budget = Budget.parse("0.5flops").bind(cost)
    lost = 1 - np.arange(WIDTH + 1) / WIDTH
    errors = [
        height * lost**power * np.exp(bend)
        for height, power, bend in zip(
            rng.uniform(0.4, 1.0, groups),
            rng.uniform(1.2, 2.5, groups),
            rng.normal(size=groups),
            strict=True,
        )
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    plan = cheapest_errors(budget, errors, [budget.uniform()])
    took = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = sum(curve[count] for curve, count in zip(errors, plan.values(), strict=True))
    return {
        "groups": groups,
        "seconds": f"{took:.2f}",
        "MiB before": before // 1024,
        "MiB at the peak": peak // 1024,
        "summed error": f"{error:.6f}",
    }


def chain(groups: int) -> Structure:
    """Return the structure of a chain of convolutions, each group the channels of one."""
    names = [f"conv{index}" for index in range(groups)]
    widths = [Extent(3), *(Extent(0, ((name, 1),)) for name in names)]
    layers = [
        Layer(name, "conv", None, (Product(9 * PIXELS, (before, after)),))
        for name, before, after in zip(names, widths[:-1], widths[1:], strict=True)
    ]
    return Structure(
        tuple(Group(name, WIDTH, "conv") for name in names), (), tuple(layers), {}, (), {}, {}
    )


if __name__ == "__main__":
    main()
