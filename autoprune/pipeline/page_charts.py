"""Charts of a pruning run on its page: the search, the scores for their costs, the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from autoprune.cost.budget import Budget
from autoprune.foundation.charts import roof
from autoprune.foundation.figure import Chart, Series
from autoprune.foundation.statistics import wilson
from autoprune.pipeline.plots import front, measured
from autoprune.pipeline.result import Result

GRAY: Final = 7
"""Color of what stands beside our result."""


def search_chart(result: Result, found: Sequence[Mapping[str, object]]) -> Chart:
    """Draw the losses of all evaluations that did not fail, and the least so far."""
    points = [(float(str(one["evaluation"])), float(str(one["loss"]))) for one in found]
    full = [p for p, one in zip(points, found, strict=True) if not one.get("doubt")]
    left = [p for p, one in zip(points, found, strict=True) if one.get("doubt")]
    least = accumulate((loss for _, loss in full), min)
    series = [Series("evaluated plan", full, "dots", 5)]
    if left:
        series.append(Series("given up on the way", left, "dots", GRAY))
    if full:
        best = list(zip((number for number, _ in full), least, strict=True))
        series.append(Series("best so far", [*best, (points[-1][0], best[-1][1])], "steps", 0))
    for name, color in (("uniform", 1), ("dense", 6)):
        if name in result.references:
            at = [(1.0, result.references[name].loss)]
            series.append(Series(name, at, "level", color))
    top = roof([loss for _, loss in points])
    above = sum(loss > top for _, loss in points)
    caption = "Loss of every plan on the search split, in the order of the search."
    if above:
        caption += f" {above} above the picture, drawn as arrows at its edge."
    if left:
        caption += " A plan is given up when it surely stays behind the best."
    return Chart("Search", "evaluation", "loss, search split", series, caption, roof=top)


def pareto_chart(result: Result, samples: int | None) -> Chart:
    """Draw the networks' scores over what the budget limits, and the front."""
    cost, label = _cost_of(result)
    points = {name: (100 * x, 100 * y) for name, (x, y) in measured(result, cost).items()}
    colors = {"dense": 6, "pruned": 5, "matched": 2, "fine-tuned": 0}
    best = front(list(points.values()))
    series = [Series("front", [*best, (100.0, best[-1][1])], "steps", GRAY)]
    for name, (x, y) in points.items():
        bars = wilson(y / 100, samples) if samples else ()
        low, high = ([100 * bars[0]], [100 * bars[1]]) if bars else ((), ())
        hint = f"{name}: {y:.2f} %, {x:.1f} % of dense"
        color = colors.get(name, 1 if name.endswith("fine-tuned") else 4)
        series.append(Series(name, [(x, y)], "dots", color, low, high, [hint]))
    caption = "Networks on the test split" + (", with 95 % intervals." if samples else ".")
    bottom = -roof([-y for _, y in points.values()])
    across, up = f"{label} left [% of dense]", f"{result.metric}, test split [%]"
    return Chart("Score for its cost", across, up, series, caption, floor=bottom)


def _cost_of(result: Result) -> tuple[str, str]:
    """Return the cost that a budget limits, as a field of a measure, and its name.

    Times and energies have costs of their own kind: MACs stand for them.
    """
    costs = Budget.parse(result.budget).costs
    known = {"parameters": "parameters", "bytes": "bytes"}
    limited = next((cost for cost in costs if cost in known), "macs")
    return limited, {"macs": "MACs", "bytes": "file size"}.get(limited, limited)


def rounds_chart(result: Result) -> Chart:
    """Draw the scores of every round of a schedule, in percent."""
    states = [("pruned", [one.pruned for one in result.rounds], 5)]
    if result.finetune_epochs != 0:
        states.append(("fine-tuned", [one.finetuned for one in result.rounds], 0))
    series = [
        Series(name, [(at, 100 * score) for at, score in enumerate(scores, 1)], "line", color)
        for name, scores, color in states
    ]
    return Chart("Rounds", "round", f"{result.metric}, search split [%]", series)
