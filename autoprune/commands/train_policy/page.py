"""Page of ``autoprune train-policy``."""

from __future__ import annotations

from collections.abc import Sequence

from autoprune.agents.policy_format import DESCRIPTION, WEIGHTS
from autoprune.commands.train_policy.result import PlanErrors, PolicyResult
from autoprune.foundation.config import Config
from autoprune.foundation.figure import Chart, Series
from autoprune.foundation.page import (
    Cell,
    Page,
    Row,
    Section,
    Table,
    asked,
    files_section,
    page_text,
)
from autoprune.foundation.tables import percent
from autoprune.foundation.terminal import duration

_WEIGHED = "Evaluations weigh the errors, so a policy that had some need not leave the least sum."

FILES = {
    DESCRIPTION: "the policy, and what it was trained on",
    WEIGHTS: "its weights",
    "evaluations.jsonl": "every plan that was evaluated",
    "result.json": "everything shown here",
}


def policy_page(result: PolicyResult, config: Config) -> str:
    """Return the page of the training of a policy."""
    run = str(result.run)
    uses = {
        "prune a network": f"autoprune apply --policy {run} --budget 0.5flops --model MODEL",
        "see the curves": f"tensorboard --logdir {result.run.parent}",
    }
    count = len(result.networks)
    sections = [
        _result(result),
        Section("Networks", "networks", tables=[_networks(result)]),
        Section("What the policy plans", "plans", charts=_charts(result.plans)),
        Section("What was asked", "asked", facts=asked(config)),
        files_section(run, uses, FILES),
    ]
    below = f"autoprune train-policy, {count} network{'s' * (count != 1)}, seed {result.seed}"
    return page_text(Page(f"A policy for budgets {result.budgets}", below, sections))


def _result(result: PolicyResult) -> Section:
    facts: dict[str, Cell | str] = {
        "evaluations": Cell(f"{result.evaluations:,}", key="evaluations"),
        "took": Cell(duration(result.seconds), time=True),
    }
    tables = []
    if result.exam:
        rows = [
            Row([name, Cell(f"{reward:.3f}", key=f"exam.{name}")])
            for name, reward in result.exam.items()
        ]
        caption = "At budgets between those trained on: 0 is the plan of the error curves (dp), 1"
        caption += " as far beyond it as the uniform plan is from it."
        tables.append(Table(["planned by", "reward"], rows, caption))
    caption = "How much an error of a group is found to matter, by what the group is like."
    weights = [Row([name, f"{value:.3f}"]) for name, value in result.coefficients.items()]
    tables.append(Table(["feature of a group", "coefficient"], weights, caption))
    return Section("Result", "result", facts=facts, tables=tables, warnings=result.warnings)


def _networks(result: PolicyResult) -> Table:
    rows = [
        Row(
            [
                Cell(f"{one.name} on {one.data}", wide=True),
                str(one.groups),
                str(one.evaluations),
                *("" if score is None else percent(score) for score in (one.first, one.best)),
            ]
        )
        for one in result.networks
    ]
    caption = "dp, best: scores of the plan of the error curves and of the best plan, at the budget"
    caption += " in the middle, on the search split."
    return Table(["network", "groups", "evaluations", "dp", "best"], rows, caption)


def _charts(plans: Sequence[PlanErrors]) -> list[Chart]:
    """Draw the errors that plans leave at every budget of a network, as parts of the uniform's."""
    charts = []
    for name in dict.fromkeys(row.network for row in plans):
        rows = [row for row in plans if row.network == name and row.uniform > 0]
        series = [
            Series(label, [(at, value) for at, value in enumerate(values)], "line", color)
            for label, color, values in (
                ("dp", 2, [100 * row.dp / row.uniform for row in rows]),
                ("policy", 0, [100 * row.policy / row.uniform for row in rows]),
            )
        ]
        if rows:
            level = Series("uniform", [(0.0, 100.0)], "level", 1)
            names = [row.budget for row in rows]
            label = "error [% of uniform]"
            charts.append(Chart(name, "", label, [level, *series], _WEIGHED, names=names))
    return charts
