"""View of ``autoprune train-policy``."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprune.commands.train_policy.result import PolicyResult
from autoprune.foundation.page import REPORT
from autoprune.foundation.tables import percent, table_of, title, warning
from autoprune.foundation.terminal import duration


def policy_view(result: PolicyResult) -> RenderableType:
    """Show the networks and what was found on them, what the policy leaves, and where it is."""
    return Stack(
        title(
            f"a policy for budgets {result.budgets}",
            f"{result.agent} + {result.ranking}, {result.evaluations} evaluations,"
            f" {duration(result.seconds)}, seed {result.seed}",
        ),
        _networks(result),
        _errors(result),
        *([_exam(result)] if result.exam else []),
        *(warning(text) for text in result.warnings),
        _places(result),
    )


def _networks(result: PolicyResult) -> Table:
    table = table_of("network", "groups", "evaluations", "dp", "best")
    for item in result.networks:
        table.add_row(
            Text(f"{item.name} on {item.data}"),
            str(item.groups),
            str(item.evaluations),
            *("" if score is None else percent(score) for score in (item.first, item.best)),
        )
    table.caption = "dp, best: scores on the search split at the middle budget"
    return table


def _errors(result: PolicyResult) -> Table:
    table = table_of("sum of errors", "budget", "uniform", "dp", "policy")
    for row in result.plans:
        figures = (f"{value:.4g}" for value in (row.uniform, row.dp, row.policy))
        table.add_row(Text(row.network), row.budget, *figures)
    if result.evaluations:
        table.caption = "evaluations weigh the errors, so the policy need not leave the least sum"
    return table


def _exam(result: PolicyResult) -> Table:
    table = table_of("exam", *result.exam)
    table.add_row(Text("reward"), *(f"{reward:.3f}" for reward in result.exam.values()))
    table.caption = "at budgets not trained on: 0 is dp, 1 as far beyond it as uniform is from it"
    return table


def _places(result: PolicyResult) -> RenderableType:
    run = str(result.run)
    lines = Text.assemble(
        "use it:       ",
        (f"autoprune apply --policy {run} --budget 0.5flops --model MODEL --weights FILE", "cyan"),
        "\n",
        "see the page: ",
        (f"{run}/{REPORT}", "cyan"),
        "\n",
        "see curves:   ",
        (f"tensorboard --logdir {result.run.parent}", "cyan"),
    )
    return Padding(lines, (1, 0, 1, 1))
