"""The view of ``autoprune compare``."""

from __future__ import annotations

from math import isinf
from pathlib import Path

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.commands.compare.result import MEASURES, Comparison
from autoprune.foundation.statistics import Estimate
from autoprune.foundation.tables import table_of, title
from autoprune.foundation.terminal import duration


def compare_view(comparison: Comparison, run: Path) -> RenderableType:
    """Show means and 95 % intervals over seeds, a table per budget, and where the plots are."""
    seeds = len(next(iter(comparison.trials[comparison.budget].values())))
    below = (
        f"{comparison.evaluations} evaluations each, {seeds} seeds, mean +- 95 % interval;"
        f" fine-tuned for {comparison.finetune_epochs} epochs"
    )
    parts: list[RenderableType] = [
        title(f"{comparison.network} on {comparison.data}", below),
        *(_table(comparison, budget) for budget in comparison.trials),
    ]
    plots = [name for name in ("search.png", "budgets.png") if (run / name).exists()]
    where = Text.assemble("plots: ", (", ".join(str(run / name) for name in plots), "bold"))
    return Stack(*parts, Padding(where, (0, 0, 1, 1)))


def _table(comparison: Comparison, budget: str) -> RenderableType:
    table = table_of(budget, "search split", "test, pruned", "test, fine-tuned", "time")
    table.add_row(
        "dense", "", _percent(Estimate(comparison.base, float("inf"))), "", "", style="dim"
    )
    for agent in comparison.trials[budget]:
        *scores, seconds = (comparison.estimate(budget, agent, name) for name in MEASURES)
        table.add_row(agent, *map(_percent, scores), duration(seconds.mean))
    return table


def _percent(value: Estimate) -> str:
    margin = "" if isinf(value.margin) else f" +- {100 * value.margin:.2f}"
    return f"{100 * value.mean:.2f}{margin}"
