"""View of ``autoprune train`` and ``autoprune finetune``."""

from __future__ import annotations

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from autoprune.commands.train.result import Trained
from autoprune.foundation.tables import count, percent, reading, size, table_of, title, warning
from autoprune.foundation.terminal import duration


def trained_view(result: Trained) -> RenderableType:
    """Show scores before and after, costs, and the files of the run."""
    epochs = f"{result.epochs} epoch{'s' * (result.epochs > 1)} ({result.steps:,} steps)"
    table = table_of(f"{result.metric}, test split", "")
    if result.before is not None:
        table.add_row("before", percent(result.before))
    table.add_row("trained", Text(percent(result.accuracy), "bold"))
    for name, value in result.other.items():
        table.add_row(Text(name), reading(name, value))
    table.add_row("validation split", percent(result.validation))
    if result.kept_epoch:
        table.add_row("weights of epoch", f"{result.kept_epoch} of {result.epochs}")
    table.add_row("MACs per sample", count(result.macs))
    table.add_row("parameters", count(result.parameters))
    table.add_row("file size", size(result.bytes))
    parts: list[RenderableType] = [
        title(
            f"{result.network} on {result.data}",
            f"{result.command}: {epochs} in {duration(result.seconds)}, seed {result.seed}",
        ),
        table,
        *(warning(text) for text in result.warnings),
        _run_files(result),
    ]
    return Stack(*parts)


def _run_files(result: Trained) -> RenderableType:
    """Return the files of the run, and the command that prunes a trained network."""
    files = Table.grid(padding=(0, 2))
    for name, what in result.files.items():
        files.add_row(Text(name, "bold"), Text(what))
    lines = Text.assemble("everything is in ", (str(result.run), "bold"))
    if result.command == "train":
        task = "" if result.task == "classification" else f" --task {result.task}"
        lines.append("\nprune it:     ")
        lines.append(
            f"autoprune search --budget 0.5flops --model {result.network}"
            f" --data {result.data}{task} --weights {result.run}",
            "cyan",
        )
    return Padding(Stack(lines, Text(), files), (1, 0, 1, 1))
