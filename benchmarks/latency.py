"""Predicted latency of plans, compared with the measured one.

For each network and budget three plans land on the budget: uniform, the heuristic that prunes
costly groups harder, and a random walk. None of them is among the whole networks that the tables
were corrected with. Dense and pruned networks take turns.

python benchmarks/latency.py [--networks NAME ...] [--backend torch] [--write]
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from support.reporting import parser, report

from autoprune.cost.bound_budget import BoundBudget
from autoprune.cost.budget import Budget
from autoprune.cost.choices import allowed_counts
from autoprune.cost.latency import Survey, width_steps
from autoprune.cost.latency.model import first_units
from autoprune.cost.model import CostModel
from autoprune.data.classification import Classification
from autoprune.networks import zoo
from autoprune.problem.heuristics import heuristic_plan
from autoprune.structure.analyze import analyze
from autoprune.structure.plan import Plan
from autoprune.structure.slicing import Slicer

NETWORKS = ("resnet20", "resnet56", "mobilenetv1", "vgg19", "simplenet", "densenet40")
BUDGETS = ("0.75latency", "0.5latency")
BATCH, AIM = 64, 0.10


def main() -> None:
    """Measure and report."""
    options = parser(__doc__ or "")
    options.add_argument("--networks", nargs="+", default=NETWORKS)
    options.add_argument("--backend", default="torch")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    rows = [row for name in chosen.networks for row in network(name, chosen.backend)]
    errors = np.array([abs(row.pop("error")) for row in rows])
    parts = np.array([abs(row.pop("relative")) for row in rows])
    notes = [
        f"Milliseconds per batch of {BATCH} images of 3x32x32, fresh weights, {chosen.backend},",
        "float32, batch norms folded. Widths are multiples of what suits the device. `moved`: how",
        "far the tables were moved so that they never fall, as a part of their sum.",
        f"Aim: within 10 %. {within(errors)}. As parts of the dense network timed in the same",
        f"turns, whatever the machine did since the tables were made: {within(parts)}.",
    ]
    name = "latency" if chosen.backend == "torch" else f"latency_{chosen.backend}"
    report(name, "Predicted and measured latency", rows, notes, chosen.write)


def within(errors: NDArray[np.float64]) -> str:
    """Say how many are within the aim, their mean and the worst."""
    met, mean, worst = int((errors <= AIM).sum()), 100 * errors.mean(), 100 * errors.max()
    return f"{met} of {len(errors)}, mean {mean:.1f} %, worst {worst:.1f} %"


def network(name: str, backend: str) -> list[dict[str, Any]]:
    """Compare on one network."""
    torch.manual_seed(0)
    model = zoo.build(name).eval()
    batch = torch.randn(BATCH, 3, 32, 32), torch.zeros(BATCH, dtype=torch.long)
    structure = analyze(model, batch[0][:2])
    steps = width_steps(structure.sizes.values(), torch.device("cpu"))
    choices = allowed_counts(structure.groups, steps)
    survey = Survey(model, structure, Classification(), batch, choices, backend=backend)
    latency = survey.take()
    cost = CostModel(structure, latency=latency.cost)
    plans: list[tuple[str, str, Plan]] = []
    for text in BUDGETS:
        bound = Budget.parse(text).bind(cost, steps)
        plans.append((text, "uniform", bound.uniform()))
        plans.append((text, "larger-more", heuristic_plan("larger-more", bound)))
        plans.append((text, "random", walk(bound, seed=0)))
    slicer = Slicer(model, structure)
    networks = [
        slicer.build(first_units(structure, cost.counts(plan))).eval() for *_, plan in plans
    ]
    measured = [1000 * seconds for seconds in survey.time([model, *networks])]
    rows = []
    for (text, kind, plan), found in zip(plans, measured[1:], strict=True):
        predicted = latency.cost(plan) * BATCH / 1e6
        rows.append(
            {
                "network": name,
                "budget": text,
                "plan": kind,
                "predicted": f"{predicted:.2f}",
                "measured": f"{found:.2f}",
                "off by": f"{100 * (predicted / found - 1):+.1f} %",
                "of dense": f"{found / measured[0]:.3f}",
                "MACs": f"{cost.macs(plan) / cost.macs.dense:.3f}",
                "moved": f"{100 * latency.corrected:.1f} %",
                "error": predicted / found - 1,
                "relative": predicted / (latency.cost.dense * BATCH / 1e6) * measured[0] / found
                - 1,
            }
        )
    return rows


def walk(bound: BoundBudget, seed: int) -> Plan:
    """Decide one group after another at random inside what the budget leaves it."""
    random, kept = np.random.default_rng(seed), []
    for choices in bound.choices:
        low, high = bound.interval(kept)
        inside = choices[(choices >= low) & (choices <= high)]
        kept.append(int(random.choice(inside)))
    return bound.cost.plan(kept)


if __name__ == "__main__":
    main()
