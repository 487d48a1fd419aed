"""Results and structures for people: tables that fit 80 columns.

Each function returns something rich can print; nothing here prints or reads files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autoprune.cost import CostModel
from autoprune.energy import joules
from autoprune.progress import duration
from autoprune.result import GroupKeep, Result
from autoprune.structure.table import Structure

BAR: Final = 18
_WORDS: Final = ("kind", "keep", "share of MACs", "because")


def result_view(result: Result) -> RenderableType:
    """Show a search: accuracy and cost before and after, every group's keep, and the files."""
    parts: list[RenderableType] = [
        _title(
            f"{result.network} on {result.data}, budget {result.budget}",
            f"{result.agent} + {result.ranking}, {result.evaluations} evaluations,"
            f" {duration(result.seconds)}, seed {result.seed}",
        ),
        _accuracies(result),
        _costs(result),
        _keeps(result.groups),
        *(_warning(text) for text in result.warnings),
        _places(result),
    ]
    return Stack(*parts)


def inspect_json(structure: Structure) -> dict[str, Any]:
    """Return what :func:`inspect_view` shows as a JSON-able object."""
    cost = CostModel(structure)
    shares = cost.macs.shares
    return {
        "groups": [
            {
                "name": group.name,
                "kind": group.kind,
                "size": group.size,
                "slices": len(structure.slices[group.name]),
                "macs_share": round(float(share), 6),
            }
            for group, share in zip(structure.groups, shares, strict=True)
        ],
        "pinned": [
            {"name": item.name, "size": item.size, "reason": item.reason}
            for item in structure.pinned
        ],
        "macs": cost.macs.dense,
        "flops": 2 * cost.macs.dense,
        "parameters": cost.parameters.dense,
        "bytes": cost.bytes.dense,
    }


def inspect_view(name: str, facts: Mapping[str, Any]) -> RenderableType:
    """Show what ``inspect_json`` returned: groups, totals, and what is pinned and why."""
    groups = _table("group", "kind", "units", "slices", "share of MACs")
    for group in facts["groups"]:
        groups.add_row(
            Text(group["name"]),
            group["kind"],
            str(group["size"]),
            str(group["slices"]),
            _bar(group["macs_share"]),
        )
    groups.caption = (
        "share of MACs: what goes with the whole group; where groups meet, both claim it"
    )
    units = sum(group["size"] for group in facts["groups"])
    summary = (
        f"{units:,} units in {len(facts['groups'])} groups; {count(facts['macs'])} MACs ="
        f" {count(facts['flops'])} FLOPs per sample; {count(facts['parameters'])} parameters;"
        f" {size(facts['bytes'])}"
    )
    return Stack(_title(name, summary), groups, *_pinned(facts["pinned"]))


def profile_view(name: str, facts: Mapping[str, Any]) -> RenderableType:
    """Show a profile: a row per layer, what is left over, the total, and what was assumed."""
    table = _table("layer", "kind", "MACs", "params", "time", "energy", "of MACs")
    total = facts["total"]
    for row in (*facts["layers"], facts["other"], total):
        spent = row["milliseconds"]
        table.add_row(
            Text(row["name"]),
            row["kind"],
            count(row["macs"]),
            count(row["parameters"]),
            "" if spent is None else f"{1000 * spent:.1f} us",
            joules(1000 * row["picojoules"]),
            _percent(row["macs"] / max(total["macs"], 1), 1),
            style="bold" if row is total else "",
        )
    summary = (
        f"per sample; {size(total['bytes'])}; time measured on {facts['device']} in batches of"
        f" {facts['batch']}, float32"
    )
    notes = Text("\n".join(("energy is a model:", *facts["assumptions"])), style="dim")
    return Stack(_title(name, summary), table, Padding(notes, (0, 0, 1, 1)))


def export_view(facts: Mapping[str, Any]) -> RenderableType:
    """Show what was exported and how far it is from PyTorch."""
    batches = ", ".join(map(str, facts["batches"]))
    lines = Text.assemble(
        (f"{facts['path']}", "bold"),
        f"  {facts['form']}, {size(facts['bytes'])}\n",
        f"largest difference from PyTorch {facts['max_difference']:.1e}, of outputs up to"
        f" {facts['max_output']:.3g};\nreal inputs, in batches of {batches}",
    )
    return Padding(lines, (1, 0, 1, 1))


def count(value: float) -> str:
    """Write a count with three to four digits: ``41.2 M``, ``850``."""
    for factor, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor * 0.9995:
            return f"{_digits(value / factor)}{unit}"
    return f"{value:g}"


def size(value: float) -> str:
    """Write a size in decimal units: ``312 kB``, ``1.09 MB``."""
    return f"{count(value)}B" if value >= 1000 else f"{value:g} B"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def _milliseconds(value: float) -> str:
    return f"{_digits(value)} ms"


def _title(text: str, below: str) -> RenderableType:
    return Padding(Text.assemble((text, "bold"), "\n", (below, "dim")), (1, 0, 0, 1))


def _table(first: str, *others: str) -> Table:
    """Make a table whose first column is a name and whose others are mostly figures."""
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    return table


def _accuracies(result: Result) -> Table:
    table = _table(f"{result.metric}, test split", "base", "pruned", "fine-tuned", "change")
    rows = [(f"{result.agent} + {result.ranking}", result.pruned, result.recovered, "bold")]
    if result.baseline:
        base = result.baseline
        rows.append((base.name, base.pruned, base.recovered, ""))
    for name, pruned, recovered, style in rows:
        change = 100 * (recovered.accuracy - result.base.accuracy)
        table.add_row(
            Text(name),
            _percent(result.base.accuracy),
            _percent(pruned.accuracy),
            _percent(recovered.accuracy),
            f"{change:+.2f}",
            style=style,
        )
    return table


def _costs(result: Result) -> Table:
    table = _table("cost", "base", "pruned", "left")
    for name, show, measure in (
        ("MACs per sample", count, "macs"),
        ("FLOPs per sample", count, "flops"),
        ("parameters", count, "parameters"),
        ("file size", size, "bytes"),
        ("latency per sample", _milliseconds, "latency_ms"),
    ):
        before, after = getattr(result.base, measure), getattr(result.recovered, measure)
        if before and after is not None:
            table.add_row(name, show(before), show(after), _percent(after / before, 1))
    return table


def _keeps(groups: Iterable[GroupKeep]) -> Table:
    table = _table("group", "units", "kept", "keep", "of MACs")
    for group in groups:
        table.add_row(
            Text(group.name),
            str(group.size),
            str(group.kept),
            _bar(group.kept / group.size),
            _percent(group.share, 1),
        )
    return table


def _bar(fraction: float) -> Table:
    cell = Table.grid(padding=(0, 1))
    cell.add_column(width=BAR)
    cell.add_column(justify="right", width=5)
    cell.add_row(ProgressBar(total=1.0, completed=fraction, width=BAR), f"{100 * fraction:.0f} %")
    return cell


def _pinned(pinned: Iterable[Mapping[str, Any]]) -> list[RenderableType]:
    reasons: dict[str, list[str]] = {}
    for item in pinned:
        reasons.setdefault(item["reason"], []).append(f"{item['name']} ({item['size']})")
    if not reasons:
        return []
    table = _table("pinned", "because")
    table.columns[1].no_wrap = False
    for reason, names in reasons.items():
        table.add_row(Text(", ".join(names)), Text(reason))
    return [table]


def _warning(text: str) -> RenderableType:
    return Padding(Text.assemble(("warning: ", "yellow"), text), (0, 0, 0, 1))


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
