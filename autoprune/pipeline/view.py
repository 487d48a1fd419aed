"""View of a pruning result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprune.foundation.tables import (
    bar,
    count,
    milliseconds,
    percent,
    reading,
    size,
    table_of,
    title,
    warning,
)
from autoprune.foundation.terminal import duration
from autoprune.pipeline.result import GroupKeep, LatencyCheck, Measure, Result
from autoprune.pipeline.speeds import Speed
from autoprune.structure.table import BRANCH


def result_view(result: Result) -> RenderableType:
    """Show a search: accuracy and cost before and after, every group's keep, and the files."""
    parts: list[RenderableType] = [
        title(
            f"{result.network} on {result.data}, budget {result.budget}",
            f"{result.agent} + {result.ranking}, {_unit(result)}{_effort(result)},"
            f" {duration(result.seconds)}, seed {result.seed}",
        ),
        _scores(result),
        _costs(result),
        *_rounds(result),
        *_probes(result),
        *_latency(result.latency),
        *speed_view(result.speeds),
        _keeps(result.groups, "units" if result.granularity == "channel" else "weights"),
        *(warning(text) for text in (*result.warnings, *result.slower)),
        _places(result),
    ]
    return Stack(*parts)


def result_html(result: Result) -> str:
    """Return the view as HTML, for notebooks."""
    console = Console(record=True, file=StringIO(), width=100, force_jupyter=False)
    console.print(result_view(result))
    return console.export_html(
        inline_styles=True, code_format='<pre style="line-height:normal">{code}</pre>'
    )


def _unit(result: Result) -> str:
    return "" if result.granularity == "channel" else f"{result.granularity} masks, "


def _effort(result: Result) -> str:
    number = len(result.rounds)
    if not number:
        return f"{result.evaluations} evaluations"
    return "one shot" if number == 1 else f"{number} rounds"


def _scores(result: Result) -> Table:
    """Show the scores on the test split; fine-tuned ones only where there was fine-tuning."""
    tuned, between = result.finetune_epochs != 0, ("matched",) if result.matched else ()
    more = ("fine-tuned", "fine-tuned - dense") if tuned else ()
    table = table_of(f"{result.metric}, test split", "dense", "pruned", *between, *more)
    own = (result.pruned, *((result.matched,) if result.matched else ()), result.finetuned)
    rows: list[tuple[str, Sequence[Measure | None], str]] = []
    rows.append((f"{result.agent} + {result.ranking}", own, "bold"))
    if result.baseline:
        base = result.baseline
        rows.append((base.name, (base.pruned, *(None for _ in between), base.finetuned), ""))
    for rate in (None, *result.dense.other):
        for name, measures, style in rows:
            scores = [
                None if one is None else one.score if rate is None else one.other[rate]
                for one in (result.dense, *(measures if tuned else measures[:-1]))
            ]
            cells = ["" if score is None else reading(rate or "", score) for score in scores]
            if tuned:
                change = (scores[-1] or 0.0) - (scores[0] or 0.0)
                cells.append(f"{change:+.4g}" if rate == "perplexity" else f"{100 * change:+.2f}")
            title = name if rate is None else f"{rate}, {name}"
            table.add_row(Text(title), *cells, style=style)
    if result.dense_finetuned:
        trained, dense = result.dense_finetuned.score, result.dense.score
        gain = f"{100 * (trained - dense):+.2f}"
        blank = ["" for _ in ("pruned", *between)]
        table.add_row("dense, trained as long", percent(dense), *blank, percent(trained), gain)
    elif tuned:
        table.caption = "what as much training does to the dense network: --baseline dense"
    return table


def _costs(result: Result) -> Table:
    table = table_of("cost", "dense", "pruned", "left")
    for name, show, measure in (
        ("MACs per sample", count, "macs"),
        ("FLOPs per sample", count, "flops"),
        ("parameters", count, "parameters"),
        ("file size", size, "bytes"),
        ("latency per sample", milliseconds, "latency_ms"),
    ):
        before, after = getattr(result.dense, measure), getattr(result.finetuned, measure)
        if before and after is not None:
            table.add_row(name, show(before), show(after), percent(after / before, 1))
    return table


def _rounds(result: Result) -> list[RenderableType]:
    """Show how a schedule of several rounds went, on the search split."""
    if len(result.rounds) < 2:
        return []
    tuned = result.finetune_epochs != 0
    more = ("fine-tuned",) if tuned else ()
    table = table_of("round", "MACs left", "parameters left", "pruned", *more)
    for number, found in enumerate(result.rounds, 1):
        table.add_row(
            str(number),
            percent(found.macs / result.dense.macs, 1),
            percent(found.parameters / result.dense.parameters, 1),
            percent(found.pruned),
            *([percent(found.finetuned)] if tuned else []),
        )
    after = "after pruning and after fine-tuning" if tuned else "after pruning"
    table.caption = f"{result.metric} on the search split, {after}"
    return [table]


def _probes(result: Result) -> list[RenderableType]:
    """Show the budgets that were tried for the smallest network that loses little enough."""
    if result.drop is None:
        return []
    unit, most = result.drop.unit, result.drop.most
    table = table_of(f"smallest by {unit}", f"{unit} left", "points lost", "+-", "allowed")
    for one in sorted(result.drop.probes, key=lambda probe: -probe.cost):
        margin = "unknown" if one.margin is None else f"{one.margin:.2f}"
        cells = (percent(one.cost, 1), f"{one.points:.2f}", margin, "yes" if one.held else "no")
        style = "bold" if one.budget == result.budget else ""
        table.add_row(Text(one.budget), *cells, style=style)
    table.caption = f"{result.metric} on the validation split, at most {most:g} points; 95 %"
    return [table]


def _latency(check: LatencyCheck | None) -> list[RenderableType]:
    if check is None:
        return []
    predicted, measured = check.fractions
    text = (
        f"latency per sample: predicted {milliseconds(check.predicted_ms)} ({predicted:.2f} of"
        f" dense), measured {milliseconds(check.measured_ms)} ({measured:.2f}), so"
        f" {100 * check.error:+.1f} %;\n{check.backend} on {check.device}, batches of {check.batch}"
    )
    return [Padding(Text(text), (0, 0, 1, 1))]


def speed_view(speeds: Iterable[Speed]) -> list[RenderableType]:
    """Show what the networks take on each backend, on one sample and on a batch."""
    table = table_of("latency per sample", "batch", "dense", "pruned", "left")
    for one in speeds:
        before, after = milliseconds(one.dense_ms), milliseconds(one.pruned_ms)
        table.add_row(one.backend, str(one.batch), before, after, percent(one.fraction, 1))
    return [table] if table.row_count else []


def _keeps(groups: Iterable[GroupKeep], units: str) -> Table:
    table = table_of("group", units, "kept", "keep", "of MACs")
    for group in groups:
        if group.kind == BRANCH and group.kept:
            continue  # it is what its groups are
        table.add_row(
            Text(f"{group.name} (branch)" if group.kind == BRANCH else group.name),
            str(group.size),
            str(group.kept),
            bar(group.kept / group.size),
            percent(group.share, 1),
        )
    return table


def _places(result: Result) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, what in result.files.items():
        table.add_row(Text(name), Text(what))
    run = str(result.run)
    lines = Text.assemble(
        "everything is in ",
        (run, "bold"),
        "\n",
        "use it:       ",
        (f'autoprune.load("{run}")', "cyan"),
        "\n",
        "see curves:   ",
        (f"tensorboard --logdir {result.run.parent}", "cyan"),
    )
    return Padding(Stack(lines, Text(), table) if result.files else lines, (1, 0, 1, 1))
