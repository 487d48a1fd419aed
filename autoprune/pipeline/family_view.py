"""View of a family of networks."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from autoprune.foundation.tables import percent, table_of, title, warning
from autoprune.foundation.terminal import duration
from autoprune.pipeline.family import Family
from autoprune.pipeline.result import Result
from autoprune.pipeline.view import result_view


def pruned_view(result: Result | Family) -> RenderableType:
    """Show a search, or a family of them."""
    return family_view(result) if isinstance(result, Family) else result_view(result)


def family_view(family: Family) -> RenderableType:
    """Show what each budget gave, which of them no other one beats, and what all of it took."""
    alone, front = family.alone, [one.budget for one in family.front]
    table = table_of("budget", "pruned", "delivered", "change", "MACs", "parameters", "front")
    for one in family.results:
        dense, last = one.dense, one.finetuned
        table.add_row(
            Text(one.budget),
            percent(one.pruned.score),
            percent(last.score),
            f"{100 * (last.score - dense.score):+.2f}",
            percent(last.macs / dense.macs, 1),
            percent(last.parameters / dense.parameters, 1),
            "yes" if one.budget in front else "",
            style="bold" if one.budget in front else "",
        )
    table.caption = (
        f"{alone.metric} on the test split, dense {percent(alone.dense.score)}; front: no other is"
        " as good and smaller"
    )
    every, single = family.times
    effort = family.evaluations / max(1, alone.evaluations)
    told = Text(
        f"{family.evaluations} evaluations, {effort:.1f} times those of {alone.budget} alone;"
        f" {duration(every)}, {every / max(single, 0.01):.1f} times"
    )
    heading = title(
        f"{alone.network} on {alone.data}, {len(family.results)} budgets",
        f"{alone.agent} + {alone.ranking}, seed {alone.seed}",
    )
    warned = dict.fromkeys(text for one in family.results for text in one.warnings)
    place = f"everything is in {family.run}, each network in a run of its own inside: "
    load = f'autoprune.load("{alone.run}")'
    return Stack(
        heading,
        table,
        Padding(told, (0, 0, 1, 1)),
        *(warning(text) for text in warned),
        Padding(Text.assemble(place, (load, "cyan")), (0, 0, 1, 1)),
    )
